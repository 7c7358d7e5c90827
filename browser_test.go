package gmailgrant

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// A browser is a user's browser: it keeps cookies, follows redirects one by
// one, and says in its headers what it is doing.
type browser struct {
	t      testing.TB
	base   string // of the functions
	google string
	client *http.Client
	heard  *hearing
}

// newBrowser returns a browser that fails t. It is for the goroutine of t.
func (w *world) newBrowser(t testing.TB) *browser {
	return newBrowser(t, w.base, w.google.URL(), w.heard)
}

func newBrowser(t testing.TB, base, google string, heard *hearing) *browser {
	t.Helper()
	b := &browser{t: t, base: base, google: google, heard: heard, client: &http.Client{
		Timeout:       5 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	b.forgetCookies()
	return b
}

func (b *browser) forgetCookies() {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar = jar
}

// cookie is the value of our cookie; empty if there is none.
func (b *browser) cookie() string {
	u, _ := url.Parse(b.base)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "gmailgrant" {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(value string) {
	u, _ := url.Parse(b.base)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "gmailgrant", Value: value, Path: "/"}})
}

// try sends a request. It may be used from any goroutine.
func (b *browser) try(req *http.Request) (*answer, error) {
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{resp, body}
	if strings.HasPrefix(req.URL.String(), b.base) {
		b.heard.hear(a)
	}
	b.checkDescribed(a)
	return a, nil
}

// checkDescribed holds an answer of the functions against openapi.yaml.
func (b *browser) checkDescribed(a *answer) {
	b.t.Helper()
	if _, measuring := b.t.(*testing.B); measuring || strings.HasPrefix(a.Request.URL.String(), b.google) {
		return
	}
	d, err := described()
	if err == nil {
		err = d.check(a)
	}
	if err != nil {
		b.t.Errorf("%s %.300s answered %d, not as openapi.yaml says: %v\n%.500s", a.Request.Method, a.Request.URL, a.StatusCode, err, a.body)
	}
}

func (b *browser) do(req *http.Request) *answer {
	b.t.Helper()
	a, err := b.try(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *browser) request(method, address, body string, header http.Header) *http.Request {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.base + address
	}
	req, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return req
}

// send is a client that is no browser.
func (b *browser) send(method, address string, header http.Header) *answer {
	b.t.Helper()
	return b.do(b.request(method, address, "", header))
}

// navigation are the headers of a browser that goes to an address; site is
// where the link was.
func navigation(site string) http.Header {
	return http.Header{
		"Sec-Fetch-Mode": {"navigate"},
		"Sec-Fetch-Site": {site},
		"Accept":         {"text/html,application/xhtml+xml,*/*;q=0.8"},
	}
}

// navigate goes to an address, as by a click on a page of the same site.
func (b *browser) navigate(address string) *answer {
	b.t.Helper()
	return b.send(http.MethodGet, address, navigation("same-site"))
}

// arrive goes where a redirect of Google's, or to Google, leads.
func (b *browser) arrive(address string) *answer {
	b.t.Helper()
	return b.send(http.MethodGet, address, navigation("cross-site"))
}

// fetch is a script of the front end calling a function with credentials.
func (b *browser) fetch(method, address string) *answer {
	b.t.Helper()
	return b.send(method, address, http.Header{
		"Origin":         {frontEnd},
		"Sec-Fetch-Mode": {"cors"},
		"Sec-Fetch-Site": {"same-site"},
	})
}

// bearer is a script of a front end elsewhere calling a function with a session.
func (b *browser) bearer(method, address, session string) *answer {
	b.t.Helper()
	return b.send(method, address, http.Header{
		"Origin":         {foreignSite},
		"Authorization":  {"Bearer " + session},
		"Sec-Fetch-Mode": {"cors"},
		"Sec-Fetch-Site": {"cross-site"},
	})
}

// A choice is what the user does on Google's consent page.
type choice struct {
	account string   // sub; empty: the one preselected
	untick  []string // scopes
	deny    bool
}

// follow goes on from an answer until the browser would leave both Google and
// the functions, consenting as told. It returns where it would go, or the last
// answer if that is no redirect.
func (b *browser) follow(a *answer, c choice) (*url.URL, *answer) {
	b.t.Helper()
	for range 12 {
		location := a.Header.Get("Location")
		switch {
		case strings.HasPrefix(location, b.google) || strings.HasPrefix(location, b.base+"/callback"):
			a = b.arrive(location)
		case location != "":
			return a.location(b.t), a
		case bytes.Contains(a.body, []byte("<form")):
			a = b.consent(a, c)
		default:
			return nil, a
		}
	}
	b.t.Fatal("redirected in a circle")
	return nil, nil
}

// atGoogle goes on from a redirect to Google until Google sends the browser
// back, and returns where to without going there. asked says whether the user
// saw the consent page.
func (b *browser) atGoogle(a *answer, c choice) (back *url.URL, asked bool) {
	b.t.Helper()
	if !strings.HasPrefix(a.Header.Get("Location"), b.google) {
		b.t.Fatalf("not sent to Google but %d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	a = b.arrive(a.Header.Get("Location"))
	if a.Header.Get("Location") == "" {
		a, asked = b.consent(a, c), true
	}
	return a.location(b.t), asked
}

// begin starts a sign-in and returns Google's redirect to callback.
func (b *browser) begin(query string, c choice) *url.URL {
	b.t.Helper()
	back, _ := b.atGoogle(b.navigate("/authurl"+query), c)
	return back
}

// consent submits Google's form.
func (b *browser) consent(a *answer, c choice) *answer {
	b.t.Helper()
	action, form := parseForm(b.t, a.body)
	if c.account != "" {
		form.Set("account", c.account)
	}
	form["scope"] = slices.DeleteFunc(form["scope"], func(s string) bool { return slices.Contains(c.untick, s) })
	form.Set("action", "allow")
	if c.deny {
		form.Set("action", "deny")
	}
	target, err := a.Request.URL.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(b.request(http.MethodPost, target.String(), form.Encode(), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"},
	}))
}

var (
	formTag   = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)
	inputTag  = regexp.MustCompile(`<input[^>]*>`)
	attribute = regexp.MustCompile(`(\w+)(?:="([^"]*)")?`)
)

// parseForm reads the form of a page as a browser would submit it untouched.
func parseForm(t testing.TB, page []byte) (action string, form url.Values) {
	t.Helper()
	m := formTag.FindSubmatch(page)
	if m == nil {
		t.Fatalf("no form in %s", page)
	}
	form = url.Values{}
	for _, tag := range inputTag.FindAll(page, -1) {
		attrs := make(map[string]string)
		for _, a := range attribute.FindAllSubmatch(tag, -1) {
			attrs[string(a[1])] = html.UnescapeString(string(a[2]))
		}
		_, checked := attrs["checked"]
		if attrs["type"] == "hidden" || checked {
			form.Add(attrs["name"], attrs["value"])
		}
	}
	return html.UnescapeString(string(m[1])), form
}

// signIn runs the cookie way to its end and fails the test if it does not end
// well.
func (b *browser) signIn(c choice) {
	b.t.Helper()
	if end := b.trySignIn("", c); end.Query().Has("error") {
		b.t.Fatalf("sign-in ended at %s", end)
	}
}

// trySignIn runs a flow and returns where it ends.
func (b *browser) trySignIn(query string, c choice) *url.URL {
	b.t.Helper()
	return b.finish(b.navigate("/authurl"+query), c)
}

// finish goes on from an answer to the end of its flow.
func (b *browser) finish(a *answer, c choice) *url.URL {
	b.t.Helper()
	end, last := b.follow(a, c)
	if end == nil {
		b.t.Fatalf("the flow ended on a page: %d %s", last.StatusCode, last.body)
	}
	return end
}

// pkce is the front end's own pair.
func pkce() (verifier, challenge string) {
	verifier = rand.Text() + rand.Text()
	return verifier, oauth2.S256ChallengeFromVerifier(verifier)
}

// handOffQuery asks for a hand-off to the front end elsewhere.
func handOffQuery(challenge string) string {
	return "?" + url.Values{
		"return_to":             {foreignPage},
		"state":                 {"theirs"},
		"code_challenge":        {challenge},
		"code_challenge_method": {"S256"},
	}.Encode()
}

// handOff runs the hand-off for a front end elsewhere and returns its answer.
func (b *browser) handOff(c choice) *answer {
	b.t.Helper()
	code, verifier := b.handOffCode(c)
	return b.trade(foreignSite, code, verifier)
}

// bearerSession is a session of the hand-off.
func (b *browser) bearerSession(c choice) string {
	b.t.Helper()
	return b.handOff(c).session(b.t)
}

func (b *browser) handOffCode(c choice) (code, verifier string) {
	b.t.Helper()
	verifier, challenge := pkce()
	end := b.trySignIn(handOffQuery(challenge), c)
	code = end.Query().Get("code")
	if code == "" || end.Query().Get("state") != "theirs" {
		b.t.Fatalf("hand-off ended at %s", end)
	}
	return code, verifier
}

// trade posts a hand-off code as a script of the origin would.
func (b *browser) trade(origin, code, verifier string) *answer {
	b.t.Helper()
	return b.post(origin, members("code", code, "code_verifier", verifier))
}

// members is a JSON object of strings.
func members(pairs ...string) string {
	m := make(map[string]string)
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = pair[1]
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// post is a script of an origin, or of none if that is empty, posting JSON.
func (b *browser) post(origin, body string) *answer {
	b.t.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	if origin != "" {
		header.Set("Origin", origin)
		header.Set("Sec-Fetch-Mode", "cors")
		header.Set("Sec-Fetch-Site", "cross-site")
	}
	return b.do(b.request(http.MethodPost, "/callback", body, header))
}
