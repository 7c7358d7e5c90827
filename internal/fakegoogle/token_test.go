package fakegoogle_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/oauth2"
)

func refresh(t testing.TB, s *fakegoogle.Server, refreshToken string) (*oauth2.Token, error) {
	t.Helper()
	return oauthConfig(t, s).TokenSource(context.Background(), &oauth2.Token{RefreshToken: refreshToken}).Token()
}

func TestTokenEndpointIsStrict(t *testing.T) {
	s := start(t, fakegoogle.Options{ClientID: "id", ClientSecret: "old-secret"})
	s.SetClientSecret("new-secret")
	tok := connect(t, s, small, readonly)
	valid := url.Values{"client_id": {"id"}, "client_secret": {"new-secret"}, "grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}
	tests := []struct {
		name   string
		change url.Values // an empty list deletes
		basic  string     // user:password
		query  string
		json   bool
		status int
		want   string
	}{
		{name: "valid", status: 200},
		{name: "basic", change: url.Values{"client_id": nil, "client_secret": nil}, basic: "id:new-secret", status: 200},
		{name: "both ways", basic: "id:new-secret", status: 400, want: "invalid_request"},
		{name: "basic, wrong secret", change: url.Values{"client_id": nil, "client_secret": nil}, basic: "id:old-secret", status: 401, want: "invalid_client"},
		{name: "replaced secret", change: url.Values{"client_secret": {"old-secret"}}, status: 401, want: "invalid_client"},
		{name: "unknown client", change: url.Values{"client_id": {"other"}}, status: 401, want: "invalid_client"},
		{name: "no client", change: url.Values{"client_id": nil}, status: 400, want: "invalid_request"},
		{name: "no secret", change: url.Values{"client_secret": nil}, status: 400, want: "invalid_request"},
		{name: "no grant type", change: url.Values{"grant_type": nil}, status: 400, want: "invalid_request"},
		{name: "unknown grant type", change: url.Values{"grant_type": {"password"}}, status: 400, want: "unsupported_grant_type"},
		{name: "no code", change: url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {redirectURI}}, status: 400, want: "invalid_request"},
		{name: "unknown code", change: url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {redirectURI}, "code": {"4/x"}}, status: 400, want: "invalid_grant"},
		{name: "no refresh token", change: url.Values{"refresh_token": nil}, status: 400, want: "invalid_request"},
		{name: "unknown refresh token", change: url.Values{"refresh_token": {"1//x"}}, status: 400, want: "invalid_grant"},
		{name: "repeated parameter", change: url.Values{"refresh_token": {tok.RefreshToken, "1//x"}}, status: 400, want: "invalid_request"},
		{name: "secret in the query", query: "?client_secret=new-secret", status: 400, want: "invalid_request"},
		{name: "JSON", json: true, status: 400, want: "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form := make(url.Values)
			for _, values := range []url.Values{valid, tt.change} {
				for name, v := range values {
					form[name] = v
				}
			}
			r, err := http.NewRequest(http.MethodPost, s.URL()+"/token"+tt.query, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.json {
				r.Header.Set("Content-Type", "application/json")
			}
			if user, password, ok := strings.Cut(tt.basic, ":"); ok {
				r.SetBasicAuth(user, password)
			}
			status, body := do(t, http.DefaultClient, r)
			if status != tt.status || tt.want != "" && body["error"] != tt.want {
				t.Errorf("status %d, body %v; want %d %s", status, body, tt.status, tt.want)
			}
		})
	}
}

// do sends a request and decodes the JSON answer.
func do(t testing.TB, client *http.Client, r *http.Request) (int, map[string]any) {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatalf("status %d, body is not JSON: %v", resp.StatusCode, err)
	}
	return resp.StatusCode, body
}

// TestWhenARefreshTokenComes follows the rules of
// https://developers.google.com/identity/protocols/oauth2/web-server#offline.
func TestWhenARefreshTokenComes(t *testing.T) {
	consent := oauth2.SetAuthURLParam("prompt", "consent")
	selectAccount := oauth2.SetAuthURLParam("prompt", "select_account")
	s := start(t, fakegoogle.Options{})
	browser := newBrowser(t, s)
	c := oauthConfig(t, s, "openid", readonly)
	steps := []struct {
		name    string
		options []oauth2.AuthCodeOption
		revoke  bool // before the step
		want    bool
	}{
		{"online", nil, false, false},
		{"first time offline", []oauth2.AuthCodeOption{oauth2.AccessTypeOffline}, false, true},
		{"second time", []oauth2.AuthCodeOption{oauth2.AccessTypeOffline}, false, false},
		{"asked for the account only", []oauth2.AuthCodeOption{oauth2.AccessTypeOffline, selectAccount}, false, false},
		{"consent", []oauth2.AuthCodeOption{oauth2.AccessTypeOffline, consent}, false, true},
		{"consent, online", []oauth2.AuthCodeOption{consent}, false, false},
		{"after a revocation", []oauth2.AuthCodeOption{oauth2.AccessTypeOffline}, true, true},
	}
	for _, step := range steps {
		if step.revoke {
			s.RevokeAccess(small.Sub)
		}
		tok, err := c.Exchange(context.Background(), signIn(t, s, browser, c.AuthCodeURL("", step.options...), small))
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.RefreshToken != ""; got != step.want {
			t.Errorf("%s: refresh token came: %t, want %t", step.name, got, step.want)
		}
	}
}

