package fakegoogle_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	redirectURI = "http://127.0.0.1:9/callback" // nothing listens there: the browser stops before
	readonly    = "https://www.googleapis.com/auth/gmail.readonly"
	metadata    = "https://www.googleapis.com/auth/gmail.metadata"
	userEmail   = "https://www.googleapis.com/auth/userinfo.email"
	userProfile = "https://www.googleapis.com/auth/userinfo.profile"
)

// The default accounts, by the size of their mailboxes.
var (
	large = fakegoogle.DefaultAccounts()[0]
	small = fakegoogle.DefaultAccounts()[1]
	empty = fakegoogle.DefaultAccounts()[2]
)

// clock is a time that passes only when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock {
	return &clock{t: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// start runs a stand-in until the test ends.
func start(t testing.TB, o fakegoogle.Options) *fakegoogle.Server {
	t.Helper()
	if o.RedirectURIs == nil {
		o.RedirectURIs = []string{redirectURI}
	}
	s, err := fakegoogle.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// oauthConfig is what x/oauth2 makes of the client JSON.
func oauthConfig(t testing.TB, s *fakegoogle.Server, scopes ...string) *oauth2.Config {
	t.Helper()
	c, err := google.ConfigFromJSON(s.ClientJSON(), scopes...)
	if err != nil {
		t.Fatal(err)
	}
	c.RedirectURL = redirectURI
	c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	return c
}

// newBrowser keeps cookies, and stops at redirects out of the stand-in.
func newBrowser(t testing.TB, s *fakegoogle.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != s.Addr() {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// dialOptions point a Google client library at addr.
func dialOptions(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

func TestStartRefusesWhatIsNotLoopback(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:80", "127.0.0.1", "localhost.example.com:0"} {
		t.Run(addr, func(t *testing.T) {
			s, err := fakegoogle.Start(fakegoogle.Options{Addr: addr})
			if err == nil {
				s.Close()
				t.Fatalf("Start(%q) succeeded", addr)
			}
		})
	}
	for _, addr := range []string{"localhost:0", "127.0.0.1:0"} {
		t.Run(addr, func(t *testing.T) { start(t, fakegoogle.Options{Addr: addr}) })
	}
}

func TestClientJSON(t *testing.T) {
	s := start(t, fakegoogle.Options{
		ClientID: "id.apps.googleusercontent.com", ClientSecret: "first-secret",
		RedirectURIs: []string{"http://localhost:1/a"}, JavaScriptOrigins: []string{"http://localhost:2"},
	})
	s.SetClientSecret("second-secret")
	s.SetRedirectURIs("http://localhost:1/b")
	var got map[string]map[string]any
	if err := json.Unmarshal(s.ClientJSON(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{"web": {
		"client_id":          "id.apps.googleusercontent.com",
		"project_id":         "fakegoogle",
		"client_secret":      "second-secret",
		"auth_uri":           s.URL() + "/o/oauth2/v2/auth",
		"token_uri":          s.URL() + "/token",
		"redirect_uris":      []any{"http://localhost:1/b"},
		"javascript_origins": []any{"http://localhost:2"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestStateFileSurvivesRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	fields := map[string]any{
		"s": "text", "b": []byte{0, 255}, "n": int64(1) << 60, "f": 1.5, "yes": true, "none": nil,
		"t": time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), "list": []any{"a", int64(1)}, "map": map[string]any{"k": "v"},
	}
	first := start(t, fakegoogle.Options{StateFile: file})
	first.AddSecretVersion("key", []byte("payload-one"))
	first.AddSecretVersion("key", []byte("payload-two"))
	first.SetSecretVersionEnabled("key", 1, false)
	first.SetDocument("grants/123", fields)
	first.SetDocument("grants/gone", fields)
	first.DeleteDocument("grants/gone")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of the state file is %o, want 600", mode)
	}
	second := start(t, fakegoogle.Options{StateFile: file})
	if got, want := second.Documents(), map[string]map[string]any{"grants/123": fields}; !reflect.DeepEqual(got, want) {
		t.Errorf("documents: got %v\nwant %v", got, want)
	}
	if _, err := accessSecret(t, second, "key", "1"); err == nil {
		t.Error("the disabled version is enabled after the restart")
	}
	if got, err := accessSecret(t, second, "key", "latest"); err != nil || string(got.GetPayload().GetData()) != "payload-two" {
		t.Errorf("latest = %v, %v", got, err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestStateFileUnusable(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := fakegoogle.Start(fakegoogle.Options{StateFile: broken}); err == nil {
		s.Close()
		t.Error("Start accepted a broken state file")
	}
	s, err := fakegoogle.Start(fakegoogle.Options{StateFile: filepath.Join(dir, "absent", "state.json")})
	if err != nil {
		t.Fatal(err)
	}
	s.SetDocument("grants/1", map[string]any{"a": "b"})
	if err := s.Close(); err == nil {
		t.Error("Close does not report that the state could not be saved")
	}
}

func TestHandedKnowsEverySecret(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	s.AddSecretVersion("seal-key", []byte("seal-key-payload"))
	if _, err := accessSecret(t, s, "seal-key", "latest"); err != nil {
		t.Fatal(err)
	}
	verifier := oauth2.GenerateVerifier()
	c := oauthConfig(t, s, "openid", readonly)
	code := signIn(t, s, newBrowser(t, s), c.AuthCodeURL("state", oauth2.AccessTypeOffline, oauth2.S256ChallengeOption(verifier)), small)
	tok, err := c.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	handed := strings.Join(s.Handed(), "\n")
	for name, secret := range map[string]string{
		"client secret": c.ClientSecret, "code": code, "verifier": verifier, "access token": tok.AccessToken,
		"refresh token": tok.RefreshToken, "ID token": tok.Extra("id_token").(string), "seal key": "seal-key-payload",
	} {
		if !strings.Contains(handed, secret) {
			t.Errorf("%s is missing", name)
		}
	}
}
