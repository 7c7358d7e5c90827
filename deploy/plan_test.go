//go:build gcloud

package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/deploy/internal/fakecloud"
	"example.com/gmailgrant/internal/site"
)

// TestPlan: what -n prints can be run by a shell and does the same, also where
// paths and values have characters that mean something to it.
func TestPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	odd := filepath.Join(w.home, `it's $(touch made) "here" & there; #1`)
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(odd, "repository")); err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(odd, "client's `touch made`.json")
	if err := os.Rename(w.client, client); err != nil {
		t.Fatal(err)
	}
	w.client = client
	returns := frontEnd + "/a?b='$(touch${IFS}made)'&c=\"`touch${IFS}made`\"," + frontEnd + "/;touch%20made"
	args := []string{
		"-project", project, "-region", region, "--client-secret", w.client, "-origins", frontEnd + ",http://localhost:5173", "-base-url", w.base() + "/",
		"-session-ttl", "1h30m", "-bearer-ttl", "30m", "-popup-flow", "on", "-list-deadline", "25s",
		"-build-service-account", "builder@test-project.iam.gserviceaccount.com", "-database-location", "eur3",
		"-return-urls", returns, "-session-cookie", "__session", "-scopes", "openid https://mail.google.com/", "-wait", "0",
	}
	script := filepath.Join(odd, "repository", "deploy", "deploy.sh")
	plan := w.run("", script, append(args, "-n")...)
	plan.wantOK()
	w.wantNoChanges()

	w.cloud.Refuse("services:batchEnable", 403, "PERMISSION_DENIED", "Permission denied to enable services", 1)
	if r := w.run("", "bash", "-c", plan.stdout); r.code == 0 || len(w.cloud.Accounts()) != 0 {
		t.Errorf("after a step that failed it went on, and ended with %d", r.code)
	}
	w.run("", "bash", "-c", plan.stdout).wantOK()
	w.wantPolicies(t)
	w.wantFunctions(t, map[string]string{
		"BASE_URL":        w.base(),
		"ALLOWED_ORIGINS": frontEnd + ",http://localhost:5173",
		"RETURN_URLS":     returns,
		"SESSION_COOKIE":  "__session",
		"SCOPES":          "openid https://mail.google.com/",
		"SESSION_TTL":     "1h30m",
		"BEARER_TTL":      "30m",
		"POPUP_FLOW":      "on",
		"LIST_DEADLINE":   "25s",
	}, "projects/test-project/serviceAccounts/builder@test-project.iam.gserviceaccount.com")
	if got := w.cloud.Databases(); len(got) != 1 || got[0].Location != "eur3" {
		t.Errorf("databases: %+v", got)
	}
	w.wantArchives(t)
	for _, dir := range []string{w.home, odd} {
		if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
			t.Error("a part of a name or a value was run as a command")
		}
	}

	state := w.state()
	again := w.run("", script, append(args, "-n")...)
	again.wantOK()
	for line := range strings.Lines(again.stdout) {
		if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "gcloud functions deploy ") && !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "set -") && !strings.HasPrefix(line, "export ") {
			t.Errorf("a second run would do this too: %s", line)
		}
	}
	if got := w.state(); got != state {
		t.Errorf("-n changed the state from\n%s\nto\n%s", state, got)
	}

	// Nothing serves these functions.
	w.run("", script, args...).wantFailure("HTTP/1.1 404", "authurl does not answer 200", "Is it deployed?")
	if got := w.state(); got != state {
		t.Errorf("the real run changed the state from\n%s\nto\n%s", state, got)
	}
}

// TestPlanOfTeardown: functions in another region keep what all use.
func TestPlanOfTeardown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.cloud.Enable()
	label := map[string]string{"app": "gmailgrant"}
	w.cloud.AddFunction(region, "authurl", label)
	w.cloud.AddFunction(region, "somebody-elses", nil)
	w.cloud.AddFunction("us-central1", "authurl", label)
	w.cloud.AddSecret(secrets[0], []byte("{}"))
	r := w.teardown("", "-n", "-data")
	r.wantOK()
	w.wantNoChanges()
	var commands []string
	for line := range strings.Lines(r.stdout) {
		if strings.HasPrefix(line, "gcloud ") {
			commands = append(commands, line)
		}
	}
	if want := "gcloud functions delete authurl --gen2 --region=europe-west1 --project=test-project\n"; strings.Join(commands, "") != want {
		t.Errorf("would run %q", commands)
	}
	r.wantSays("functions of gmailgrant in other regions")
}

