package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

// The way through the demo, as curl with a cookie jar would go it.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	list := p.base + "/listmessages"

	if got := b.fetchJSON(http.MethodGet, list, http.StatusUnauthorized); got.text("reason") != "no_session" {
		t.Errorf("before signing in: %v", got)
	}
	a := b.connect("")
	if want := p.page + "?state=" + url.QueryEscape("state of the page"); a.url.String() != want || a.status != http.StatusOK {
		t.Fatalf("signing in ends at %s with status %d, want %s\n%s", a.url, a.status, want, a.body)
	}
	if who := b.fetchJSON(http.MethodGet, p.base+"/callback", http.StatusOK); object(who["user"].(map[string]any)).text("email") == "" {
		t.Errorf("who is signed in: %v", who)
	}
	checkPaging(t, b, list)

	if a := b.fetch(http.MethodDelete, p.base+"/callback"); a.status != http.StatusNoContent {
		t.Errorf("signing out: status %d\n%s", a.status, a.body)
	}
	b.fetchJSON(http.MethodGet, list, http.StatusUnauthorized)

	b.connect("")
	b.fetchJSON(http.MethodGet, list+"?maxResults=1", http.StatusOK)
	if got := b.fetchJSON(http.MethodDelete, p.base+"/callback?grant=revoke", http.StatusOK); got["revoked"] != true {
		t.Errorf("disconnecting: %v", got)
	}
	b.fetchJSON(http.MethodGet, list, http.StatusUnauthorized)
	p.stop(t, os.Interrupt)
}

// checkPaging reads two pages as the demo page does and looks for repeats.
func checkPaging(t *testing.T, b *browser, list string) {
	t.Helper()
	seen := make(map[string]bool)
	query := url.Values{"maxResults": {"50"}, "labelIds": {"UNREAD"}}
	for range 2 {
		page := b.fetchJSON(http.MethodGet, list+"?"+query.Encode(), http.StatusOK)
		messages := page["messages"].([]any)
		if len(messages) != 50 {
			t.Fatalf("%d messages on a page, want 50", len(messages))
		}
		for _, m := range messages {
			id := object(m.(map[string]any)).text("id")
			if seen[id] {
				t.Fatalf("message %s twice", id)
			}
			seen[id] = true
		}
		query.Set("pageToken", page.text("nextPageToken"))
	}
}

func TestDeniedComesBackToThePage(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	consent := b.navigate(p.base + "/authurl?state=mine")
	a := b.submit(parseForm(t, consent), "deny")
	if want := p.page + "?error=access_denied&state=mine"; a.url.String() != want {
		t.Errorf("denying ends at %s, want %s", a.url, want)
	}
}

func TestUntickedBoxComesBackToThePage(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	f := parseForm(t, b.navigate(p.base+"/authurl?state=mine"))
	f.fields.Del("scope")
	a := b.submit(f, "allow")
	query := a.url.Query()
	if query.Get("error") != "missing_scope" || query.Get("missing_scopes") == "" {
		t.Errorf("an unticked box ends at %s", a.url)
	}
}

// What the page's panel of errors asks of the stand-in.
func TestStandInMisbehaves(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	b.connect("")
	who := b.fetchJSON(http.MethodGet, p.base+"/callback", http.StatusOK)
	sub := object(who["user"].(map[string]any)).text("sub")

	tests := []struct {
		control string
		status  int
		reason  string
	}{
		{"fault?name=rate_limited", http.StatusTooManyRequests, "rate_limited"},
		{"fault?name=domain_policy", http.StatusForbidden, "domain_policy"},
		{"fault?name=gmail_disabled", http.StatusServiceUnavailable, "gmail_disabled"},
		{"revoke?sub=" + sub, http.StatusUnauthorized, "revoked"},
	}
	for _, test := range tests {
		b.misbehave(test.control)
		if got := b.fetchJSON(http.MethodGet, p.base+"/listmessages", test.status); got.text("reason") != test.reason {
			t.Errorf("%s: %v", test.control, got)
		}
	}
}

// The list of the page when the rest is put off, and how it goes on.
func TestThrottledListGoesOn(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	b.connect("")
	whole, _ := b.list("maxResults=100")

	for name, seconds := range map[string]float64{"throttled": 1800, "throttled_briefly": 25} {
		b.misbehave("fault?name=" + name)
		begin, ending := b.list("maxResults=100")
		incomplete, _ := ending["incomplete"].(map[string]any)
		if reason := object(incomplete).text("reason"); reason != "rate_limited" || incomplete["retry_after"] != seconds {
			t.Fatalf("%s: %d messages, then %v", name, len(begin), ending)
		}
		rest, ending := b.list("maxResults=" + strconv.Itoa(100-len(begin)) + "&pageToken=" + ending.text("nextPageToken"))
		if ending["incomplete"] != nil || !slices.Equal(ids(append(begin, rest...)), ids(whole)) {
			t.Errorf("%s: %d messages, then %d and %v: not the list", name, len(begin), len(rest), ending)
		}
	}
}

