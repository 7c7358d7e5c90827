package gmailgrant

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

// An answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

// location is where the answer redirects to.
func (a *answer) location(t testing.TB) *url.URL {
	t.Helper()
	u, err := a.Location()
	if err != nil {
		t.Fatalf("%d without a Location: %s", a.StatusCode, a.body)
	}
	return u
}

// session is the Bearer session that POST callback gave.
func (a *answer) session(t testing.TB) string {
	t.Helper()
	a.wantStatus(t, http.StatusOK)
	s, _ := a.json(t)["session"].(string)
	if s == "" {
		t.Fatalf("no session in %s", a.body)
	}
	return s
}

func (a *answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	a.decode(t, &v)
	return v
}

// decode reads the JSON of the body into v.
func (a *answer) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in %.200s", err, a.body)
	}
}

// sub is the user that GET callback tells of.
func (a *answer) sub(t testing.TB) string {
	t.Helper()
	a.wantStatus(t, http.StatusOK)
	user, _ := a.json(t)["user"].(map[string]any)
	sub, _ := user["sub"].(string)
	return sub
}

func (a *answer) wantStatus(t testing.TB, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
}

// wantProblem checks that the answer is the contract's problem, whole.
func (a *answer) wantProblem(t testing.TB, reason endpoint.Reason) map[string]any {
	t.Helper()
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d with Content-Type %q, want the problem %s: %s", a.StatusCode, ct, reason, a.body)
	}
	p := a.json(t)
	if p["reason"] != string(reason) || p["status"] != float64(reason.Status()) || a.StatusCode != reason.Status() {
		t.Fatalf("%d with %s, want %s", a.StatusCode, a.body, reason)
	}
	for _, name := range []string{"title", "detail", "request_id"} {
		if text, _ := p[name].(string); text == "" {
			t.Errorf("no %s in %s", name, a.body)
		}
	}
	if p["type"] != "urn:gmailgrant:problem:"+string(reason) {
		t.Errorf("type %v", p["type"])
	}
	a.wantHeadersOf(t, reason)
	return p
}

// wantHeadersOf checks the headers that go with a reason.
func (a *answer) wantHeadersOf(t testing.TB, reason endpoint.Reason) {
	t.Helper()
	want := map[string]bool{
		"WWW-Authenticate": reason.Status() == http.StatusUnauthorized,
		"Retry-After":      reason == endpoint.RateLimited || reason == endpoint.UpstreamUnavailable,
		"Allow":            reason == endpoint.MethodNotAllowed,
	}
	for name, wanted := range want {
		if got := a.Header.Get(name); (got != "") != wanted {
			t.Errorf("%s with the header %s: %q", reason, name, got)
		}
	}
}

// wantAuthURL checks the authorization_url of a problem: our authurl with
// exactly these parameters.
func (a *answer) wantAuthURL(t testing.TB, base string, query url.Values) {
	t.Helper()
	raw, _ := a.json(t)["authorization_url"].(string)
	address, rawQuery, _ := strings.Cut(raw, "?")
	got, err := url.ParseQuery(rawQuery)
	if err != nil || address != base+"/authurl" || !maps.EqualFunc(got, query, func(x, y []string) bool { return strings.Join(x, "|") == strings.Join(y, "|") }) {
		t.Errorf("authorization_url %q, want authurl with %v", raw, query)
	}
}

// wantPage checks that the answer is one of our plain pages, with a link to
// continue at unless that is empty.
func (a *answer) wantPage(t testing.TB, status int, link string) {
	t.Helper()
	a.wantStatus(t, status)
	if ct := a.Header.Get("Content-Type"); ct != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}
	csp := a.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy %q", csp)
	}
	if got := strings.Contains(string(a.body), `href="`+link+`"`); got != (link != "") {
		t.Errorf("link to %q: %t in %s", link, got, a.body)
	}
}

// A list is the answer of listmessages.
type list struct {
	Messages []struct {
		ID       string `json:"id"`
		ThreadID string `json:"threadId"`
	} `json:"messages"`
	NextPageToken      string `json:"nextPageToken"`
	ResultSizeEstimate int    `json:"resultSizeEstimate"`
	Incomplete         *struct {
		Reason     string `json:"reason"`
		RetryAfter int    `json:"retry_after"`
	} `json:"incomplete"`
}

func (a *answer) list(t testing.TB) list {
	t.Helper()
	a.wantStatus(t, http.StatusOK)
	var l list
	a.decode(t, &l)
	return l
}

func (l list) ids() []string {
	ids := make([]string, len(l.Messages))
	for i, m := range l.Messages {
		ids[i] = m.ID
	}
	return ids
}

// messages are the IDs of a whole list.
func (a *answer) messages(t testing.TB) []string {
	t.Helper()
	l := a.list(t)
	if l.Incomplete != nil {
		t.Fatalf("incomplete: %+v", l.Incomplete)
	}
	return l.ids()
}
