package gmailgrant

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/site"
)

// Who may call a function, from where and with what: every combination is sent
// and compared with what the contract says of it, which crossing.want says a
// second time.

// methodsOf are the methods of the functions, as Allow has to name them.
var methodsOf = map[string]string{"authurl": "GET", "callback": "DELETE, GET, POST", "listmessages": "GET"}

// madeFor names the origin that a credential's session was made for. Beside a
// Bearer session the cookie counts for nothing.
var madeFor = map[string]string{"cookie": frontEnd, "Bearer": foreignSite, "both": foreignSite}

// A crossing is a call as a browser or another client may make it. What is empty
// is not sent.
type crossing struct {
	method, function, query string
	origin                  string
	site                    string // Sec-Fetch-Site
	credential              string // cookie, Bearer, or both
}

// want is the status that the contract gives the call, and the reason if it is
// refused.
func (c crossing) want(allowed bool) (status int, reason endpoint.Reason) {
	elsewhere := !slices.Contains([]string{"", "same-origin", "none"}, c.site) // and the browser says so
	switch {
	case c.origin != "" && !allowed:
		return 403, "origin_not_allowed"
	case !slices.Contains(strings.Split(methodsOf[c.function], ", "), c.method):
		return 405, "method_not_allowed"
	case c.method != "GET" && elsewhere && !allowed:
		return 403, "origin_not_allowed"
	case c.function == "authurl":
		return 200, ""
	case c.method == "POST" && c.origin != "" && c.origin != foreignSite: // whose code it is
		return 400, "code_exchange_failed"
	case c.method == "POST":
		return 200, ""
	case c.method == "DELETE" && c.query == "":
		return 204, ""
	case c.credential == "cookie" && elsewhere && !allowed:
		return 403, "origin_not_allowed"
	case c.credential == "" || c.origin != "" && c.origin != madeFor[c.credential]:
		return 401, "no_session"
	}
	return 200, ""
}

// A crossroads is where the calls come from: it has a session of each kind, and
// sends what it is told and nothing else.
type crossroads struct {
	*browser
	w              *world
	cookie, bearer string
	trade          string // the body that trades a hand-off code
}

func newCrossroads(t *testing.T) *crossroads {
	t.Helper()
	w := newWorld(t, 1, nil)
	x := &crossroads{browser: w.newBrowser(t), w: w}
	x.client.Jar = nil
	x.connect()
	return x
}

// connect signs in both ways.
func (x *crossroads) connect() {
	x.t.Helper()
	b := x.w.newBrowser(x.t)
	b.signIn(choice{account: ben.Sub})
	code, verifier := b.handOffCode(choice{})
	x.cookie = b.cookie()
	x.trade = members("code", code, "code_verifier", verifier)
	x.bearer = b.trade(foreignSite, code, verifier).session(x.t)
}

func (x *crossroads) send(c crossing) *answer {
	x.t.Helper()
	header := http.Header{}
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Origin", c.origin)
	set("Sec-Fetch-Site", c.site)
	if c.credential == "cookie" || c.credential == "both" {
		set("Cookie", "gmailgrant="+x.cookie)
	}
	if c.credential == "Bearer" || c.credential == "both" {
		set("Authorization", "Bearer "+x.bearer)
	}
	body := ""
	if c.method == http.MethodPost {
		set("Content-Type", "application/json")
		body = x.trade
	}
	return x.do(x.request(c.method, "/"+c.function+c.query, body, header))
}

