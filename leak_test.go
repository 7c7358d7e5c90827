package gmailgrant

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// A hearing is all that the functions said to browsers, less what they said in
// its place: there are places for a cookie, a state, a code and a session, and
// nowhere else may one be found.
type hearing struct {
	mu     sync.Mutex
	rest   strings.Builder
	sealed map[string]bool // cookies, states, codes and sessions
}

// hear takes down an answer.
func (h *hearing) hear(a *answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed == nil {
		h.sealed = make(map[string]bool)
	}
	header := a.Header.Clone()
	for _, c := range a.Cookies() {
		h.keep(c.Value)
	}
	header.Del("Set-Cookie")
	if location, err := a.Location(); err == nil {
		header.Set("Location", h.withoutSecrets(location))
	}
	_ = header.Write(&h.rest)
	h.rest.WriteString(h.bodyWithoutSecrets(a))
}

func (h *hearing) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rest.String()
}

func (h *hearing) keep(value string) {
	if value != "" {
		h.sealed[value] = true
	}
}

// withoutSecrets takes our values out of a URL: a state for Google, a code for
// the front end, and whom Google should ask.
func (h *hearing) withoutSecrets(u *url.URL) string {
	query := u.Query()
	if query.Has("client_id") {
		h.keep(query.Get("state"))
		query.Del("state")
		query.Del("login_hint")
	}
	h.keep(query.Get("code"))
	query.Del("code")
	rest := *u
	rest.RawQuery = query.Encode()
	return rest.String()
}

// bodyWithoutSecrets takes out of JSON what has its place there. Mail is the
// user's own.
func (h *hearing) bodyWithoutSecrets(a *answer) string {
	if a.StatusCode == http.StatusOK && strings.HasSuffix(a.Request.URL.Path, "/listmessages") {
		return ""
	}
	var members map[string]any
	if json.Unmarshal(a.body, &members) != nil {
		return string(a.body)
	}
	delete(members, "user")
	if session, ok := members["session"].(string); ok {
		h.keep(session)
		delete(members, "session")
	}
	if raw, ok := members["authorization_url"].(string); ok {
		if u, err := url.Parse(raw); err == nil {
			members["authorization_url"] = h.withoutSecrets(u)
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		panic(err) // it has just been unmarshalled
	}
	return string(rest)
}

// checkLeaks searches the log, what the functions said, and what is stored for
// everything that has no place there.
func (h *hearing) checkLeaks(t testing.TB, google *fakegoogle.Server, people []fakegoogle.Account, log string, documents map[string]map[string]any) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	stored := fmt.Sprint(documentsOnly(documents))
	check := func(what, secret string) {
		for where, text := range map[string]string{"the log": log, "an answer": h.rest.String(), "a document": stored} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the %s %.12s…", where, what, secret)
			}
		}
	}
	for _, secret := range google.Handed() {
		check("secret", secret)
	}
	for value := range h.sealed {
		check("sealed value", value)
	}
	for _, p := range people {
		check("e-mail address", p.Email)
		if strings.Contains(stored, p.Name) || strings.Contains(stored, p.Picture) || strings.Contains(stored, p.Sub) {
			t.Errorf("a document tells of %s", p.Name)
		}
	}
}

// documentsOnly is what lies in the documents, whose names are the users'.
func documentsOnly(documents map[string]map[string]any) []map[string]any {
	var all []map[string]any
	for _, d := range documents {
		all = append(all, d)
	}
	return all
}

// TestPanicTellsNothing: not even one whose value is a secret.
func TestPanicTellsNothing(t *testing.T) {
	w, b := signedIn(t, ben)
	var header string
	w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Status: http.StatusServiceUnavailable, Match: func(r *http.Request) bool {
		header = r.Header.Get("Authorization")
		return true
	}})
	w.clock.onSleep = func() { panic("the call with " + header + " failed") }
	b.get("").wantProblem(t, endpoint.Internal)
	if header == "" {
		t.Fatal("Gmail was not called")
	}
	lines := w.logLines(t)
	if last := lines[len(lines)-1]; last["error"] != "panic with a string" || last["stack"] == "" {
		t.Errorf("logged: %v", last)
	}
}

// TestLeaksAreFound: the search that ends every test is able to find something.
func TestLeaksAreFound(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	state := b.authorizationURL("").Query().Get("state")
	session := b.bearerSession(choice{})
	token := w.google.Handed()[0]
	for name, value := range map[string]string{"state": state, "session": session, "cookie": b.cookie(), "token": token, "e-mail address": ben.Email} {
		for where, documents := range map[string]map[string]map[string]any{
			"log":      nil,
			"document": {"grants/x": {"sealed": "x" + value}},
		} {
			log := ""
			if documents == nil {
				log = `{"error":"` + value + `"}`
			}
			found := &failures{TB: t}
			w.heard.checkLeaks(found, w.google, people, log, documents)
			if found.n == 0 {
				t.Errorf("a %s in a %s is not found", name, where)
			}
		}
		heard := &hearing{}
		heard.hear(&answer{&http.Response{Header: http.Header{"X": {value}}, Request: b.request(http.MethodGet, "/callback", "", nil)}, nil})
		heard.sealed = w.heard.sealed
		found := &failures{TB: t}
		if heard.checkLeaks(found, w.google, people, "", nil); found.n == 0 {
			t.Errorf("a %s in an answer is not found", name)
		}
	}
}

// failures counts instead of failing.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }
