package gmailgrant

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/internal/endpoint"
)

// authorizationURL asks for Google's address as a script does.
func (b *browser) authorizationURL(query string) *url.URL {
	b.t.Helper()
	a := b.fetch(http.MethodGet, "/authurl"+query)
	a.wantStatus(b.t, http.StatusOK)
	raw, _ := a.json(b.t)["authorization_url"].(string)
	u, err := url.Parse(raw)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// TestParametersToGoogle: exactly these and no other. What is random is checked
// for its form.
func TestParametersToGoogle(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	_, challenge := pkce()
	always := url.Values{
		"response_type":         {"code"},
		"client_id":             {clientID(t, w)},
		"redirect_uri":          {w.base + "/callback"},
		"scope":                 {"openid email profile " + readonly},
		"access_type":           {"offline"},
		"code_challenge_method": {"S256"},
	}
	tests := []struct {
		name, query string
		more        url.Values
	}{
		{"plain", "", nil},
		{"hand-off", handOffQuery(challenge), nil},
		{"login_hint", "?login_hint=ada%2Bwork%40example.com", url.Values{"login_hint": {"ada+work@example.com"}}},
		{"prompt", "?prompt=consent", url.Values{"prompt": {"consent"}}},
		{"both prompts", "?prompt=select_account+consent&login_hint=1", url.Values{"prompt": {"select_account consent"}, "login_hint": {"1"}}},
		{"longest hint", "?login_hint=" + strings.Repeat("a", 320), url.Values{"login_hint": {strings.Repeat("a", 320)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := b.authorizationURL(tt.query)
			if got := u.Scheme + "://" + u.Host + u.Path; got != w.google.URL()+"/o/oauth2/v2/auth" {
				t.Errorf("address %s", got)
			}
			query := u.Query()
			if state := query.Get("state"); len(state) < 100 {
				t.Errorf("state %q", state)
			}
			if ours := query.Get("code_challenge"); len(ours) != 43 || ours == challenge {
				t.Errorf("code_challenge %q", ours)
			}
			query.Del("state")
			query.Del("code_challenge")
			want := url.Values{}
			for _, values := range []url.Values{always, tt.more} {
				for name, v := range values {
					want[name] = v
				}
			}
			if query.Encode() != want.Encode() {
				t.Errorf("sent\n%s, want\n%s", query.Encode(), want.Encode())
			}
		})
	}
}

func clientID(t *testing.T, w *world) string {
	t.Helper()
	a := answer{body: w.google.ClientJSON()}
	web, _ := a.json(t)["web"].(map[string]any)
	id, _ := web["client_id"].(string)
	return id
}

// TestAddressOfAnotherClient: an instance uses a client for ten minutes, and then the one that
// took its place.
func TestAddressOfAnotherClient(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	id := clientID(t, w)
	wantID := func(want string) {
		t.Helper()
		if got := b.authorizationURL("").Query().Get("client_id"); got != want {
			t.Errorf("client_id %s, want %s", got, want)
		}
	}
	wantID(id)
	w.google.AddSecretVersion("gmailgrant-client", bytes.ReplaceAll(w.google.ClientJSON(), []byte(id), []byte("other-"+id)))
	w.clock.Advance(10*time.Minute - 1)
	wantID(id)
	w.clock.Advance(1)
	wantID("other-" + id)
}

// TestOneChallengePerFlow: two flows never share a state or a PKCE pair.
func TestOneChallengePerFlow(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	one, two := b.authorizationURL("").Query(), b.authorizationURL("").Query()
	for _, name := range []string{"state", "code_challenge"} {
		if one.Get(name) == two.Get(name) {
			t.Errorf("two flows with the same %s", name)
		}
	}
}

func TestWarmAuthURLCallsNobody(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.navigate("/authurl")
	w.google.ResetCalls()
	b.navigate("/authurl").wantStatus(t, http.StatusFound)
	b.authorizationURL("")
	w.wantCalls(t, calls{})
}

func TestAuthURLNeverOpensFirestore(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.newBrowser(t).navigate("/authurl").wantStatus(t, http.StatusFound)
	w.wantCalls(t, calls{"secretmanager.access": 2})
}

func TestRedirectOrJSON(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	tests := []struct {
		name   string
		header http.Header
		status int
	}{
		{"navigation", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"application/json"}}, http.StatusFound},
		{"script", http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, http.StatusOK},
		{"old browser", http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}}, http.StatusFound},
		{"old script", http.Header{"Accept": {"application/json"}}, http.StatusOK},
		{"JSON preferred", http.Header{"Accept": {"text/html;q=0.5, application/json"}}, http.StatusOK},
		{"anything", http.Header{"Accept": {"*/*"}}, http.StatusOK},
		{"nothing said", http.Header{}, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := b.send(http.MethodGet, "/authurl", tt.header)
			a.wantStatus(t, tt.status)
			if a.StatusCode == http.StatusOK {
				return
			}
			if len(a.body) != 0 || !strings.HasPrefix(a.location(t).String(), w.google.URL()) {
				t.Errorf("redirected to %s with the body %q", a.location(t), a.body)
			}
		})
	}
}

