package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/fakegoogle"
)

// troubles are the lines that are neither ok nor a note.
func troubles(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "note ")
	})
}

// wantTroubles checks that the doctor names these, each by the beginning of its
// line and something that it says, and nothing else.
func wantTroubles(t *testing.T, lines []string, want ...[2]string) {
	t.Helper()
	got := troubles(lines)
	if len(got) != len(want) {
		t.Errorf("%d troubles, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], w[0]+": ") || !strings.Contains(got[i], w[1]) {
			t.Errorf("%q, want %s with %q", got[i], w[0], w[1])
		}
	}
}

func TestAllIsWell(t *testing.T) {
	lines, code := newPlace(t, startFunctions(t, nil)).examine()
	wantTroubles(t, lines)
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	form := regexp.MustCompile(`^(ok  |note)  [A-Za-z0-9 ]+: \S.*[^.]$`)
	for _, line := range lines {
		if !form.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	for _, check := range []string{
		"function authurl", "function callback", "function listmessages", "settings", "front end", "client secret", "redirect URI", "seal key",
		"database", "TTL policy", "Gmail API", "authurl", "headers", "clock", "callback", "callback and database", "listmessages", "listmessages and database", "CORS", "cookie", "Testing", "100 tokens",
	} {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "  "+check+": ") }) {
			t.Errorf("nothing about %s", check)
		}
	}
}

