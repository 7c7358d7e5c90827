//go:build gcloud

package deploy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/deploy/internal/fakecloud"
)

// TestLife is a deployment from its beginning to its end.
func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	var session string
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"steps that fail", func(t *testing.T) {
			w.cloud.Refuse("POST iam/v1/projects/test-project/serviceAccounts", 409, "ALREADY_EXISTS",
				"Service account gmailgrant-authurl already exists within project projects/test-project.", 1)
			w.deployment().wantFailure("this command failed:\n\n  gcloud iam service-accounts create gmailgrant-authurl ", "another run of this under way")
			w.cloud.Refuse("POST firestore/v1/projects/test-project/databases", 403, "PERMISSION_DENIED", "The caller does not have permission", 1)
			w.cloud.Refuse("POST secretmanager/v1/projects/test-project/secrets/gmailgrant-client:setIamPolicy", 400, "INVALID_ARGUMENT",
				"Service account "+account("authurl")+" does not exist.", 1)
			w.deployment().wantFailure("this command failed:\n\n  gcloud firestore databases create ", "may not do this in the project test-project", "roles/datastore.owner")
			w.cloud.Refuse("POST cloudresourcemanager/v1/projects/test-project:setIamPolicy", 409, "ABORTED",
				"There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.", 1)
			w.cloud.Refuse("POST cloudresourcemanager/v1/projects/test-project:setIamPolicy", 400, "INVALID_ARGUMENT", "Out of luck.", 1)
			w.deployment().wantFailure("this command failed:\n\n  gcloud projects add-iam-policy-binding test-project ",
				"If your account lacks a role: The role roles/resourcemanager.projectIamAdmin")
		}},
		{"a build that fails", func(t *testing.T) {
			w.cloud.Refuse("POST cloudfunctions/v2/projects/test-project/locations/europe-west1/functions", 400, "INVALID_ARGUMENT",
				"Build failed: the build service account is missing permissions", 1)
			r := w.deployment()
			r.wantFailure("this command failed:\n\n  gcloud functions deploy authurl ", "--role=roles/cloudbuild.builds.builder",
				fakecloud.DefaultBuilder, "nothing is made twice")
			if n := len(w.cloud.Functions()); n != 0 {
				t.Errorf("%d functions were deployed after the first had failed", n)
			}
		}},
		{"the next run goes on", func(t *testing.T) {
			w.changes()
			r := w.deployment()
			r.wantOK()
			r.wantSays(w.base() + "/listmessages")
			if strings.Contains(r.stdout, "MISSING") {
				t.Errorf("says that the redirect URI is missing\n%s", r.stdout)
			}
			for _, c := range w.changes() {
				if !isDeployment(c) {
					t.Errorf("done a second time: %s", c)
				}
			}
			w.wantDeployed(t)
			w.wantArchives(t)
		}},
		{"somebody uses it", func(t *testing.T) {
			v := w.newVisitor(t)
			session = v.connect()
			v.wantMail(session)
			if n := len(w.google.Documents()); n != 1 {
				t.Errorf("%d grants are stored", n)
			}
		}},
		{"functions that must not pass", func(t *testing.T) { w.checkSmoke(t) }},
		{"a function without its secret", func(t *testing.T) {
			defer w.spoil("callback", map[string]string{"SEAL_KEY_NAME": "nothing"})()
			r := w.deployment("-check", "-wait", "0")
			r.wantFailure("callback does not answer 400", `"reason":"misconfigured"`, "The log tells why:")
			_, command, _ := strings.Cut(r.stderr, "The log tells why:\n\n")
			why := w.run("", "bash", "-c", command)
			why.wantOK()
			why.wantSays("misconfigured")
			why.wantSays("NotFound")
		}},
		{"a domain that leads nowhere yet", func(t *testing.T) {
			for _, name := range names {
				defer w.spoil(name, map[string]string{"BASE_URL": "https://" + custom, "ALLOWED_ORIGINS": ""})()
			}
			check := []string{"-check", "-project", project, "-region", region, "-client-secret", w.client, "-base-url", "https://" + custom}
			w.changes()
			w.run("", w.script("deploy.sh"), check...).wantLeft("https://" + custom + " has to lead to the functions, and does not: there authurl does not answer 200")
			w.route(host, custom)
			r := w.run("", w.script("deploy.sh"), check...)
			r.wantOK()
			r.wantSays("All is well")
			w.wantNoChanges()
		}},
		{"functions that fail to start", func(t *testing.T) {
			w.cloud.Refuse("PATCH cloudfunctions/v2/projects/test-project/locations/europe-west1/functions/callback", 400, "INVALID_ARGUMENT",
				"Could not create or update Cloud Run service callback, Container Healthcheck failed.", 1)
			w.cloud.Refuse("services/listmessages:setIamPolicy", 400, "FAILED_PRECONDITION",
				"One or more users named in the policy do not belong to a permitted customer, perhaps due to an organization policy.", 1)
			w.deployment().wantFailure("does not start", `resource.labels.service_name="callback"`, "constraints/iam.allowedPolicyMemberDomains")
		}},
		{"a new client secret, of a client that lost its redirect URI", func(t *testing.T) {
			w.google.SetClientSecret("GOCSPX-rotated-0123456789abcdefghijk")
			rotated := bytes.ReplaceAll(w.google.ClientJSON(), []byte(w.base()+"/callback"), []byte(w.base()+"/callback/"))
			w.write("client_secret.json", rotated)
			w.deployment("-max-instances", "3", "-session-ttl", "8h").wantLeft("nobody can sign in until the redirect URI " + w.base() + "/callback is registered")
			versions := w.cloud.SecretVersions(secrets[0])
			if len(versions) != 2 || !bytes.Equal(versions[1], rotated) {
				t.Errorf("%d versions of the client secret, want 2, the newest as downloaded", len(versions))
			}
			if n := len(w.cloud.SecretVersions(secrets[1])); n != 1 {
				t.Errorf("%d seal keys", n)
			}
			for _, f := range w.cloud.Functions() {
				if f.ServiceConfig.MaxInstanceCount != 3 || f.ServiceConfig.EnvironmentVariables["SESSION_TTL"] != "8h" {
					t.Errorf("%s did not change: %+v", f.ID(), f.ServiceConfig)
				}
			}
			v := w.newVisitor(t)
			v.wantMail(session)
			v.wantMail(v.connect())
		}},
		{"again without those flags, the client formatted otherwise", func(t *testing.T) {
			var indented bytes.Buffer
			rotated, err := os.ReadFile(w.client)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Indent(&indented, rotated, "", "  "); err != nil {
				t.Fatal(err)
			}
			w.write("client_secret.json", indented.Bytes())
			w.changes()
			w.deployment().wantLeft("redirect URI")
			changes := map[string]int{}
			for _, c := range w.changes() {
				if !isDeployment(c) {
					t.Errorf("changes something: %s", c)
				}
				changes[c.Method]++
			}
			if want := map[string]int{"POST": 6, "PUT": 3, "PATCH": 3}; !maps.Equal(changes, want) {
				t.Errorf("requests that deploy the functions: %v, want %v", changes, want)
			}
			w.wantPolicies(t)
			w.wantFunctions(t, usual(w), "")
			w.newVisitor(t).wantMail(session)
		}},
		{"a teardown that is not confirmed", func(t *testing.T) {
			w.changes()
			for _, answer := range []string{"", "yes\n"} {
				r := w.teardown(answer, "-data")
				r.wantFailure("nothing was changed", "THE GRANTS OF ALL USERS ARE LOST")
				r.wantSays("gcloud firestore databases delete --database=gmailgrant")
			}
			w.wantNoChanges()
		}},
		{"teardown", func(t *testing.T) {
			r := w.teardown(project + "\n")
			r.wantOK()
			w.wantTakenDown(t)
			if len(w.cloud.SecretVersions(secrets[0])) != 2 || len(w.cloud.SecretVersions(secrets[1])) != 1 || len(w.cloud.Databases()) != 1 {
				t.Errorf("the data are gone: %s", w.state())
			}
			if resp, _ := w.newVisitor(t).send(http.MethodGet, w.base()+"/authurl", "", nil); resp.StatusCode != http.StatusNotFound {
				t.Errorf("authurl still answers, with %d", resp.StatusCode)
			}
		}},
		{"teardown of the data", func(t *testing.T) {
			w.teardown(project+"\n", "-data").wantOK()
			w.wantTakenDown(t)
			if w.cloud.HasSecret(secrets[0]) || w.cloud.HasSecret(secrets[1]) || len(w.cloud.Databases()) != 0 {
				t.Errorf("data are left: %s", w.state())
			}
			w.changes()
			r := w.teardown("", "-data")
			r.wantOK()
			r.wantSays("nothing to take down")
			w.wantNoChanges()
		}},
	} {
		if !t.Run(step.name, func(t *testing.T) { w.t = t; step.run(t) }) {
			return
		}
	}
}

