//go:build browser

package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestChromiumRevokedWhileListing: what has arrived stays on the page, and the way
// back leads over consent.
func TestChromiumRevokedWhileListing(t *testing.T) {
	for _, way := range []string{"cookie", "handoff"} {
		t.Run(way, func(t *testing.T) {
			p := start(t, nil)
			tb := startChromium(t).openPage(p)
			tb.click(`#way-` + way)
			tb.connect(ada)
			tb.expectStatus(401, "listmessages")
			tb.tryTrial("Access revoked halfway")
			tb.awaitText(`#list-end`, "Access was revoked while listing, so the list ends early.")
			if tb.rows() == 0 {
				t.Error("what had arrived is gone")
			}
			tb.click(`#list-end .primary`)
			tb.answerConsent(consent{})
			tb.awaitSignedIn(ada)
			tb.awaitList()
		})
	}
}

// tryTrial presses the button of an error to try.
func (tb *tab) tryTrial(title string) {
	tb.t.Helper()
	tb.await(`document.querySelector('#trials').open || (document.querySelector('#trials summary').click(), false)`)
	tb.await(clickTrial(title))
}

func (tb *tab) awaitRows(n int) {
	tb.t.Helper()
	tb.await(fmt.Sprintf(`document.querySelectorAll('#rows .message').length === %d`, n))
	tb.awaitList()
}

// awaitFocus waits until an element has the focus.
func (tb *tab) awaitFocus(selector string) {
	tb.t.Helper()
	tb.await(fmt.Sprintf(`document.activeElement.matches(%q)`, selector))
}

// TestChromiumListGoesOn: by hand where there is more, where it could not go on, and
// by itself after a pause that can be seen.
func TestChromiumListGoesOn(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ada)
	tb.awaitRows(50)
	tb.awaitText(`#count`, "50 messages, and there are more.")
	tb.click(`#way-on button`)
	tb.awaitRows(100)
	tb.awaitFocus(`#rows .message:nth-child(51) button`)

	tb.tryTrial("Gmail throttles halfway")
	tb.awaitText(`#list-end`, "Gmail asks to slow down, so the list ends early. Try again in 30 minutes.")
	before := tb.rows()
	tb.click(`#way-on .primary`)
	tb.awaitRows(before + 50)

	tb.tryTrial("Gmail throttles for a moment")
	tb.awaitText(`#progress`, "The list goes on by itself in 25 s.")
	if !evaluate[bool](tb, `(({ top, bottom }) => top > 0 && bottom <= innerHeight)(document.querySelector('#countdown').getBoundingClientRect())`) {
		t.Error("the pause is out of sight")
	}
	if got := evaluate[string](tb, `document.querySelector('#pause').textContent`); got != "Gmail asks to slow down. The list goes on by itself in 25 s." {
		t.Errorf("who can't see it is told %q", got)
	}
	tb.awaitText(`#progress`, "in 24 s.")
	tb.press(kb.Escape)
	tb.click(`#unread`) // another list ends the wait
	tb.awaitList()
	tb.await(`document.querySelector('#countdown').textContent === ''`)
}

// TestChromiumListIsLeft: what nobody waits for any more is not fetched to its end.
func TestChromiumListIsLeft(t *testing.T) {
	p, wire := startOnWire(t)
	tb := startChromium(t).openPage(p)
	tb.connect(ada)

	h := wire.hold(mailOf("1", "Ada <ada@example.org>", "One", "", ""))
	tb.click(`#unread`)
	await(t, "a list is asked for", h.begun)
	tb.await(`document.querySelector('#rows').ariaBusy === 'true' && document.querySelector('#progress').checkVisibility() && document.querySelector('#progress-count').innerText === '1'`)
	tb.await(`document.querySelector('#progress-bar').value === 1 && document.querySelector('#progress-bar').max === 50`)
	tb.click(`#unread`)
	await(t, "a new search ends the old one", h.left)
	tb.awaitRows(50)
	tb.await(`!document.querySelector('#progress').checkVisibility()`)

	h = wire.hold()
	tb.click(`#rows .message button`)
	await(t, "a message is asked for", h.begun)
	tb.awaitText(`#reader`, "Opening…")
	tb.press(kb.Escape)
	await(t, "closing the reader ends it", h.left)

	h = wire.hold()
	tb.click(`#rows .message button`)
	await(t, "a message is asked for", h.begun)
	evaluate[any](tb, `document.querySelector('#reader-close').click(), document.querySelector('#rows .message button').click()`)
	await(t, "opening another at once ends it", h.left)
	tb.awaitVisible(`#reader .text`) // which is not ended with it
}

// TestChromiumListCut: a list that breaks off and can't go on shows what has come, and
// goes on without showing it again.
func TestChromiumListCut(t *testing.T) {
	p, wire := startOnWire(t)
	tb := startChromium(t).openPage(p)
	tb.connect(ada)
	tb.expectStatus(403, "listmessages")
	wire.useOnce(func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		wire.useOnce(func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
			writeRefusal(w, p)
		})
		cutAfter(20)(w, r, functions)
	})
	tb.click(`#search button`)
	tb.awaitText(`#list-end`, "Something went wrong, so the list ends early.")
	if n := tb.rows(); n != 20 {
		t.Errorf("%d messages, want the 20 that came", n)
	}
	tb.awaitText(`#count`, "20 messages, and there are more.")
	tb.click(`#way-on .primary`)
	tb.awaitRows(50)
}

// writeRefusal is a failure after which no list goes on by itself.
func writeRefusal(w http.ResponseWriter, p *process) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", p.page[:len(p.page)-1])
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `{"reason":"domain_policy","status":403}`)
}