// clientJSON is the client secret with some members of "web" changed.
func (p *place) clientJSON(changed map[string]any) []byte {
	p.t.Helper()
	var file map[string]map[string]any
	if err := json.Unmarshal(p.google.ClientJSON(), &file); err != nil {
		p.t.Fatal(err)
	}
	for name, value := range changed {
		file["web"][name] = value
	}
	b, err := json.Marshal(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// answersItself is something in front of a function that never asks it.
func answersItself(path, body string) func(*place) {
	return func(p *place) {
		p.itself = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			_, _ = io.WriteString(w, body)
			return true
		}
	}
}

// TestEveryFault: everything that can be wrong, made wrong once, is named, and
// nothing else is.
func TestEveryFault(t *testing.T) {
	functions := startFunctions(t, nil)
	set := func(name, value string) func(*place) { return func(p *place) { p.cloud.set(name, value) } }
	client := func(name string, value any) func(*place) {
		return func(p *place) {
			p.google.AddSecretVersion("gmailgrant-client", p.clientJSON(map[string]any{name: value}))
		}
	}
	secret := func(name, payload string) func(*place) {
		return func(p *place) { p.google.AddSecretVersion(name, []byte(payload)) }
	}
	answers := func(change func(h http.Header)) func(*place) {
		return func(p *place) { p.answers = func(r *http.Response) error { change(r.Header); return nil } }
	}
	tests := []struct {
		name   string
		change func(*place)
		want   [][2]string
	}{
		// The settings, one by one.
		{"BASE_URL absent", set("BASE_URL", ""), [][2]string{{"FAIL  BASE_URL", "is needed"}}},
		{"BASE_URL http", set("BASE_URL", "http://api.example.com"), [][2]string{{"FAIL  BASE_URL", "must be https"}}},
		{"BASE_URL on loopback", set("BASE_URL", "http://localhost:8080"), [][2]string{
			{"FAIL  BASE_URL", "this machine only"}, {"FAIL  redirect URI", "localhost:8080/callback"},
			{"FAIL  authurl", "does not answer"}, {"FAIL  callback", "does not answer"}, {"FAIL  listmessages", "does not answer"},
			{"FAIL  CORS", "does not answer"}, {"FAIL  CORS", "does not answer"},
		}},
		{"BASE_URL with a path too much", set("BASE_URL", baseURL+"/v1"), [][2]string{
			{"FAIL  redirect URI", "/v1/callback is not among"}, {"FAIL  authurl", "404"}, {"FAIL  callback", "404"}, {"FAIL  listmessages", "404"}, {"FAIL  CORS", "404"}, {"FAIL  CORS", "404"},
		}},
		{"GOOGLE_CLOUD_PROJECT of others", set("GOOGLE_CLOUD_PROJECT", "their-project"), [][2]string{{"warn  GOOGLE_CLOUD_PROJECT", "their-project"}, {"FAIL  database", "not found"}}},
		{"CLIENT_SECRET_NAME of nothing", set("CLIENT_SECRET_NAME", "nothing"), [][2]string{{"FAIL  client secret", "NotFound"}, {"FAIL  Gmail API", "not found"}}},
		{"CLIENT_SECRET_NAME is the secret", set("CLIENT_SECRET_NAME", "GOCSPX-0123456789abcdefghijklmnopqr"), [][2]string{{"FAIL  CLIENT_SECRET_NAME", "the secret itself"}}},
		{"SEAL_KEY_NAME of nothing", set("SEAL_KEY_NAME", "nothing"), [][2]string{{"FAIL  seal key", "NotFound"}}},
		{"SEAL_KEY_NAME malformed", set("SEAL_KEY_NAME", "a b"), [][2]string{{"FAIL  SEAL_KEY_NAME", "secret ID"}}},
		{"FIRESTORE_DATABASE of nothing", set("FIRESTORE_DATABASE", "nothing"), [][2]string{{"FAIL  database", "nothing: not found"}}},
		{"ALLOWED_ORIGINS with a slash", set("ALLOWED_ORIGINS", sibling+"/"), [][2]string{{"FAIL  ALLOWED_ORIGINS", "not an origin"}}},
		{"ALLOWED_ORIGINS of a developer", set("ALLOWED_ORIGINS", sibling+",http://localhost:5173"), [][2]string{
			{"warn  ALLOWED_ORIGINS", "developer's machine"}, {"FAIL  CORS", "http://localhost:5173"},
		}},
		{"ALLOWED_ORIGINS not deployed", set("ALLOWED_ORIGINS", sibling+",https://new.example.org"), [][2]string{{"FAIL  CORS", "https://new.example.org"}}},
		{"RETURN_URLS of nobody", set("RETURN_URLS", "https://evil.example/"), [][2]string{{"FAIL  RETURN_URLS", "ALLOWED_ORIGINS"}}},
		{"RETURN_URLS without the foreign site", set("RETURN_URLS", sibling+"/"), [][2]string{{"FAIL  RETURN_URLS", foreign}}},
		{"SCOPES without Gmail", set("SCOPES", "openid email"), [][2]string{{"FAIL  SCOPES", "no Gmail scope"}}},
		{"SCOPES mixed", set("SCOPES", "https://www.googleapis.com/auth/gmail.metadata https://www.googleapis.com/auth/gmail.readonly"), [][2]string{{"FAIL  SCOPES", "gmail.metadata"}}},
		{"SESSION_TTL", set("SESSION_TTL", "soon"), [][2]string{{"FAIL  SESSION_TTL", "duration"}}},
		{"BEARER_TTL", set("BEARER_TTL", "-1h"), [][2]string{{"FAIL  BEARER_TTL", "duration"}}},
		{"SESSION_COOKIE malformed", set("SESSION_COOKIE", "a;b"), [][2]string{{"FAIL  SESSION_COOKIE", "cookie name"}}},
		{"SESSION_COOKIE not deployed", set("SESSION_COOKIE", "__session"), [][2]string{{"FAIL  cookie", "is named __Host-gmailgrant instead of __session"}}},
		{"POPUP_FLOW", set("POPUP_FLOW", "yes"), [][2]string{{"FAIL  POPUP_FLOW", "neither on nor off"}}},
		{"LIST_DEADLINE malformed", set("LIST_DEADLINE", "20"), [][2]string{{"FAIL  LIST_DEADLINE", "duration"}}},
		{"LIST_DEADLINE too long", set("LIST_DEADLINE", "60s"), [][2]string{{"warn  LIST_DEADLINE", "time-out"}}},
		{"FIRESTORE_EMULATOR_HOST", set("FIRESTORE_EMULATOR_HOST", "localhost:1"), [][2]string{{"FAIL  FIRESTORE_EMULATOR_HOST", "stand-in"}}},
		{"SECRET_MANAGER_EMULATOR_HOST", set("SECRET_MANAGER_EMULATOR_HOST", "localhost:1"), [][2]string{{"FAIL  SECRET_MANAGER_EMULATOR_HOST", "stand-in"}}},
		{"GMAIL_EMULATOR_HOST", set("GMAIL_EMULATOR_HOST", "gmail.example:1"), [][2]string{{"FAIL  GMAIL_EMULATOR_HOST", "loopback"}}},
		{"several", func(p *place) {
			p.cloud.set("SCOPES", "openid")
			p.cloud.set("POPUP_FLOW", "yes")
			p.cloud.set("BASE_URL", "")
		}, [][2]string{
			{"FAIL  SCOPES", ""}, {"FAIL  POPUP_FLOW", ""}, {"FAIL  BASE_URL", ""},
		}},
		{"misspelt", set("ALLOWED_ORIGIN", sibling), [][2]string{{"warn  ALLOWED_ORIGIN", "misspelt"}}},
		{"not the same everywhere", func(p *place) {
			p.cloud.functions["callback"].ServiceConfig.EnvironmentVariables["SEAL_KEY_NAME"] = "other"
		}, [][2]string{{"FAIL  SEAL_KEY_NAME", "is not the same in callback as in authurl:"}}},
		{"seal key of others", secret("gmailgrant-seal-key", string(newSealKey())), [][2]string{
			{"FAIL  callback and database", "another BASE_URL or SEAL_KEY_NAME"}, {"FAIL  listmessages and database", "seal key"},
		}},
		{"Authorization taken away", func(p *place) {
			p.itself = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Authorization"); return false }
		}, [][2]string{{"FAIL  callback and database", "Authorization header"}, {"FAIL  listmessages and database", "Authorization header"}}},

		// The secrets.
		{"client secret disabled", func(p *place) { p.google.SetSecretVersionEnabled("gmailgrant-client", 1, false) }, [][2]string{{"FAIL  client secret", "FailedPrecondition"}, {"FAIL  Gmail API", "not found"}}},
		{"client of a desktop app", secret("gmailgrant-client", `{"installed":{}}`), [][2]string{{"FAIL  client secret", "Web application"}, {"FAIL  Gmail API", "not found"}}},
		{"client secret no JSON", secret("gmailgrant-client", "GOCSPX-x"), [][2]string{{"FAIL  client secret", "not the JSON"}, {"FAIL  Gmail API", "not found"}}},
		{"client secret incomplete", client("client_secret", ""), [][2]string{{"FAIL  client secret", "no client_secret"}, {"FAIL  Gmail API", "not found"}}},
		{"another client", client("client_id", "407408718192-other.apps.googleusercontent.com"), [][2]string{{"FAIL  authurl", "another client secret"}}},
		{"redirect URI absent", client("redirect_uris", []string{"https://old.example.com/callback"}), [][2]string{{"FAIL  redirect URI", "not among the redirect_uris"}}},
		{"redirect URI with a slash", client("redirect_uris", []string{baseURL + "/callback/"}), [][2]string{{"FAIL  redirect URI", "not the same to Google"}}},
		{"redirect URI in capitals", client("redirect_uris", []string{"https://API.example.com/callback"}), [][2]string{{"FAIL  redirect URI", "not the same to Google"}}},
		{"popup without origins", func(p *place) { p.cloud.set("POPUP_FLOW", "on"); client("javascript_origins", []string{sibling})(p) }, [][2]string{{"FAIL  popup", foreign}}},
		{"seal key short", secret("gmailgrant-seal-key", "c2hvcnQ="), [][2]string{{"FAIL  seal key", "32 bytes or more"}}},
		{"seal key no base64", secret("gmailgrant-seal-key", "!"), [][2]string{{"FAIL  seal key", "base64"}}},
		{"seal key disabled", func(p *place) { p.google.SetSecretVersionEnabled("gmailgrant-seal-key", 1, false) }, [][2]string{{"FAIL  seal key", "FailedPrecondition"}}},

		// Google Cloud.
		{"database of another mode", func(p *place) { p.cloud.databases["gmailgrant"].Type = "DATASTORE_MODE" }, [][2]string{{"FAIL  database", "DATASTORE_MODE"}}},
		{"database not to be seen", func(p *place) { p.cloud.refused = "firestore.googleapis.com" }, [][2]string{{"FAIL  database", "the role viewer"}}},
		{"no quota project", func(p *place) {
			p.cloud.refused, p.cloud.refusal = "firestore.googleapis.com", "The firestore.googleapis.com API requires a quota project, which is not set by default."
		}, [][2]string{{"FAIL  database", "gcloud auth application-default set-quota-project"}}},
		{"no TTL policy", func(p *place) { p.cloud.ttl = nil }, [][2]string{{"FAIL  TTL policy", "gcloud firestore fields ttls update"}}},
		{"TTL policy broken", func(p *place) { p.cloud.ttl.State = "NEEDS_REPAIR" }, [][2]string{{"FAIL  TTL policy", "NEEDS_REPAIR"}}},
		{"Gmail API not enabled", func(p *place) { p.cloud.gmail = "DISABLED" }, [][2]string{{"FAIL  Gmail API", "not enabled"}}},
		{"function not deployed", func(p *place) { delete(p.cloud.functions, "callback") }, [][2]string{{"FAIL  function callback", "deploy/deploy.sh"}}},
		{"functions not to be seen", func(p *place) { p.cloud.refused = "cloudfunctions.googleapis.com" }, [][2]string{
			{"FAIL  function authurl", "the role viewer"}, {"FAIL  function callback", ""}, {"FAIL  function listmessages", ""},
		}},
		{"function failed", func(p *place) { p.cloud.functions["authurl"].State = "FAILED" }, [][2]string{{"FAIL  function authurl", "is FAILED"}}},
		{"another entry point", func(p *place) { p.cloud.functions["authurl"].BuildConfig.EntryPoint = "callback" }, [][2]string{{"FAIL  function authurl", "--entry-point=authurl"}}},
		{"function internal", func(p *place) { p.cloud.functions["authurl"].ServiceConfig.IngressSettings = "ALLOW_INTERNAL_ONLY" }, [][2]string{{"warn  function authurl", "ALLOW_INTERNAL_ONLY"}}},
		{"default account", func(p *place) {
			p.cloud.functions["authurl"].ServiceConfig.ServiceAccountEmail = "407408718192-compute@developer.gserviceaccount.com"
		}, [][2]string{{"warn  function authurl", "default account"}}},

		// What is in front of the functions.
		{"not public", func(p *place) {
			p.itself = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/listmessages") {
					return false
				}
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(http.StatusForbidden)
				return true
			}
		}, [][2]string{{"FAIL  listmessages", "--member=allUsers"}, {"FAIL  CORS", "--member=allUsers"}, {"FAIL  CORS", "--member=allUsers"}}},
		{"redirected", func(p *place) {
			p.itself = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/callback") {
					return false
				}
				http.Redirect(w, r, "https://www.example.com"+r.URL.Path, http.StatusMovedPermanently)
				return true
			}
		}, [][2]string{{"FAIL  callback", "https://www.example.com/callback"}}},
		{"somebody else answers", answersItself("/authurl", "<html>"), [][2]string{{"FAIL  authurl", "not ours"}}},
		{"somebody else answers in JSON", answersItself("/authurl", `{"authorization_url": "http://[::1"}`), [][2]string{{"FAIL  authurl", "not ours"}}},
		{"answers may be kept", answers(func(h http.Header) { h.Set("Cache-Control", "public, max-age=60") }), [][2]string{{"FAIL  headers", "max-age=60"}}},
		{"CORS headers taken away", answers(func(h http.Header) { h.Del("Access-Control-Allow-Origin") }), [][2]string{{"FAIL  CORS", sibling}, {"FAIL  CORS", foreign}}},
		{"CORS headers for all", answers(func(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }), [][2]string{{"FAIL  CORS", sibling}, {"FAIL  CORS", foreign}, {"FAIL  CORS", "any origin"}}},
		{"cookie taken away", answers(func(h http.Header) { h.Del("Set-Cookie") }), [][2]string{{"FAIL  cookie", "does not set one"}}},
		{"cookies added", answers(func(h http.Header) { h.Add("Set-Cookie", "affinity=1") }), [][2]string{{"FAIL  cookie", "2 arrive"}}},
		{"cookie changed", answers(func(h http.Header) {
			h.Set("Set-Cookie", strings.ReplaceAll(h.Get("Set-Cookie"), "SameSite=Lax", "SameSite=None"))
		}), [][2]string{{"FAIL  cookie", "SameSite=Lax"}}},
		{"cookie kept back", func(p *place) {
			p.itself = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Cookie"); return false }
		}, [][2]string{{"FAIL  cookie", "SESSION_COOKIE=__session"}}},
		{"clock", answers(func(h http.Header) { h.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) }), [][2]string{{"warn  clock", "apart"}}},
		{"no clock", answers(func(h http.Header) { h.Set("Date", "today") }), [][2]string{{"warn  clock", "no Date"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, functions)
			tt.change(p)
			lines, code := p.examine()
			wantTroubles(t, lines, tt.want...)
			want := 1
			if strings.Contains(fmt.Sprint(tt.want), "FAIL ") {
				want = 2
			}
			if code != want {
				t.Errorf("exit status %d, want %d", code, want)
			}
		})
	}
}