// check sends the call and compares. Its errors name the call.
func (x *crossroads) check(t *testing.T, c crossing) {
	t.Helper()
	allowed := slices.Contains([]string{frontEnd, foreignSite, x.w.base}, c.origin)
	status, reason := c.want(allowed)
	x.w.google.ResetCalls()
	a := x.send(c)
	if a.StatusCode != status {
		t.Errorf("%+v: %d %s, want %d %s", c, a.StatusCode, a.body, status, reason)
		return
	}
	if fault := faultInCORS(a, c.origin, allowed); fault != "" {
		t.Errorf("%+v: %s", c, fault)
	}
	if allow := a.Header.Get("Allow"); status == 405 && allow != methodsOf[c.function] {
		t.Errorf("%+v: Allow %q", c, allow)
	}
	if reason == "" {
		return
	}
	x.w.wantCalls(t, calls{})
	if c.method != http.MethodHead && a.json(t)["reason"] != string(reason) {
		t.Errorf("%+v: %s, want %s", c, a.body, reason)
	}
}

// faultInCORS says what is wrong with the headers by which a browser lets a
// script read an answer; empty if nothing is.
func faultInCORS(a *answer, origin string, allowed bool) string {
	want := map[string]string{"Vary": "Origin"}
	if allowed {
		want["Access-Control-Allow-Origin"] = origin
		want["Access-Control-Allow-Credentials"] = "true"
		want["Access-Control-Expose-Headers"] = "Retry-After, WWW-Authenticate"
	}
	for name := range a.Header {
		if _, known := want[name]; !known && strings.HasPrefix(name, "Access-Control-") {
			return "header " + name
		}
	}
	for name, value := range want {
		if got := a.Header.Values(name); len(got) != 1 || got[0] != value {
			return name + ": " + strings.Join(got, " | ")
		}
	}
	return ""
}

// everywhere checks a request from every origin and place, with every credential.
func (x *crossroads) everywhere(t *testing.T, method, function, query string) {
	for _, origin := range []string{"", frontEnd, foreignSite, x.w.base, stranger, "null"} {
		for _, site := range []string{"", "same-origin", "same-site", "cross-site", "none", "elsewhere"} {
			for _, credential := range []string{"", "cookie", "Bearer", "both"} {
				x.check(t, crossing{method, function, query, origin, site, credential})
				if x.w.grant(ben.Sub) == nil { // disconnected
					x.connect()
				}
			}
		}
	}
}

func TestCrossings(t *testing.T) {
	x := newCrossroads(t)
	for _, function := range site.Functions {
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "get", "FOO"} {
			t.Run(method+" "+function, func(t *testing.T) { x.everywhere(t, method, function, "") })
		}
	}
	t.Run("disconnect", func(t *testing.T) { x.everywhere(t, "DELETE", "callback", "?grant=revoke") })
}

// TestPreflights: the answer says what may be sent, whatever was asked, and is
// the same with credentials, which browsers don't send with it.
func TestPreflights(t *testing.T) {
	x := newCrossroads(t)
	x.w.google.ResetCalls()
	headers := []string{"", "authorization,content-type", "authorization", "x-unknown", "cookie, x-unknown,,", strings.Repeat("x-unknown,", 500)}
	for _, function := range site.Functions {
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "FOO", "get"} {
			for _, origin := range []string{frontEnd, foreignSite, x.w.base, stranger, "null"} {
				for _, requested := range headers {
					checkPreflight(t, x, function, origin, http.Header{
						"Origin":                         {origin},
						"Access-Control-Request-Method":  {method},
						"Access-Control-Request-Headers": {requested},
						"Sec-Fetch-Mode":                 {"cors"},
						"Sec-Fetch-Site":                 {"cross-site"},
					})
				}
			}
		}
		checkPreflight(t, x, function, frontEnd, http.Header{
			"Origin":                                 {frontEnd},
			"Access-Control-Request-Method":          {"GET"},
			"Access-Control-Request-Private-Network": {"true"},
			"Authorization":                          {"Bearer " + x.bearer},
			"Cookie":                                 {"gmailgrant=" + x.cookie},
		})
	}
	x.w.wantCalls(t, calls{})
}