// isDeployment reports whether a request is one of those that deploy a function,
// which is done in every run.
func isDeployment(r fakecloud.Request) bool {
	return strings.HasPrefix(r.Path, "cloudfunctions/") || strings.HasPrefix(r.Path, "upload/") || strings.HasPrefix(r.Path, "run/")
}

// services are all that have to be enabled.
var services = []string{
	"artifactregistry.googleapis.com", "cloudbuild.googleapis.com", "cloudfunctions.googleapis.com", "cloudresourcemanager.googleapis.com",
	"firestore.googleapis.com", "gmail.googleapis.com", "iam.googleapis.com", "logging.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com",
}

// wantDeployed checks everything in the project after a deployment with the
// usual flags.
func (w *world) wantDeployed(t *testing.T) {
	t.Helper()
	for _, service := range services {
		if !slices.Contains(w.cloud.Services(), service) {
			t.Errorf("%s is not enabled", service)
		}
	}
	all := []string{account("authurl"), account("callback"), account("listmessages")}
	if got := w.cloud.Accounts(); !slices.Equal(got, all) {
		t.Errorf("service accounts: %v", got)
	}
	w.wantPolicies(t)
	client, err := os.ReadFile(w.client)
	if err != nil {
		t.Fatal(err)
	}
	if versions := w.cloud.SecretVersions(secrets[0]); len(versions) != 1 || !bytes.Equal(versions[0], client) {
		t.Errorf("%d versions of the client secret, want the file", len(versions))
	}
	keys := w.cloud.SecretVersions(secrets[1])
	if len(keys) != 1 {
		t.Fatalf("%d versions of the seal key", len(keys))
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(keys[0]))); err != nil || len(key) != 32 {
		t.Errorf("the seal key has %d bytes, %v", len(key), err)
	}
	database := fakecloud.Database{ID: "gmailgrant", Type: "FIRESTORE_NATIVE", Location: region, Guarded: true, TTL: []string{"grants/expires_at"}}
	if got := w.cloud.Databases(); len(got) != 1 || !reflect.DeepEqual(got[0], database) {
		t.Errorf("databases: %+v", got)
	}
	w.wantFunctions(t, usual(w), "")
}

// usual are the settings that the usual flags make.
func usual(w *world) map[string]string {
	return map[string]string{"BASE_URL": w.base(), "ALLOWED_ORIGINS": frontEnd}
}

// wantPolicies checks that each function can do what it needs and no more.
func (w *world) wantPolicies(t *testing.T) {
	t.Helper()
	var all, keepers []string
	for _, name := range names {
		all = append(all, "serviceAccount:"+account(name))
	}
	keepers = all[1:] // all but authurl
	for _, secret := range secrets {
		bindings := w.cloud.Bindings("secrets/" + secret)
		if len(bindings) != 1 || !slices.Equal(members(bindings, "roles/secretmanager.secretAccessor"), all) {
			t.Errorf("policy of %s: %+v", secret, bindings)
		}
	}
	database := &fakecloud.Condition{Title: "gmailgrant-database", Expression: `resource.name=="projects/test-project/databases/gmailgrant"`}
	var ours []fakecloud.Binding
	for _, b := range w.cloud.Bindings("projects/" + project) {
		if slices.ContainsFunc(b.Members, func(m string) bool { return strings.Contains(m, "gmailgrant-") }) {
			ours = append(ours, b)
		}
	}
	if want := []fakecloud.Binding{{Role: "roles/datastore.user", Members: keepers, Condition: database}}; !reflect.DeepEqual(ours, want) {
		t.Errorf("bindings in the project: %+v, want %+v", ours, want)
	}
	for _, name := range names {
		if bindings := w.cloud.Bindings("services/" + name); len(bindings) != 1 || !w.cloud.Public(name) {
			t.Errorf("policy of %s: %+v", name, bindings)
		}
	}
}

// wantFunctions checks the three functions; settings are those that flags made,
// and the account that builds one that a flag named.
func (w *world) wantFunctions(t *testing.T, settings map[string]string, builder string) {
	t.Helper()
	environment := map[string]string{
		"GOOGLE_CLOUD_PROJECT": project,
		"CLIENT_SECRET_NAME":   secrets[0],
		"SEAL_KEY_NAME":        secrets[1],
		"FIRESTORE_DATABASE":   "gmailgrant",
		"SSL_CERT_DIR":         "/nonexistent",
		"GOGC":                 "200",
	}
	maps.Copy(environment, settings)
	functions := w.cloud.Functions()
	if len(functions) != len(names) {
		t.Fatalf("%d functions", len(functions))
	}
	for i, f := range functions {
		name := names[i]
		if f.ID() != name || f.Region() != region || f.Labels["app"] != "gmailgrant" {
			t.Errorf("function %s with labels %v", f.Name, f.Labels)
		}
		build := fakecloud.BuildConfig{
			EntryPoint: name, Runtime: "go126", ServiceAccount: builder, Source: f.BuildConfig.Source,
			EnvironmentVariables: map[string]string{"GOOGLE_GOLDFLAGS": "-s -w", "CGO_ENABLED": "0"},
		}
		if !reflect.DeepEqual(f.BuildConfig, build) {
			t.Errorf("%s is built with %+v, want %+v", name, f.BuildConfig, build)
		}
		service := fakecloud.ServiceConfig{
			AvailableCPU: "1", AvailableMemory: "512Mi", Concurrency: 80, MaxInstanceCount: 10, TimeoutSeconds: 60,
			ServiceAccountEmail: account(name), AllTrafficOnLatest: true, EnvironmentVariables: environment, Service: f.ServiceConfig.Service,
		}
		if !reflect.DeepEqual(f.ServiceConfig, service) {
			t.Errorf("%s runs with %+v, want %+v", name, f.ServiceConfig, service)
		}
	}
}

// wantArchives checks that what was uploaded is what the functions consist of,
// as in the repository, and what gcloud says beforehand that it uploads.
func (w *world) wantArchives(t *testing.T) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(w.run("", "gcloud", "meta", "list-files-for-upload", root).stdout)
	slices.Sort(listed)
	wanted := deployedFiles(t)
	for _, f := range w.cloud.Functions() {
		files, err := unzip(f.Archive)
		if err != nil {
			t.Fatal(err)
		}
		uploaded := slices.Sorted(maps.Keys(files))
		if !slices.Equal(uploaded, wanted) {
			t.Errorf("%s: uploaded %v, want %v", f.ID(), uploaded, wanted)
		}
		if !slices.Equal(uploaded, listed) {
			t.Errorf("%s: uploaded %v, but gcloud lists %v", f.ID(), uploaded, listed)
		}
		for name, content := range files {
			if ours, err := os.ReadFile(filepath.Join("..", name)); err != nil || string(ours) != content {
				t.Errorf("%s: %s is not that of the repository (%v)", f.ID(), name, err)
			}
		}
	}
}

// deployedFiles are the module's two files and the Go files of the packages that
// are linked into the functions, tests aside.
func deployedFiles(t *testing.T) []string {
	t.Helper()
	const form = `{{if .Module}}{{if .Module.Main}}{{range .GoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", form, "..").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"go.mod", "go.sum"}
	for path := range strings.Lines(string(out)) {
		if path = strings.TrimSpace(path); path != "" {
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
	}
	slices.Sort(files)
	return files
}

// wantTakenDown checks that no function, account or role is left.
func (w *world) wantTakenDown(t *testing.T) {
	t.Helper()
	if len(w.cloud.Functions()) != 0 || len(w.cloud.Accounts()) != 0 {
		t.Errorf("left: %s", w.state())
	}
	for _, resource := range []string{"projects/" + project, "secrets/" + secrets[0], "secrets/" + secrets[1]} {
		if text := fmt.Sprint(w.cloud.Bindings(resource)); strings.Contains(text, "gmailgrant-") {
			t.Errorf("left in the policy of %s: %s", resource, text)
		}
	}
}
