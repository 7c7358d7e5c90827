package fakegoogle_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/oauth2"
)

const pageOrigin = "http://localhost:5173"

// relay is what the code client sends in place of a redirect URI.
const relay = "storagerelay://http/localhost:5173?id=question"

func startWithPage(t *testing.T) *fakegoogle.Server {
	t.Helper()
	return start(t, fakegoogle.Options{JavaScriptOrigins: []string{"http://localhost:3000", pageOrigin}})
}

// popupURL is the request that the code client makes.
func popupURL(t *testing.T, s *fakegoogle.Server, options ...oauth2.AuthCodeOption) string {
	t.Helper()
	c := oauthConfig(t, s, "openid", readonly)
	c.RedirectURL = relay
	return c.AuthCodeURL("my state", append(options, oauth2.AccessTypeOffline)...)
}

var message = regexp.MustCompile(`postMessage\(\{ id: (".*?"), answer: (\{.*?\}) \}, (".*?")\);`)

// press submits the consent form in the popup, and returns what its last page
// hands to the page that opened it.
func press(t *testing.T, s *fakegoogle.Server, browser *http.Client, f form, action string) map[string]string {
	t.Helper()
	f.values.Set("action", action)
	resp, err := browser.PostForm(s.URL()+f.action, f.values)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := message.FindSubmatch(page)
	if resp.StatusCode != http.StatusOK || found == nil {
		t.Fatalf("status %d: %s", resp.StatusCode, page)
	}
	var id, target string
	var answer map[string]string
	for i, v := range []any{&id, &answer, &target} {
		if err := json.Unmarshal(found[i+1], v); err != nil {
			t.Fatalf("%s: %v", found[i+1], err)
		}
	}
	if id != "question" || target != pageOrigin {
		t.Errorf("the answer to %q is for %q", id, target)
	}
	return answer
}

func popupCode(t *testing.T, s *fakegoogle.Server, browser *http.Client) string {
	t.Helper()
	f, _ := open(t, browser, popupURL(t, s))
	return press(t, s, browser, f, "allow")["code"]
}

func exchange(t *testing.T, s *fakegoogle.Server, code, redirectURI string, options ...oauth2.AuthCodeOption) (*oauth2.Token, error) {
	t.Helper()
	c := oauthConfig(t, s)
	c.RedirectURL = redirectURI
	return c.Exchange(context.Background(), code, options...)
}

func TestPopupAnswer(t *testing.T) {
	s := startWithPage(t)
	browser := newBrowser(t, s)
	f, _ := open(t, browser, popupURL(t, s))
	got := press(t, s, browser, f, "allow")
	if got["state"] != "my state" || got["scope"] != "openid "+readonly || got["error"] != "" {
		t.Errorf("answer %v", got)
	}
	tok, err := exchange(t, s, got["code"], "postmessage")
	if err != nil || tok.RefreshToken == "" {
		t.Errorf("token %+v, %v", tok, err)
	}
	if got := press(t, s, browser, f, "deny"); got["error"] != "access_denied" || got["state"] != "my state" || got["code"] != "" {
		t.Errorf("refusal %v", got)
	}
}

// TestPopupAsksEveryTime, and yet only the first consent brings a refresh token.
func TestPopupAsksEveryTime(t *testing.T) {
	s := startWithPage(t)
	browser := newBrowser(t, s)
	for i := range 3 {
		tok, err := exchange(t, s, popupCode(t, s, browser), "postmessage")
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.RefreshToken != ""; got != (i == 0) {
			t.Errorf("time %d: a refresh token: %t", i+1, got)
		}
	}
}

func TestPopupCodeIsBound(t *testing.T) {
	s := startWithPage(t)
	tests := []struct {
		redirectURI string
		options     []oauth2.AuthCodeOption
		good        bool
	}{
		{"postmessage", nil, true},
		{pageOrigin, nil, true},
		{"http://localhost:3000", nil, false},
		{pageOrigin + "/", nil, false},
		{redirectURI, nil, false},
		{relay, nil, false},
		{"postmessage", []oauth2.AuthCodeOption{oauth2.VerifierOption(oauth2.GenerateVerifier())}, false},
	}
	for _, tt := range tests {
		code := popupCode(t, s, newBrowser(t, s))
		_, err := exchange(t, s, code, tt.redirectURI, tt.options...)
		if tt.good {
			if err != nil {
				t.Errorf("%s: %v", tt.redirectURI, err)
			}
			continue
		}
		if got, _ := oauthErrorCode(t, err); got != "invalid_grant" {
			t.Errorf("%s: %s", tt.redirectURI, got)
		}
	}
	code := signIn(t, s, newBrowser(t, s), oauthConfig(t, s, readonly).AuthCodeURL(""), small)
	if _, err := exchange(t, s, code, "postmessage"); err == nil {
		t.Error("the code of a redirect was exchanged as a popup's")
	}
}

// TestPopupOfUnregisteredPage: it learns nothing, not even a refusal.
func TestPopupOfUnregisteredPage(t *testing.T) {
	s := startWithPage(t)
	for _, redirect := range []string{
		"storagerelay://http/localhost:5174?id=x", "storagerelay://https/localhost:5173?id=x", "storagerelay://http/localhost:5173/?id=x",
		"storagerelay://http/", "storagerelay://http", "storagerelay:", "postmessage", pageOrigin,
	} {
		c := oauthConfig(t, s, readonly)
		c.RedirectURL = redirect
		resp, err := newBrowser(t, s).Get(c.AuthCodeURL("", oauth2.SetAuthURLParam("prompt", "unknown")))
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		mismatch := strings.Contains(string(page), "origin_mismatch") || strings.Contains(string(page), "redirect_uri_mismatch")
		if resp.StatusCode != http.StatusBadRequest || !mismatch || strings.Contains(string(page), "postMessage") {
			t.Errorf("%s: status %d: %s", redirect, resp.StatusCode, page)
		}
	}
}

// TestPopupIncludesGrantedScopes: the code client's default brings what was granted
// before; false does not.
func TestPopupIncludesGrantedScopes(t *testing.T) {
	s := startWithPage(t)
	browser := newBrowser(t, s)
	signIn(t, s, browser, oauthConfig(t, s, "openid", metadata).AuthCodeURL(""), large)
	for include, want := range map[string]bool{"true": true, "false": false} {
		f, _ := open(t, browser, popupURL(t, s, oauth2.SetAuthURLParam("include_granted_scopes", include)))
		scopes := strings.Fields(press(t, s, browser, f, "allow")["scope"])
		if got := slices.Contains(scopes, metadata); got != want {
			t.Errorf("include_granted_scopes=%s: %v", include, scopes)
		}
	}
}

func TestCodeClientScript(t *testing.T) {
	s := startWithPage(t)
	resp, err := http.Get(s.CodeClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	script, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/javascript") || !strings.Contains(string(script), "NOT Google") {
		t.Errorf("%s: %.80s", ct, script)
	}
	u, err := url.Parse(s.CodeClientURL())
	if err != nil || u.Path != "/gsi/client" {
		t.Errorf("served at %s, Google's is at /gsi/client", s.CodeClientURL())
	}
}
