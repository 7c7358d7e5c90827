//go:build browser

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

//go:embed testdata/frontend.html
var frontEndHTML string

var frontEndPage = template.Must(template.New("front end").Parse(frontEndHTML))

// A frontEnd is an app of somebody's own on a port of its own: it imports the module
// from the page server as a user would.
type frontEnd struct {
	*process
	url string
}

// Hosts at which a front end can be: the functions are at localhost.
const (
	sameSite  = host
	otherSite = "127.0.0.1"
)

// startFrontEnd serves the app at a host, and runs the command for it.
func startFrontEnd(t *testing.T, at string, env ...string) *frontEnd {
	t.Helper()
	app := httptest.NewUnstartedServer(nil)
	origin := "http://" + strings.Replace(app.Listener.Addr().String(), "127.0.0.1", at, 1)
	p := start(t, append(env, "ALLOWED_ORIGINS="+origin))
	popup := popupOf(t, p)
	app.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		frontEndPage.Execute(w, map[string]any{
			"Module": p.page + "gmailgrant.js", "Base": p.base,
			"GSI": popup.GSI, "ClientID": popup.ClientID, "Scope": popup.Scope,
		})
	})
	app.Start()
	t.Cleanup(app.Close)
	return &frontEnd{p, origin + "/"}
}

// popupOf is what the command tells its page of the popup way.
func popupOf(t *testing.T, p *process) popup {
	t.Helper()
	response, err := http.Get(p.page + "config.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var config pageConfig
	if err := json.NewDecoder(response.Body).Decode(&config); err != nil {
		t.Fatal(err)
	}
	return config.popup
}

func (tb *tab) awaitMail() {
	tb.t.Helper()
	tb.await(`document.querySelector('#mail')?.dataset.complete === 'yes' && document.querySelectorAll('#mail li').length === 30`)
}

// wantThirdPartyCookies finds out whether pages of another site get at cookies that
// their server allows them.
func (c *chromium) wantThirdPartyCookies(want bool) {
	c.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Set-Cookie", "probe=1; SameSite=None; Secure; HttpOnly; Path=/")
		fmt.Fprintf(w, `<link rel="icon" href="data:,"><p>%s</p>`, r.Header.Get("Cookie"))
	}))
	c.t.Cleanup(server.Close)
	tb := c.newTab(server.URL)
	tb.goTo(server.URL)
	tb.awaitText("p", "probe=1") // its own page gets it
	tb.goTo(strings.Replace(server.URL, "127.0.0.1", host, 1))
	answer := evaluate[string](tb, fmt.Sprintf(`fetch(%q, { credentials: 'include' }).then((answer) => answer.text())`, server.URL))
	if got := strings.Contains(answer, "probe=1"); got != want {
		c.t.Errorf("a page of another site gets at cookies: %t, want %t", got, want)
	}
}

// TestChromiumThirdPartyCookies: the browsers of these tests block them, by the
// setting that this test switches off too.
func TestChromiumThirdPartyCookies(t *testing.T) {
	startChromium(t).wantThirdPartyCookies(false)
	startChromiumWith(t, allowThirdPartyCookies).wantThirdPartyCookies(true)
}

// TestChromiumModuleElsewhere: a page of another site imports the module and lists
// mail by the hand-off, with third-party cookies blocked.
func TestChromiumModuleElsewhere(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	c := startChromium(t)
	c.wantThirdPartyCookies(false)
	tb := c.newTab(f.url)
	tb.awaitText(`#user`, "nobody")
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben})
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
	if address := tb.address(); address != f.url {
		t.Errorf("the answer of the sign-in is still in the address %s", address)
	}
	tb.do(reload)
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
	tb.click(`#sign-out`)
	tb.awaitText(`#user`, "nobody")
	tb.click(`#connect`) // which asks nothing
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
}