// TestFailures: a run that fails says which command failed and what to do, and
// stops there.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(w *world)
		flags   []string
		says    []string
	}{
		{
			"a project of somebody else",
			func(w *world) {
				w.cloud.Refuse("GET serviceusage/", 403, "PERMISSION_DENIED", "Permission denied to list services for consumer container [projects/1]", 1)
			},
			nil,
			[]string{"this command failed:\n\n  gcloud services list --enabled", "may not do this in the project test-project", "roles/serviceusage.serviceUsageAdmin"},
		},
		{
			"not signed in",
			func(w *world) {
				w.cloud.Refuse("GET serviceusage/", 401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", 9)
			},
			nil,
			[]string{"this command failed:\n\n  gcloud services list --enabled", "Sign in: gcloud auth login"},
		},
		{
			"no billing account",
			func(w *world) {
				w.cloud.Refuse("services:batchEnable", 400, "FAILED_PRECONDITION", "Billing account for project '407408718192' is not found.", 1)
			},
			nil,
			[]string{"this command failed:\n\n  gcloud services enable artifactregistry.googleapis.com", "https://console.cloud.google.com/billing/linkedaccount?project=test-project"},
		},
		{
			"a function of somebody else",
			func(w *world) {
				w.cloud.Enable()
				w.cloud.AddFunction(region, "callback", map[string]string{"app": "shop"})
			},
			nil,
			[]string{"there is a function callback in europe-west1 already"},
		},
		{
			"a database in Datastore mode",
			func(w *world) {
				w.cloud.Enable()
				w.cloud.AddDatabase("gmailgrant", "DATASTORE_MODE", region)
			},
			[]string{"-n"},
			[]string{"the database gmailgrant is not in native mode"},
		},
		{
			"a seal key that is disabled",
			func(w *world) {
				w.cloud.Enable()
				w.cloud.AddSecret(secrets[1], []byte("not a key"))
				w.cloud.DisableSecret(secrets[1])
			},
			[]string{"-n"},
			[]string{"gcloud secrets versions list gmailgrant-seal-key"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			test.prepare(w)
			state := w.state()
			w.deployment(test.flags...).wantFailure(test.says...)
			if got := w.state(); got != state {
				t.Errorf("it went on and changed the state to\n%s", got)
			}
		})
	}
}

// TestPlanOfUnfinished: in a project where secrets were made without a version,
// and whose build account has no role, the versions are added, and a warning says
// what the account lacks without giving it. The client does not know the default
// address.
func TestPlanOfUnfinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.cloud.Enable()
	w.cloud.SetBindings("projects/"+project, fakecloud.Binding{Role: "roles/owner", Members: []string{"user:owner@example.com"}})
	w.cloud.AddSecret(secrets[0])
	w.cloud.AddSecret(secrets[1])
	r := w.run("", w.script("deploy.sh"), "-n", "-project", project, "-region", "us-central1", "-client-secret", w.client, "-origins", frontEnd)
	r.wantOK()
	r.wantSays("\ngcloud secrets versions add gmailgrant-client ")
	r.wantSays("\nhead -c 32 /dev/urandom | base64 | gcloud secrets versions add gmailgrant-seal-key ")
	r.wantSays("# WARNING: the service account that builds functions")
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, "builds.builder") && !strings.HasPrefix(line, "# ") {
			t.Errorf("would give a role: %s", line)
		}
	}
	r.wantSays("the redirect URI  https://us-central1-test-project.cloudfunctions.net/callback")
	r.wantSays("MISSING in " + w.client)
	r.wantSays(frontEnd + " (not in ")
	r.wantSays("BASE_URL=https://us-central1-test-project.cloudfunctions.net|")
}