func checkPreflight(t *testing.T, x *crossroads, function, origin string, header http.Header) {
	t.Helper()
	a := x.do(x.request(http.MethodOptions, "/"+function, "", header))
	if origin == stranger || origin == "null" {
		a.wantProblem(t, "origin_not_allowed")
		if fault := faultInCORS(a, origin, false); fault != "" {
			t.Errorf("%s %v: %s", function, header, fault)
		}
		return
	}
	a.wantStatus(t, http.StatusNoContent)
	granted := map[string]string{
		"Access-Control-Allow-Methods": methodsOf[function],
		"Access-Control-Allow-Headers": "Authorization, Content-Type",
		"Access-Control-Max-Age":       "7200",
	}
	for name, want := range granted {
		if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s %v: %s %q, want %q", function, header, name, got, want)
		}
		a.Header.Del(name)
	}
	if fault := faultInCORS(a, origin, true); fault != "" || len(a.body) != 0 || len(a.Cookies()) != 0 {
		t.Errorf("%s %v: %s, body %q, cookies %v", function, header, fault, a.body, a.Cookies())
	}
}

// TestNearlyAllowed: what resembles an allowed origin is foreign.
func TestNearlyAllowed(t *testing.T) {
	x := newCrossroads(t)
	x.w.google.ResetCalls()
	preflight := http.Header{"Access-Control-Request-Method": {"GET"}}
	for _, origins := range [][]string{
		{""}, {"*"}, {page}, {"HTTP://LOCALHOST:5173"}, {frontEnd + ".evil.example"}, {"http://localhost"}, {"https://localhost:5173"},
		{strings.ToUpper(foreignSite)}, {foreignSite + ":443"}, {"https://other.app.example.net"}, {"https://app.example.net."}, {foreignSite + "\u00a0"},
		{frontEnd, frontEnd}, {frontEnd, stranger}, {frontEnd + ", " + stranger}, {frontEnd + " " + foreignSite},
	} {
		for method, header := range map[string]http.Header{"GET": {}, "DELETE": {}, "OPTIONS": preflight} {
			header := maps.Clone(header)
			header["Origin"] = origins
			header.Set("Authorization", "Bearer "+x.bearer)
			a := x.do(x.request(method, "/callback", "", header))
			a.wantProblem(t, "origin_not_allowed")
			if fault := faultInCORS(a, "", false); fault != "" {
				t.Errorf("%s from %q: %s", method, origins, fault)
			}
		}
	}
	x.w.wantCalls(t, calls{})
}

