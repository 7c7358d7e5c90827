package gmailgrant

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

// A garbler makes requests that nobody should send. The same seed makes the
// same ones.
type garbler struct {
	*rand.Rand
	values []string // what a caller could get hold of, and worse
}

func newGarbler(seed uint64, genuine ...string) *garbler {
	g := &garbler{rand.New(rand.NewPCG(seed, 1)), []string{
		"", "0", "1", "-1", "1.", "1.x", "2.AAAA", "9999999999999.AAAA", "999999999999999999999999.AAAA", "true", "null", "[]", "{}", "..", "/",
		"a\r\nX-Injected: 1", "a\x00b", "\xff\xfe", "%", "%zz", "%00", "ä", "\u2028", "<script>alert(1)</script>", "${jndi:x}", "' OR 1=1", "\U0001F4A9",
		strings.Repeat("A", 43), strings.Repeat("A", 600), strings.Repeat("%41", 3000), "S256", "consent", "revoke", "INBOX", "500", "4/0Acode",
		page, foreignPage, stranger, page + "#", "//evil.example", `http:\\evil.example`, "javascript:alert(1)", "http://[::1", "http://%41:1/", "access_denied", "postmessage",
	}}
	for _, value := range genuine {
		g.values = append(g.values, flip(value), value[:len(value)/2], value+"A", "1."+value, strings.ToLower(value))
	}
	return g
}

// one picks from a list.
func (g *garbler) one(from ...string) string { return from[g.IntN(len(from))] }

func (g *garbler) value() string { return g.one(g.values...) }

func (g *garbler) query() string {
	names := []string{
		"return_to", "state", "code_challenge", "code_challenge_method", "login_hint", "prompt", "code", "error", "scope", "grant",
		"q", "labelIds", "includeSpamTrash", "maxResults", "pageToken", "format", "metadataHeaders", "id", "", "x",
	}
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(url.QueryEscape(g.one(names...)))
		b.WriteString(g.one("=", "=", "=", "", "=="))
		b.WriteString(url.QueryEscape(g.value()))
		b.WriteString(g.one("&", "&", "&", "&&", ";"))
	}
	return b.String()
}

func (g *garbler) body() string {
	switch g.IntN(4) {
	case 0:
		return g.value()
	case 1:
		return `{"code":` + g.one("1", "null", `"x"`, "[") + `,` + g.one(`"code_verifier":"x"`, `"code":""`, "") + g.one("}", "", "}}", `,"x":1}`)
	case 2:
		return members("code", g.value(), g.one("code_verifier", "code_verifier", "redirect_uri", "x", "code"), g.one(strings.Repeat("A", 43), g.value(), "postmessage"))
	}
	return strings.Repeat(g.one("[", " ", "{\"a\":"), g.IntN(20_000))
}

// header picks among headers that browsers and others send; values are what an
// HTTP client lets through.
func (g *garbler) header() http.Header {
	choices := map[string][]string{
		"Accept":         {"*/*", "text/html", "application/json", "application/x-ndjson", ";;q=,", "text/html;q=NaN", strings.Repeat("a/b,", 500)},
		"Authorization":  {"", "Bearer", "Basic eDp5", "Bearer 1.AAAA", "Bearer  x", "bearer \t", g.value()},
		"Content-Type":   {"", "application/json", "application/json;", "text/plain", "a/b; c=\"", "application/json; charset=utf-16"},
		"Cookie":         {"gmailgrant=", "gmailgrant=1.AAAA; gmailgrant=2", "gmailgrant=\"x\"", "=;=", "gmailgrant=" + g.value()},
		"Origin":         {frontEnd, foreignSite, stranger, "null", "", "http://localhost:5173/"},
		"Sec-Fetch-Mode": {"navigate", "cors", "no-cors", "?"},
		"Sec-Fetch-Site": {"same-origin", "same-site", "cross-site", "none", "?"},
	}
	h := http.Header{}
	// In order, so that a seed always makes the same.
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		value := g.one(choices[name]...)
		if g.IntN(5) == 0 && !strings.ContainsAny(value, "\r\n\x00") {
			h.Set(name, value)
		}
	}
	if g.IntN(2) == 0 {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// expected are the reasons that bad input may get. What is ours or Google's to
// blame is not among them.
var expected = []endpoint.Reason{
	endpoint.InvalidRequest, endpoint.UnsupportedMediaType, endpoint.RequestTooLarge, endpoint.InvalidReturnTo, endpoint.InvalidState,
	endpoint.CodeExchangeFailed, endpoint.NoSession, endpoint.OriginNotAllowed, endpoint.MethodNotAllowed,
}

// TestGarbage: bad input of every kind gets the contract's problem, never a 5xx,
// and nothing is stored, spent or asked of Gmail.
func TestGarbage(t *testing.T) {
	const requests = 4000 // of each function
	w := newWorld(t, 1, map[string]string{"POPUP_FLOW": "on"})
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	state, cookie := b.authorizationURL("").Query().Get("state"), b.cookie()
	code, _ := b.handOffCode(choice{})
	bearer := b.bearerSession(choice{})
	before := w.google.Documents()
	stranger := w.newBrowser(t)
	stranger.client.Jar = nil
	for i, name := range []string{"authurl", "callback", "listmessages"} {
		t.Run(name, func(t *testing.T) {
			g := newGarbler(uint64(i), state, cookie, code, bearer)
			w.google.ResetCalls()
			for range requests {
				method := g.one("GET", "GET", "GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS")
				req := stranger.request(method, "/"+name+g.one("", "", "", "/", "/x", "/..%2f", "//")+"?"+g.query(), g.body(), g.header())
				checkGarbage(t, req, stranger.do(req))
			}
			for _, op := range []string{"gmail.list", "gmail.get", "gmail.batch", "token.refresh", "revoke", "firestore.get", "firestore.write"} {
				if n := w.google.Calls(op); n != 0 {
					t.Errorf("%d calls of %s", n, op)
				}
			}
		})
	}
	if after := w.google.Documents(); !reflect.DeepEqual(after, before) {
		t.Error("the stored documents changed")
	}
}

func checkGarbage(t *testing.T, req *http.Request, a *answer) {
	t.Helper()
	describe := func(what string) {
		t.Helper()
		t.Errorf("%s: %s %.300s with %.200v: %d %.300s", what, req.Method, req.URL, req.Header, a.StatusCode, a.body)
	}
	if a.Header.Get("X-Injected") != "" {
		describe("injected header")
	}
	contentType := a.Header.Get("Content-Type")
	switch {
	case a.StatusCode >= 500:
		describe("server error")
	case a.StatusCode < 400:
		if location := a.Header.Get("Location"); strings.Contains(location, "evil.example") && !strings.Contains(location, "/o/oauth2/v2/auth?") {
			describe("open redirect")
		}
	case req.Method == http.MethodHead:
	case contentType == "application/problem+json":
		var p struct{ Reason endpoint.Reason }
		if err := json.Unmarshal(a.body, &p); err != nil || !slices.Contains(expected, p.Reason) || p.Reason.Status() != a.StatusCode {
			describe("unexpected problem")
		}
	case contentType == "text/html; charset=utf-8":
		if bytes.Contains(a.body, []byte("<script")) {
			describe("script on a page")
		}
	default:
		describe("neither problem nor page")
	}
}
