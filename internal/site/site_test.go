package site_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/site"
)

func mustNew(t testing.TB, base string, origins, returnURLs []string) *site.Site {
	t.Helper()
	s, err := site.New(base, origins, returnURLs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBaseURL(t *testing.T) {
	for _, row := range []struct{ base, callback, origin string }{
		{"https://app.example.com/api", "https://app.example.com/api/callback", "https://app.example.com"},
		{"https://app.example.com/api/", "https://app.example.com/api/callback", "https://app.example.com"},
		{"https://europe-west1-p.cloudfunctions.net", "https://europe-west1-p.cloudfunctions.net/callback", "https://europe-west1-p.cloudfunctions.net"},
		{"https://app.example.com:8443", "https://app.example.com:8443/callback", "https://app.example.com:8443"},
		{"http://localhost:8080", "http://localhost:8080/callback", "http://localhost:8080"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/callback", "http://127.0.0.1:8080"},
		{"http://[::1]:8080", "http://[::1]:8080/callback", "http://[::1]:8080"},
		{"http://[::1]", "http://[::1]/callback", "http://[::1]"},
		{"https://{function}-1.europe-west1.run.app", "https://callback-1.europe-west1.run.app", "https://callback-1.europe-west1.run.app"},
		{"https://{function}-1.europe-west1.run.app/", "https://callback-1.europe-west1.run.app/", "https://callback-1.europe-west1.run.app"},
	} {
		s := mustNew(t, row.base, nil, nil)
		if got := s.FunctionURL("callback"); got != row.callback {
			t.Errorf("%s: callback at %q, want %q", row.base, got, row.callback)
		}
		if got := s.Origin("callback"); got != row.origin || !s.Allowed(row.origin) {
			t.Errorf("%s: origin %q, want %q, and allowed", row.base, got, row.origin)
		}
	}
}

func TestPerFunctionHosts(t *testing.T) {
	s := mustNew(t, "https://{function}-1.europe-west1.run.app", nil, nil)
	for _, name := range site.Functions {
		if origin := "https://" + name + "-1.europe-west1.run.app"; !s.Allowed(origin) {
			t.Errorf("%s is not allowed", origin)
		}
	}
	if s.CookieWay() {
		t.Error("three sites, yet a cookie way")
	}
}

func TestBaseURLFaults(t *testing.T) {
	for _, base := range []string{
		"", "/", "app.example.com", "//app.example.com", "ftp://app.example.com", "https://", "https:///x", "https:app.example.com",
		"http://app.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0:8080",
		"https://u:p@app.example.com", "https://app.example.com/#x", "https://app.example.com/?x=1", "https://app.example.com/?", "https://app.example.com/a b",
		"https://app.example.com:443", "https://App.example.com", "http://localhost:80", // Google compares redirect_uri to the byte
		"https://{function}.example.com/{function}", "https://a b.example.com", "https://app.example.com:port",
		"https://app.example.com:443", "https://App.example.com", "HTTPS://app.example.com", "HTTP://localhost:8080", "https://é.example.com", // would not match a registered redirect URI, or a browser's origin
	} {
		if _, err := site.New(base, nil, nil); err == nil {
			t.Errorf("%q was accepted", base)
		} else if !strings.HasPrefix(err.Error(), "BASE_URL: ") {
			t.Errorf("%q: %q does not name BASE_URL", base, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://app.example.com":      true,
		"https://app.example.com:8443": true,
		"http://localhost:5173":        true,
		"http://localhost":             true,
		"http://127.9.9.9:3000":        true,
		"http://[::1]:3000":            true,
		"https://192.0.2.1":            true,

		"null":                          false,
		"*":                             false,
		"https://*":                     false,
		"https://*.example.com":         false,
		"":                              false,
		"app.example.com":               false,
		"https://app.example.com/":      false,
		"https://app.example.com/a":     false,
		"https://app.example.com?":      false,
		"https://app.example.com?a=b":   false,
		"https://app.example.com#":      false,
		"https://app.example.com#a":     false,
		"https://app.example.com:443":   false,
		"https://app.example.com:":      false,
		"http://localhost:80":           false,
		"https://App.example.com":       false,
		"HTTPS://app.example.com":       false,
		"http://app.example.com":        false,
		"http://192.168.0.1:3000":       false,
		"http://localhost.evil.example": false,
		"http://127.0.0.1.evil.example": false,
		"https://u@app.example.com":     false,
		"chrome-extension://abcdef":     false,
		"file://":                       false,
		"https://a.example https://b.e": false,
	} {
		s, err := site.New("https://api.example.org", []string{origin}, nil)
		if ok != (err == nil) {
			t.Errorf("%q: %v", origin, err)
		}
		if err != nil && !strings.Contains(err.Error(), "ALLOWED_ORIGINS: ") {
			t.Errorf("%q: %q does not name ALLOWED_ORIGINS", origin, err)
		}
		if ok && !s.Allowed(origin) {
			t.Errorf("%q is not allowed", origin)
		}
	}
}

func TestAllowedIsExact(t *testing.T) {
	s := mustNew(t, "https://api.example.com", []string{"https://app.example.com"}, nil)
	for _, origin := range []string{
		"", "null", "*", "https://app.example.com/", "https://app.example.com:443", "http://app.example.com", "https://app.example.com.",
		"https://APP.example.com", "https://x.app.example.com", "https://app.example.co", "https://app.example.com.evil.example", "https://app.example.com@evil.example",
	} {
		if s.Allowed(origin) {
			t.Errorf("%q is allowed", origin)
		}
	}
}

func TestReturnURLFaults(t *testing.T) {
	for _, raw := range []string{
		"https://other.example.com/", "https://app.example.com/#x", "https://app.example.com/?code=1", "https://app.example.com/?state",
		"https://app.example.com/?error=", "https://app.example.com/?missing_scopes=1", "https://u@app.example.com/", "http://app.example.com/",
		"https://app.example.com/a b", "https://app.example.com/ä", "https://api.example.com/callback", "/relative", "",
		"https://app.example.com/" + strings.Repeat("x", 1024),
	} {
		_, err := site.New("https://api.example.com", []string{"https://app.example.com", "https://api.example.com"}, []string{raw})
		if err == nil {
			t.Errorf("%.60q was accepted", raw)
		} else if !strings.Contains(err.Error(), "RETURN_URLS: ") {
			t.Errorf("%.60q: %q does not name RETURN_URLS", raw, err)
		}
	}
}

func TestDefaultReturnURLs(t *testing.T) {
	origins := []string{"https://a.example.com", "https://b.example.com"}
	s := mustNew(t, "https://api.example.com", origins, nil)
	if got := s.DefaultReturnURL(); got != "https://a.example.com/" {
		t.Errorf("default %q", got)
	}
	for _, o := range origins {
		if _, err := s.ReturnToHandOff(o + "/"); err != nil {
			t.Errorf("%s/: %v", o, err)
		}
	}
	if got := mustNew(t, "https://api.example.com", nil, nil).DefaultReturnURL(); got != "" {
		t.Errorf("with nothing configured %q", got)
	}
	if got := mustNew(t, "https://api.example.com", origins, []string{"https://b.example.com/x"}).DefaultReturnURL(); got != "https://b.example.com/x" {
		t.Errorf("the first entry: %q", got)
	}
}

// A hand-off ends at an entry of RETURN_URLS, byte for byte.
func TestReturnToHandOff(t *testing.T) {
	const entry = "https://app.example.net/app?x=1"
	s := mustNew(t, "https://api.example.com", []string{"https://app.example.net"}, []string{entry})
	if got, err := s.ReturnToHandOff(entry); got != entry || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, other := range []string{
		"", entry + "&", entry + "#", entry + "/", "https://app.example.net/app", "https://app.example.net/app?x=2", "https://app.example.net/", "https://app.example.net",
		"HTTPS://app.example.net/app?x=1", "https://app.example.net:443/app?x=1", "https://app.example.net/./app?x=1", " " + entry,
	} {
		if _, err := s.ReturnToHandOff(other); err == nil {
			t.Errorf("%q was accepted", other)
		}
	}
}

func TestReturnToCookie(t *testing.T) {
	const base, app = "https://api.example.com/fn", "https://app.example.com"
	s := mustNew(t, base, []string{app, "https://app.example.com:8443", "https://elsewhere.example.net"}, nil)
	long := app + "/" + strings.Repeat("x", 1024-len(app)-1)
	for _, row := range []struct{ raw, want string }{
		{app, app},
		{app + "/", app + "/"},
		{app + "/deep/page?tab=2&x=%20", app + "/deep/page?tab=2&x=%20"},
		{app + ":443/", app + ":443/"},
		{"HTTPS://app.example.com/", app + "/"},
		{"https://APP.example.com/", "https://APP.example.com/"},
		{app + `/a\b`, app + "/a%5Cb"},
		{app + "/ä", app + "/%C3%A4"},
		{app + "/a b", app + "/a%20b"},
		{"https://app.example.com:8443/", "https://app.example.com:8443/"},
		{"https://api.example.com/other", "https://api.example.com/other"},
		{"https://api.example.com/fn/authurls", "https://api.example.com/fn/authurls"},
		{app + "/fn/callback", app + "/fn/callback"}, // not ours: another host
		{long, long},
	} {
		if got, err := s.ReturnToCookie(row.raw); got != row.want || err != nil {
			t.Errorf("%.80q: %.80q, %v", row.raw, got, err)
		}
	}
	for _, raw := range []string{
		"", "/", "//app.example.com/", "app.example.com", "javascript:alert(1)", "data:text/html,x", "https:app.example.com", "https:/app.example.com", "https:///app.example.com",
		"http://app.example.com/", "https://u@app.example.com/", "https://u:p@app.example.com/", "https://@app.example.com/", "https://evil.example#@app.example.com/",
		`https://app.example.com\@evil.example/`, `https://evil.example\@app.example.com/`, "https://app.example.com.evil.example/", "https://app.example.com%2eevil.example/",
		app + "/#", app + "/#x", app + "/?code=1", app + "/?state=1", app + "/?error=1", app + "/?missing_scopes=1", app + "/?c%6fde=1", app + "/?a=1&state",
		app + "/?a=1;code=2", app + "/?a=%zz", app + "/?a=b c", app + "/?a=ä", app + "/\n", app + "/\x00", " " + app, app + ":444/", "https://other.example.com/", "https://elsewhere.example.net/",
		long + "x",
	} {
		if got, err := s.ReturnToCookie(raw); err == nil {
			t.Errorf("%.80q was accepted as %q", raw, got)
		}
	}
}

func TestOtherSiteNeedsTheHandOff(t *testing.T) {
	s := mustNew(t, "https://api.example.com", []string{"https://app.example.net", "https://app.example.com"}, nil)
	if _, err := s.ReturnToCookie("https://app.example.net/"); err == nil || !strings.Contains(err.Error(), "hand-off") {
		t.Errorf("%v, want it to say that the hand-off is needed", err)
	}
	s = mustNew(t, "https://{function}.example.com", []string{"https://app.example.com"}, nil)
	if _, err := s.ReturnToCookie("https://app.example.com/"); err == nil || !strings.Contains(err.Error(), "hand-off") {
		t.Errorf("three hosts: %v, want it to say that the hand-off is needed", err)
	}
}

// Who is same-site with whom (schemefully, by the public suffix list with its
// private section) is seen by which return URLs the cookie way takes.
func TestSameSite(t *testing.T) {
	for _, row := range []struct {
		base, origin string
		same         bool
	}{
		{"https://api.example.com", "https://app.example.com", true},
		{"https://api.example.com", "https://example.com", true},
		{"https://api.example.com", "https://a.b.example.com:9", true},
		{"https://api.example.com", "https://example.org", false},
		{"https://api.example.co.uk", "https://app.example.co.uk", true},
		{"https://api.example.co.uk", "https://app.other.co.uk", false},
		{"https://europe-west1-p.cloudfunctions.net", "https://europe-west1-q.cloudfunctions.net", false},
		{"https://europe-west1-p.cloudfunctions.net", "https://europe-west1-p.cloudfunctions.net", true},
		{"https://a-1.europe-west1.run.app", "https://b-1.europe-west1.run.app", false},
		{"https://p.web.app", "https://q.web.app", false},
		{"https://p.web.app/api", "https://p.web.app", true},
		{"https://p.firebaseapp.com", "https://q.firebaseapp.com", false},
		{"https://p.github.io", "https://q.github.io", false},
		{"https://p.vercel.app", "https://q.vercel.app", false},
		{"https://192.0.2.1", "https://192.0.2.1:8443", true},
		{"https://192.0.2.1", "https://192.0.3.1", false},
		{"https://[2001:db8::1]", "https://[2001:db8::1]:8443", true},
		{"https://[2001:db8::1]", "https://[2001:db8::2]", false},
		{"http://localhost:8080", "http://localhost:5173", true},
		{"http://localhost:8080", "https://localhost:5173", false},
		{"http://localhost:8080", "http://127.0.0.1:5173", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:5173", true},
		{"http://127.0.0.1:8080", "http://127.0.0.2:5173", false},
		{"http://[::1]:8080", "http://[::1]:5173", true},
	} {
		s := mustNew(t, row.base, []string{row.origin}, nil)
		if _, err := s.ReturnToCookie(row.origin + "/page"); row.same != (err == nil) {
			t.Errorf("%s with %s: %v", row.base, row.origin, err)
		}
	}
}

// The functions' own addresses are no place to return to, however a browser or
// a server in front could be made to arrive there.
func TestOwnAddresses(t *testing.T) {
	const base = "https://app.example.com/api"
	s := mustNew(t, base, []string{"https://app.example.com"}, nil)
	for _, raw := range []string{
		base + "/callback", base + "/authurl", base + "/listmessages",
		base + "/callback/", base + "/callback//", base + "/callback/x", base + "/callback?x=1",
		base + "/CALLBACK", base + "/Callback/", "https://app.example.com/API/callback",
		"https://APP.EXAMPLE.COM/api/callback", "https://app.example.com:443/api/callback",
		base + "/x/../callback", base + "/./callback", base + "/../api/callback", base + "/callback/.", base + "/callback/x/..",
		base + "/x/%2e%2e/callback", base + "/%2E/callback", base + "/x/.%2e/callback", base + "/callback/x//../..",
		base + "/call%62ack", base + "/callback%2F", base + "//callback", "https://app.example.com//api/callback",
	} {
		if got, err := s.ReturnToCookie(raw); err == nil {
			t.Errorf("%q was accepted as %q", raw, got)
		}
	}
	for _, raw := range []string{base, base + "/", base + "/call", base + "/callbacks", base + "/callback/../other", "https://app.example.com/callback"} {
		if _, err := s.ReturnToCookie(raw); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	_, err := site.New("nonsense", []string{"https://ok.example.com", "bad-one", "*"}, []string{"https://ok.example.com/x", "bad-two", "https://ok.example.com/#y"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"BASE_URL", "bad-one", "bad-two", "#y"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in:\n%v", part, err)
		}
	}
	if strings.Contains(err.Error(), "ok.example.com/x") {
		t.Errorf("a good entry is blamed:\n%v", err)
	}
}

func TestFaultsShowNoCredentials(t *testing.T) {
	const address = "https://user:hunter2secret@app.example.com/"
	for _, err := range []error{
		second(site.New(address, nil, nil)),
		second(site.New("https://app.example.com", []string{address}, nil)),
		second(site.New("https://app.example.com", nil, []string{address})),
	} {
		if err == nil || strings.Contains(err.Error(), "hunter2secret") {
			t.Errorf("%v", err)
		}
	}
}

func second(_ *site.Site, err error) error { return err }

func TestAddQuery(t *testing.T) {
	values := url.Values{"code": {"1.a-_"}, "state": {"a b&c=d#e?"}}
	const encoded = "code=1.a-_&state=a+b%26c%3Dd%23e%3F"
	for returnTo, want := range map[string]string{
		"https://a.example":          "https://a.example?" + encoded,
		"https://a.example/":         "https://a.example/?" + encoded,
		"https://a.example/?":        "https://a.example/?" + encoded,
		"https://a.example/?x=1":     "https://a.example/?x=1&" + encoded,
		"https://a.example/?x=1&x=2": "https://a.example/?x=1&x=2&" + encoded,
		"https://a.example/?b=2&a=1": "https://a.example/?b=2&a=1&" + encoded, // order kept
	} {
		if got := site.AddQuery(returnTo, values); got != want {
			t.Errorf("%s: %s, want %s", returnTo, got, want)
		}
		if got := site.AddQuery(returnTo, nil); got != returnTo {
			t.Errorf("%s with nothing: %s", returnTo, got)
		}
	}
}

func TestOriginOf(t *testing.T) {
	for raw, want := range map[string]string{
		"https://A.Example.com:443/x?y": "https://a.example.com",
		"https://a.example.com:8443/":   "https://a.example.com:8443",
		"http://[::1]:80/":              "http://[::1]",
		"nonsense":                      "",
		"https://u@a.example.com/":      "",
	} {
		if got := site.OriginOf(raw); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.255.255.254": true, "::1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "128.0.0.1": false, "localhost.": false, "x.localhost": false,
		"localhost.evil.example": false, "127.0.0.1.evil.example": false, "127.1": false, "2130706433": false, "[::1]": false,
	} {
		if got := site.IsLoopback(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

// FuzzReturnTo: whatever the cookie way accepts has an allowed origin of our
// own site, no credentials and nothing of ours in its query, is no address of a
// function, and reads back as itself.
func FuzzReturnTo(f *testing.F) {
	const base = "https://api.example.com/fn"
	origins := []string{"https://app.example.com", "https://api.example.com", "https://elsewhere.example.net"}
	s := mustNew(f, base, origins, nil)
	for _, seed := range []string{
		"https://app.example.com/", "https://app.example.com:443/a/../b?x=1", "https://API.example.com/fn/%2e%2e/fn/callback",
		`https://app.example.com\@evil.example/`, "https://app.example.com/?c%6fde=1", "https://elsewhere.example.net/", "https://u@app.example.com/#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := s.ReturnToCookie(raw)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.String() != got || u.User != nil || u.Fragment != "" || strings.ContainsAny(got, "#\\ \t\r\n") {
			t.Fatalf("%q was accepted as %q (%v)", raw, got, err)
		}
		host := strings.ToLower(strings.TrimSuffix(u.Host, ":"))
		if origin := u.Scheme + "://" + strings.TrimSuffix(host, ":443"); !slices.Contains(origins[:2], origin) {
			t.Fatalf("%q was accepted with the origin %q", raw, origin)
		}
		if again, err := s.ReturnToCookie(got); err != nil || again != got {
			t.Fatalf("%q reads back as %q, %v", got, again, err)
		}
		if q := u.Query(); q.Has("code") || q.Has("state") || q.Has("error") || q.Has("missing_scopes") {
			t.Fatalf("%q was accepted", raw)
		}
		if path := u.JoinPath().Path; u.Hostname() == "api.example.com" && strings.HasPrefix(path, "/fn/callback") && (path + "/")[12] == '/' {
			t.Fatalf("%q was accepted: it is our callback", raw)
		}
	})
}
