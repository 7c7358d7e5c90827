package fakegoogle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"
	"google.golang.org/api/idtoken"
)

// form is the consent form as a browser would fill it in: preselected and
// ticked inputs count.
type form struct {
	action string
	values url.Values
}

// readForm finds the consent form on a page.
func readForm(t testing.TB, page io.Reader) form {
	t.Helper()
	doc, err := html.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	f := form{values: make(url.Values)}
	for n := range doc.Descendants() {
		a := attributes(n)
		_, checked := a["checked"]
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "form":
			f.action = a["action"]
		case n.Data == "input" && (a["type"] == "hidden" || checked):
			f.values.Add(a["name"], a["value"])
		}
	}
	if f.action == "" {
		t.Fatal("no form on the page")
	}
	return f
}

func attributes(n *html.Node) map[string]string {
	out := make(map[string]string)
	for _, a := range n.Attr {
		out[a.Key] = a.Val
	}
	return out
}

// open navigates to authURL and returns the consent form, or where the browser
// was sent instead.
func open(t testing.TB, browser *http.Client, authURL string) (form, url.Values) {
	t.Helper()
	resp, err := browser.Get(authURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return readForm(t, resp.Body), nil
	}
	return form{}, answer(t, resp)
}

// submit presses one of the buttons.
func submit(t testing.TB, s *fakegoogle.Server, browser *http.Client, f form, action string) url.Values {
	t.Helper()
	f.values.Set("action", action)
	resp, err := browser.PostForm(s.URL()+f.action, f.values)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return answer(t, resp)
}

// answer is the query that the browser carries back to the client.
func answer(t testing.TB, resp *http.Response) url.Values {
	t.Helper()
	location, err := resp.Location()
	if err != nil {
		t.Fatalf("status %d without a Location", resp.StatusCode)
	}
	if resp.StatusCode != http.StatusFound || !strings.HasPrefix(location.String(), redirectURI+"?") {
		t.Fatalf("status %d to %s", resp.StatusCode, location)
	}
	return location.Query()
}

// signIn goes through the consent page and returns the code.
func signIn(t testing.TB, s *fakegoogle.Server, browser *http.Client, authURL string, who fakegoogle.Account) string {
	t.Helper()
	f, direct := open(t, browser, authURL)
	if direct != nil {
		return direct.Get("code")
	}
	f.values.Set("account", who.Sub)
	code := submit(t, s, browser, f, "allow").Get("code")
	if code == "" {
		t.Fatal("no code")
	}
	return code
}

// connect signs in offline and returns the token.
func connect(t testing.TB, s *fakegoogle.Server, who fakegoogle.Account, scopes ...string) *oauth2.Token {
	t.Helper()
	c := oauthConfig(t, s, scopes...)
	code := signIn(t, s, newBrowser(t, s), c.AuthCodeURL("state", oauth2.AccessTypeOffline), who)
	tok, err := c.Exchange(context.Background(), code)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestAuthorizationRequest(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	valid := url.Values{
		"client_id": {oauthConfig(t, s).ClientID}, "redirect_uri": {redirectURI}, "response_type": {"code"},
		"scope": {"openid email " + readonly}, "state": {"my state"}, "access_type": {"offline"},
	}
	challenge := oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())
	tests := []struct {
		name   string
		change url.Values // an empty list deletes
		status int        // of the page; 0: redirected
		err    string     // in the redirect
	}{
		{"valid", nil, 200, ""},
		{"with a challenge", url.Values{"code_challenge": {challenge}, "code_challenge_method": {"S256"}}, 200, ""},
		{"unknown client", url.Values{"client_id": {"other"}}, 401, ""},
		{"client repeated", url.Values{"client_id": {valid.Get("client_id"), "other"}}, 401, ""},
		{"other redirect URI", url.Values{"redirect_uri": {redirectURI + "/"}}, 400, ""},
		{"no redirect URI", url.Values{"redirect_uri": nil}, 400, ""},
		{"approval_prompt", url.Values{"approval_prompt": {"force"}}, 400, ""},
		{"user_id", url.Values{"user_id": {"1"}}, 400, ""},
		{"response type", url.Values{"response_type": {"token"}}, 0, "unsupported_response_type"},
		{"no scope", url.Values{"scope": nil}, 0, "invalid_scope"},
		{"unknown scope", url.Values{"scope": {"openid gmail.readonly"}}, 0, "invalid_scope"},
		{"plain challenge", url.Values{"code_challenge": {challenge}, "code_challenge_method": {"plain"}}, 0, "invalid_request"},
		{"challenge without method", url.Values{"code_challenge": {challenge}}, 0, "invalid_request"},
		{"method without challenge", url.Values{"code_challenge_method": {"S256"}}, 0, "invalid_request"},
		{"short challenge", url.Values{"code_challenge": {challenge[1:]}, "code_challenge_method": {"S256"}}, 0, "invalid_request"},
		{"challenge not base64url", url.Values{"code_challenge": {challenge[1:] + "="}, "code_challenge_method": {"S256"}}, 0, "invalid_request"},
		{"unknown prompt", url.Values{"prompt": {"login"}}, 0, "invalid_request"},
		{"none with consent", url.Values{"prompt": {"none consent"}}, 0, "invalid_request"},
		{"none, nobody known", url.Values{"prompt": {"none"}}, 0, "login_required"},
		{"none, not granted", url.Values{"prompt": {"none"}, "login_hint": {small.Email}}, 0, "interaction_required"},
		{"unknown parameter", url.Values{"foo": {"1"}}, 0, "invalid_request"},
		{"repeated parameter", url.Values{"state": {"a", "b"}}, 0, "invalid_request"},
		{"unknown access type", url.Values{"access_type": {"ever"}}, 0, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			query := make(url.Values)
			for _, values := range []url.Values{valid, tt.change} {
				for name, v := range values {
					query[name] = v
				}
			}
			resp, err := newBrowser(t, s).Get(s.URL() + "/o/oauth2/v2/auth?" + query.Encode())
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if tt.status != 0 {
				checkPage(t, resp, tt.status)
				return
			}
			got := answer(t, resp)
			if got.Get("error") != tt.err || got.Get("state") != query.Get("state") {
				t.Errorf("sent back with %v, want error %s", got, tt.err)
			}
		})
	}
}

