package gmailgrant

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/site"
)

// TestQuiet404: no body, no log line.
func TestQuiet404(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	for _, name := range site.Functions {
		for _, file := range []string{"/favicon.ico", "/robots.txt"} {
			a := b.navigate("/" + name + file)
			a.wantStatus(t, http.StatusNotFound)
			if len(a.body) != 0 {
				t.Errorf("body %q", a.body)
			}
		}
	}
	if lines := w.logLines(t); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
	w.wantCalls(t, calls{})
}

// TestOneLogLine a request: it names the function, the status, the reason and
// what it cost, and has the request_id that the client was told.
func TestOneLogLine(t *testing.T) {
	w, b := signedIn(t, ben)
	back := b.begin("", choice{})
	defer w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Times: 1, Status: 403, Body: googleError(403, "domainPolicy").Body})()
	tests := []struct {
		name string
		do   func() *answer
		want map[string]any
	}{
		{"refused", func() *answer { return b.get("x=1") }, map[string]any{"function": "listmessages", "status": 400.0, "reason": "invalid_request", "severity": "INFO", "upstream_calls": 0.0}},
		{"Gmail refuses", func() *answer { return b.get("") }, map[string]any{"function": "listmessages", "status": 403.0, "reason": "domain_policy", "user": ben.Sub, "upstream_calls": 1.0, "quota_units": 5.0}},
		{"list", func() *answer { return b.get("") }, map[string]any{"function": "listmessages", "status": 200.0, "reason": nil, "user": ben.Sub, "upstream_calls": 1.0, "quota_units": 5.0}},
		{"who", func() *answer { return b.fetch("GET", "/callback") }, map[string]any{"function": "callback", "status": 200.0, "user": ben.Sub, "upstream_calls": 1.0}},
		{"sign-in", func() *answer { return b.arrive(back.String()) }, map[string]any{"function": "callback", "method": "GET", "status": 303.0, "user": ben.Sub}},
		{"failure told by redirect", func() *answer { return b.arrive(with(b.begin("", choice{}), "error", "server_error")) }, map[string]any{"function": "callback", "status": 303.0, "reason": "upstream_unavailable", "severity": "WARNING"}},
		{"page", func() *answer { return b.navigate("/authurl?x=1") }, map[string]any{"function": "authurl", "status": 400.0, "reason": "invalid_request"}},
		{"foreign", func() *answer { return b.send("POST", "/callback", http.Header{"Origin": {stranger}}) }, map[string]any{"function": "callback", "method": "POST", "status": 403.0, "reason": "origin_not_allowed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.do()
			lines := w.logLines(t)
			line := lines[len(lines)-1]
			for name, want := range tt.want {
				if line[name] != want {
					t.Errorf("%s is %v, want %v", name, line[name], want)
				}
			}
			if a.Header.Get("Content-Type") == "application/problem+json" && a.json(t)["request_id"] != line["request_id"] {
				t.Errorf("request_id %v in the log, %s in the answer", line["request_id"], a.body)
			}
			w.logs.Reset()
			tt.do()
			if n := len(w.logLines(t)); n != 1 && tt.name != "failure told by redirect" {
				t.Errorf("%d lines for one request", n)
			}
		})
	}
}

// TestSecretFaults: the client is told that something is misconfigured and
// nothing more, the log names the secret, and the instance recovers.
func TestSecretFaults(t *testing.T) {
	faults := map[string]func(w *world, secret string) (repair func()){
		"disabled": func(w *world, secret string) func() {
			w.google.SetSecretVersionEnabled(secret, 1, false)
			return func() { w.google.SetSecretVersionEnabled(secret, 1, true) }
		},
		"garbage": func(w *world, secret string) func() {
			w.google.AddSecretVersion(secret, []byte("this is not it"))
			return func() {
				w.google.AddSecretVersion("gmailgrant-client", w.google.ClientJSON())
				w.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
			}
		},
	}
	for name, breakIt := range faults {
		for _, secret := range []string{"gmailgrant-client", "gmailgrant-seal-key"} {
			t.Run(fmt.Sprint(secret, " ", name), func(t *testing.T) {
				w := newWorld(t, 1, nil)
				repair := breakIt(w, secret)
				wantMisconfigured(t, w, secret)
				repair()
				w.newBrowser(t).signIn(choice{})
			})
		}
	}
	t.Run("names nothing", func(t *testing.T) {
		w := newWorld(t, 1, map[string]string{"CLIENT_SECRET_NAME": "no-such-secret"})
		wantMisconfigured(t, w, "no-such-secret")
	})
}

func wantMisconfigured(t *testing.T, w *world, secret string) {
	t.Helper()
	b := w.newBrowser(t)
	a := b.send(http.MethodGet, "/authurl", nil)
	a.wantProblem(t, endpoint.Misconfigured)
	if strings.Contains(string(a.body), "secret") || strings.Contains(string(a.body), "projects/") {
		t.Errorf("the client is told %s", a.body)
	}
	b.navigate("/authurl").wantPage(t, http.StatusInternalServerError, page)
	if !strings.Contains(w.logs.String(), secret) || !strings.Contains(w.logs.String(), `"severity":"ERROR"`) {
		t.Errorf("the log says %s", w.logs)
	}
}
