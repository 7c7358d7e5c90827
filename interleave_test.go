package gmailgrant

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// What may happen to a user at once, in any order.
const (
	listByCookie = iota
	listByBearer
	signInElsewhere
	signInWithConsent
	revokeAtGoogle
	disconnect
	accessTokensEnd
	refreshFails
	refreshBreaksOff
	kinds
)

// A step is one of these, with what became of it.
type step struct {
	kind       int
	delay      time.Duration
	began, end int64 // by the order of events in its interleaving
	session    *browser
	destroyed  bool // it ended the grant
}

// An interleaving is a user with two sessions of one grant to whom steps happen
// at once. The same seed makes the same steps.
type interleaving struct {
	w      *world
	t      *testing.T
	user   fakegoogle.Account
	seed   uint64
	mail   []string
	cookie *browser
	bearer string
	steps  []*step
	events atomic.Int64
	said   []string // why sessions did not list, at the end

	mu     sync.Mutex
	faults []func() // take back the failures of Google's token endpoint
}

func newInterleaving(t *testing.T, w *world, user fakegoogle.Account, seed uint64) *interleaving {
	rng := rand.New(rand.NewPCG(seed, 2))
	in := &interleaving{w: w, t: t, user: user, seed: seed, cookie: w.newBrowser(t)}
	in.cookie.signIn(choice{account: user.Sub})
	in.bearer = in.cookie.bearerSession(choice{account: user.Sub})
	in.mail = in.cookie.fetch(http.MethodGet, "/listmessages").messages(t)
	for range 3 + rng.IntN(5) {
		in.steps = append(in.steps, &step{kind: rng.IntN(kinds), delay: time.Duration(rng.IntN(4000)) * time.Microsecond})
	}
	return in
}

// run takes all steps at once and checks what is left.
func (in *interleaving) run() {
	var group sync.WaitGroup
	for _, s := range in.steps {
		group.Go(func() {
			time.Sleep(s.delay)
			s.began = in.events.Add(1)
			in.take(s)
			s.end = in.events.Add(1)
		})
	}
	group.Wait()
	in.check()
}

func (in *interleaving) take(s *step) {
	switch s.kind {
	case listByCookie:
		in.wantMailOrProblem(in.cookie.fetch(http.MethodGet, "/listmessages"))
	case listByBearer:
		in.wantMailOrProblem(in.cookie.bearer(http.MethodGet, "/listmessages", in.bearer))
	case signInElsewhere:
		in.signIn(s, "")
	case signInWithConsent:
		in.signIn(s, "?prompt=consent")
	case revokeAtGoogle:
		in.w.google.RevokeAccess(in.user.Sub)
		s.destroyed = true
	case disconnect:
		a := in.cookie.bearer(http.MethodDelete, "/callback?grant=revoke", in.bearer)
		s.destroyed = a.StatusCode == http.StatusOK
		if a.StatusCode >= http.StatusBadRequest {
			in.wantMailOrProblem(a)
		}
	case accessTokensEnd:
		in.w.google.ExpireAccessTokens(in.user.Sub)
	case refreshFails:
		in.fail(fakegoogle.Fault{Status: http.StatusServiceUnavailable})
	case refreshBreaksOff:
		in.fail(fakegoogle.Fault{Drop: true})
	}
}

// fail makes the next refresh of this user fail.
func (in *interleaving) fail(f fakegoogle.Fault) {
	f.Op, f.Times = "token.refresh", 1
	f.Match = func(r *http.Request) bool { return in.w.google.UserOf(r) == in.user.Sub }
	remove := in.w.google.Inject(f)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.faults = append(in.faults, remove)
}

// endings are what a sign-in may end with while a grant is being revoked and
// Google's token endpoint fails.
var endings = []string{"", "code_exchange_failed", "no_refresh_token", "upstream_unavailable"}

func (in *interleaving) signIn(s *step, query string) {
	b := in.w.newBrowser(in.t)
	reason := b.trySignIn(query, choice{account: in.user.Sub}).Query().Get("error")
	if !slices.Contains(endings, reason) {
		in.errorf("a sign-in ended with %s", reason)
	}
	if reason == "" {
		s.session = b
	}
}

// wantMailOrProblem: a session opens its user's mail and no other, or the answer
// says why not.
func (in *interleaving) wantMailOrProblem(a *answer) (listed bool) {
	if a.StatusCode == http.StatusOK {
		if got := a.list(in.t); got.Incomplete == nil && !slices.Equal(got.ids(), in.mail) {
			in.errorf("listed %q, want %q", got.ids(), in.mail)
		}
		return true
	}
	var p struct{ Reason endpoint.Reason }
	a.decode(in.t, &p)
	if !slices.Contains([]endpoint.Reason{endpoint.NotConnected, endpoint.Revoked, endpoint.UpstreamUnavailable}, p.Reason) {
		in.errorf("answered %s", a.body)
	}
	return false
}

