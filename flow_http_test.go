package gmailgrant

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/site"
)

// TestHeadersOfEveryAnswer, failures and pages included.
func TestHeadersOfEveryAnswer(t *testing.T) {
	_, b := signedIn(t, ben)
	preflight := http.Header{"Origin": {frontEnd}, "Access-Control-Request-Method": {"GET"}}
	back := b.begin("", choice{})
	tests := []struct {
		name, method, address string
		header                http.Header
		status                int
	}{
		{"redirect to Google", "GET", "/authurl", navigation("none"), 302},
		{"authorization URL", "GET", "/authurl", nil, 200},
		{"page", "GET", "/authurl?x=1", navigation("none"), 400},
		{"problem", "GET", "/authurl?x=1", nil, 400},
		{"back to the app", "GET", back.String(), navigation("cross-site"), 303},
		{"who", "GET", "/callback", nil, 200},
		{"sign-out", "DELETE", "/callback", nil, 204},
		{"list", "GET", "/listmessages", nil, 200},
		{"lines", "GET", "/listmessages", http.Header{"Accept": {"application/x-ndjson"}}, 200},
		{"bad list", "GET", "/listmessages?x=1", nil, 400},
		{"preflight", "OPTIONS", "/listmessages", preflight, 204},
		{"wrong method", "PUT", "/callback", nil, 405},
		{"HEAD", "HEAD", "/listmessages", nil, 405},
		{"foreign origin", "GET", "/callback", http.Header{"Origin": {stranger}}, 403},
		{"foreign preflight", "OPTIONS", "/callback", http.Header{"Origin": {stranger}, "Access-Control-Request-Method": {"GET"}}, 403},
		{"favicon", "GET", "/authurl/favicon.ico", navigation("same-origin"), 404},
		{"robots", "GET", "/listmessages/robots.txt", nil, 404},
	}
	want := map[string]string{
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Vary":                         "Origin",
	}
	cookie := b.cookie()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.setCookie(cookie)
			a := b.send(tt.method, tt.address, tt.header)
			a.wantStatus(t, tt.status)
			for name, value := range want {
				if got := a.Header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			if tt.header.Get("Origin") == "" && a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("CORS headers without an Origin")
			}
		})
	}
}

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

func TestMethods(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	allowed := map[string]string{"authurl": "GET", "callback": "DELETE, GET, POST", "listmessages": "GET"}
	for name, allow := range allowed {
		for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "FOO"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			a := b.send(method, "/"+name, nil)
			a.wantStatus(t, http.StatusMethodNotAllowed)
			if got := a.Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, name, got, allow)
			}
			if method != "HEAD" {
				a.wantProblem(t, endpoint.MethodNotAllowed)
			}
		}
	}
	w.wantCalls(t, calls{})
}

func TestPreflight(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	allowed := map[string]string{"authurl": "GET", "callback": "DELETE, GET, POST", "listmessages": "GET"}
	for name, methods := range allowed {
		for _, origin := range []string{frontEnd, foreignSite, w.base} {
			a := b.send(http.MethodOptions, "/"+name, http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization,content-type"}})
			a.wantStatus(t, http.StatusNoContent)
			for header, want := range map[string]string{
				"Access-Control-Allow-Origin":      origin,
				"Access-Control-Allow-Credentials": "true",
				"Access-Control-Allow-Methods":     methods,
				"Access-Control-Allow-Headers":     "Authorization, Content-Type",
				"Access-Control-Max-Age":           "7200",
			} {
				if got := a.Header.Get(header); got != want {
					t.Errorf("%s from %s: %s %q, want %q", name, origin, header, got, want)
				}
			}
		}
	}
	w.wantCalls(t, calls{})
}

// TestForeignOrigin is refused before anything is done for it, and can't read
// even that.
func TestForeignOrigin(t *testing.T) {
	w, b := signedIn(t, ben)
	bearer := b.bearerSession(choice{})
	w.google.ResetCalls()
	origins := [][]string{
		{stranger}, {"null"}, {""}, {"*"}, {page}, {"HTTP://LOCALHOST:5173"}, {frontEnd + ".evil.example"}, {"http://localhost"}, {"https://localhost:5173"},
		{frontEnd, frontEnd}, {frontEnd + ", " + stranger}, {frontEnd, stranger},
	}
	requests := []struct {
		method, address string
		header          http.Header
	}{
		{"GET", "/authurl", nil}, {"GET", "/callback", nil}, {"GET", "/listmessages", nil},
		{"POST", "/callback", http.Header{"Content-Type": {"application/json"}}}, {"DELETE", "/callback?grant=revoke", nil},
		{"GET", "/listmessages", http.Header{"Authorization": {"Bearer " + bearer}}},
		{"OPTIONS", "/listmessages", http.Header{"Access-Control-Request-Method": {"GET"}}}, {"PUT", "/callback", nil},
	}
	for _, origin := range origins {
		for _, r := range requests {
			header := http.Header{"Origin": origin}
			maps.Copy(header, r.header)
			a := b.send(r.method, r.address, header)
			a.wantProblem(t, endpoint.OriginNotAllowed)
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s from %q: header %s", r.method, r.address, origin, name)
				}
			}
		}
	}
	w.wantCalls(t, calls{})
}

// TestFailuresCanBeRead by the front end: CORS headers are on every answer.
func TestFailuresCanBeRead(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	header := http.Header{"Origin": {foreignSite}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"cross-site"}}
	for request, reason := range map[string]endpoint.Reason{
		"GET /authurl?x=1":              endpoint.InvalidRequest,
		"GET /authurl?return_to=x":      endpoint.InvalidReturnTo,
		"GET /callback":                 endpoint.NoSession,
		"GET /callback?state=x":         endpoint.InvalidState,
		"GET /listmessages":             endpoint.NoSession,
		"GET /listmessages?q=":          endpoint.InvalidRequest,
		"PUT /callback":                 endpoint.MethodNotAllowed,
		"POST /callback":                endpoint.UnsupportedMediaType,
		"DELETE /callback?grant=revoke": endpoint.NoSession,
	} {
		method, address, _ := strings.Cut(request, " ")
		a := b.send(method, address, header)
		a.wantProblem(t, reason)
		if a.Header.Get("Access-Control-Allow-Origin") != foreignSite || a.Header.Get("Access-Control-Allow-Credentials") != "true" || a.Header.Get("Access-Control-Expose-Headers") != "Retry-After, WWW-Authenticate" {
			t.Errorf("%s: headers %v", request, a.Header)
		}
	}
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
