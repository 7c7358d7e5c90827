//go:build browser

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"example.com/gmailgrant/internal/fakegoogle"
)

// The people of the stand-in.
var (
	people = fakegoogle.DefaultAccounts()
	ada    = people[0]
	ben    = people[1]
)

const readonly = "https://www.googleapis.com/auth/gmail.readonly"

// startAcrossSites runs the command with the functions at 127.0.0.1 and the page at
// localhost, which are two sites.
func startAcrossSites(t *testing.T, env []string) *process {
	t.Helper()
	port := freePort(t)
	return start(t, append(env, "BASE_URL=http://127.0.0.1:"+port), "-port="+port)
}

// startBehind runs the command behind a handler, which passes requests on to the
// functions, or does not.
func startBehind(t *testing.T, handler func(w http.ResponseWriter, r *http.Request, functions http.Handler)) *process {
	t.Helper()
	port := freePort(t)
	functions := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)})
	functions.FlushInterval = -1
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(w, r, functions) }))
	t.Cleanup(front.Close)
	return start(t, []string{"BASE_URL=" + strings.Replace(front.URL, "127.0.0.1", host, 1)}, "-port="+port)
}

// consent is what somebody does on the consent page.
type consent struct {
	account fakegoogle.Account // the zero value: the one preselected
	untick  []string           // scopes
	deny    bool
}

// answerConsent fills in the consent page, once it is there.
func (tb *tab) answerConsent(c consent) {
	tb.t.Helper()
	tb.awaitVisible(`button[value=allow]`)
	if c.account.Sub != "" {
		tb.click(`input[name=account][value="` + c.account.Sub + `"]`)
	}
	for _, scope := range c.untick {
		tb.click(`input[name=scope][value="` + scope + `"]`)
	}
	if c.deny {
		tb.click(`button[value=deny]`)
		return
	}
	tb.click(`button[value=allow]`)
}

// openPage opens the demo page in a new tab.
func (c *chromium) openPage(p *process) *tab {
	c.t.Helper()
	tb := c.newTab(p.page)
	tb.expectStatus(401, "callback") // the answer to who is signed in while nobody is
	return tb
}

// connect signs in on the page, the first time, and waits for the list.
func (tb *tab) connect(who fakegoogle.Account) {
	tb.t.Helper()
	tb.click(`#connect`)
	tb.answerConsent(consent{account: who})
	tb.awaitSignedIn(who)
	tb.awaitList()
}

func (tb *tab) awaitSignedIn(who fakegoogle.Account) {
	tb.t.Helper()
	tb.awaitText(`#signed-in`, who.Email)
}

func (tb *tab) awaitSignedOut() {
	tb.t.Helper()
	tb.awaitVisible(`#connect`)
}

// awaitList waits until a list has been read to its end.
func (tb *tab) awaitList() {
	tb.t.Helper()
	tb.await(`document.querySelector('#rows')?.ariaBusy === 'false' && /message/.test(document.querySelector('#count')?.innerText)`)
}

func (tb *tab) rows() int {
	tb.t.Helper()
	return evaluate[int](tb, `document.querySelectorAll('#rows .message').length`)
}

// wantCleanAddress checks that the answer of a sign-in has left the address.
func (tb *tab) wantCleanAddress(p *process) {
	tb.t.Helper()
	if address := tb.address(); address != p.page {
		tb.t.Errorf("the page is at %s, want %s", address, p.page)
	}
}

// atGoogle says whether the tab is on the consent page.
func (tb *tab) atGoogle() bool {
	tb.t.Helper()
	return evaluate[bool](tb, `document.querySelector('button[value=allow]') !== null`)
}

// reload is the user's.
var reload = chromedp.Reload()

// clickTrial presses the button of an error to try, and says whether it is there.
func clickTrial(title string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#trial-buttons button')].some((b) => b.innerText.includes(%q) && (b.click(), true))`, title)
}
