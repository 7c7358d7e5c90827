#!/usr/bin/env bash
# Takes back what deploy.sh made in a Google Cloud project: shows the commands,
# asks, and runs them. The data stay unless told otherwise.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=project.sh
. "$root/deploy/project.sh"

usage() {
  cat <<'TEXT'
usage: deploy/teardown.sh -project P -region R [-data] [-n]

  -project P  -region R  as they were deployed
  -data                  delete the data too: the database with the grants of all
                         users, the client secret, and the seal key
  -n                     print every command, change nothing

The APIs stay enabled: other things in the project may need them.
TEXT
}

data=''
functions_here='' functions_elsewhere='' accounts='' secrets='' databases='' project_policy=''
client_policy='' key_policy=''

parse() {
  local flag value
  while [[ $# -gt 0 ]]; do
    flag=${1/#--/-}
    case $flag in
      -n) dry_run=1; shift; continue ;;
      -data) data=1; shift; continue ;;
      -h | -help) usage; exit ;;
    esac
    value=$(operand "$@")
    shift 2
    case $flag in
      -project) project=$value ;;
      -region) region=$value ;;
      *) usage >&2; die "there is no flag $flag" ;;
    esac
  done
  [[ -n $project && -n $region ]] || {
    usage >&2
    die 'the flags -project and -region are needed'
  }
  check_place
}

# look_around finds what there is.
look_around() {
  look_at_services
  remedy='Reading takes the role roles/viewer, and roles/iam.securityReviewer for the policies.'
  look_at cloudfunctions.googleapis.com gcloud functions list --v2 --regions=- --project="$project" --filter="labels.app=$label" \
    --format='value(name.segment(3),name.basename())'
  functions_here=$(printf '%s\n' "$found" | sed -n "s/^$region"$'\t//p')
  functions_elsewhere=$(printf '%s\n' "$found" | grep -v "^$region"$'\t' || true)
  look_at iam.googleapis.com gcloud iam service-accounts list --project="$project" --format='value(email)'
  accounts=$found
  look_at secretmanager.googleapis.com gcloud secrets list --project="$project" --format='value(name.basename())'
  secrets=$found
  client_policy=$(policy_of "$client_secret")
  key_policy=$(policy_of "$seal_key")
  look_at_policy cloudresourcemanager.googleapis.com gcloud projects get-iam-policy "$project"
  project_policy=$found
  [[ -n $data ]] || return 0
  look_at firestore.googleapis.com gcloud firestore databases list --project="$project" --format='value(name.basename())'
  databases=$found
}

# policy_of prints the policy of a secret that stays.
policy_of() {
  if [[ -n $data ]] || ! listed "$1" "$secrets"; then return 0; fi
  look_at_policy secretmanager.googleapis.com gcloud secrets get-iam-policy "$1" --project="$project" >&2
  printf '%s' "$found"
}

# take_down is what is done, or with dry_run only shown.
take_down() {
  delete_functions
  if [[ -n $functions_elsewhere ]]; then
    note 'There are functions of gmailgrant in other regions, which use the accounts, the secrets and the database: these stay.'
    return
  fi
  delete_bindings
  delete_accounts
  [[ -z $data ]] || delete_data
}

delete_functions() {
  [[ -n $functions_here ]] || return 0
  remedy='The role roles/cloudfunctions.admin is needed.'
  local names
  IFS=$'\n' read -r -d '' -a names <<<"$functions_here" || true
  together delete_function "${names[@]}"
}

delete_function() { change gcloud functions delete "$1" --gen2 --region="$region" --project="$project"; }

# delete_bindings goes before the accounts: a deleted account would stay behind in
# the policies.
delete_bindings() {
  local name member
  remedy='The roles roles/resourcemanager.projectIamAdmin and roles/secretmanager.admin are needed.'
  for name in "${functions[@]}"; do
    member=serviceAccount:$(account "$name")
    ! listed "$(binding "$writer" "$name" "$(only_database)")" "$project_policy" ||
      change gcloud projects remove-iam-policy-binding "$project" --member="$member" --role="$writer" --all --format=none
    ! listed "$(binding "$reader" "$name")" "$client_policy" ||
      change gcloud secrets remove-iam-policy-binding "$client_secret" --member="$member" --role="$reader" --condition=None --project="$project" --format=none
    ! listed "$(binding "$reader" "$name")" "$key_policy" ||
      change gcloud secrets remove-iam-policy-binding "$seal_key" --member="$member" --role="$reader" --condition=None --project="$project" --format=none
  done
}

delete_accounts() {
  local name
  remedy='The role roles/iam.serviceAccountAdmin is needed.'
  for name in "${functions[@]}"; do
    ! listed "$(account "$name")" "$accounts" ||
      change gcloud iam service-accounts delete "$(account "$name")" --project="$project"
  done
}

delete_data() {
  local name
  remedy='The roles roles/datastore.owner and roles/secretmanager.admin are needed.'
  if listed "$database" "$databases"; then
    change gcloud firestore databases update --database="$database" --no-delete-protection --project="$project" --format=none
    change gcloud firestore databases delete --database="$database" --project="$project" --format=none
  fi
  for name in "$client_secret" "$seal_key"; do
    ! listed "$name" "$secrets" || change gcloud secrets delete "$name" --project="$project"
  done
}

# ask shows what is going to be done and waits for the project's ID.
ask() {
  local answer=''
  [[ -n $data ]] && printf '\nTHE GRANTS OF ALL USERS ARE LOST WITH THIS: everybody has to connect Gmail again.\n' >&2
  printf '\nThese commands take gmailgrant out of %s. To run them, type the project ID: ' "$project" >&2
  read -r answer || true
  [[ $answer == "$project" ]] || die 'nothing was changed'
}

main() {
  parse "$@"
  need gcloud
  look_around
  local plan
  plan=$(dry_run=1 take_down)
  show_surroundings
  [[ -z $plan ]] || printf '%s\n' "$plan"
  if ! grep -q '^gcloud ' <<<"$plan"; then
    note "There is nothing to take down in $region of $project."
    return
  fi
  [[ -z $dry_run ]] || return 0
  ask
  take_down
  note
  if [[ -n $data ]]; then
    note 'Done. The APIs are still enabled.'
  else
    note "Done. Kept: the database $database, the secrets $client_secret and $seal_key, the APIs enabled."
  fi
}

main "$@"