func TestRefresh(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	first := connect(t, s, small, "openid", readonly)
	second, err := refresh(t, s, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken || second.RefreshToken != first.RefreshToken {
		t.Error("a refresh must bring a new access token and no refresh token") // x/oauth2 carries the old one over
	}
	if second.Extra("scope") != "openid "+readonly || second.Extra("id_token") == nil || second.Extra("refresh_token") != nil {
		t.Errorf("answer to a refresh: scope %v", second.Extra("scope"))
	}
}

func TestOldestRefreshTokenDies(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	browser := newBrowser(t, s)
	c := oauthConfig(t, s, readonly)
	var issued []string
	for range 101 {
		code := signIn(t, s, browser, c.AuthCodeURL("", oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent")), small)
		tok, err := c.Exchange(context.Background(), code)
		if err != nil {
			t.Fatal(err)
		}
		issued = append(issued, tok.RefreshToken)
	}
	for i, want := range map[int]bool{0: false, 1: true, 100: true} {
		if _, err := refresh(t, s, issued[i]); (err == nil) != want {
			t.Errorf("refresh token %d alive: %t, want %t", i, err == nil, want)
		}
	}
}

func TestIncludeGrantedScopes(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	browser := newBrowser(t, s)
	connectWith := func(options ...oauth2.AuthCodeOption) string {
		c := oauthConfig(t, s, "openid")
		tok, err := c.Exchange(context.Background(), signIn(t, s, browser, c.AuthCodeURL("", options...), small))
		if err != nil {
			t.Fatal(err)
		}
		return tok.Extra("scope").(string)
	}
	signIn(t, s, browser, oauthConfig(t, s, "openid", metadata).AuthCodeURL(""), small)
	if got := connectWith(); got != "openid" {
		t.Errorf("scope %q without include_granted_scopes", got)
	}
	if got := connectWith(oauth2.SetAuthURLParam("include_granted_scopes", "true")); got != "openid "+metadata {
		t.Errorf("scope %q with include_granted_scopes", got)
	}
}

func TestRevoke(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	for name, value := range map[string]func(*oauth2.Token) string{
		"refresh token": func(tok *oauth2.Token) string { return tok.RefreshToken },
		"access token":  func(tok *oauth2.Token) string { return tok.AccessToken },
	} {
		t.Run(name, func(t *testing.T) {
			tok, other := connect(t, s, small, readonly), connect(t, s, large, readonly)
			defer s.RevokeAccess(large.Sub)
			if status, body := revoke(t, s, value(tok)); status != http.StatusOK || len(body) != 0 {
				t.Fatalf("status %d, body %v", status, body)
			}
			if _, err := refresh(t, s, tok.RefreshToken); err == nil {
				t.Error("the refresh token lives on")
			}
			if status, _ := getProfile(t, s, tok.AccessToken); status != http.StatusUnauthorized {
				t.Errorf("the access token is answered with %d", status)
			}
			if _, err := refresh(t, s, other.RefreshToken); err != nil {
				t.Errorf("another user's token died: %v", err)
			}
			if status, body := revoke(t, s, value(tok)); status != http.StatusBadRequest || body["error"] != "invalid_token" {
				t.Errorf("second time: status %d, body %v", status, body)
			}
		})
	}
	resp, err := http.Get(s.URL() + "/revoke?token=x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET answered with %d", resp.StatusCode)
	}
}

func revoke(t testing.TB, s *fakegoogle.Server, token string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL()+"/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, http.DefaultClient, r)
}

func getProfile(t testing.TB, s *fakegoogle.Server, accessToken string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.URL()+"/gmail/v1/users/me/profile", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	return do(t, http.DefaultClient, r)
}

func TestAccessTokensExpire(t *testing.T) {
	ticker := newClock()
	s := start(t, fakegoogle.Options{Now: ticker.now, AccessTokenTTL: 60e9})
	tok := connect(t, s, small, readonly)
	ticker.advance(60e9 - 1)
	if status, _ := getProfile(t, s, tok.AccessToken); status != http.StatusOK {
		t.Fatalf("status %d before the end", status)
	}
	ticker.advance(1)
	if status, _ := getProfile(t, s, tok.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("status %d at the end", status)
	}
	again, err := refresh(t, s, tok.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	s.ExpireAccessTokens(small.Sub)
	if status, _ := getProfile(t, s, again.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("status %d after ExpireAccessTokens", status)
	}
	if _, err := refresh(t, s, tok.RefreshToken); err != nil {
		t.Errorf("the refresh token died too: %v", err)
	}
}
