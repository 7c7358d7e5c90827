package gmailgrant

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/listmessages"
)

// The people of the stand-in: one with a large mailbox, one with a small one,
// one with none.
var (
	people = fakegoogle.DefaultAccounts()
	ada    = people[0]
	ben    = people[1]
	cleo   = people[2]
)

// The front ends of the tests.
const (
	frontEnd    = "http://localhost:5173" // same site as the functions
	foreignSite = "https://app.example.net"
	page        = frontEnd + "/"
	foreignPage = foreignSite + "/app"
	stranger    = "https://evil.example"

	readonly = "https://www.googleapis.com/auth/gmail.readonly"
)

// A world is a deployment under test: the stand-in for Google and one or more
// instances of the functions behind one address. When the test ends, no secret
// that Google handed out may be found in the logs or in the answers.
type world struct {
	t       testing.TB
	google  *fakegoogle.Server
	base    string
	env     map[string]string
	clock   *testClock
	logs    *logBuffer
	heard   *hearing
	people  []fakegoogle.Account
	running sync.WaitGroup
	db      *firestore.Client // of the emulator; nil: the stand-in keeps the documents

	mu        sync.Mutex
	instances []*app
	next      int // the instance that answers next: round robin
	only      int // the one that answers alone; -1: all in turn
}

// newWorld starts a deployment of n instances. Settings override the usual ones.
func newWorld(t testing.TB, n int, settings map[string]string) *world {
	t.Helper()
	return newWorldOf(t, fakegoogle.Options{Accounts: people}, n, settings)
}

// newWorldOf is a world with another Google.
func newWorldOf(t testing.TB, options fakegoogle.Options, n int, settings map[string]string) *world {
	t.Helper()
	w := &world{t: t, clock: &testClock{now: epoch}, logs: &logBuffer{}, heard: &hearing{}, people: options.Accounts, only: -1}
	server := httptest.NewUnstartedServer(w)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	w.base = "http://localhost:" + port
	w.google = startGoogle(t, w.base, w.clock.Now, options)
	w.env = environ(w.base, w.google)
	maps.Copy(w.env, settings)
	for range n {
		w.startInstance(nil)
	}
	server.Start()
	t.Cleanup(func() {
		server.Close()
		for _, a := range w.instances {
			_ = a.store.Close()
		}
		w.heard.checkLeaks(t, w.google, w.people, w.logs.String(), w.documents())
	})
	return w
}

// startGoogle starts the stand-in with the two secrets of a deployment.
func startGoogle(t testing.TB, base string, now func() time.Time, options fakegoogle.Options) *fakegoogle.Server {
	t.Helper()
	options.Now = now
	options.RedirectURIs = []string{base + "/callback"}
	options.JavaScriptOrigins = []string{frontEnd, foreignSite}
	google, err := fakegoogle.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = google.Close() })
	google.AddSecretVersion("gmailgrant-client", google.ClientJSON())
	google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	return google
}

func newSealKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return []byte(base64.StdEncoding.EncodeToString(key))
}

// environ are the settings of a deployment at base.
func environ(base string, google *fakegoogle.Server) map[string]string {
	return map[string]string{
		"BASE_URL":                     base,
		"GOOGLE_CLOUD_PROJECT":         "test",
		"ALLOWED_ORIGINS":              frontEnd + "," + foreignSite,
		"RETURN_URLS":                  page + "," + foreignPage,
		"FIRESTORE_EMULATOR_HOST":      google.Addr(),
		"SECRET_MANAGER_EMULATOR_HOST": google.Addr(),
		"GMAIL_EMULATOR_HOST":          google.Addr(),
	}
}

// startInstance adds an instance, cold, with some settings of its own.
func (w *world) startInstance(settings map[string]string) {
	w.t.Helper()
	env := maps.Clone(w.env)
	maps.Copy(env, settings)
	cfg, err := LoadConfig(func(name string) string { return env[name] })
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := newApp(cfg, endpoint.NewLogger(w.logs), listmessages.Clock{Now: w.clock.Now, Sleep: w.clock.Sleep})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances = append(w.instances, a)
}

