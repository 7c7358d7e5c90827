package gmailgrant

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// TestWaysDoNotMix: what one way gave is nothing in another.
func TestWaysDoNotMix(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	cookie := b.cookie()
	code, _ := b.handOffCode(choice{})
	bearer := b.bearerSession(choice{})
	state := b.authorizationURL("").Query().Get("state")
	w.google.ResetCalls()
	b.forgetCookies()
	for name, value := range map[string]string{"cookie": cookie, "hand-off code": code, "state": state, "altered": flip(bearer)} {
		if a := b.bearer(http.MethodGet, "/callback", value); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a %s as Bearer session: %d", name, a.StatusCode)
		}
		b.bearer(http.MethodGet, "/listmessages", value).wantProblem(t, endpoint.NoSession)
	}
	for name, value := range map[string]string{"Bearer session": bearer, "hand-off code": code, "state": state, "altered": flip(cookie)} {
		b.setCookie(value)
		if a := b.fetch(http.MethodGet, "/callback"); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a %s as cookie: %d", name, a.StatusCode)
		}
		b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NoSession)
		if a := b.navigate("/authurl"); len(a.Cookies()) != 1 {
			t.Errorf("a %s binds a flow to the browser", name)
		}
	}
	w.wantCalls(t, calls{})
}

// TestAuthorizationDecidesAlone: beside it the cookie is not looked at.
func TestAuthorizationDecidesAlone(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	bearer := w.newBrowser(t).bearerSession(choice{account: ben.Sub})
	b.signIn(choice{})
	if sub := b.bearer(http.MethodGet, "/callback", bearer).sub(t); sub != ben.Sub {
		t.Errorf("signed in: %s", sub)
	}
	w.google.ResetCalls()
	for _, authorization := range [][]string{
		{"Bearer garbage"}, {"Bearer"}, {"Bearer "}, {""}, {"Basic " + bearer}, {bearer}, {"Bearer " + bearer, "Bearer " + bearer}, {"Bearer " + bearer + " x"}, {"Bearer " + strings.Repeat("1", 5000)},
	} {
		a := b.send(http.MethodGet, "/callback", http.Header{"Authorization": authorization, "Origin": {foreignSite}})
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("Authorization %.30q: %d %s", authorization, a.StatusCode, a.body)
			continue
		}
		a.wantProblem(t, endpoint.NoSession)
	}
	w.wantCalls(t, calls{})
	a := b.send(http.MethodGet, "/callback", http.Header{"Authorization": {"bearer " + bearer}})
	if sub := a.sub(t); sub != ben.Sub { // the scheme has no case, and no Origin is fine
		t.Errorf("signed in: %s", sub)
	}
}

// TestSessionBelongsToOrigin: in the hands of another one it is none.
func TestSessionBelongsToOrigin(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	bearer := b.bearerSession(choice{})
	b.signIn(choice{})
	w.google.ResetCalls()
	b.send(http.MethodGet, "/callback", http.Header{"Authorization": {"Bearer " + bearer}, "Origin": {frontEnd}}).wantProblem(t, endpoint.NoSession)
	b.send(http.MethodGet, "/callback", http.Header{"Origin": {foreignSite}}).wantProblem(t, endpoint.NoSession)
	b.send(http.MethodGet, "/callback", http.Header{"Origin": {stranger}}).wantProblem(t, endpoint.OriginNotAllowed)
	w.wantCalls(t, calls{})
}

// TestUsersAreNotMixed: everybody at once, over several instances, each in a
// browser of their own. It is for the race detector too.
func TestUsersAreNotMixed(t *testing.T) {
	w := newWorld(t, 3, nil)
	mail := make(map[string][]string)
	for _, p := range people {
		b := w.newBrowser(t)
		b.signIn(choice{account: p.Sub})
		mail[p.Sub] = b.fetch(http.MethodGet, "/listmessages?maxResults=30").messages(t)
	}
	t.Run("users", func(t *testing.T) {
		for _, p := range slices.Concat(people, people) {
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				for range 5 {
					w.roundOf(t, p, mail[p.Sub])
				}
			})
		}
	})
}

// roundOf is what one person does: both ways in, both ways of asking who it is,
// listing, and signing out.
func (w *world) roundOf(t *testing.T, p fakegoogle.Account, mail []string) {
	b := w.newBrowser(t)
	b.signIn(choice{account: p.Sub})
	bearer := b.bearerSession(choice{account: p.Sub})
	for name, a := range map[string]*answer{
		"cookie": b.fetch(http.MethodGet, "/callback"),
		"Bearer": b.bearer(http.MethodGet, "/callback", bearer),
	} {
		if sub := a.sub(t); sub != p.Sub {
			t.Errorf("%s: signed in as %s, want %s", name, sub, p.Sub)
		}
	}
	for name, a := range map[string]*answer{
		"cookie": b.fetch(http.MethodGet, "/listmessages?maxResults=30"),
		"Bearer": b.bearer(http.MethodGet, "/listmessages?maxResults=30", bearer),
	} {
		if got := a.messages(t); !slices.Equal(got, mail) {
			t.Errorf("%s: the mail of somebody else: %.3q…", name, got)
		}
	}
	b.fetch(http.MethodDelete, "/callback").wantStatus(t, http.StatusNoContent)
}