func TestChromiumHandOffTwoFirstTabs(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	c := startChromium(t)
	one, two := c.newTab(f.url), c.newTab(f.url)
	for _, tb := range []*tab{one, two} {
		tb.toFront()
		tb.click(`#connect`)
		tb.awaitVisible(`button[value=allow]`)
	}
	for _, tb := range []*tab{one, two} {
		tb.toFront()
		tb.answerConsent(consent{account: ben})
		tb.awaitText(`#user`, ben.Email)
		tb.awaitMail()
	}
}

func TestChromiumHandOffDenied(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	tb := startChromium(t).newTab(f.url)
	tb.click(`#connect`)
	tb.answerConsent(consent{deny: true})
	tb.awaitText(`#error`, "access_denied")
	tb.awaitText(`#user`, "nobody")
	if address := tb.address(); address != f.url {
		t.Errorf("the page is at %s", address)
	}
}

func TestChromiumHandOffUntickedThenTicked(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	tb := startChromium(t).newTab(f.url)
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben, untick: []string{readonly}})
	tb.awaitText(`#error`, "missing_scope")
	tb.click(`#again`)
	tb.answerConsent(consent{account: ben})
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
}

// TestChromiumHandOffBackAtCallback: Google's redirect once more brings an answer
// that this tab no longer waits for; it changes nothing.
func TestChromiumHandOffBackAtCallback(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	tb := startChromium(t).newTab(f.url)
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben})
	tb.awaitMail()
	tb.goTo(tb.lastVisit(f.base + "/callback?"))
	tb.awaitText(`#user`, ben.Email)
	tb.awaitMail()
	if address := tb.address(); address != f.url {
		t.Errorf("the page is at %s", address)
	}
}

// TestChromiumRenewal: a session that has ended is replaced on the way, and nobody is
// asked.
func TestChromiumRenewal(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	tb := startChromium(t).newTab(f.url)
	tb.click(`#connect`)
	tb.answerConsent(consent{account: ben})
	tb.awaitMail()
	ended := evaluate[int](tb, `Object.keys(sessionStorage).filter((key) => key.startsWith('gmailgrant.session')).map((key) => {
		sessionStorage[key] = sessionStorage[key].replace(/"session":"[^"]*"/, '"session":"ended"');
	}).length`)
	if ended != 1 {
		t.Fatalf("%d sessions", ended)
	}
	tb.expectStatus(401, "callback")
	first := tb.lastVisit(f.base + "/authurl?")
	tb.do(reload)
	tb.awaitMail()
	if tb.lastVisit(f.base+"/authurl?") == first {
		t.Error("no new session was fetched")
	}
	tb.awaitText(`#user`, ben.Email)
}

// TestChromiumForeignCode: a hand-off code that this tab did not ask for, as in a
// link of somebody else, signs nobody in.
func TestChromiumForeignCode(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	somebody := startChromium(t).newTab(f.url)
	somebody.click(`#connect`)
	somebody.answerConsent(consent{account: ada})
	somebody.awaitMail()

	tb := startChromium(t).newTab(somebody.lastVisit(f.url + "?code="))
	tb.awaitText(`#user`, "nobody")
	if address := tb.address(); address != f.url {
		t.Errorf("the page is at %s", address)
	}
}

// TestChromiumHandOffDisconnect: the grant is gone, so that the other tab's session
// is too.
func TestChromiumHandOffDisconnect(t *testing.T) {
	f := startFrontEnd(t, otherSite)
	c := startChromium(t)
	one, two := c.newTab(f.url), c.newTab(f.url)
	one.toFront()
	one.click(`#connect`)
	one.answerConsent(consent{account: ben})
	one.awaitMail()
	two.toFront()
	two.click(`#connect`) // which asks nothing
	two.awaitMail()

	one.toFront()
	one.click(`#disconnect`)
	one.awaitText(`#user`, "nobody")
	two.expectStatus(401, "(callback|listmessages)")
	two.toFront()
	two.do(reload)
	two.awaitText(`#error`, "not_connected")
	two.click(`#again`)
	two.answerConsent(consent{account: ben})
	two.awaitText(`#user`, ben.Email)
}
