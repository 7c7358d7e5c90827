package gmailgrant

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	mail   strings.Builder // the user's own: only e-mail addresses have a place there
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

// bodyWithoutSecrets takes out of JSON what has its place there.
func (h *hearing) bodyWithoutSecrets(a *answer) string {
	if a.StatusCode == http.StatusOK && strings.HasSuffix(a.Request.URL.Path, "/listmessages") {
		h.mail.Write(a.body)
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
	places := map[string]string{"the log": log, "an answer": h.rest.String(), "a document": stored}
	check := func(what, secret string) {
		for where, text := range places {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the %s %.12s…", where, what, secret)
			}
		}
	}
	for _, p := range people {
		check("e-mail address", p.Email)
		if strings.Contains(stored, p.Name) || strings.Contains(stored, p.Picture) || strings.Contains(stored, p.Sub) {
			t.Errorf("a document tells of %s", p.Name)
		}
	}
	places["a list"] = h.mail.String()
	for _, secret := range google.Handed() {
		check("secret", secret)
	}
	for value := range h.sealed {
		check("sealed value", value)
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

// TestPanicTellsNothing: not even one whose value is a secret. In a goroutine of a
// request it ends that request only.
func TestPanicTellsNothing(t *testing.T) {
	for _, tt := range []struct{ name, op, query string }{
		{"in the handler", "gmail.list", ""},
		{"while listing for details", "gmail.list", "format=minimal"},
		{"while getting details", "gmail.batch", "format=minimal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, b := signedIn(t, ben)
			var header atomic.Value
			remove := w.google.Inject(fakegoogle.Fault{Op: tt.op, Status: http.StatusServiceUnavailable, Match: func(r *http.Request) bool {
				header.Store(r.Header.Get("Authorization"))
				return true
			}})
			w.clock.onSleep = func() { panic(fmt.Sprint("the call with ", header.Load(), " failed")) }
			b.get(tt.query).wantProblem(t, endpoint.Internal)
			if header.Load() == nil {
				t.Fatal("Gmail was not called")
			}
			lines := w.logLines(t)
			last := lines[len(lines)-1]
			if stack, _ := last["stack"].(string); last["error"] != "panic with a string" || !strings.Contains(stack, "Sleep") || last["severity"] != "ERROR" {
				t.Errorf("logged: %v", last)
			}
			remove()
			b.get(tt.query).wantStatus(t, http.StatusOK)
		})
	}
}

// TestPanicInTheMiddle of a list: what is there is delivered, with a cursor.
func TestPanicInTheMiddle(t *testing.T) {
	w, b := signedIn(t, ada)
	all := b.get("").messages(t)
	remove := w.gmailFails(1, googleError(http.StatusServiceUnavailable, "backendError"))
	w.clock.onSleep = func() { panic("in the middle") }
	a := b.get("format=minimal&maxResults=1000")
	remove()
	w.clock.onSleep = nil
	l := a.list(t)
	if l.Incomplete == nil || l.Incomplete.Reason != string(endpoint.UpstreamUnavailable) {
		t.Fatalf("incomplete: %+v", l.Incomplete)
	}
	got := append(l.ids(), b.get("pageToken="+l.NextPageToken+"&format=minimal&maxResults=1000").messages(t)...)
	if want := all[:len(l.Messages)+1000]; !slices.Equal(got, want) {
		t.Errorf("%d messages with the rest, want the first %d of the list", len(got), len(want))
	}
	lines := w.logLines(t)
	if line := lines[len(lines)-2]; line["stack"] == nil || line["severity"] != "ERROR" {
		t.Errorf("logged: %v", line)
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
		for path, a := range map[string]*answer{
			"/callback":     {&http.Response{Header: http.Header{"X": {value}}}, nil},
			"/listmessages": {&http.Response{StatusCode: http.StatusOK}, []byte(`{"messages":[{"id":"` + value + `"}]}`)},
		} {
			heard := &hearing{}
			a.Request = b.request(http.MethodGet, path, "", nil)
			heard.hear(a)
			heard.sealed = w.heard.sealed
			found := &failures{TB: t}
			heard.checkLeaks(found, w.google, people, "", nil)
			if mail := path == "/listmessages" && value == ben.Email; (found.n == 0) != mail {
				t.Errorf("a %s in an answer of %s is found %d times", name, path, found.n)
			}
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
