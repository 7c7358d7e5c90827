//go:build gcloud

package deploy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/deploy/internal/fakecloud"
	"example.com/gmailgrant/internal/fakegoogle"
)

const (
	project  = "test-project"
	region   = "europe-west1"
	frontEnd = "https://app.example.net"
)

// A world is a Google Cloud project, and a person with gcloud in front of it.
type world struct {
	t      *testing.T // the test that fails; a step's own while it runs
	cloud  *fakecloud.Cloud
	google *fakegoogle.Server
	*platform
	home   string // the person's, and where they are
	client string // path of the downloaded client secret
	tools  string // the folder of the programs that scripts find
	said   strings.Builder
}

// newWorld starts an empty project. Where serving is false, functions are
// accepted but not built.
func newWorld(t *testing.T, serving bool) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir(), platform: newPlatform(t)}
	var err error
	w.google, err = fakegoogle.Start(fakegoogle.Options{RedirectURIs: []string{w.base() + "/callback", "https://" + custom + "/callback"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.google.Close() })
	o := fakecloud.Options{Project: project}
	if serving {
		o.Deploy, o.Remove, o.Log = w.deploy, w.remove, w.log
		o.Secret = func(name string, payload []byte) { w.google.AddSecretVersion(name, payload) }
	}
	w.cloud, err = fakecloud.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	w.platform.google, w.platform.cloud = w.google, w.cloud
	t.Cleanup(func() {
		w.t = t
		_ = w.cloud.Close()
		w.checkSecrets()
		if strangers := w.cloud.Strangers(); len(strangers) > 0 {
			t.Errorf("gcloud asked elsewhere: %v", strangers)
		}
	})
	w.client = w.write("client_secret.json", w.google.ClientJSON())
	w.write("token", []byte("a-token-of-nobody"))
	w.write("ca.pem", w.certificate())
	w.route(host)
	w.write("arguments", nil)
	w.tools = w.recordTools()
	return w
}

// route makes the hosts known to curl. There are no others.
func (w *world) route(hosts ...string) {
	w.t.Helper()
	config := fmt.Sprintf("cacert = %q\n", filepath.Join(w.home, "ca.pem"))
	for _, h := range hosts {
		config += fmt.Sprintf("connect-to = \"%s:443:%s\"\n", h, w.server.Listener.Addr())
	}
	w.write(".curlrc", []byte(config+"connect-to = \"::127.0.0.1:1\"\n"))
}

