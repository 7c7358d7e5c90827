package gmailgrant

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

func TestCookieWay(t *testing.T) {
	w := newWorld(t, 3, nil)
	b := w.newBrowser(t)
	end := b.trySignIn("?state=my+%26+state&return_to="+url.QueryEscape(page+"inbox?tab=1"), choice{})
	if want := page + "inbox?tab=1&state=my+%26+state"; end.String() != want {
		t.Errorf("ended at %s, want %s", end, want)
	}
	if n := w.google.Calls("token.code"); n != 1 {
		t.Errorf("%d code exchanges, want 1", n)
	}
	if n := w.google.Calls("firestore.write"); n != 1 {
		t.Errorf("%d grant writes, want 1", n)
	}
	if ids := b.fetch(http.MethodGet, "/listmessages?maxResults=20").messages(t); len(ids) != 20 {
		t.Errorf("%d messages, want 20", len(ids))
	}
	if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ada.Sub {
		t.Errorf("signed in: %s", sub)
	}
}

// TestFirstCallbackCosts: one exchange, one reading, one write.
func TestFirstCallbackCosts(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	back := b.begin("", choice{})
	w.google.ResetCalls()
	b.arrive(back.String()).wantStatus(t, http.StatusSeeOther)
	w.wantCalls(t, calls{"token.code": 1, "firestore.get": 1, "firestore.write": 1})
}

func TestReturningUserIsNotAsked(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	before := w.grantID(t, ben.Sub)
	back, asked := b.atGoogle(b.navigate("/authurl"), choice{})
	if asked {
		t.Error("the user was asked again")
	}
	if end := b.finish(b.arrive(back.String()), choice{}); end.String() != page {
		t.Errorf("ended at %s", end)
	}
	if after := w.grantID(t, ben.Sub); after != before {
		t.Errorf("the grant ID changed from %s to %s", before, after)
	}
	// Google sent no refresh token the second time: the stored one must have
	// been kept.
	w.google.ExpireAccessTokens(ben.Sub)
	if ids := b.fetch(http.MethodGet, "/listmessages").messages(t); len(ids) == 0 {
		t.Error("no messages")
	}
}

// TestSessionCookie: on plain-HTTP loopback; Secure and its name elsewhere are
// the session package's to test.
func TestSessionCookie(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	a := b.arrive(b.begin("", choice{}).String())
	cookies := a.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	c := cookies[0]
	if c.Name != "gmailgrant" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v", c)
	}
}

// TestSetCookieOnlyWhenNeeded: a second tab must not unbind the first.
func TestSetCookieOnlyWhenNeeded(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	set := func(a *answer) bool { return len(a.Cookies()) == 1 }
	if !set(b.navigate("/authurl")) {
		t.Error("no cookie for a new browser")
	}
	if set(b.navigate("/authurl")) {
		t.Error("a browser that has a cookie got another")
	}
	b.signIn(choice{})
	if set(b.navigate("/authurl")) {
		t.Error("a signed-in browser lost its session")
	}
	b.setCookie("1.forged")
	if !set(b.navigate("/authurl")) {
		t.Error("a forged cookie was left in place")
	}
}

// TestFirstEverTwoTabs: both tabs begin before the browser has a cookie, and
// the second one's wins.
func TestFirstEverTwoTabs(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	first := b.begin("?state=first", choice{})
	b.forgetCookies()
	second := b.begin("?state=second", choice{})

	a := b.arrive(first.String())
	if n := w.google.Calls("token.code"); n != 0 {
		t.Errorf("the first tab spent %d codes before it was bound", n)
	}
	if end := b.finish(a, choice{}); end.String() != page+"?state=first" {
		t.Errorf("the first tab ended at %s", end)
	}
	if end := b.finish(b.arrive(second.String()), choice{}); end.String() != page+"?state=second" {
		t.Errorf("the second tab ended at %s", end)
	}
}

// TestReboundOnce: a flow that was bound to another browser once is not bound
// again.
func TestReboundOnce(t *testing.T) {
	w := newWorld(t, 1, nil)
	first, second, third := w.newBrowser(t), w.newBrowser(t), w.newBrowser(t)
	second.navigate("/authurl")
	third.navigate("/authurl")
	back, _ := second.atGoogle(second.arrive(first.begin("", choice{}).String()), choice{})
	w.google.ResetCalls()
	third.arrive(back.String()).wantPage(t, http.StatusBadRequest, page)
	w.wantCalls(t, calls{})
	if end := second.finish(second.arrive(back.String()), choice{}); end.String() != page {
		t.Errorf("ended at %s", end)
	}
}

func TestSeveralTabs(t *testing.T) {
	w := newWorld(t, 3, nil)
	b := w.newBrowser(t)
	b.navigate("/authurl")
	var tabs []*url.URL
	states := []string{"one", "two", "three", "four"}
	for _, state := range states {
		tabs = append(tabs, b.begin("?state="+state, choice{}))
	}
	for i, tab := range slices.Backward(tabs) {
		if end := b.finish(b.arrive(tab.String()), choice{}); end.String() != page+"?state="+states[i] {
			t.Errorf("tab %s ended at %s", states[i], end)
		}
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	back := b.begin("?state=mine", choice{})
	first := b.arrive(back.String()).location(t)
	w.google.ResetCalls()
	again := b.arrive(back.String())
	again.wantStatus(t, http.StatusSeeOther)
	if *again.location(t) != *first {
		t.Errorf("a reload ended at %s, the first time at %s", again.location(t), first)
	}
	w.wantCalls(t, calls{})
}

// TestDoubleClick sends Google's answer twice at the same time: one of them
// spends the code, and both end well.
func TestDoubleClick(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	back := b.begin("?state=mine", choice{}).String()
	answers := make([]*answer, 2)
	var wg sync.WaitGroup
	for i := range answers {
		req := b.request(http.MethodGet, back, "", navigation("cross-site"))
		wg.Go(func() {
			var err error
			if answers[i], err = b.try(req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a == nil {
			continue
		}
		if end := b.finish(a, choice{}); end.String() != page+"?state=mine" {
			t.Errorf("click %d ended at %s", i+1, end)
		}
	}
	if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ada.Sub {
		t.Errorf("signed in: %s", sub)
	}
}

// TestPlainPage: without a return URL the flow ends on a page of our own.
func TestPlainPage(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"ALLOWED_ORIGINS": "", "RETURN_URLS": ""})
	b := w.newBrowser(t)
	_, a := b.follow(b.navigate("/authurl"), choice{deny: true})
	a.wantPage(t, endpoint.AccessDenied.Status(), w.base+"/authurl")
	_, a = b.follow(b.navigate("/authurl"), choice{})
	a.wantPage(t, http.StatusOK, "")
	b.send(http.MethodGet, "/listmessages?maxResults=1", nil).wantStatus(t, http.StatusOK)
	_, challenge := pkce()
	b.send(http.MethodGet, "/authurl?code_challenge_method=S256&code_challenge="+challenge, nil).wantProblem(t, endpoint.InvalidReturnTo)
}
