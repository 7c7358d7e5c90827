# shellcheck shell=bash
# The rules for the settings. They are those of config.go and internal/site: what
# the functions would refuse must not be deployed over functions that work.
# TestSettings gives both the same values. Sourced by deploy.sh.

# shellcheck disable=SC2154 # deploy.sh has the values
check_settings() {
  local LC_ALL=C setting value
  [[ "$base_url$origins${settings[*]-}" != *'|'* ]] || die 'settings must not have the character |; in a URL it is written %7C'
  every -origins "$origins" is_origin 'is not written like https://app.example.com (http only for localhost; no path, no slash at the end)'
  is_base_url "$base_url" || die "-base-url: \"$base_url\" is not the public https URL of the functions, without query, and with at most one $placeholder"
  for setting in ${settings[@]+"${settings[@]}"}; do
    value=${setting#*=}
    case ${setting%%=*} in
      RETURN_URLS) every -return-urls "$value" is_return_url 'is not an https URL of an origin in -origins, or it has a fragment or a code, state, error or missing_scopes in its query, or it is a function' ;;
      SCOPES) can_list "$value" || die "-scopes: \"$value\" has no Gmail scope that can list messages, or gmail.metadata beside a broader one" ;;
      SESSION_TTL) is_duration "$value" || die "-session-ttl: \"$value\" is not a duration like 90s, 20m or 12h" ;;
      BEARER_TTL) is_duration "$value" || die "-bearer-ttl: \"$value\" is not a duration like 90s, 20m or 12h" ;;
      LIST_DEADLINE) is_deadline "$value" || die "-list-deadline: \"$value\" is not a duration below 60s, like 20s" ;;
      POPUP_FLOW) [[ $value == on || $value == off ]] || die "-popup-flow: \"$value\" is neither on nor off" ;;
      SESSION_COOKIE) [[ $value =~ ^[A-Za-z0-9_.-]{1,42}$ && $value != GOCSPX-* ]] || die "-session-cookie: \"$value\" is not the name of a cookie" ;;
    esac
  done
}

# every checks each entry of a list that has commas between them.
every() {
  local entry rest=${2:+$2,}
  while [[ -n $rest ]]; do
    entry=${rest%%,*}
    rest=${rest#*,}
    "$3" "$entry" || die "$1: \"$entry\" $4"
  done
}

origin_form='(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]+)?'
path_form="(/([A-Za-z0-9._~!\$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
query_form='(\?([!"$&-:<-~]|%[0-9A-Fa-f]{2})*)?'

is_origin() { [[ $1 =~ ^$origin_form$ && ! $1 =~ ^https:.*:443$ && ! $1 =~ ^http:.*:80$ ]]; }

# origin_of prints the origin of a URL.
origin_of() {
  local rest=${1#*://}
  printf '%s://%s\n' "${1%%://*}" "${rest%%[/?]*}"
}

is_base_url() {
  local url=${1/$placeholder/x}
  [[ $url =~ ^$origin_form$path_form$ && $url == https:* ]] && is_origin "$(origin_of "$url")"
}

is_return_url() {
  local name url own
  [[ ${#1} -le 1024 && $1 =~ ^$origin_form$path_form$query_form$ ]] || return
  [[ ! $1 =~ [?\&](code|state|error|missing_scopes)(=|&|$) ]] || return
  url=${1%%\?*}
  own=$origins
  for name in "${functions[@]}"; do
    [[ $url/ != "$(function_url "$base_url" "$name")"/* ]] || return
    own+=,$(origin_of "$(function_url "$base_url" "$name")")
  done
  listed "$(origin_of "$1")" "${own//,/$'\n'}"
}

can_list() {
  local gmail=https://www.googleapis.com/auth/gmail
  case " $1 " in
    *" https://mail.google.com/ "* | *" $gmail.modify "* | *" $gmail.readonly "*) [[ " $1 " != *" $gmail.metadata "* ]] ;;
    *) [[ " $1 " == *" $gmail.metadata "* ]] ;;
  esac
}

is_duration() { [[ $1 =~ ^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$ && $1 == *[1-9]* ]]; }

# is_deadline reports whether a duration is within the time-out of a function.
is_deadline() {
  is_duration "$1" || return
  local h=${BASH_REMATCH[1]%h} m=${BASH_REMATCH[2]%m} s=${BASH_REMATCH[3]%s}
  [[ $((10#${h:-0} * 3600 + 10#${m:-0} * 60 + 10#${s:-0})) -lt 60 ]]
}