func checkPage(t *testing.T, resp *http.Response, status int) {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d", resp.StatusCode, status)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); csp == "" || strings.Contains(csp, "form-action") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "NOT Google") {
		t.Error("the page does not say that it is not Google's")
	}
}

func TestConsentForm(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	c := oauthConfig(t, s, "openid", "email", readonly, metadata)
	browser := newBrowser(t, s)
	f, _ := open(t, browser, c.AuthCodeURL("my state", oauth2.SetAuthURLParam("login_hint", small.Email)))
	if got := f.values.Get("account"); got != small.Sub {
		t.Errorf("preselected %s, want the account hinted at", got)
	}
	if got := f.values["scope"]; !slices.Equal(got, []string{readonly, metadata}) {
		t.Errorf("ticked boxes: %v", got)
	}
	f.values["scope"] = []string{readonly}
	got := submit(t, s, browser, f, "allow")
	if got.Get("state") != "my state" || got.Get("authuser") != "0" || got.Get("prompt") != "consent" {
		t.Errorf("sent back with %v", got)
	}
	if want := "openid " + userEmail + " " + readonly; got.Get("scope") != want {
		t.Errorf("scope %q, want %q", got.Get("scope"), want)
	}
	if code := got.Get("code"); !strings.HasPrefix(code, "4/0A") {
		t.Errorf("code %q does not look like Google's", code)
	}
	if got := submit(t, s, browser, f, "deny"); got.Get("error") != "access_denied" || got.Get("state") != "my state" || got.Has("code") {
		t.Errorf("refusal sent back with %v", got)
	}
}

// TestWhoIsAsked walks one browser through Google's rules on when a page is shown.
func TestWhoIsAsked(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	browser := newBrowser(t, s)
	c := oauthConfig(t, s, "openid", readonly)
	hint := func(v string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("login_hint", v) }
	prompt := func(v string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("prompt", v) }
	signIn(t, s, browser, c.AuthCodeURL(""), small)

	tests := []struct {
		name    string
		scopes  []string
		options []oauth2.AuthCodeOption
		asked   string // sub of the preselected account; empty: nobody is asked
	}{
		{"cookie", c.Scopes, nil, ""},
		{"cookie, prompt none", c.Scopes, []oauth2.AuthCodeOption{prompt("none")}, ""},
		{"hint by e-mail", c.Scopes, []oauth2.AuthCodeOption{hint(strings.ToUpper(small.Email))}, ""},
		{"hint by sub", c.Scopes, []oauth2.AuthCodeOption{hint(small.Sub)}, ""},
		{"fewer scopes", []string{"openid"}, nil, ""},
		{"more scopes", []string{"openid", readonly, metadata}, nil, small.Sub},
		{"consent", c.Scopes, []oauth2.AuthCodeOption{prompt("consent")}, small.Sub},
		{"select_account", c.Scopes, []oauth2.AuthCodeOption{prompt("select_account")}, small.Sub},
		{"both", c.Scopes, []oauth2.AuthCodeOption{prompt("select_account consent")}, small.Sub},
		{"other user", c.Scopes, []oauth2.AuthCodeOption{hint(empty.Sub)}, empty.Sub},
		{"unknown hint", c.Scopes, []oauth2.AuthCodeOption{hint("nobody@example.com")}, large.Sub},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, direct := open(t, browser, oauthConfig(t, s, tt.scopes...).AuthCodeURL("", tt.options...))
			if got := f.values.Get("account"); got != tt.asked {
				t.Fatalf("asked %q, want %q", got, tt.asked)
			}
			if tt.asked == "" && (direct.Get("code") == "" || direct.Get("prompt") != "none") {
				t.Errorf("sent back with %v", direct)
			}
		})
	}
	s.RevokeAccess(small.Sub)
	if f, _ := open(t, browser, c.AuthCodeURL("")); f.action == "" {
		t.Error("nobody was asked after the revocation")
	}
}

