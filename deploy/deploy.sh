#!/usr/bin/env bash
# Deploys gmailgrant into a Google Cloud project, with nothing but gcloud. Run it
# again to update, to change settings or to rotate the client secret.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=project.sh
. "$root/deploy/project.sh"
# shellcheck source=settings.sh
. "$root/deploy/settings.sh"

usage() {
  cat <<'TEXT'
usage: deploy/deploy.sh -project P -region R -client-secret client_secret.json -origins https://app.example.com [flags]

  -project P             project ID
  -region R              where the functions run, like europe-west1
  -client-secret FILE    the OAuth client as downloaded, of type Web application
  -origins LIST          origins of the front ends, separated by commas; not needed
                         if there is none but that of -base-url
  -n                     print every command, change nothing
  -check                 deploy nothing: only try the functions that are there

Settings of the functions; what is left out has the default that the README tells:

  -base-url URL          public prefix; default https://R-P.cloudfunctions.net
  -return-urls LIST      where the hand-off may end, separated by commas
  -session-cookie NAME   __session behind Firebase Hosting
  -scopes LIST           separated by spaces
  -session-ttl D  -bearer-ttl D  -popup-flow on|off
  -list-deadline D       below the functions' time-out of 60s

Of the deployment:

  -database-location L   of a new database; default the region
  -build-service-account EMAIL
                         builds the functions; default the project's
  -max-instances N       of each function; default 10
  -wait SECONDS          until the functions have to answer; default 120

The exit status is 0 if all is well, 1 if something failed, and 3 if the functions
are deployed and healthy and something is left that only you can do.
TEXT
}

client_file='' origins='' own_url='' base_url='' return_urls='' location='' own_builder=''
max_instances=10 patience=120 only_check=''
placeholder='{function}' # in a base URL, where each function has its own host
settings=()
left=() # what only the user can do
services=(
  artifactregistry.googleapis.com
  cloudbuild.googleapis.com
  cloudfunctions.googleapis.com
  cloudresourcemanager.googleapis.com
  firestore.googleapis.com
  gmail.googleapis.com
  iam.googleapis.com
  logging.googleapis.com
  run.googleapis.com
  secretmanager.googleapis.com
)

parse() {
  local flag value
  while [[ $# -gt 0 ]]; do
    flag=${1/#--/-}
    case $flag in
      -n) dry_run=1; shift; continue ;;
      -check) only_check=1; shift; continue ;;
      -h | -help) usage; exit ;;
    esac
    value=$(operand "$@")
    shift 2
    case $flag in
      -project) project=$value ;;
      -region) region=$value ;;
      -client-secret) client_file=$value ;;
      -origins) origins=$value ;;
      -base-url) base_url=$value ;;
      -return-urls) return_urls=$value; settings+=("RETURN_URLS=$value") ;;
      -session-cookie | -scopes | -session-ttl | -bearer-ttl | -popup-flow | -list-deadline)
        settings+=("$(variable "$flag")=$value")
        ;;
      -database-location) location=$value ;;
      -build-service-account) own_builder=$value ;;
      -max-instances) max_instances=$value ;;
      -wait) patience=$value ;;
      *) usage >&2; die "there is no flag $flag" ;;
    esac
  done
  own_url=https://$region-$project.cloudfunctions.net # which each function has
  base_url=${base_url:-$own_url}
  [[ $base_url == *"$placeholder"* ]] || base_url=${base_url%/}
  return_urls=${return_urls:-${origins:+${origins%%,*}/}}
}

# variable is the name of the setting that a flag sets.
variable() { printf '%s' "${1#-}" | tr 'a-z-' 'A-Z_'; }

