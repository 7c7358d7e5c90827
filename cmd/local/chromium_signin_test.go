//go:build browser

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// TestChromiumTwoFirstTabs: two tabs that begin to sign in before either has a
// cookie both end signed in.
func TestChromiumTwoFirstTabs(t *testing.T) {
	var begun atomic.Int32
	var both sync.WaitGroup
	both.Add(2)
	p := startBehind(t, func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		if r.URL.Path == "/authurl" && begun.Add(1) <= 2 {
			both.Done()
			both.Wait()
		}
		functions.ServeHTTP(w, r)
	})
	c := startChromium(t)
	one, two := c.openPage(p), c.openPage(p)
	for _, tb := range []*tab{one, two} {
		tb.toFront()
		tb.awaitSignedOut()
		tb.click(`#connect`)
	}
	for _, tb := range []*tab{one, two} {
		tb.toFront()
		tb.answerConsent(consent{account: ben})
		tb.awaitSignedIn(ben)
		tb.awaitList()
		tb.wantCleanAddress(p)
	}
	one.toFront()
	one.do(reload)
	one.awaitSignedIn(ben)
}

// TestChromiumReloadOnCallback: the answer to Google's redirect is lost on its way
// after the code was spent, and the user reloads.
func TestChromiumReloadOnCallback(t *testing.T) {
	for _, way := range []string{"cookie", "handoff"} {
		t.Run(way, func(t *testing.T) {
			spent := make(chan struct{})
			var once sync.Once
			p := startBehind(t, func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
				if r.Method == http.MethodGet && r.URL.Query().Has("code") {
					once.Do(func() {
						functions.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
						close(spent)
						<-r.Context().Done()
					})
				}
				functions.ServeHTTP(w, r)
			})
			tb := startChromium(t).openPage(p)
			tb.click(`#way-` + way)
			tb.click(`#connect`)
			tb.answerConsent(consent{account: ben})
			<-spent
			tb.goTo(tb.lastVisit(p.base + "/callback?"))
			tb.awaitSignedIn(ben)
			tb.wantCleanAddress(p)
		})
	}
}

// TestChromiumBackAtCallback: Google's redirect once more, after it has led to the
// page, leads there again, and from there on.
func TestChromiumBackAtCallback(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.goTo(tb.lastVisit(p.base + "/callback?"))
	tb.awaitSignedIn(ben)
	tb.awaitList()
	tb.wantCleanAddress(p)
	tb.click(`#sign-out`)
	tb.awaitSignedOut()
	tb.click(`#connect`) // which asks nothing
	tb.awaitSignedIn(ben)
	tb.awaitList()
	tb.wantCleanAddress(p)
}

// TestChromiumBackButton: back from the page is Google, which has been answered and
// leads to the page again; the page before that knows who is signed in too.
func TestChromiumBackButton(t *testing.T) {
	for _, way := range []string{"cookie", "handoff"} {
		t.Run(way, func(t *testing.T) {
			p := start(t, nil)
			tb := startChromium(t).openPage(p)
			tb.click(`#way-` + way)
			tb.connect(ben)
			for range 2 {
				tb.back()
				tb.awaitSignedIn(ben)
				tb.awaitList()
				tb.wantCleanAddress(p)
			}
		})
	}
}

func TestChromiumDenied(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.click(`#connect`)
	tb.answerConsent(consent{deny: true})
	tb.awaitText(`#notices`, "You did not allow access, so nothing was connected. access_denied")
	tb.awaitSignedOut()
	tb.wantCleanAddress(p)
	tb.connect(ben)
}

func TestChromiumUntickedThenTicked(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben, untick: []string{readonly}})
	tb.awaitText(`#notices`, "The box that allows reading mail was not ticked, so there is nothing to list. Connect again and tick it. missing_scope")
	tb.awaitSignedOut()
	tb.wantCleanAddress(p)
	tb.click(`#notices .primary`)
	tb.answerConsent(consent{})
	tb.awaitSignedIn(ben)
	tb.awaitList()
}

// TestChromiumSecondAccount: another one can be chosen, and takes the place of the
// first.
func TestChromiumSecondAccount(t *testing.T) {
	for _, way := range []string{"cookie", "handoff"} {
		t.Run(way, func(t *testing.T) {
			p := start(t, nil)
			tb := startChromium(t).openPage(p)
			tb.click(`#way-` + way)
			tb.connect(ada)
			tb.chooseAccount(ben)
		})
	}
}