func TestExchange(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	c := oauthConfig(t, s, "openid", "email", "profile", readonly)
	code := signIn(t, s, newBrowser(t, s), c.AuthCodeURL("", oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("nonce", "n-1")), small)
	tok, err := c.Exchange(context.Background(), code)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(tok.AccessToken, "ya29.") || !strings.HasPrefix(tok.RefreshToken, "1//0") || tok.TokenType != "Bearer" || tok.ExpiresIn != 3599 {
		t.Errorf("token %+v", tok)
	}
	if got, want := tok.Extra("scope"), strings.Join([]string{"openid", userEmail, userProfile, readonly}, " "); got != want {
		t.Errorf("scope %q, want %q", got, want)
	}
	id, err := idtoken.ParsePayload(tok.Extra("id_token").(string))
	if err != nil {
		t.Fatal(err)
	}
	if id.Issuer != s.URL() || id.Audience != c.ClientID || id.Subject != small.Sub || id.Expires-id.IssuedAt != 3600 {
		t.Errorf("ID token %+v", id)
	}
	want := map[string]any{"email": small.Email, "email_verified": true, "name": small.Name, "picture": small.Picture, "azp": c.ClientID, "nonce": "n-1"}
	for name, v := range want {
		if id.Claims[name] != v {
			t.Errorf("claim %s = %v, want %v", name, id.Claims[name], v)
		}
	}
}

func TestIDTokenFollowsScopes(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	if tok := connect(t, s, small, "email", readonly); tok.Extra("id_token") != nil {
		t.Error("an ID token without openid")
	}
	id, err := idtoken.ParsePayload(connect(t, s, large, "openid").Extra("id_token").(string))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"email", "name", "picture"} {
		if v, ok := id.Claims[name]; ok {
			t.Errorf("claim %s = %v without its scope", name, v)
		}
	}
}

// oauthErrorCode is the error of a refused token request.
func oauthErrorCode(t testing.TB, err error) (string, int) {
	t.Helper()
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		t.Fatalf("error %v, want a refused token request", err)
	}
	return retrieve.ErrorCode, retrieve.Response.StatusCode
}

func TestCodeIsBound(t *testing.T) {
	ticker := newClock()
	s := start(t, fakegoogle.Options{Now: ticker.now})
	c := oauthConfig(t, s, "openid", readonly)
	verifier := oauth2.GenerateVerifier()
	withPKCE := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	tests := []struct {
		name     string
		request  []oauth2.AuthCodeOption
		redeem   []oauth2.AuthCodeOption
		redirect string
		wait     time.Duration
		want     string
	}{
		{"good", nil, nil, redirectURI, 0, ""},
		{"good, PKCE", withPKCE, []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}, redirectURI, 0, ""},
		{"last moment", nil, nil, redirectURI, 10*time.Minute - 1, ""},
		{"expired", nil, nil, redirectURI, 10 * time.Minute, "invalid_grant"},
		{"other redirect URI", nil, nil, redirectURI + "/", 0, "invalid_grant"},
		{"no redirect URI", nil, nil, "", 0, "invalid_request"},
		{"no verifier", withPKCE, nil, redirectURI, 0, "invalid_grant"},
		{"wrong verifier", withPKCE, []oauth2.AuthCodeOption{oauth2.VerifierOption(oauth2.GenerateVerifier())}, redirectURI, 0, "invalid_grant"},
		{"needless verifier", nil, []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}, redirectURI, 0, "invalid_grant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code := signIn(t, s, newBrowser(t, s), c.AuthCodeURL("", tt.request...), small)
			ticker.advance(tt.wait)
			redeemer := *c
			redeemer.RedirectURL = tt.redirect
			_, err := redeemer.Exchange(context.Background(), code, tt.redeem...)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if got, status := oauthErrorCode(t, err); got != tt.want || status != http.StatusBadRequest {
				t.Errorf("%s with status %d, want %s", got, status, tt.want)
			}
		})
	}
}

func TestSecondUseOfCodeRevokesNothing(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	c := oauthConfig(t, s, readonly)
	code := signIn(t, s, newBrowser(t, s), c.AuthCodeURL("", oauth2.AccessTypeOffline), small)
	tok, err := c.Exchange(context.Background(), code)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Exchange(context.Background(), code)
	if got, _ := oauthErrorCode(t, err); got != "invalid_grant" {
		t.Errorf("second use: %s", got)
	}
	if _, err := refresh(t, s, tok.RefreshToken); err != nil {
		t.Errorf("the refresh token died: %v", err)
	}
}
