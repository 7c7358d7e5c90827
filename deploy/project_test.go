//go:build gcloud

package deploy

import (
	"strings"
	"testing"
)

// shared runs commands with what project.sh has.
func (w *world) shared(commands string) *result {
	w.t.Helper()
	return w.run("", "bash", "-c", "set -euo pipefail; root=$(dirname '"+w.script("project.sh")+"')/..; . '"+w.script("project.sh")+"'; "+commands)
}

// TestPassingErrors: what Google answers while it spreads what was just made is
// tried again, and nothing else.
func TestPassingErrors(t *testing.T) {
	for name, test := range map[string]struct {
		message string
		passes  bool
	}{
		"account not there":  {"Service account gmailgrant-authurl@p.iam.gserviceaccount.com does not exist.", true},
		"account not found":  {"service account gmailgrant-authurl@p.iam.gserviceaccount.com was not found", true},
		"account not usable": {"Permission 'iam.serviceaccounts.actAs' denied on service account a@p.iam.gserviceaccount.com (or it may not exist).", true},
		"API not known":      {"Cloud Run Admin API has not been used in project 1 before or it is disabled.", true},
		"policies":           {"There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.", true},
		"repository":         {"Unable to retrieve the repository metadata for projects/p/locations/r/repositories/gcf-artifacts.", true},
		"queue":              {"ResponseError: status=[409], code=[Ok], message=[unable to queue the operation]", true},
		"not allowed":        {"PERMISSION_DENIED: The caller does not have permission", false},
		"not there":          {"NOT_FOUND: Database gmailgrant does not exist.", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			r := w.shared(`fails_once() { if [[ -e tried ]]; then echo done; else : >tried; echo "` + test.message + `" >&2; return 1; fi; }; attempt fails_once`)
			if passes := r.code == 0 && r.stdout == "done\n"; passes != test.passes {
				t.Errorf("passes: %t, ended with %d\n%s\n%s", passes, r.code, r.stdout, r.stderr)
			}
		})
	}
}

// TestTogether: of several jobs at the same time every one counts, and all say
// what they have to say.
func TestTogether(t *testing.T) {
	w := newWorld(t, false)
	for _, bad := range []string{"one", "two", "three", "none"} {
		r := w.shared(`job() { echo "$1 said"; [[ $1 != ` + bad + ` ]]; }; together job one two three; echo went on`)
		if r.code == 0 != (bad == "none") || strings.Contains(r.stdout, "went on") != (bad == "none") {
			t.Errorf("%s is bad: ended with %d, %s", bad, r.code, r.stdout)
		}
		r.wantSays("one said\ntwo said\nthree said\n")
	}
}
