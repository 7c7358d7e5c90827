//go:build browser

package main

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const popupOn = "POPUP_FLOW=on"

// openPopup presses the button and returns Google's window.
func (c *chromium) openPopup(opener *tab) *tab {
	c.t.Helper()
	return c.popup(opener, func() { opener.click(`#connect-popup`) })
}

// gesture runs an expression as if the user had done it.
func (tb *tab) gesture(expression string) {
	tb.t.Helper()
	asUser := func(p *runtime.EvaluateParams) { p.UserGesture = new(true) }
	ctx, cancel := tb.step()
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](expression, asUser)); err != nil {
		tb.t.Fatal(err)
	}
}

// block lets the tab load nothing from an address like one of the patterns.
func (tb *tab) block(patterns ...string) {
	tb.t.Helper()
	var blocked network.SetBlockedURLsParams
	for _, pattern := range patterns {
		blocked.URLPatterns = append(blocked.URLPatterns, &network.BlockPattern{URLPattern: pattern, Block: true})
	}
	if _, err := chromedp.Call(tb.ctx, network.SetBlockedURLs, blocked); err != nil {
		tb.t.Fatal(err)
	}
}

// TestChromiumPopup: Google's popup, on the site of the functions and on another.
func TestChromiumPopup(t *testing.T) {
	for name, at := range map[string]string{"same site": sameSite, "across sites": otherSite} {
		t.Run(name, func(t *testing.T) {
			f := startFrontEnd(t, at, popupOn)
			c := startChromium(t)
			c.wantThirdPartyCookies(false)
			tb := c.newTab(f.url)
			tb.awaitText(`#user`, "nobody")
			c.openPopup(tb).answerConsent(consent{account: ben})
			tb.awaitText(`#user`, ben.Email)
			tb.awaitMail()
			tb.do(reload)
			tb.awaitText(`#user`, ben.Email)
			tb.awaitMail()
		})
	}
}

func TestChromiumPopupDenied(t *testing.T) {
	f := startFrontEnd(t, otherSite, popupOn)
	c := startChromium(t)
	tb := c.newTab(f.url)
	c.openPopup(tb).answerConsent(consent{deny: true})
	tb.awaitText(`#error`, "access_denied")
}

// TestChromiumPopupUntickedThenTicked: the first consent brought the only refresh
// token, in vain, and the popup can't ask for another; the error's URL can.
func TestChromiumPopupUntickedThenTicked(t *testing.T) {
	f := startFrontEnd(t, otherSite, popupOn)
	c := startChromium(t)
	tb := c.newTab(f.url)
	tb.expectStatus(403, "callback")
	tb.expectStatus(409, "callback")
	c.openPopup(tb).answerConsent(consent{account: ben, untick: []string{readonly}})
	tb.awaitText(`#error`, "missing_scope")
	c.openPopup(tb).answerConsent(consent{account: ben})
	tb.awaitText(`#error`, "no_refresh_token")
	tb.click(`#again`)
	tb.answerConsent(consent{account: ben})
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
}

func TestChromiumPopupClosed(t *testing.T) {
	f := startFrontEnd(t, otherSite, popupOn)
	c := startChromium(t)
	tb := c.newTab(f.url)
	popup := c.openPopup(tb)
	popup.awaitVisible(`button[value=allow]`)
	popup.close()
	tb.awaitText(`#error`, "popup_closed")
}

// TestChromiumPopupOfThePage: what the demo page asks for, and says when nothing comes.
func TestChromiumPopupOfThePage(t *testing.T) {
	p := start(t, []string{popupOn})
	c := startChromium(t)
	tb := c.openPage(p)
	tb.click(`#way-popup`)
	tb.awaitSignedOut()
	popup := c.popup(tb, func() { tb.click(`#connect`) })
	popup.awaitVisible(`button[value=allow]`)
	if got := evaluate[string](popup, `new URLSearchParams(location.search).get('include_granted_scopes')`); got != "false" {
		t.Errorf("the popup asks with include_granted_scopes=%s", got)
	}
	popup.close()
	tb.awaitText(`#notices`, "The window was closed before signing in was done. popup_closed")
}

// TestChromiumPopupAtOnce: a user who is faster than Google's script gets its window
// once the script is there.
func TestChromiumPopupAtOnce(t *testing.T) {
	p := start(t, []string{popupOn})
	c := startChromium(t)
	tb := c.openPage(p)
	tb.awaitSignedOut()
	popup := c.popup(tb, func() {
		tb.gesture(`document.querySelector('#way-popup').click(), document.querySelector('#connect').click()`)
	})
	popup.answerConsent(consent{account: ben})
	tb.awaitSignedIn(ben)
}

// TestChromiumPopupScriptFails: the page says so, and what failed to load is loaded
// when the user tries again.
func TestChromiumPopupScriptFails(t *testing.T) {
	p := start(t, []string{popupOn})
	c := startChromium(t)
	tb := c.openPage(p)
	tb.awaitSignedOut()
	tb.expect(`^network: Failed to load resource: net::ERR_BLOCKED_BY_CLIENT`)
	tb.block(`*://*:*/gsi/client`)
	tb.click(`#way-popup`)
	tb.awaitText(`#notices`, "popup_failed_to_load")
	tb.block()
	c.popup(tb, func() { tb.click(`#connect`) }).answerConsent(consent{account: ben})
	tb.awaitSignedIn(ben)
}

// TestChromiumPopupBlocked: a script that nobody's click has started gets no window.
func TestChromiumPopupBlocked(t *testing.T) {
	f := startFrontEnd(t, otherSite, popupOn)
	tb := startChromium(t).newTab(f.url)
	tb.awaitText(`#user`, "nobody")
	evaluate[any](tb, `document.querySelector('#connect-popup').click()`)
	tb.awaitText(`#error`, "popup_failed_to_open")
}

// TestChromiumPopupUnregistered: of a page on an origin that is not registered,
// Google's window asks nothing, and tells it nothing.
func TestChromiumPopupUnregistered(t *testing.T) {
	f := startFrontEnd(t, otherSite, popupOn)
	c := startChromium(t)
	tb := c.newTab(strings.Replace(f.url, otherSite, sameSite, 1))
	tb.awaitText(`#user`, "nobody")
	popup := c.openPopup(tb)
	popup.expect(`^network: .* 400 `)
	popup.awaitText(`body`, "origin_mismatch")
	popup.close()
	tb.awaitText(`#error`, "popup_closed")
}
