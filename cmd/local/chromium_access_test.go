//go:build browser

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// heard is what a screen reader is given of the page: "role name" of each node that
// has both, and its description behind that if it has one.
func (tb *tab) heard() []string {
	tb.t.Helper()
	tree, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		tb.t.Fatal(err)
	}
	var all []string
	for _, node := range tree.Nodes {
		if !node.Ignored && textOf(node.Name) != "" && textOf(node.Role) != "InlineTextBox" {
			all = append(all, strings.TrimSpace(textOf(node.Role)+" "+textOf(node.Name)+" "+textOf(node.Description)))
		}
	}
	return all
}

func textOf(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var text string
	_ = json.Unmarshal([]byte(v.Value), &text) // what is no text counts as none
	return text
}

func (tb *tab) wantHeard(want ...string) {
	tb.t.Helper()
	heard := tb.heard()
	for _, w := range want {
		if !slices.ContainsFunc(heard, func(h string) bool { return strings.HasPrefix(h, w) }) {
			tb.t.Errorf("%q is not in the accessibility tree:\n%s", w, strings.Join(heard, "\n"))
		}
	}
}

// TestChromiumScreenReader: names for everything that can be used, in every state, and
// regions that speak up.
func TestChromiumScreenReader(t *testing.T) {
	p, wire := startOnWire(t)
	tb := startChromium(t).openPage(p)
	tb.awaitSignedOut()
	if lang := evaluate[string](tb, `document.documentElement.lang`); lang != "en" {
		t.Errorf("the page is in %q", lang)
	}
	tb.wantHeard("RootWebArea gmailgrant demo", "complementary About the data", "heading gmailgrant", "region Account", "button Connect Gmail", "button Choose the account",
		"group Way in The session is in a cookie", "radio Cookie", "radio Hand-off", "radio Google’s popup", "link Skip to the content")
	for selector, want := range map[string]string{"#notices": "polite", "#count": "status", "#shortfall": "status", "#pause": "status", "#trial-answer": "status"} {
		if got := evaluate[string](tb, fmt.Sprintf(`(({ ariaLive, role }) => ariaLive ?? role)(document.querySelector(%q))`, selector)); got != want {
			t.Errorf("%s is %q, want %q", selector, got, want)
		}
	}

	tb.connect(ada)
	tb.wantHeard("region Messages", "searchbox Search", "combobox Label", "checkbox Unread only", "button Search",
		"list Messages", "button Disconnect…", "button Sign out", "StaticText 50 messages, and there are more.", "button Load more")
	h := wire.hold(mailOf("1", "Ada <ada@example.org>", "One", "", ""))
	tb.click(`#unread`)
	await(t, "a list is asked for", h.begun)
	tb.await(`document.querySelector('#rows').ariaBusy === 'true' && document.querySelectorAll('#rows .message').length === 1`)
	tb.wantHeard("progressbar Messages received")
	tb.click(`#unread`)
	tb.awaitRows(50)

	tb.click(`#rows .message button`)
	tb.awaitVisible(`#reader .text`)
	tb.wantHeard("dialog "+evaluate[string](tb, `document.querySelector('#rows .message button').innerText.split('\n').pop()`), "button Close")
	tb.awaitFocus(`#reader-content`)
	tb.click(`#reader-close`)
	tb.click(`#disconnect`)
	tb.awaitVisible(`#confirm`)
	tb.wantHeard("dialog Disconnect Gmail?", "button Keep it", "button Disconnect")
	tb.click(`#confirm button[value=cancel]`)
}

// TestChromiumFocus: it is never lost with what had it, and nothing covers it.
func TestChromiumFocus(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.click(`#sign-out`)
	tb.awaitText(`#notices`, "Signed out. The grant is kept: connecting again asks nothing.")
	tb.awaitFocus(`#connect`)
	tb.click(`#connect`) // which asks nothing
	tb.awaitSignedIn(ben)
	tb.awaitList()

	tb.click(`#disconnect`)
	tb.click(`#confirm button[value=revoke]`)
	tb.awaitText(`#notices`, "Disconnected. The grant is gone.")
	tb.awaitFocus(`#connect`)

	tb.emulate(390, 300, "light")
	tb.await(`parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) > document.querySelector('#notices').offsetHeight`)
	const gap = `document.querySelector('#connect').getBoundingClientRect().top - document.querySelector('#notices').getBoundingClientRect().bottom`
	evaluate[any](tb, `document.activeElement.blur(), scrollBy(0, document.querySelector('#connect').getBoundingClientRect().top - 20)`)
	if evaluate[float64](tb, gap) > 0 {
		t.Fatal("the notice does not stay in sight")
	}
	evaluate[any](tb, `document.querySelector('#connect').focus()`)
	if evaluate[float64](tb, gap) < 0 {
		t.Error("the notice covers what has the focus")
	}
}

// TestChromiumNothingJumps: what a page shows first stays where it is while the rest
// arrives, as Core Web Vitals measure it: less than 0.1 is good.
func TestChromiumNothingJumps(t *testing.T) {
	const most = 0.04
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	shift := func() float64 {
		return evaluate[float64](tb, `new Promise((done) => {
			let sum = 0;
			const add = (list) => list.getEntries().forEach((entry) => { sum += entry.value; });
			new PerformanceObserver(add).observe({ type: 'layout-shift', buffered: true });
			requestAnimationFrame(() => setTimeout(() => done(sum), 50));
		})`)
	}
	for _, width := range []int64{1000, 390} {
		tb.emulate(width, 844, "light")
		tb.do(reload)
		tb.awaitSignedOut()
		if s := shift(); s >= most {
			t.Errorf("%d pixels wide, signed out: %.3f", width, s)
		}
	}
	tb.connect(ada)
	for _, width := range []int64{390, 1000} {
		tb.emulate(width, 844, "light")
		tb.do(reload)
		tb.awaitList()
		if s := shift(); s >= most {
			t.Errorf("%d pixels wide, signed in: %.3f", width, s)
		}
	}
}
