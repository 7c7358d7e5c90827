package gmailgrant

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/api/gmail/v1"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/site"
)

// The functions that the README adds, driven as deployed ones are.

// TestReadmeExamples: what the README shows is what is tested here.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, name := range []string{"example_labels_test.go", "example_digest_test.go"} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples.Write(code)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) != 4 {
		t.Fatalf("%d blocks of Go in the README, want 4", len(blocks))
	}
	for _, block := range blocks {
		if bytes.Contains(block[1], []byte("func ")) && !strings.Contains(examples.String(), string(block[1])) {
			t.Errorf("not the tested example:\n%s", block[1])
		}
	}
}

// TestEveryFunctionHasAnEndpoint, so that none is registered that can't answer.
func TestEveryFunctionHasAnEndpoint(t *testing.T) {
	w := newWorld(t, 1, nil)
	got := slices.Sorted(maps.Keys(w.instances[0].endpoints))
	if want := slices.Sorted(slices.Values(site.Functions)); !slices.Equal(got, want) {
		t.Errorf("endpoints %q, want %q", got, want)
	}
}

// labelsWorld has the function in all instances.
func labelsWorld(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t, n, nil)
	for _, a := range w.instances {
		a.add("labels", methods{http.MethodGet: a.labels})
	}
	return w
}

func TestLabels(t *testing.T) {
	w := labelsWorld(t, 2)
	b := w.newBrowser(t)
	b.fetch(http.MethodGet, "/labels").wantProblem(t, endpoint.NoSession)
	b.signIn(choice{account: ben.Sub})
	bearer := b.bearerSession(choice{})
	for _, a := range []*answer{b.fetch(http.MethodGet, "/labels"), b.bearer(http.MethodGet, "/labels", bearer)} {
		a.wantStatus(t, http.StatusOK)
		if labels, _ := a.json(t)["labels"].([]any); len(labels) == 0 || labels[0].(map[string]any)["id"] == "" {
			t.Errorf("labels: %s", a.body)
		}
	}
	b.fetch(http.MethodGet, "/labels?x=1").wantProblem(t, endpoint.InvalidRequest)
	b.fetch(http.MethodPost, "/labels").wantProblem(t, endpoint.MethodNotAllowed)
	w.google.ResetCalls()
	b.fetch(http.MethodGet, "/labels").wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"gmail.labels": 1})
}