// TestNoSecretIsShown, whatever is wrong.
func TestNoSecretIsShown(t *testing.T) {
	p := newPlace(t, startFunctions(t, nil))
	const secret = "GOCSPX-0123456789abcdefghijklmnopqr"
	for _, name := range settings {
		p.cloud.set(name, secret)
	}
	lines, _ := p.examine()
	text := strings.Join(lines, "\n")
	if strings.Contains(text, secret) {
		t.Error(text)
	}
}

// TestWithoutTheirSecrets: the functions run, and can't read what they need.
func TestWithoutTheirSecrets(t *testing.T) {
	p := newPlace(t, startFunctions(t, map[string]string{"SEAL_KEY_NAME": "nothing"}))
	lines, _ := p.examine()
	wantTroubles(t, lines,
		[2]string{"FAIL  authurl", "misconfigured"}, [2]string{"FAIL  callback", "secretAccessor"}, [2]string{"FAIL  listmessages", "misconfigured"})
}

// TestWithoutTheirDatabase: the functions run, and can't use the database.
func TestWithoutTheirDatabase(t *testing.T) {
	google := startGoogle(t)
	functions := startFunctionsOf(t, google, nil)
	for code, says := range map[codes.Code]string{
		codes.PermissionDenied: `roles/datastore.user on the condition resource.name=="projects/my-project/databases/gmailgrant"`,
		codes.NotFound:         "datastore.user",
		codes.Internal:         "Firestore does not answer",
	} {
		t.Run(code.String(), func(t *testing.T) {
			defer google.Inject(fakegoogle.Fault{Op: "firestore.get", Code: code})()
			lines, status := newPlace(t, functions).examine()
			wantTroubles(t, lines, [2]string{"FAIL  callback and database", says}, [2]string{"FAIL  listmessages and database", says})
			if status != 2 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// TestOwnOriginOnly: a front end behind the same host as the functions needs no
// setting.
func TestOwnOriginOnly(t *testing.T) {
	p := newPlace(t, startFunctions(t, map[string]string{"ALLOWED_ORIGINS": ""}))
	p.cloud.set("ALLOWED_ORIGINS", "")
	lines, code := p.examine()
	wantTroubles(t, lines)
	line(t, lines, "ok    front end: "+baseURL)
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestNoCredentials: nothing else is looked at.
func TestNoCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	var out strings.Builder
	code := run(t.Context(), []string{"-project", project, "-region", region}, surroundings{
		getenv: func(string) string { return "" }, now: time.Now, transport: redirected{},
	}, &out)
	if code != 2 || !strings.HasPrefix(out.String(), "FAIL  credentials: ") || !strings.Contains(out.String(), "gcloud auth application-default login") ||
		strings.Count(out.String(), "\n") != 1 {
		t.Errorf("exit status %d: %s", code, out.String())
	}
}

// TestHostPerFunction: there is no cookie way, and nothing is said of cookies.
func TestHostPerFunction(t *testing.T) {
	const pattern = "https://{function}-123.europe-west1.run.app"
	p := newPlace(t, startFunctions(t, map[string]string{"BASE_URL": pattern}))
	p.cloud.set("BASE_URL", pattern)
	p.google.AddSecretVersion("gmailgrant-client", p.clientJSON(map[string]any{"redirect_uris": []string{"https://callback-123.europe-west1.run.app"}}))
	p.perFunction = true
	lines, code := p.examine()
	wantTroubles(t, lines)
	if text := strings.Join(lines, "\n"); code != 0 || strings.Contains(text, "cookie") || strings.Count(text, "hand-off only") != 2 {
		t.Errorf("exit status %d:\n%s", code, text)
	}
	p.cloud.set("ALLOWED_ORIGINS", "")
	lines, _ = p.examine()
	wantTroubles(t, lines, [2]string{"warn  ALLOWED_ORIGINS", "no front end at all"})
}

// TestFromEnvironment looks at functions that are not deployed as such.
func TestFromEnvironment(t *testing.T) {
	p := newPlace(t, startFunctions(t, nil))
	p.cloud.functions = nil
	for name, value := range wellSet() {
		p.env[name] = value
	}
	p.args = []string{"-project", project, "-env"}
	lines, code := p.examine()
	wantTroubles(t, lines, [2]string{"FAIL  FIRESTORE_EMULATOR_HOST", "stand-in"}, [2]string{"FAIL  SECRET_MANAGER_EMULATOR_HOST", "stand-in"})
	if code != 2 {
		t.Errorf("exit status %d", code)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]int{"-h": 0, "": 2, "-project p": 2, "-region r": 2, "-project p -region r more": 2, "-unknown": 2} {
		p := newPlace(t, nil)
		p.args = strings.Fields(args)
		lines, code := p.examine()
		if code != want || !strings.Contains(strings.Join(lines, "\n"), "-reseal") {
			t.Errorf("%q: exit status %d, %q", args, code, lines)
		}
	}
}

// TestKnowsEverySetting that the README tells of.
func TestKnowsEverySetting(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Settings\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[1], -1) {
			told = append(told, name[1])
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(settings))) {
		t.Errorf("the README tells of %q, the doctor knows %q", told, settings)
	}
}