func TestRevokedHalfway(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	b.connect("")
	who := b.fetchJSON(http.MethodGet, p.base+"/callback", http.StatusOK)
	b.misbehave("fault?name=revoked&sub=" + object(who["user"].(map[string]any)).text("sub"))
	messages, ending := b.list("maxResults=100")
	incomplete, _ := ending["incomplete"].(map[string]any)
	if reason := object(incomplete).text("reason"); reason != "revoked" || len(messages) == 0 || ending.text("nextPageToken") == "" {
		t.Errorf("%d messages, then %v", len(messages), ending)
	}
	b.fetchJSON(http.MethodGet, p.base+"/callback", http.StatusUnauthorized)
}

func TestUnreadableMessagesAreMarked(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	b.connect("")
	b.misbehave("fault?name=unreadable")
	messages, ending := b.list("maxResults=50")
	marked := func(mark string) int {
		return len(slices.DeleteFunc(slices.Clone(messages), func(m object) bool { return m[mark] != true }))
	}
	if len(messages) != 50 || marked("unavailable") != 1 || marked("too_large") != 1 || ending["incomplete"] != nil {
		t.Errorf("%d messages, %d unavailable, %d too large, then %v", len(messages), marked("unavailable"), marked("too_large"), ending)
	}
}

// A fault that nothing has met is gone with the next one ordered.
func TestOneFaultAtATime(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	b := newBrowser(t, p)
	b.connect("")
	b.misbehave("fault?name=rate_limited")
	b.misbehave("fault?name=throttled")
	if _, ending := b.list("maxResults=50"); ending["incomplete"] != nil {
		t.Errorf("two batches meet the fault of the third: %v", ending)
	}
}

func ids(messages []object) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = m.text("id")
	}
	return all
}

func TestEmulatorOfTheUserIsUsed(t *testing.T) {
	t.Parallel()
	firestore := startFake(t, fakegoogle.Options{})
	p := start(t, []string{"FIRESTORE_EMULATOR_HOST=" + firestore.Addr()})
	if !strings.Contains(p.banner, firestore.Addr()) {
		t.Errorf("the banner doesn't name the emulator:\n%s", p.banner)
	}
	newBrowser(t, p).connect("")
	if n := len(firestore.Documents()); n != 1 {
		t.Errorf("%d documents in the emulator, want 1", n)
	}
}

// With a client secret, signing in and mail are elsewhere; here that is a second
// stand-in, which outlives the restart as Google does. The browser keeps its cookie
// and is asked nothing again.
func TestRestartKeepsTheGrant(t *testing.T) {
	t.Parallel()
	outside := startFake(t, fakegoogle.Options{})
	port, pagePort := freePort(t), freePort(t)
	outside.SetRedirectURIs("http://localhost:" + port + "/callback")
	folder := t.TempDir()
	secret, data := filepath.Join(folder, "client_secret.json"), filepath.Join(folder, "kept", "data.json")
	if err := os.WriteFile(secret, outside.ClientJSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	launch := func() *process {
		env := []string{"GMAIL_EMULATOR_HOST=" + outside.Addr()}
		return start(t, env, "-port="+port, "-page-port="+pagePort, "-client-secret="+secret, "-data="+data)
	}

	first := launch()
	b := newBrowser(t, first)
	b.connect(fakegoogle.DefaultAccounts()[1].Sub)
	first.stop(t, syscall.SIGTERM)
	checkDataFile(t, data, outside.Handed())

	launch()
	got := b.fetchJSON(http.MethodGet, first.base+"/listmessages", http.StatusOK)
	if len(got["messages"].([]any)) == 0 {
		t.Error("no messages after the restart")
	}
	if n := outside.Calls("token.code"); n != 1 {
		t.Errorf("%d codes were exchanged, want 1", n)
	}
}

// checkDataFile expects that nobody else can read the file, and that no token can
// be read in it.
func checkDataFile(t *testing.T, name string, secrets []string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of the data file is %o, want 600", mode)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(content), secret) {
			t.Errorf("the data file shows %.8s…", secret)
		}
	}
}

func startFake(t *testing.T, o fakegoogle.Options) *fakegoogle.Server {
	t.Helper()
	server, err := fakegoogle.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := listen(0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l)
}