// restart replaces all instances by a cold one, with changed settings.
func (w *world) restart(settings map[string]string) {
	w.t.Helper()
	w.mu.Lock()
	for _, a := range w.instances {
		_ = a.store.Close()
	}
	w.instances = nil
	w.mu.Unlock()
	maps.Copy(w.env, settings)
	w.startInstance(nil)
}

// answerFrom makes one instance answer everything.
func (w *world) answerFrom(instance int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.only = instance
}

func (w *world) instance() *app {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.only >= 0 {
		return w.instances[w.only]
	}
	w.next++
	return w.instances[w.next%len(w.instances)]
}

// ServeHTTP routes as the platform's front does: one host, a function a path,
// any instance.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.running.Add(1)
	defer w.running.Done()
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	h, ok := w.instance().endpoints[name]
	if !ok {
		http.NotFound(rw, r)
		return
	}
	h.ServeHTTP(rw, r)
}

// upstream are all operations of Google's that the functions may call.
var upstream = []string{
	"token.code", "token.refresh", "revoke",
	"gmail.list", "gmail.get", "gmail.labels", "gmail.profile", "gmail.batch", "gmail.batch.part",
	"secretmanager.access",
	"firestore.get", "firestore.write", "firestore.query", "firestore.list",
}

// calls is a number of calls by operation.
type calls map[string]int

// wantCalls checks how often Google was called since the last ResetCalls: as
// told, and nothing else.
func (w *world) wantCalls(t testing.TB, want calls) {
	t.Helper()
	got := calls{}
	for _, op := range upstream {
		if n := w.google.Calls(op); n > 0 {
			got[op] = n
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("calls to Google: %v, want %v", got, want)
	}
}

// grant is the stored document of a user; nil if there is none.
func (w *world) grant(sub string) map[string]any { return w.documents()["grants/"+sub] }

func (w *world) grantID(t testing.TB, sub string) string {
	t.Helper()
	id, _ := w.grant(sub)["grant_id"].(string)
	if id == "" {
		t.Fatalf("no grant of %s is stored", sub)
	}
	return id
}

// wantNothingStored checks that no failure left anything behind.
func (w *world) wantNothingStored(t testing.TB) {
	t.Helper()
	if docs := w.documents(); len(docs) != 0 {
		t.Errorf("stored: %v", docs)
	}
}

// logLines are the lines of requests, decoded.
func (w *world) logLines(t testing.TB) []map[string]any {
	t.Helper()
	w.running.Wait() // a line is written after its answer
	var lines []map[string]any
	for line := range strings.Lines(w.logs.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		lines = append(lines, v)
	}
	return lines
}

// documents are what is stored, by path.
func (w *world) documents() map[string]map[string]any {
	if w.db == nil {
		return w.google.Documents()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	snapshots, err := w.db.Collection("grants").Documents(ctx).GetAll()
	if err != nil {
		w.t.Fatal(err)
	}
	documents := make(map[string]map[string]any)
	for _, s := range snapshots {
		documents["grants/"+s.Ref.ID] = s.Data()
	}
	return documents
}

// epoch is when every test begins.
var epoch = time.Date(2026, time.November, 21, 9, 0, 0, 0, time.UTC)

// A testClock stands still until the test moves it, or makes it run. Sleeping
// moves it too.
type testClock struct {
	onSleep func() // called before sleeping; nil: nothing

	mu      sync.Mutex
	now     time.Time
	running time.Time // since when it runs; zero: it stands still
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running.IsZero() {
		return c.now
	}
	return c.now.Add(time.Since(c.running))
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *testClock) Sleep(_ context.Context, d time.Duration) {
	if c.onSleep != nil {
		c.onSleep()
	}
	c.Advance(d)
}

// A logBuffer keeps what was written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