// readable are the reasons that a script can meet, each from an origin that may
// read it. Only origin_not_allowed is left out, which nobody can read.
var readable = map[endpoint.Reason]func(t *testing.T, w *world, b *browser) *answer{
	"invalid_request": func(_ *testing.T, _ *world, b *browser) *answer { return b.get("q=") },
	"unsupported_media_type": func(_ *testing.T, _ *world, b *browser) *answer {
		return b.fetch(http.MethodPost, "/callback")
	},
	"request_too_large": func(_ *testing.T, _ *world, b *browser) *answer {
		return b.post(foreignSite, strings.Repeat(" ", 16<<10+1))
	},
	"invalid_return_to": func(_ *testing.T, _ *world, b *browser) *answer {
		return b.fetch(http.MethodGet, "/authurl?return_to=x")
	},
	"invalid_state": func(_ *testing.T, _ *world, b *browser) *answer {
		return b.fetch(http.MethodGet, "/callback?state=x")
	},
	"state_expired": func(t *testing.T, w *world, b *browser) *answer {
		back := w.beginWithoutReturnURL(b)
		w.clock.Advance(30 * time.Minute)
		return b.fetchFrom(w.base, back.String())
	},
	"code_exchange_failed": func(_ *testing.T, _ *world, b *browser) *answer {
		verifier, _ := pkce()
		return b.trade(foreignSite, "1.forged", verifier)
	},
	"access_denied": func(t *testing.T, w *world, b *browser) *answer {
		return b.fetchFrom(w.base, with(w.beginWithoutReturnURL(b), "error", "access_denied"))
	},
	"missing_scope": func(t *testing.T, w *world, b *browser) *answer {
		return b.postPopup(b.popupCode(t, w, choice{untick: []string{readonly}}))
	},
	"no_user_id": func(t *testing.T, w *world, b *browser) *answer {
		code := b.popupCode(t, w, choice{})
		defer w.tokenAnswer(t, map[string]any{"id_token": nil})()
		return b.postPopup(code)
	},
	"no_refresh_token": func(t *testing.T, w *world, b *browser) *answer {
		code := b.popupCode(t, w, choice{})
		defer w.tokenAnswer(t, map[string]any{"refresh_token": nil})()
		return b.postPopup(code)
	},
	"no_session": func(_ *testing.T, _ *world, b *browser) *answer { return b.get("") },
	"session_expired": func(_ *testing.T, w *world, b *browser) *answer {
		b.signIn(choice{})
		w.clock.Advance(12 * time.Hour)
		return b.get("")
	},
	"not_connected": func(_ *testing.T, w *world, b *browser) *answer {
		b.signIn(choice{})
		w.google.WipeDocuments()
		return b.fetch(http.MethodGet, "/callback")
	},
	"revoked": func(_ *testing.T, w *world, b *browser) *answer {
		b.signIn(choice{})
		w.google.RevokeAccess(ada.Sub)
		return b.get("")
	},
	"rate_limited":         gmailRefuses(403, "dailyLimitExceeded"),
	"upstream_unavailable": gmailRefuses(503, "backendError"),
	"domain_policy":        gmailRefuses(403, "domainPolicy"),
	"gmail_disabled":       gmailRefuses(403, "accessNotConfigured"),
	"misconfigured": func(_ *testing.T, w *world, b *browser) *answer {
		w.google.SetSecretVersionEnabled("gmailgrant-client", 1, false)
		return b.fetch(http.MethodGet, "/authurl")
	},
	"method_not_allowed": func(_ *testing.T, _ *world, b *browser) *answer {
		return b.fetch(http.MethodPut, "/callback")
	},
	"internal": func(_ *testing.T, w *world, b *browser) *answer {
		b.signIn(choice{})
		defer w.gmailFails(0, googleError(503, "backendError"))()
		w.clock.onSleep = func() { panic("before the next try") }
		return b.get("")
	},
}

func gmailRefuses(status int, reason string) func(*testing.T, *world, *browser) *answer {
	return func(_ *testing.T, w *world, b *browser) *answer {
		b.signIn(choice{})
		defer w.gmailFails(0, googleError(status, reason))()
		return b.get("")
	}
}

// beginWithoutReturnURL begins a flow that can only end where it is read, since
// there is nowhere to send the browser.
func (w *world) beginWithoutReturnURL(b *browser) *url.URL {
	w.restart(map[string]string{"ALLOWED_ORIGINS": "", "RETURN_URLS": ""})
	return b.begin("", choice{})
}

// fetchFrom is a script of an origin calling a function with credentials.
func (b *browser) fetchFrom(origin, address string) *answer {
	b.t.Helper()
	return b.send(http.MethodGet, address, http.Header{"Origin": {origin}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"cross-site"}})
}

func (b *browser) postPopup(code string) *answer {
	b.t.Helper()
	return b.post(foreignSite, members("code", code, "redirect_uri", "postmessage"))
}

// TestFailuresCanBeRead by the front end: CORS headers are on every answer.
func TestFailuresCanBeRead(t *testing.T) {
	for reason, meet := range readable {
		t.Run(string(reason), func(t *testing.T) {
			w := newWorld(t, 1, map[string]string{"POPUP_FLOW": "on"})
			a := meet(t, w, w.newBrowser(t))
			a.wantProblem(t, reason)
			if fault := faultInCORS(a, a.Request.Header.Get("Origin"), true); fault != "" {
				t.Error(fault)
			}
		})
	}
}
