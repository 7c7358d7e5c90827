//go:build browser

package main

import "testing"

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