# check_input finds what would otherwise show only once the functions run.
check_input() {
  [[ -n $project && -n $region && -n $client_file ]] || {
    usage >&2
    die 'the flags -project, -region, -client-secret and -origins are needed'
  }
  [[ -n $origins || $base_url != "$own_url" && $base_url != *"$placeholder"* ]] ||
    die '-origins is needed: no front end is at the address of these functions'
  check_place
  check_settings
  [[ $max_instances =~ ^[1-9][0-9]*$ ]] || die "-max-instances: \"$max_instances\" is not a number"
  [[ $patience =~ ^[0-9]+$ ]] || die "-wait: \"$patience\" is not a number of seconds"
  check_client
}

check_client() {
  [[ -f $client_file && -r $client_file ]] || die "-client-secret: can't read the file $client_file"
  jq -e '.web | .client_id and .client_secret and .auth_uri and .token_uri' "$client_file" >/dev/null 2>&1 ||
    die "-client-secret: $client_file is not the JSON of an OAuth client of type Web application, as https://console.cloud.google.com/auth/clients?project=$project offers it for download"
  local owner
  owner=$(client '.project_id // empty')
  [[ -z $owner || $owner == "$project" ]] ||
    note "the OAuth client belongs to the project $owner: the Gmail API has to be enabled there"
}

# client prints something of the client's JSON.
client() { jq -r ".web | $1" "$client_file"; }

# registered reports whether a list in the client's JSON has the value.
registered() { listed "$2" "$(client ".$1[]?")"; }

# function_url prints the address of a function below a base URL.
function_url() {
  case $1 in
    *"$placeholder"*) printf '%s' "${1/$placeholder/$2}" ;;
    *) printf '%s/%s' "$1" "$2" ;;
  esac
}

# check_names refuses to take over functions of others.
check_names() {
  look_at cloudfunctions.googleapis.com gcloud functions list --v2 --regions="$region" --project="$project" \
    --format='value(name.basename(),labels.app)'
  local name
  for name in "${functions[@]}"; do
    ! grep "^$name"$'\t' <<<"$found" | grep -Fxv "$name"$'\t'"$label" >/dev/null ||
      die "there is a function $name in $region already that is not of gmailgrant (it has no label app=$label); take another region or project"
  done
}

enable_services() {
  local service missing=()
  for service in "${services[@]}"; do
    listed "$service" "$enabled" || missing+=("$service")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  change gcloud services enable "${missing[@]}" --project="$project"
  [[ -n $dry_run ]] || enabled=$(printf '%s\n' "$enabled" "${missing[@]}")
}

create_accounts() {
  remedy='The role roles/iam.serviceAccountCreator is needed.'
  look_at iam.googleapis.com gcloud iam service-accounts list --project="$project" --format='value(email)'
  local name accounts=$found
  for name in "${functions[@]}"; do
    listed "$(account "$name")" "$accounts" ||
      change gcloud iam service-accounts create "gmailgrant-$name" --project="$project" --display-name="gmailgrant $name"
  done
}

store_secrets() {
  remedy='The role roles/secretmanager.admin is needed.'
  look_at secretmanager.googleapis.com gcloud secrets list --project="$project" --format='value(name.basename())'
  local secrets=$found
  store_client_secret "$secrets"
  store_seal_key "$secrets"
  allow_reading "$client_secret" "$secrets"
  allow_reading "$seal_key" "$secrets"
}

# newest_state leaves the state of a secret's newest version in found.
newest_state() { look gcloud secrets versions list "$1" --project="$project" --limit=1 --format='value(state)'; }

store_client_secret() {
  listed "$client_secret" "$1" || {
    change gcloud secrets create "$client_secret" --project="$project" --replication-policy=automatic --data-file="$client_file"
    return
  }
  newest_state "$client_secret"
  if [[ $found == ENABLED || $found == enabled ]] && same_client; then return; fi
  change gcloud secrets versions add "$client_secret" --project="$project" --data-file="$client_file"
}

# same_client compares as JSON: a download of the same client may be formatted
# otherwise. printf is of the shell's own, so that the secret is no argument.
same_client() {
  look gcloud secrets versions access latest --secret="$client_secret" --project="$project"
  local stored
  stored=$(printf '%s' "$found" | jq -cS . 2>/dev/null) || return
  found=''
  [[ $stored == "$(jq -cS . "$client_file")" ]]
}