// TestAuthURLRefuses names the parameter at fault, to a script as a problem and
// to a user as a page of the same status.
func TestAuthURLRefuses(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	_, challenge := pkce()
	both := "code_challenge_method=S256&code_challenge="
	tests := []struct{ name, query, named string }{
		{"unknown", "foo=1", "foo"},
		{"case", "State=1", "State"},
		{"Google's own", "approval_prompt=force", "approval_prompt"},
		{"include_granted_scopes", "include_granted_scopes=true", "include_granted_scopes"},
		{"user_id", "user_id=1", "user_id"},
		{"scope", "scope=openid", "scope"},
		{"malformed query", "state=%zz", "query"},
		{"semicolon", "state=1;prompt=consent", "query"},
		{"state repeated", "state=1&state=1", "state"},
		{"state too long", "state=" + strings.Repeat("x", 513), "state"},
		{"state not UTF-8", "state=%ff", "state"},
		{"hint repeated", "login_hint=a&login_hint=b", "login_hint"},
		{"hint empty", "login_hint=", "login_hint"},
		{"hint too long", "login_hint=" + strings.Repeat("a", 321), "login_hint"},
		{"hint with a line break", "login_hint=a%0d%0ab", "login_hint"},
		{"hint with a space", "login_hint=a+b", "login_hint"},
		{"prompt empty", "prompt=", "prompt"},
		{"prompt none", "prompt=none", "prompt"},
		{"prompt unknown", "prompt=login", "prompt"},
		{"prompt twice", "prompt=consent+consent", "prompt"},
		{"prompt repeated", "prompt=consent&prompt=select_account", "prompt"},
		{"challenge alone", "code_challenge=" + challenge, "code_challenge_method"},
		{"method alone", "code_challenge_method=S256", "code_challenge"},
		{"plain", "code_challenge_method=plain&code_challenge=" + challenge, "code_challenge_method"},
		{"challenge empty", both, "code_challenge"},
		{"challenge short", both + challenge[1:], "code_challenge"},
		{"challenge long", both + challenge + "A", "code_challenge"},
		{"challenge padded", both + challenge[1:] + "%3D", "code_challenge"},
		{"challenge of base64", both + strings.Repeat("%2B", 43), "code_challenge"},
		{"challenge with a line break", both + challenge + "%0a", "code_challenge"},
		{"return_to repeated", "return_to=" + page + "&return_to=" + page, "return_to"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := b.fetch(http.MethodGet, "/authurl?"+tt.query).wantProblem(t, endpoint.InvalidRequest)
			if detail, _ := p["detail"].(string); !strings.Contains(detail, tt.named) {
				t.Errorf("detail %q does not name %s", detail, tt.named)
			}
			if p["authorization_url"] != nil {
				t.Errorf("authorization_url %v", p["authorization_url"])
			}
			b.navigate("/authurl?"+tt.query).wantPage(t, http.StatusBadRequest, page)
		})
	}
}

// TestLongestState is given back unchanged.
func TestLongestState(t *testing.T) {
	w := newWorld(t, 2, nil)
	state := strings.Repeat("ä", 252) + `&"<> %` + "\n\r"
	if len(state) != 512 {
		t.Fatalf("%d bytes", len(state))
	}
	returnTo := page + strings.Repeat("p", 1024-len(page))
	query := url.Values{"state": {state}, "return_to": {returnTo}, "login_hint": {ada.Sub}}
	end := w.newBrowser(t).trySignIn("?"+query.Encode(), choice{})
	if got := end.Query().Get("state"); got != state {
		t.Errorf("state %q", got)
	}
}

// TestForeignLink: another site must not start a sign-in of the cookie way. The
// hand-off is bound to the front end's own verifier, so it may.
func TestForeignLink(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	a := b.send(http.MethodGet, "/authurl", navigation("cross-site"))
	a.wantPage(t, endpoint.OriginNotAllowed.Status(), page)
	if len(a.Cookies()) != 0 {
		t.Errorf("cookies %v", a.Cookies())
	}
	_, challenge := pkce()
	for _, site := range []string{"same-origin", "same-site", "none"} {
		b.send(http.MethodGet, "/authurl", navigation(site)).wantStatus(t, http.StatusFound)
	}
	a = b.send(http.MethodGet, "/authurl"+handOffQuery(challenge), navigation("cross-site"))
	a.wantStatus(t, http.StatusFound)
}

func TestReturnTo(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	long := page + strings.Repeat("p", 1024-len(page))
	good := []struct{ returnTo, end string }{
		{page, page},
		{frontEnd, frontEnd},
		{page + "a?b=c", page + "a?b=c"},
		{page + "a b", page + "a%20b"},
		{page + "é", page + "%C3%A9"},
		{page + "?", page + "?"},
		{w.base + "/app", w.base + "/app"},
		{w.base + "/authurls", w.base + "/authurls"},
		{long, long},
	}
	for _, tt := range good {
		if end := b.trySignIn("?return_to="+url.QueryEscape(tt.returnTo), choice{}); end.String() != tt.end {
			t.Errorf("return_to %q ended at %s, want %s", tt.returnTo, end, tt.end)
		}
	}
	bad := []string{
		"", "/", "inbox", "//localhost:5173/", "localhost:5173", "http:/", "http:///", "http:localhost:5173",
		"javascript:alert(1)", "data:text/html,x", "ftp://localhost:5173/", "about:blank",
		page + "#", page + "#top", page + "?a#b",
		"http://user@localhost:5173/", "http://user:pw@localhost:5173/", "http://@localhost:5173/",
		page + "?code=1", page + "?a=1&state=2", page + "?error", page + "?missing_scopes=x", page + "?%63ode=1", page + "?a=%zz", page + "?a=1;code=2",
		w.base + "/authurl", w.base + "/callback", w.base + "/callback?x=1", w.base + "/callback/", w.base + "/listmessages/x",
		w.base + "/x/../callback", w.base + "//callback", w.base + "/CallBack", w.base + "/%63allback", w.base + "/./authurl",
		stranger, stranger + "/", "https://localhost:5173/", "http://localhost/", "http://localhost:5174/",
		"http://localhost:5173.evil.example/", "http://localhost:5173@evil.example/", `http://localhost:5173\@evil.example/`, `http://evil.example\.localhost:5173/`,
		"http://127.0.0.1:5173/", "http://[::1]:5173/", " " + page, page + "\n", page + "\x00",
		long + "p",
	}
	for _, returnTo := range bad {
		a := b.fetch(http.MethodGet, "/authurl?return_to="+url.QueryEscape(returnTo))
		if a.StatusCode != http.StatusBadRequest {
			t.Errorf("return_to %q was accepted: %s", returnTo, a.body)
			continue
		}
		a.wantProblem(t, endpoint.InvalidReturnTo)
	}
}

