//go:build browser

package main

import (
	"fmt"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

// script calls a function from the page with its cookie, as another tab of it does.
func (tb *tab) script(method, address string) {
	tb.t.Helper()
	status := evaluate[int](tb, fmt.Sprintf(`fetch(%q, { method: %q, credentials: 'include' }).then(({ status }) => status)`, address, method))
	if status != 204 {
		tb.t.Fatalf("%s %s: %d", method, address, status)
	}
}

// become signs in another user, in the cookie way.
func (tb *tab) become(who fakegoogle.Account) {
	tb.t.Helper()
	tb.toFront()
	tb.do(reload)
	tb.chooseAccount(who)
}

// chooseAccount signs out and chooses another account at Google.
func (tb *tab) chooseAccount(who fakegoogle.Account) {
	tb.t.Helper()
	tb.click(`#sign-out`)
	tb.awaitSignedOut()
	tb.click(`#other-account`)
	tb.answerConsent(consent{account: who})
	tb.awaitSignedIn(who)
	tb.awaitList()
}

// TestChromiumAnotherTabsUser: a tab never acts for somebody else than it shows.
func TestChromiumAnotherTabsUser(t *testing.T) {
	p := start(t, nil)
	c := startChromium(t)
	one, two := c.openPage(p), c.openPage(p)
	one.toFront()
	one.connect(ada)
	// In this browser no tab is ever hidden: they are like windows side by side.
	two.become(ben)
	one.toFront()
	one.awaitSignedIn(ada)
	one.click(`#disconnect`)
	one.awaitText(`#notices`, "Somebody else has signed in meanwhile.")
	one.awaitSignedIn(ben)
	if evaluate[bool](one, `document.querySelector('#confirm').open`) {
		t.Error("the dialog is about somebody else")
	}
	one.awaitList()
	one.click(`#disconnect`)
	one.awaitVisible(`#confirm`)
	one.awaitText(`#confirm`, "The grant of "+ben.Email+" is revoked")

	two.become(ada)
	one.toFront()
	one.click(`#confirm button[value=revoke]`)
	one.awaitSignedIn(ada)
	one.awaitList()

	two.become(ben) // who is asked for the account only: the grant is still there
	one.toFront()
	one.click(`#rows .message button`)
	one.awaitSignedIn(ben)
	one.await(`!document.querySelector('#reader').open`)

	two.become(ada)
	evaluate[any](one, `document.dispatchEvent(new Event('visibilitychange'))`) // as of a tab that was behind
	one.awaitSignedIn(ada)
}

// TestChromiumPageAsItWas: one that the back button brings back with what it showed
// asks again.
func TestChromiumPageAsItWas(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	again := func() {
		evaluate[any](tb, `window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))`)
		tb.awaitSignedOut()
		tb.awaitText(`#notices`, "You have signed out meanwhile.")
	}
	tb.connect(ada)
	tb.script("DELETE", p.base+"/callback")
	again()

	tb.click(`#way-handoff`)
	tb.awaitSignedOut()
	tb.click(`#connect`) // which asks nothing
	tb.awaitSignedIn(ada)
	tb.awaitList()
	evaluate[any](tb, `sessionStorage.clear()`)
	again()
}

// TestChromiumRevoked: what any 401 does to the page, wherever the user is on it.
func TestChromiumRevoked(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.expectStatus(401, "listmessages")
	tb.tryTrial("Access revoked at Google")
	tb.awaitText(`#trial-answer`, "Access was revoked at Google")
	tb.awaitText(`#notices`, "Access was revoked at Google, so the account is not connected any more.")
	tb.awaitSignedOut()
	if evaluate[bool](tb, `document.querySelector('#mail').checkVisibility()`) || tb.rows() != 0 {
		t.Error("the mail is still there")
	}
	tb.click(`#notices .primary`)
	tb.answerConsent(consent{account: ben})
	tb.awaitSignedIn(ben)
	tb.awaitList()

	tb.script("POST", p.page+"stand-in/revoke?sub="+ben.Sub)
	tb.click(`#rows .message button`)
	tb.awaitText(`#notices`, "Access was revoked at Google")
	tb.awaitSignedOut()
	tb.awaitFocus(`#connect`)
	tb.click(`#notices .link`)
	tb.await(`document.querySelector('#notices').innerText === ''`)
	tb.awaitFocus(`#main`)
}

// TestChromiumNotAllAllowed: signed in, but without a scope of the deployment.
func TestChromiumNotAllAllowed(t *testing.T) {
	const calendar = "https://www.googleapis.com/auth/calendar.readonly"
	p := start(t, []string{"SCOPES=openid email profile " + readonly + " " + calendar})
	tb := startChromium(t).openPage(p)
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben, untick: []string{calendar}})
	tb.awaitSignedIn(ben)
	tb.awaitText(`#notices`, "not everything was allowed. Missing: "+calendar)
	tb.awaitList()
	tb.click(`#notices .primary`)
	tb.answerConsent(consent{})
	tb.awaitSignedIn(ben)
	tb.await(`document.querySelector('#notices').innerText === ''`)
}

// TestChromiumForeignReturn: an answer that the page did not ask for changes nothing,
// and the page says so.
func TestChromiumForeignReturn(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.goTo(p.page + "?code=theirs&state=theirs")
	tb.awaitText(`#notices`, "The answer of a sign-in that this tab did not start was ignored.")
	tb.awaitSignedIn(ben)
	tb.wantCleanAddress(p)
}
