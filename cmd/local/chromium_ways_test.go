//go:build browser

package main

import "testing"

// TestChromiumWays: each way in that the page offers, from signing in to the end of
// the grant.
func TestChromiumWays(t *testing.T) {
	tests := []struct {
		name  string
		start func(*testing.T, []string) *process
		way   string
	}{
		{"cookie", startSameSite, "cookie"},
		{"hand-off", startSameSite, "handoff"},
		{"popup", startSameSite, "popup"},
		{"hand-off across sites", startAcrossSites, "handoff"},
		{"popup across sites", startAcrossSites, "popup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.start(t, []string{popupOn})
			c := startChromium(t)
			c.wantThirdPartyCookies(false)
			tb := c.openPage(p)
			tb.click(`#way-` + tt.way)
			tb.awaitSignedOut()
			c.connectBy(tt.way, tb)
			tb.wantNothingLeft(p)
			tb.do(reload)
			tb.awaitSignedIn(ben)
			tb.awaitList()

			tb.click(`#sign-out`)
			tb.awaitSignedOut()
			tb.do(reload)
			c.connectBy(tt.way, tb)

			tb.click(`#disconnect`)
			tb.click(`#confirm button[value=cancel]`)
			tb.awaitSignedIn(ben)
			tb.click(`#disconnect`)
			tb.click(`#confirm button[value=revoke]`)
			tb.awaitText(`#notices`, "The grant is gone")
			tb.awaitSignedOut()
			c.connectBy(tt.way, tb)
		})
	}
}

func startSameSite(t *testing.T, env []string) *process {
	t.Helper()
	return start(t, env)
}

// connectBy signs in on the page by a way, with consent where that is asked for.
func (c *chromium) connectBy(way string, tb *tab) {
	c.t.Helper()
	if way == "popup" {
		c.popup(tb, func() { tb.click(`#connect`) }).answerConsent(consent{account: ben})
	} else {
		tb.click(`#connect`)
		tb.await(`document.querySelector('button[value=allow], #signed-in:not([hidden])')`)
		if tb.atGoogle() {
			tb.answerConsent(consent{account: ben})
		}
	}
	tb.awaitSignedIn(ben)
	tb.awaitList()
}

// wantNothingLeft checks that no secret is left where other scripts, the history or
// other tabs find it.
func (tb *tab) wantNothingLeft(p *process) {
	tb.t.Helper()
	tb.wantCleanAddress(p)
	if found := evaluate[string](tb, `document.cookie + Object.values(localStorage)`); found != "" {
		tb.t.Errorf("for everybody to read: %s", found)
	}
}

// TestChromiumCookieAcrossSites: the page does not offer what can't work there, and
// who tries is told.
func TestChromiumCookieAcrossSites(t *testing.T) {
	p := startAcrossSites(t, nil)
	tb := startChromium(t).openPage(p)
	tb.awaitSignedOut()
	if !evaluate[bool](tb, `document.querySelector('#way-cookie').disabled`) {
		t.Error("the page offers the cookie way")
	}
	tb.awaitText(`#about-way`, "The cookie is not to be had here: the functions are on another site. Google’s popup is off")
	tb.expect(`^network: .* 400 `)
	tb.goTo(p.base + "/authurl?return_to=" + p.page)
	tb.awaitText(`body`, "code_challenge")
}