// recordTools makes the folder that the scripts find all programs in which they
// may use. Each notes its arguments, and whether its input is a pipe, in the file
// "arguments"; then it is the real one.
func (w *world) recordTools() string {
	w.t.Helper()
	dir := filepath.Join(w.home, "tools")
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(bash, filepath.Join(dir, "bash")); err != nil { // the scripts themselves run with these tools
		w.t.Fatal(err)
	}
	for _, tool := range []string{
		"gcloud", "curl", "jq", // needed, as the scripts say
		"base64", "cat", "cut", "dirname", "env", "grep", "head", "mktemp", "rm", "sed", "sleep", "tr",
	} {
		program, err := exec.LookPath(tool)
		if err != nil {
			w.t.Fatal(err)
		}
		script := fmt.Sprintf(`#!/bin/bash
input=''
[[ ! -p /dev/stdin ]] || input=' < pipe'
printf '%%s\n' "%s $*$input" >>'%s'
PATH='%s' exec '%s' "$@"
`, tool, filepath.Join(w.home, "arguments"), os.Getenv("PATH"), program)
		if err := os.WriteFile(filepath.Join(dir, tool), []byte(script), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

// write puts a file into the home.
func (w *world) write(name string, content []byte) string {
	w.t.Helper()
	path := filepath.Join(w.home, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// result is what a script said and how it ended.
type result struct {
	t              *testing.T
	code           int
	stdout, stderr string
}

// run runs a program with an environment of its own: nothing of this machine's
// gcloud settings is read or written.
func (w *world) run(stdin string, program string, args ...string) *result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	if !strings.Contains(program, "/") {
		program = filepath.Join(w.tools, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = w.home
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(w.cloud.Env(),
		"PATH="+w.tools, "HOME="+w.home, "TMPDIR="+w.home, "LANG=C.UTF-8",
		"CLOUDSDK_CORE_LOG_HTTP=true", // which the scripts have to switch off
		"CLOUDSDK_CONFIG="+filepath.Join(w.home, "gcloud"),
		"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="+filepath.Join(w.home, "token"),
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	r := &result{w.t, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	w.said.WriteString(r.stdout + r.stderr)
	return r
}

// deployment runs deploy.sh with the usual flags and more.
func (w *world) deployment(more ...string) *result {
	w.t.Helper()
	return w.run("", w.script("deploy.sh"), append([]string{
		"-project", project, "-region", region, "-client-secret", w.client, "-origins", frontEnd,
	}, more...)...)
}

func (w *world) teardown(stdin string, more ...string) *result {
	w.t.Helper()
	return w.run(stdin, w.script("teardown.sh"), append([]string{"-project", project, "-region", region}, more...)...)
}

func (w *world) script(name string) string {
	w.t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (r *result) wantOK() {
	r.t.Helper()
	if r.code != 0 {
		r.t.Fatalf("ended with %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// wantLeft checks that all works but what only the user can do, which is told.
func (r *result) wantLeft(text string) {
	r.t.Helper()
	if r.code != 3 || strings.Contains(r.stdout, "All is well") {
		r.t.Fatalf("ended with %d, not 3\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	r.wantSays("The functions are deployed and healthy, but")
	r.wantSays(text)
}

// wantFailure checks that the script failed, and told each of the texts.
func (r *result) wantFailure(texts ...string) {
	r.t.Helper()
	if r.code != 1 {
		r.t.Fatalf("ended with %d, not 1\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			r.t.Errorf("does not say %q\n%s", text, r.stderr)
		}
	}
}

// wantSays checks that a line of the output holds the text.
func (r *result) wantSays(text string) {
	r.t.Helper()
	if !strings.Contains(r.stdout, text) {
		r.t.Errorf("does not say %q\n%s", text, r.stdout)
	}
}

// changes are the requests that were meant to change something, since the last
// time they were asked for.
func (w *world) changes() []fakecloud.Request {
	var changes []fakecloud.Request
	for _, r := range w.cloud.Requests() {
		if r.Changes() {
			changes = append(changes, r)
		}
	}
	w.cloud.ResetRequests()
	return changes
}

func (w *world) wantNoChanges() {
	w.t.Helper()
	for _, r := range w.changes() {
		w.t.Errorf("changes something: %s", r)
	}
}

// state is everything in the project but the archives, to be compared. Secrets
// are told by their number.
func (w *world) state() string {
	w.t.Helper()
	var functions []any
	for _, f := range w.cloud.Functions() {
		copied := *f
		copied.BuildConfig.Source.StorageSource.Object = ""
		functions = append(functions, copied)
	}
	policies := map[string]any{}
	resources := []string{"projects/" + project}
	for _, secret := range secrets {
		resources = append(resources, "secrets/"+secret)
	}
	for _, name := range names {
		resources = append(resources, "services/"+name)
	}
	for _, resource := range resources {
		policies[resource] = w.cloud.Bindings(resource)
	}
	b, err := json.MarshalIndent(map[string]any{
		"services":  w.cloud.Services(),
		"accounts":  w.cloud.Accounts(),
		"policies":  policies,
		"secrets":   []int{len(w.cloud.SecretVersions(secrets[0])), len(w.cloud.SecretVersions(secrets[1]))},
		"databases": w.cloud.Databases(),
		"functions": functions,
	}, "", " ")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// checkSecrets makes sure that no secret was printed, was an argument of a
// program, or is in a file other than the one it was downloaded into; and that
// seal keys came through a pipe.
func (w *world) checkSecrets() {
	texts := []string{clientSecret(w.t, w.google)}
	for _, secret := range secrets {
		for _, version := range w.cloud.SecretVersions(secret) { // as they are, and as gcloud sends them
			texts = append(texts, base64.StdEncoding.EncodeToString(version), base64.URLEncoding.EncodeToString(version))
			if secret == secrets[1] {
				texts = append(texts, strings.TrimSpace(string(version)))
			}
		}
	}
	arguments, err := os.ReadFile(filepath.Join(w.home, "arguments"))
	if err != nil {
		w.t.Error(err)
	}
	for line := range strings.Lines(string(arguments)) {
		if strings.HasPrefix(line, "gcloud ") && strings.Contains(line, " "+secrets[1]+" ") && strings.Contains(line, "--data-file") && !strings.HasSuffix(line, "--data-file=- < pipe\n") {
			w.t.Errorf("the seal key comes from elsewhere: %s", line)
		}
	}
	for _, text := range texts {
		if strings.Contains(w.said.String(), text) || strings.Contains(w.logs.String(), text) {
			w.t.Errorf("the secret %.12s… was printed", text)
		}
	}
	err = filepath.WalkDir(w.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == w.client {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				w.t.Errorf("the secret %.12s… is in %s", text, path)
			}
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

func clientSecret(t *testing.T, google *fakegoogle.Server) string {
	t.Helper()
	var v struct {
		Web struct {
			ClientSecret string `json:"client_secret"`
		} `json:"web"`
	}
	if err := json.Unmarshal(google.ClientJSON(), &v); err != nil {
		t.Fatal(err)
	}
	return v.Web.ClientSecret
}

// names are those of the functions, secrets those of the two secrets.
var (
	names   = []string{"authurl", "callback", "listmessages"}
	secrets = []string{"gmailgrant-client", "gmailgrant-seal-key"}
)

func account(name string) string {
	return fmt.Sprintf("gmailgrant-%s@%s.iam.gserviceaccount.com", name, project)
}

// members are who has a role in a policy, on any condition.
func members(bindings []fakecloud.Binding, role string) []string {
	var list []string
	for _, b := range bindings {
		if b.Role == role {
			list = append(list, b.Members...)
		}
	}
	slices.Sort(list)
	return list
}