# The seal key goes from the random source to gcloud: to no file, argument or
# screen.
new_key='head -c 32 /dev/urandom | base64'

store_seal_key() {
  listed "$seal_key" "$1" || {
    change piped "$new_key" gcloud secrets create "$seal_key" --project="$project" --replication-policy=automatic --data-file=-
    return
  }
  newest_state "$seal_key"
  case $found in
    ENABLED | enabled) ;;
    '') change piped "$new_key" gcloud secrets versions add "$seal_key" --project="$project" --data-file=- ;;
    *)
      note "the newest version of $seal_key is not enabled; no new key is made, since the functions could not open what the old one sealed"
      die "enable it (gcloud secrets versions list $seal_key --project=$project tells its number), or add a version by hand: $(quoted piped "$new_key" gcloud secrets versions add "$seal_key" --project="$project" --data-file=-)"
      ;;
  esac
}

# allow_reading lets the functions read a secret. The second argument lists the
# secrets that were there before.
allow_reading() {
  local name policy=''
  if listed "$1" "$2"; then
    look_at_policy secretmanager.googleapis.com gcloud secrets get-iam-policy "$1" --project="$project"
    policy=$found
  fi
  for name in "${functions[@]}"; do
    listed "$(binding "$reader" "$name")" "$policy" ||
      change gcloud secrets add-iam-policy-binding "$1" --project="$project" \
        --member="serviceAccount:$(account "$name")" --role="$reader" --condition=None --format=none
  done
}

create_database() {
  remedy="The role roles/datastore.owner is needed. Not every region has Firestore: -database-location names another. A database that was deleted blocks its name for five minutes."
  look_at firestore.googleapis.com gcloud firestore databases list --project="$project" --format='value(name.basename(),type)'
  local databases=$found fields=''
  if listed "$database"$'\tFIRESTORE_NATIVE' "$databases"; then
    look gcloud firestore fields ttls list --collection-group=grants --database="$database" --project="$project" --format='value(name.basename())'
    fields=$found
  elif listed "$database" "$(cut -f1 <<<"$databases")"; then
    die "the database $database is not in native mode; it was not made by this script, and this script has no flag for another name"
  else
    change gcloud firestore databases create --database="$database" --location="${location:-$region}" \
      --type=firestore-native --delete-protection --project="$project" --format=none
  fi
  listed expires_at "$fields" ||
    change gcloud firestore fields ttls update expires_at --collection-group=grants --database="$database" \
      --enable-ttl --async --project="$project" --format=none
}

allow_database() {
  remedy='The role roles/resourcemanager.projectIamAdmin is needed, which an owner of the project has.'
  look_at_policy cloudresourcemanager.googleapis.com gcloud projects get-iam-policy "$project"
  local name policy=$found
  for name in "${functions[@]}"; do
    [[ $name == authurl ]] || # which keeps no grants
      listed "$(binding "$writer" "$name" "$(only_database)")" "$policy" ||
      change gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$(account "$name")" \
        --role="$writer" --condition="expression=$(only_database),title=gmailgrant-database" --format=none
  done
  check_builder "$policy"
}

# check_builder warns of a build that is going to fail: in newer projects the
# default account has no role. This script gives it none, since it is not only
# ours.
check_builder() {
  builder=$own_builder
  [[ -z $builder && -n $1 ]] || return 0
  look gcloud projects describe "$project" --format='value(projectNumber)'
  builder="$found-compute@developer.gserviceaccount.com"
  grep -Eq "^roles/(owner|editor|cloudbuild\.builds\.builder)"$'\t'"serviceAccount:($builder|$found@cloudbuild\.gserviceaccount\.com)"$'\t' <<<"$1" || {
    note 'WARNING: the service account that builds functions seems to have no role for it. If the build fails,'
    note 'give it one, or name your own with -build-service-account:'
    note "$(quoted gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$builder" --role=roles/cloudbuild.builds.builder --condition=None)"
  }
}

