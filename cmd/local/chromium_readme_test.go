//go:build browser

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// snippet is the first piece of code below a heading of the README that has a text in
// it.
func snippet(t *testing.T, heading, has string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n#### "+heading+"\n")
	for _, found := range regexp.MustCompile("(?s)```(?:js|html)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		if strings.Contains(found[1], has) {
			return found[1]
		}
	}
	t.Fatalf("no code with %q below %s", has, heading)
	return ""
}

// replacing replaces each first text by the second; all have to be there.
func replacing(t *testing.T, code string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(code, pairs[i]) {
			t.Fatalf("%q is not in\n%s", pairs[i], code)
		}
		code = strings.ReplaceAll(code, pairs[i], pairs[i+1])
	}
	return code
}

// serveSnippet serves a page with the snippet at a host, and runs the command for it.
func serveSnippet(t *testing.T, at string, page func(p *process) string, env ...string) *frontEnd {
	t.Helper()
	app := httptest.NewUnstartedServer(nil)
	origin := "http://" + strings.Replace(app.Listener.Addr().String(), "127.0.0.1", at, 1)
	p := start(t, append(env, "ALLOWED_ORIGINS="+origin))
	body := `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>README</title>` + page(p)
	app.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, body)
	})
	app.Start()
	t.Cleanup(app.Close)
	return &frontEnd{p, origin + "/"}
}

// TestChromiumReadmeModule: the first front end of the README, as it stands there, by
// both ways.
func TestChromiumReadmeModule(t *testing.T) {
	code := snippet(t, "With the module", "gmail.messages")
	for at, way := range map[string]string{sameSite: "'cookie'", otherSite: "'handoff'"} {
		t.Run(way, func(t *testing.T) {
			f := serveSnippet(t, at, func(p *process) string {
				return replacing(t, code, "http://localhost:8081/", p.page, "http://localhost:8080", p.base, "way: 'cookie'", "way: "+way)
			})
			tb := startChromium(t).newTab(f.url)
			tb.expectStatus(401, "callback")
			tb.awaitVisible(`#connect`)
			if problem := evaluate[string](tb, `document.querySelector('#problem').innerText`); problem != "" {
				t.Errorf("a visitor who has done nothing is told %q", problem)
			}
			tb.click(`#connect`)
			tb.answerConsent(consent{deny: true})
			tb.awaitText(`#problem`, "access_denied")
			tb.click(`#connect`)
			tb.answerConsent(consent{account: ada})
			tb.await(`document.querySelectorAll('#mail li').length === 50`)
		})
	}
}

// TestChromiumReadmeFetch: those without the module.
func TestChromiumReadmeFetch(t *testing.T) {
	t.Run("cookie", func(t *testing.T) {
		code := snippet(t, "With `fetch`", "credentials: 'include'")
		f := serveSnippet(t, sameSite, func(p *process) string {
			return `<button id="connectButton">Connect</button><p id="result"></p><script type="module">` +
				replacing(t, code, "http://localhost:8080", p.base) +
				`document.querySelector('#result').textContent = list.reason ?? list.messages.length;</script>`
		})
		tb := startChromium(t).newTab(f.url)
		tb.expectStatus(401, "listmessages")
		tb.awaitText(`#result`, "no_session")
		tb.click(`#connectButton`)
		tb.answerConsent(consent{account: ada})
		tb.awaitText(`#result`, "20")
	})
	t.Run("hand-off", func(t *testing.T) {
		code := snippet(t, "With `fetch`", "code_verifier")
		f := serveSnippet(t, otherSite, func(p *process) string {
			return `<button id="connectButton">Connect</button><p id="result"></p><script type="module">` +
				replacing(t, code, "http://localhost:8080", p.base) +
				`document.querySelector('#connectButton').onclick = () => connect();
				document.querySelector('#result').textContent = list ? (await list.json()).messages.length : 'nobody';</script>`
		})
		tb := startChromium(t).newTab(f.url + "?code=theirs&state=theirs")
		tb.awaitText(`#result`, "nobody")
		tb.click(`#connectButton`)
		tb.answerConsent(consent{account: ada})
		tb.awaitText(`#result`, "20")
		tb.do(reload)
		tb.awaitText(`#result`, "20")
		if address := tb.address(); address != f.url {
			t.Errorf("the page is at %s", address)
		}
	})
}

// TestChromiumReadmePopup: Google's script and addresses are the stand-in's, the rest
// is as it stands.
func TestChromiumReadmePopup(t *testing.T) {
	code := snippet(t, "With Google's popup", "initCodeClient")
	f := serveSnippet(t, otherSite, func(p *process) string {
		standIn := popupOf(t, p)
		return replacing(t, code,
			"https://accounts.google.com/gsi/client", standIn.GSI,
			"./gmailgrant.js", p.page+"gmailgrant.js",
			"https://europe-west1-my-project.cloudfunctions.net", p.base,
			"….apps.googleusercontent.com", standIn.ClientID)
	}, popupOn)
	c := startChromium(t)
	tb := c.newTab(f.url)
	tb.expectStatus(403, "callback")
	connect := func() *tab { return c.popup(tb, func() { tb.click(`#popup`) }) }
	connect().answerConsent(consent{deny: true})
	tb.awaitText(`#user`, "access_denied")
	connect().answerConsent(consent{account: ben, untick: []string{readonly}})
	tb.awaitText(`#user`, "missing_scope")
	tb.click(`#again`)
	tb.answerConsent(consent{account: ben})
	tb.awaitText(`#user`, ben.Email)
}