// TestLabelsFail as a listing does: the rules are the same.
func TestLabelsFail(t *testing.T) {
	w := labelsWorld(t, 1)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})

	remove := w.google.Inject(fakegoogle.Fault{Op: "gmail.labels", Status: http.StatusServiceUnavailable, Times: 2})
	b.fetch(http.MethodGet, "/labels").wantStatus(t, http.StatusOK)
	remove()
	w.google.ExpireAccessTokens(ben.Sub)
	b.fetch(http.MethodGet, "/labels").wantStatus(t, http.StatusOK)
	remove = w.google.Inject(fakegoogle.Fault{Op: "gmail.labels", Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3600"}}})
	if a := b.fetch(http.MethodGet, "/labels"); a.Header.Get("Retry-After") != "3600" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	remove()
	session := b.bearerSession(choice{})
	w.google.RevokeAccess(ben.Sub)
	b.fetch(http.MethodGet, "/labels").wantProblem(t, endpoint.Revoked)
	b.signIn(choice{account: ben.Sub})
	b.bearer(http.MethodGet, "/labels", session).wantProblem(t, endpoint.NotConnected) // it named the grant of before
}

// A mailing is what a digest delivered.
type mailing struct {
	mu   sync.Mutex
	sent map[string]int // unread messages by user
}

func (m *mailing) deliver(_ context.Context, user string, unread []gmail.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, message := range unread {
		if message.Payload == nil || len(message.Payload.Headers) == 0 || !slices.Contains(message.LabelIds, "UNREAD") {
			return errNotUnread
		}
	}
	m.sent[user] = len(unread)
	return nil
}

var errNotUnread = endpoint.Invalid("a message that is read, or without headers")

// TestDigest runs with no session anywhere: a scheduler calls it, on an instance
// that has seen no user.
func TestDigest(t *testing.T) {
	w := newWorld(t, 2, nil)
	for _, person := range people {
		w.google.SetMessages(person.Sub, 40)
		w.newBrowser(t).signIn(choice{account: person.Sub})
	}
	scheduler := w.newBrowser(t)
	m := w.addDigest()

	report := scheduler.send(http.MethodPost, "/digest", nil)
	report.wantStatus(t, http.StatusOK)
	if want := `{"delivered":3,"dead":[],"failed":[],"cut":false}` + "\n"; string(report.body) != want {
		t.Errorf("report %s, want %s", report.body, want)
	}
	for _, person := range people {
		if n, ok := m.sent[person.Sub]; !ok || n == 0 && person.Sub == ada.Sub {
			t.Errorf("%s got %d messages", person.Name, n)
		}
	}

	w.clock.Advance(2 * time.Hour) // the access tokens have expired
	w.google.RevokeAccess(ben.Sub)
	remove := w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Status: http.StatusForbidden, Match: func(r *http.Request) bool {
		return w.google.UserOf(r) == cleo.Sub
	}})
	report = scheduler.send(http.MethodPost, "/digest", nil)
	remove()
	if want := `{"delivered":1,"dead":["` + ben.Sub + `"],"failed":["` + cleo.Sub + `"],"cut":false}` + "\n"; string(report.body) != want {
		t.Errorf("report %s, want %s", report.body, want)
	}
	if w.grant(ben.Sub) != nil {
		t.Error("the dead grant is still stored")
	}
	remove = w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Status: http.StatusUnauthorized, Match: func(r *http.Request) bool {
		return w.google.UserOf(r) == cleo.Sub
	}})
	report = scheduler.send(http.MethodPost, "/digest", nil)
	remove()
	if want := `{"delivered":1,"dead":["` + cleo.Sub + `"],"failed":[],"cut":false}` + "\n"; string(report.body) != want {
		t.Errorf("report %s, want %s", report.body, want)
	}
	report = scheduler.send(http.MethodPost, "/digest", nil)
	if want := `{"delivered":2,"dead":[],"failed":[],"cut":false}` + "\n"; string(report.body) != want {
		t.Errorf("report %s, want %s", report.body, want)
	}
}

// addDigest adds the job to a cold instance of its own.
func (w *world) addDigest() *mailing {
	w.t.Helper()
	m := &mailing{sent: make(map[string]int)}
	w.restart(nil)
	d := &digest{w.instances[0], m.deliver}
	d.add("digest", methods{http.MethodPost: d.Post})
	return m
}

// TestDigestOfMany: more users than Firestore lists at once, eight at a time.
func TestDigestOfMany(t *testing.T) {
	const users = 700
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: cleo.Sub})
	doc := w.grant(cleo.Sub)
	for i := range users { // which don't open: they name another user
		w.google.SetDocument("grants/"+string(rune('a'+i%26))+strings.Repeat("0", i/26+1), doc)
	}
	m := w.addDigest()
	var report struct {
		Delivered int
		Dead      []string
	}
	a := w.newBrowser(t).send(http.MethodPost, "/digest", nil)
	a.wantStatus(t, http.StatusOK)
	a.decode(t, &report)
	slices.Sort(report.Dead)
	if n := len(slices.Compact(report.Dead)); n != users || report.Delivered != 1 || len(m.sent) != 1 {
		t.Errorf("%d dead, %d delivered, want %d and 1", n, report.Delivered, users)
	}
}

// TestDigestIsCut: Firestore fails before the second page of users. What became of
// the first page is reported.
func TestDigestIsCut(t *testing.T) {
	t.Parallel()
	const users = 300 // a page
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: cleo.Sub})
	doc := w.grant(cleo.Sub)
	for i := range users {
		w.google.SetDocument("grants/"+strings.Repeat("1", i+1), doc)
	}
	w.addDigest()
	defer w.google.Inject(fakegoogle.Fault{Op: "firestore.query", Drop: true, After: 1})()
	var report digestReport
	a := w.newBrowser(t).send(http.MethodPost, "/digest", nil)
	a.wantStatus(t, http.StatusOK)
	a.decode(t, &report)
	if n := report.Delivered + len(report.Dead) + len(report.Failed); !report.Cut || n != users {
		t.Errorf("%d users reported, cut: %t", n, report.Cut)
	}
}
