# shellcheck shell=bash
# What deploy.sh and teardown.sh share: the names of what is deployed, and how a
# command is shown, run, tried again and reported. It is sourced, not run.
#
# Bash 3.2, which macOS has, is enough.

# shellcheck disable=SC2034,SC2154 # the scripts use them, and have root
{
  # The functions are those of the program, site.Functions.
  read -r -a functions <<<"$(grep '^var Functions = ' "$root/internal/site/site.go" | grep -o '"[^"]*"' | tr -d '"' | tr '\n' ' ')"
  private='' # of them, those that only a scheduler may call, separated by spaces
  client_secret=gmailgrant-client
  seal_key=gmailgrant-seal-key
  database=gmailgrant
  label=gmailgrant # of the functions, as app=…
  reader=roles/secretmanager.secretAccessor
  writer=roles/datastore.user
}

surroundings=(
  CLOUDSDK_CORE_DISABLE_PROMPTS=1   # a question would stop the script
  CLOUDSDK_CORE_LOG_HTTP=false      # it would show the secrets
  CLOUDSDK_SURVEY_DISABLE_PROMPTS=1 # an advertisement
)
export "${surroundings[@]}"

project='' region='' dry_run=''
remedy='' # what to do if the step under way fails, unless the error tells
enabled='' # the services that are, one a line
found=''   # what the last look-up said
builder='' # the service account that builds the functions, once known

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# operand prints the value that belongs to a flag.
operand() {
  [[ $# -gt 1 ]] || die "the flag $1 needs a value"
  case $2 in
    '') die "the value of $1 is empty" ;;
    *[[:cntrl:]]*) die "the value of $1 has a control character" ;;
  esac
  printf '%s' "$2"
}

need() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || die "$tool is needed and not installed"
  done
}

check_place() {
  [[ ${#functions[@]} -gt 0 ]] || die 'no functions are named in internal/site/site.go'
  [[ $project =~ ^[a-z][-a-z0-9]{4,28}[a-z0-9]$ ]] || die "-project: \"$project\" is not a project ID"
  [[ $region =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die "-region: \"$region\" is not a region like europe-west1"
}

account() { printf 'gmailgrant-%s@%s.iam.gserviceaccount.com' "$1" "$project"; }

# show_surroundings begins what -n prints, which is a script.
show_surroundings() { [[ -z $dry_run ]] || printf '%s\n' 'set -euo pipefail' "export ${surroundings[*]}"; }

note() { printf '# %s\n' "$*"; }

# quoted prints a command as it could be pasted into a shell, a piped one as a
# pipeline.
quoted() {
  local LC_ALL=C line='' word escaped="'\\''"
  if [[ $1 == piped ]]; then
    line=" $2 |"
    shift 2
  fi
  for word; do
    case $word in
      '' | *[!A-Za-z0-9_./:=@%+,-]*) word="'${word//\'/$escaped}'" ;;
    esac
    line="$line $word"
  done
  printf '%s\n' "${line# }"
}

# piped runs a command with the output of another as its input: first that one, as
# a fixed text.
piped() { eval "$1" | "${@:2}"; }

# What Google answers while it still spreads what was just made (a service
# account, an API enabled), or when two changed a policy at once.
passing='[Ss]ervice account [^ ]* (does not exist|was not found)'
passing="$passing|denied on service account [^ ]* \\(or it may not exist\\)"
passing="$passing|has not been used in project|concurrent policy changes"
passing="$passing|Unable to retrieve the repository metadata|unable to queue the operation"

# attempt runs a command. After an error that passes, and no other, it is tried
# again for a minute.
attempt() {
  local errors pause
  errors=$(mktemp "$tmp/errors.XXXXXX")
  for pause in 2 4 8 16 32 0; do
    if "$@" 2>"$errors"; then
      cat "$errors" >&2
      return
    fi
    if [[ $pause == 0 ]] || ! grep -Eq "$passing" "$errors"; then break; fi
    sleep "$pause"
  done
  {
    cat "$errors"
    printf '\n%s: this command failed:\n\n  %s\n\n' "${0##*/}" "$(quoted "$@")"
    advise "$(cat "$errors")" "$@"
  } >&2
  return 1
}

# advise says what to do about an error of gcloud's, and the command it is of.
advise() {
  case $1 in
    *[Bb]illing*)
      echo "Link a billing account to the project: https://console.cloud.google.com/billing/linkedaccount?project=$project"
      ;;
    *'gcloud auth login'* | *Reauthentication* | *UNAUTHENTICATED* | *'invalid authentication credentials'*)
      echo 'Sign in: gcloud auth login'
      ;;
    *iam.allowedPolicyMemberDomains* | *'permitted customer'*)
      echo "A policy of your organisation forbids functions that anybody may call, which these have to be: they check the caller themselves."
      echo "Ask its administrator for an exception to constraints/iam.allowedPolicyMemberDomains in this project."
      ;;
    *'Build failed'* | *'build service account'* | *cloudbuild.builds*)
      echo "The build failed; its log is at https://console.cloud.google.com/cloud-build/builds;region=$region?project=$project"
      echo 'If it was not allowed to read the source or to store the image, the service account that builds lacks a role:'
      quoted gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:${builder:-NUMBER-compute@developer.gserviceaccount.com}" --role=roles/cloudbuild.builds.builder --condition=None
      ;;
    *ealthcheck\ failed*) # of gcloud functions deploy NAME
      echo 'The function was built, and does not start. Its log tells why:'
      log_of "${5-}"
      ;;
    *'unable to queue the operation'* | *ALREADY_EXISTS* | *'already exists'*)
      echo 'Is another run of this under way in the project, or was one a moment ago? Wait until it has ended.'
      ;;
    *PERMISSION_DENIED* | *'does not have permission'* | *'ermission denied'* | *'permission to access'*)
      echo "Your account ($(gcloud config get-value account 2>/dev/null)) may not do this in the project $project, or there is no such project."
      echo "$remedy"
      ;;
    *) echo "If your account lacks a role: $remedy" ;;
  esac
  echo 'Then run the same again: what is done stays, and nothing is made twice.'
}

# log_of prints the command that shows why a function fails: gcloud functions logs
# leaves the cause out.
log_of() {
  quoted gcloud logging read "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"$1\" severity>=ERROR" --limit=20 \
    --format='value(timestamp,jsonPayload.message,jsonPayload.reason,jsonPayload.error,textPayload)' --project="$project"
}

# look runs a command that only reads, and leaves what it says in found.
look() {
  note "$(quoted "$@")"
  found=$(attempt "$@") || exit 1
}

# look_at is look for an API that may not be enabled: there is nothing then.
look_at() {
  found=''
  if listed "$1" "$enabled"; then look "${@:2}"; fi
}

# listed reports whether a list has the line.
listed() { grep -Fxq -e "$1" <<<"$2"; }

# change runs a command that changes something, or with -n only shows it.
change() {
  quoted "$@"
  [[ -z $dry_run ]] || return 0
  attempt "$@" || exit 1
}

# together runs a command for several functions at the same time, and shows what
# each said when all have ended.
together() {
  local command=$1 name status=0 jobs=()
  shift
  if [[ -n $dry_run ]]; then
    for name; do "$command" "$name"; done
    return
  fi
  for name; do
    ("$command" "$name") >"$tmp/$name.out" 2>"$tmp/$name.err" &
    jobs+=("$!")
  done
  for name; do
    wait "${jobs[0]}" || status=1
    jobs=("${jobs[@]:1}")
    cat "$tmp/$name.out"
    cat "$tmp/$name.err" >&2
  done
  [[ $status == 0 ]] || exit 1
}

# look_at_services finds out which APIs are enabled.
look_at_services() {
  remedy='The role roles/serviceusage.serviceUsageAdmin is needed, which an owner of the project has.'
  look gcloud services list --enabled --project="$project" --format='value(config.name)'
  enabled=$found
}

# look_at_policy tells who has which role in a policy: lines of role, member and
# condition, separated by tabs. It gets the API and the command that reads one.
look_at_policy() {
  look_at "$@" --flatten='bindings[].members' \
    --format='value(bindings.role,bindings.members,bindings.condition.expression)'
}

binding() { printf '%s\tserviceAccount:%s\t%s' "$1" "$(account "$2")" "${3-}"; }

# only_database is the condition on which the functions get at Firestore.
only_database() { printf 'resource.name=="projects/%s/databases/%s"' "$project" "$database"; }
