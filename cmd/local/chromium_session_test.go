//go:build browser

package main

import (
	"testing"
)

// TestChromiumSignOut: the session ends and the grant stays, so that connecting
// again asks nothing.
func TestChromiumSignOut(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.click(`#sign-out`)
	tb.awaitSignedOut()
	tb.do(reload)
	tb.awaitSignedOut()
	tb.click(`#connect`)
	tb.awaitSignedIn(ben)
	tb.awaitList()
}

// TestChromiumDisconnect: the grant is gone, here and at Google, which asks again.
func TestChromiumDisconnect(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.click(`#disconnect`)
	tb.click(`#confirm button[value=cancel]`)
	tb.awaitSignedIn(ben)
	tb.click(`#disconnect`)
	tb.click(`#confirm button[value=revoke]`)
	tb.awaitSignedOut()
	tb.connect(ben)
}

// TestChromiumRevokedWhileListing: what has arrived stays on the page, and the way
// back leads over consent.
func TestChromiumRevokedWhileListing(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ada)
	tb.expectStatus(401, "listmessages")
	tb.click(`#trials summary`)
	tb.await(clickTrial("Access revoked halfway"))
	tb.awaitText(`#list-end`, "revoked")
	if tb.rows() == 0 {
		t.Error("what had arrived is gone")
	}
	tb.click(`#list-end .primary`)
	tb.answerConsent(consent{})
	tb.awaitSignedIn(ada)
	tb.awaitList()
}