// TestFlags: what is wrong with the flags is said before anything is asked of
// Google.
func TestFlags(t *testing.T) {
	w := newWorld(t, false)
	desktop := w.write("desktop.json", []byte(`{"installed": {"client_id": "1", "client_secret": "s", "auth_uri": "a", "token_uri": "t"}}`))
	for _, test := range []struct {
		says  string
		flags []string
	}{
		{"there is no flag -regoin", []string{"-regoin", "x"}},
		{"the flag -origins needs a value", []string{"-origins"}},
		{"the value of -origins is empty", []string{"-origins", ""}},
		{"has a control character", []string{"-return-urls", "https://a.example\nhttps://b.example"}},
		{"is not a project ID", []string{"-project", "My Project"}},
		{"is not a region", []string{"-region", "europe-west1;ls"}},
		{`"https://app.example.net/" is not written like`, []string{"-origins", frontEnd + ",https://app.example.net/"}},
		{`"http://app.example.net" is not written like`, []string{"-origins", "http://app.example.net"}},
		{"is written %7C", []string{"-return-urls", frontEnd + "/a|b"}},
		{"is not a number", []string{"-max-instances", "many"}},
		{"is not a number", []string{"-wait", "-1"}},
		{"can't read the file", []string{"-client-secret", "nowhere.json"}},
		{"of type Web application", []string{"-client-secret", desktop}},
	} {
		w.deployment(test.flags...).wantFailure(test.says)
	}
	least := []string{"-project", project, "-region", region, "-client-secret", w.client}
	w.run("", w.script("deploy.sh"), least...).wantFailure("-origins is needed")
	w.run("", w.script("deploy.sh"), append(least, "-base-url", "https://{function}-1.run.app")...).wantFailure("-origins is needed")
	w.run("", w.script("deploy.sh"), "-project", project).wantFailure("-project, -region, -client-secret and -origins are needed")
	w.run("", w.script("teardown.sh"), "-project", project).wantFailure("-project and -region are needed")
	if r := w.run("", w.script("deploy.sh"), "-h"); r.code != 0 || !strings.HasPrefix(r.stdout, "usage: ") {
		t.Errorf("-h ends with %d: %s", r.code, r.stdout)
	}
	if sent := w.cloud.Requests(); len(sent) != 0 {
		t.Errorf("asked of Google: %v", sent)
	}
}

// TestPlanOfMoreFunctions: what is named in site.Functions is deployed, a job for
// its scheduler only. A front end at the functions' own origin needs no -origins.
func TestPlanOfMoreFunctions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for name, change := range map[string][2]string{
		"deploy/deploy.sh":      {},
		"deploy/settings.sh":    {},
		"deploy/project.sh":     {"private=''", "private='digest'"},
		"internal/site/site.go": {`"listmessages"}`, `"listmessages", "labels", "digest"}`},
	} {
		content, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(w.home, "copy", name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, []byte(strings.Replace(string(content), change[0], change[1], 1)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := w.run("", filepath.Join(w.home, "copy", "deploy", "deploy.sh"),
		"-n", "-project", project, "-region", region, "-client-secret", w.client, "-base-url", "https://app.example.net/api")
	r.wantOK()
	var deployed []string
	for line := range strings.Lines(r.stdout) {
		if _, rest, ok := strings.Cut(line, "gcloud functions deploy "); ok {
			name, _, _ := strings.Cut(rest, " ")
			deployed = append(deployed, name)
			if public := strings.Contains(line, " --allow-unauthenticated "); public != (name != "digest") {
				t.Errorf("%s is public: %t", name, public)
			}
			if strings.Contains(line, "ALLOWED_ORIGINS") {
				t.Errorf("%s has origins: %s", name, line)
			}
		}
	}
	if want := append(slices.Clone(site.Functions), "labels", "digest"); !slices.Equal(deployed, want) {
		t.Errorf("would deploy %q, want %q", deployed, want)
	}
	r.wantSays("gcloud projects add-iam-policy-binding test-project --member=serviceAccount:" + account("digest") + " --role=roles/datastore.user ")
	r.wantSays("# " + strings.Repeat(" ", 20) + "https://app.example.net (not in ")
}