environment() {
  local IFS='|'
  local values=(
    "BASE_URL=$base_url"
    "GOOGLE_CLOUD_PROJECT=$project"
    "CLIENT_SECRET_NAME=$client_secret"
    "SEAL_KEY_NAME=$seal_key"
    "FIRESTORE_DATABASE=$database"
    # Go reads the bundle of certificates and then every file of this folder,
    # which on Debian are the same ones again. There is no such folder.
    "SSL_CERT_DIR=/nonexistent"
    # Garbage is collected half as often. There is memory enough, and CPU is dearer.
    "GOGC=200"
  )
  [[ -z $origins ]] || values+=("ALLOWED_ORIGINS=$origins")
  [[ ${#settings[@]} == 0 ]] || values+=("${settings[@]}")
  printf '^|^%s' "${values[*]}"
}

deploy_function() {
  local options=(--allow-unauthenticated)
  [[ " $private " != *" $1 "* ]] || options=(--no-allow-unauthenticated)
  [[ -z $own_builder ]] || options+=(--build-service-account="projects/$project/serviceAccounts/$own_builder")
  change gcloud functions deploy "$1" --gen2 --project="$project" --region="$region" --runtime=go126 \
    --entry-point="$1" --source="$root" --trigger-http \
    --service-account="$(account "$1")" --memory=512Mi --cpu=1 --concurrency=80 \
    --timeout=60s --max-instances="$max_instances" --serve-all-traffic-latest-revision \
    --update-labels="app=$label" --set-build-env-vars='GOOGLE_GOLDFLAGS=-s -w,CGO_ENABLED=0' \
    --set-env-vars="$(environment)" "${options[@]}" --format=none
}

# The first function alone: what is wrong with the build shows once, and what
# Google makes for the first one is not made three times at once.
deploy_functions() {
  remedy='The roles roles/cloudfunctions.admin and roles/iam.serviceAccountUser are needed.'
  note "deploying ${functions[0]}, then the others together: some minutes"
  together deploy_function "${functions[0]}"
  together deploy_function "${functions[@]:1}"
}

show_registration() {
  local callback origin
  callback=$(function_url "$base_url" callback)
  note
  note "At https://console.cloud.google.com/auth/clients?project=$project the client has to have"
  note "  the redirect URI  $callback"
  registered redirect_uris "$callback" || {
    note "                    MISSING in $client_file: add it there, to the letter"
    left+=("nobody can sign in until the redirect URI $callback is registered; then download the JSON again and run the same with it")
  }
  note 'and, for the popup flow only, the JavaScript origins'
  tr , '\n' <<<"${origins:-$(origin_of "$callback")}" | while IFS= read -r origin; do
    if registered javascript_origins "$origin"; then
      note "                    $origin"
    else
      note "                    $origin (not in $client_file)"
    fi
  done
}

# expect asks a function below a base URL something, and wants a status and a line
# of the answer that matches. What was just deployed may take a while to answer.
expect() {
  local base=$1 status=$3 pattern=$4
  asked=$2
  shift 4
  set -- curl --silent --show-error --include --max-time 30 --write-out '\n%{http_code}' "$(function_url "$base" "$asked")" "$@"
  quoted "$@"
  [[ -z $dry_run ]] || return 0
  while :; do
    answer=$("$@" 2>&1) || true
    if [[ ${answer##*$'\n'} == "$status" ]] && grep -Eiq -e "$pattern" <<<"$answer"; then return; fi
    [[ $SECONDS -lt $until ]] || break
    sleep 3
  done
  fault="$asked does not answer $status with $pattern"
  return 1
}

# gist prints of the answer what may be shown: no cookie, no URL that somebody
# could follow.
gist() { grep -Eio '^(HTTP/[^ ]* [0-9]+|curl: .*)|"(reason|detail)": *"[^"]*"' <<<"$answer" || true; }

# suspect says what may be behind a wrong answer.
suspect() {
  case $answer in
    *misconfigured* | *'"internal"'*) printf 'The log tells why:\n\n  %s' "$(log_of "$asked")" ;;
    *upstream_unavailable*) printf 'Secret Manager does not answer the functions.' ;;
    *'"reason"'*) printf 'Check the settings given as flags.' ;;
    *$'\n403') printf 'It is not public: does a policy of the organisation forbid it?' ;;
    *) printf 'Is it deployed?' ;;
  esac
}

# literal prints a text as a pattern of grep -E that matches it.
# shellcheck disable=SC2001,SC2016
literal() { sed 's/[][\.*^$(){}?+|]/\\&/g' <<<"$1"; }

# Well formed, so that a function has to look at its keys to refuse it.
forged=1.$(printf 'A%.0s' {1..86})

# try_functions asks the functions below a base URL what has to work, and what has
# to be refused. It fails with the fault.
try_functions() {
  local base=$1 id redirect origin way
  id=$(literal "$(client .client_id)")
  redirect=$(literal "$(function_url "$base_url" callback | jq -Rr @uri)")
  origin=$(origin_of "$(function_url "$base_url" authurl)")
  way=(--data-urlencode "return_to=$origin/")
  [[ -z $return_urls ]] || way=(--data-urlencode "return_to=${return_urls%%,*}"
    --data-urlencode code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM --data-urlencode code_challenge_method=S256)
  origin=${origins:-$origin}
  origin=${origin%%,*}
  note
  note "At $base has to work: the way to Google, the preflight."
  expect "$base" authurl 200 "client_id=$id&.*redirect_uri=$redirect&" --get --header "Origin: $origin" --header 'Accept: application/json' "${way[@]}" &&
    expect "$base" listmessages 204 "^access-control-allow-origin: $(literal "$origin")" --request OPTIONS \
      --header "Origin: $origin" --header 'Access-Control-Request-Method: GET' || return
  note 'Has to be refused: a forged session, a foreign origin, a forged state.'
  expect "$base" listmessages 401 '"reason": *"no_session"' --header "Origin: $origin" --header "Authorization: Bearer $forged" &&
    expect "$base" callback 403 '"reason": *"origin_not_allowed"' --header 'Origin: https://not-allowed.invalid' || return
  ! grep -iq '^access-control-allow-origin' <<<"$answer" || {
    fault='a foreign origin may read the answers of callback'
    return 1
  }
  expect "$base" callback 400 '"reason": *"invalid_state"' --get --header 'Accept: application/json' --data "state=$forged" --data code=forged
}

# smoke_test tries the functions at their own address, which they have as soon as
# they are deployed, then at the public one, which may lead nowhere yet.
smoke_test() {
  local until=$((SECONDS + patience)) answer='' asked='' fault=''
  try_functions "$own_url" || {
    gist >&2
    die "the functions are deployed, but $fault. $(suspect)"
  }
  [[ $base_url != "$own_url" ]] || return 0
  until=$SECONDS
  ! try_functions "$base_url" || return 0
  gist >&2
  left+=("$base_url has to lead to the functions, and does not: there $fault. Route it to them, then run the same with -check")
}

finish() {
  local name line
  [[ -z $dry_run ]] || return 0
  note
  if [[ ${#left[@]} -gt 0 ]]; then
    note 'The functions are deployed and healthy, but'
    for line in "${left[@]}"; do note "  - $line"; done
    exit 3
  fi
  note 'All is well:'
  for name in "${functions[@]}"; do note "  $(function_url "$base_url" "$name")"; done
  note 'Whether they may use the database, and more, the doctor finds out: deploy/operating.md'
}

deploy() {
  look_at_services
  check_names
  enable_services
  create_accounts
  store_secrets
  create_database
  allow_database
  deploy_functions
}

main() {
  parse "$@"
  need gcloud curl jq
  check_input
  show_surroundings
  [[ -n $only_check ]] || deploy
  show_registration
  smoke_test
  finish
}

main "$@"