// TestHandOffReturnTo: byte for byte an entry of RETURN_URLS.
func TestHandOffReturnTo(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	_, challenge := pkce()
	ask := func(returnTo string) *answer {
		return b.fetch(http.MethodGet, "/authurl?code_challenge_method=S256&code_challenge="+challenge+"&return_to="+url.QueryEscape(returnTo))
	}
	for _, returnTo := range []string{page, foreignPage} {
		ask(returnTo).wantStatus(t, http.StatusOK)
	}
	for _, returnTo := range []string{
		"", foreignPage + "/", foreignPage + "?", foreignPage + "?a=b", foreignPage + "/deeper", foreignSite, foreignSite + "/",
		"HTTPS://app.example.net/app", "https://APP.example.net/app", "https://app.example.net:443/app", foreignSite + "/x/../app", foreignSite + "/%61pp",
		frontEnd, stranger + "/app", foreignPage + "#x",
	} {
		if a := ask(returnTo); a.StatusCode != http.StatusBadRequest {
			t.Errorf("return_to %q was accepted", returnTo)
		} else {
			a.wantProblem(t, endpoint.InvalidReturnTo)
		}
	}
}

// TestNeedsHandOff: a front end on another site learns that it needs the
// hand-off, by its own return_to as by the default.
func TestNeedsHandOff(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"RETURN_URLS": foreignPage})
	perFunction := newWorld(t, 1, map[string]string{
		"BASE_URL":        "https://{function}.example.com",
		"ALLOWED_ORIGINS": "https://app.example.com",
		"RETURN_URLS":     "https://app.example.com/",
	})
	tests := []struct {
		name  string
		w     *world
		query string
	}{
		{"asked for", w, "?return_to=" + foreignPage},
		{"by default", w, ""},
		{"a host for each function", perFunction, "?return_to=https://app.example.com/"},
		{"a host for each function, by default", perFunction, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.w.newBrowser(t).send(http.MethodGet, "/authurl"+tt.query, nil).wantProblem(t, endpoint.InvalidReturnTo)
			if detail, _ := p["detail"].(string); !strings.Contains(detail, "hand-off") {
				t.Errorf("detail %q", detail)
			}
		})
	}
}

// TestHostForEachFunction: addresses are built from the pattern as it stands.
func TestHostForEachFunction(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"BASE_URL": "https://{function}-123.europe-west1.run.app"})
	b := w.newBrowser(t)
	_, challenge := pkce()
	a := b.send(http.MethodGet, "/authurl"+handOffQuery(challenge), nil)
	a.wantStatus(t, http.StatusOK)
	u, err := url.Parse(a.json(t)["authorization_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.Query().Get("redirect_uri"), "https://callback-123.europe-west1.run.app"; got != want {
		t.Errorf("redirect_uri %s, want %s", got, want)
	}
	p := b.send(http.MethodGet, "/listmessages", nil).wantProblem(t, endpoint.NoSession)
	if got, want := p["authorization_url"], "https://authurl-123.europe-west1.run.app"; got != want {
		t.Errorf("authorization_url %s, want %s", got, want)
	}
	for _, address := range []string{"https://authurl-123.europe-west1.run.app/", "https://callback-123.europe-west1.run.app"} {
		query := "?code_challenge_method=S256&code_challenge=" + oauth2.S256ChallengeFromVerifier("x") + "&return_to=" + url.QueryEscape(address)
		b.send(http.MethodGet, "/authurl"+query, nil).wantProblem(t, endpoint.InvalidReturnTo)
	}
}