func (in *interleaving) lists(b *browser) bool {
	a := b.fetch(http.MethodGet, "/listmessages")
	listed := in.wantMailOrProblem(a)
	if !listed {
		in.said = append(in.said, string(a.body))
	}
	return listed
}

// check looks at what is left once all has come to rest.
func (in *interleaving) check() {
	for _, remove := range in.faults {
		remove() // a failure that was not met
	}
	old := in.lists(in.cookie) || in.wantMailOrProblem(in.cookie.bearer(http.MethodGet, "/listmessages", in.bearer))
	var lastDestroyed int64
	for _, s := range in.steps {
		if s.destroyed {
			lastDestroyed = max(lastDestroyed, s.end)
		}
	}
	if lastDestroyed > 0 && old {
		in.errorf("a session from before the revocation lists")
	}
	if lastDestroyed == 0 && len(in.faults) == 0 && !old {
		in.errorf("nothing was revoked, and the first sessions are dead")
	}
	survivors, alive := 0, 0
	if lastDestroyed == 0 {
		survivors++
	}
	if old {
		alive++
	}
	for _, s := range in.steps {
		if s.session == nil {
			continue
		}
		if s.began > lastDestroyed {
			survivors++
		}
		if in.lists(s.session) {
			alive++
		}
	}
	if survivors > 0 && alive == 0 {
		in.errorf("the grant is lost")
	}
	b := in.w.newBrowser(in.t)
	if end := b.trySignIn("", choice{account: in.user.Sub}); end.Query().Has("error") || !in.lists(b) {
		in.errorf("a new sign-in ended at %s", end)
	}
}

func (in *interleaving) errorf(format string, args ...any) {
	names := []string{"list by cookie", "list by Bearer session", "sign-in", "sign-in with consent", "revocation", "disconnect", "access tokens end", "refresh fails", "refresh breaks off"}
	var order []string
	for _, s := range in.steps {
		order = append(order, fmt.Sprintf("%s (%d-%d)", names[s.kind], s.began, s.end))
	}
	in.t.Errorf("seed %d: %s\n\t%s", in.seed, fmt.Sprintf(format, args...), strings.Join(append(order, in.said...), ", "))
}

// crowd are people that nobody else signs in as.
func crowd(n int) []fakegoogle.Account {
	people := make([]fakegoogle.Account, n)
	for i := range people {
		people[i] = fakegoogle.Account{
			Sub:      fmt.Sprintf("1048576000000001%05d", i),
			Email:    fmt.Sprintf("person.%05d@example.com", i),
			Name:     fmt.Sprintf("Person Number %05d", i),
			Picture:  fmt.Sprintf("https://lh3.googleusercontent.com/a/standin-%05d", i),
			Messages: 3,
		}
	}
	return people
}

// interleave runs as many interleavings in rounds: one round is a world of three
// instances with as many users at once.
func interleave(t *testing.T, rounds, users int, newWorld func(t *testing.T, people []fakegoogle.Account) *world) {
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			people := crowd(users)
			w := newWorld(t, people)
			t.Run("users", func(t *testing.T) {
				for i, p := range people {
					t.Run(p.Sub, func(t *testing.T) {
						t.Parallel()
						newInterleaving(t, w, p, uint64(round*users+i)).run()
					})
				}
			})
		})
	}
}

// TestInterleavings: no grant is lost that was not revoked, no session opens
// another's mail or revives, and nobody ends where there is no way on. That
// nothing lies about in clear is checked at the end of every world.
func TestInterleavings(t *testing.T) {
	interleave(t, 8, 25, func(t *testing.T, people []fakegoogle.Account) *world {
		return newWorldOf(t, fakegoogle.Options{Accounts: people}, 3, nil)
	})
}

// TestManyRequestsFewRefreshes: fifty requests of one user at once, over three
// instances, with an expired access token.
func TestManyRequestsFewRefreshes(t *testing.T) {
	const requests = 50
	w := newWorld(t, 3, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	mail := b.fetch(http.MethodGet, "/listmessages").messages(t)
	w.clock.Advance(time.Hour)
	w.google.ResetCalls()
	var group sync.WaitGroup
	for range requests {
		group.Go(func() {
			req := b.request(http.MethodGet, "/listmessages", "", http.Header{"Origin": {frontEnd}, "Sec-Fetch-Site": {"same-site"}})
			a, err := b.try(req)
			if err == nil && (a.StatusCode != http.StatusOK || !slices.Equal(a.list(t).ids(), mail)) {
				err = errors.New(string(a.body))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.running.Wait()
	if n := w.google.Calls("token.refresh"); n == 0 || n > 3 {
		t.Errorf("%d refreshes, want at most one an instance", n)
	}
}
