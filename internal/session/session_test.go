package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
)

const (
	app     = "https://app.example.com"
	sibling = "https://blog.example.com" // of the same site, not allowed
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// A world is a keeper with its clock, and a source of keys that can be down.
type world struct {
	*session.Keeper
	now  time.Time
	down bool
}

func newWorld(t testing.TB, base, cookie string) *world {
	t.Helper()
	s, err := site.New(base, []string{app, "http://localhost:5173"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{now: noon}
	fetch := func(_ context.Context, version string) (int64, []byte, error) {
		switch {
		case w.down:
			return 0, nil, errDown
		case version != seal.Latest:
			return 0, nil, seal.ErrRefused
		}
		return 2, bytes.Repeat([]byte{7}, seal.MinKeyBytes), nil
	}
	now := func() time.Time { return w.now }
	w.Keeper = &session.Keeper{Ring: seal.NewRing(fetch, base, now, func(error) {}), Site: s, Now: now, CookieName: cookie, CookieTTL: 12 * time.Hour, BearerTTL: time.Hour}
	return w
}

var errDown = errors.New("secret manager is down")

func usual(t testing.TB) *world { return newWorld(t, "https://api.example.com", "__Host-gmailgrant") }

func ada(origin string) session.Session {
	return session.Session{User: "1234", GrantID: "grant", Origin: origin, Flow: "flow"}
}

// setCookie is the Set-Cookie that gives the browser b.
func (w *world) setCookie(t testing.TB, b session.Browser) *http.Cookie {
	t.Helper()
	rec := httptest.NewRecorder()
	if err := w.SetCookie(t.Context(), rec, b); err != nil {
		t.Fatal(err)
	}
	cookies := rec.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	return cookies[0]
}

func (w *world) signedIn(t testing.TB, s session.Session) *http.Cookie {
	t.Helper()
	return w.setCookie(t, session.Browser{ID: "browser", Session: w.ForCookie(s)})
}

func (w *world) bearer(t testing.TB, s session.Session) string {
	t.Helper()
	value, err := w.Bearer(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func request(header http.Header, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, values := range header {
		r.Header[name] = values
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

func reasonOf(err error) endpoint.Reason {
	if err == nil {
		return ""
	}
	return endpoint.AsProblem(err).Reason
}

func (w *world) want(t *testing.T, what string, r *http.Request, want endpoint.Reason) {
	t.Helper()
	s, err := w.Of(r)
	if got := reasonOf(err); got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
	if want == "" && (s == nil || s.User != "1234" || s.GrantID != "grant" || s.Flow != "flow") {
		t.Errorf("%s: %+v", what, s)
	}
}

func TestCookieAttributes(t *testing.T) {
	for _, row := range []struct {
		base, name string
		secure     bool
	}{
		{"https://api.example.com", "__Host-gmailgrant", true},
		{"https://p.web.app/api", "__session", true},
		{"https://localhost:8443", "__Host-gmailgrant", true},
		{"http://localhost:8080", "gmailgrant", false},
		{"http://127.0.0.1:8080", "gmailgrant", false},
		{"http://[::1]:8080", "gmailgrant", false},
	} {
		w := newWorld(t, row.base, row.name)
		c := w.setCookie(t, session.NewBrowser())
		if c.Name != row.name || c.Secure != row.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 {
			t.Errorf("%s: %s", row.base, c.Raw)
		}
		rec := httptest.NewRecorder()
		w.DropCookie(rec)
		d := rec.Result().Cookies()[0]
		if d.Name != row.name || d.Value != "" || d.MaxAge >= 0 || d.Secure != row.secure || !d.HttpOnly || d.Path != "/" || d.Domain != "" {
			t.Errorf("%s, dropped: %s", row.base, d.Raw)
		}
	}
}

// Browsers drop a cookie of more than 4096 bytes.
func TestCookieFits(t *testing.T) {
	w := usual(t)
	s := session.Session{User: strings.Repeat("1", 255), GrantID: strings.Repeat("g", 26), Flow: strings.Repeat("f", 26), Origin: "https://" + strings.Repeat("a.", 120) + "example"}
	if c := w.signedIn(t, s); len(c.Raw) > 4096 {
		t.Errorf("%d bytes", len(c.Raw))
	}
}

func TestNewBrowser(t *testing.T) {
	a, b := session.NewBrowser(), session.NewBrowser()
	if a.ID == b.ID || len(a.ID) < 26 { // of 32 letters: 128 bits
		t.Errorf("%q, %q", a.ID, b.ID)
	}
	if a.Session != nil {
		t.Error("a new browser is signed in")
	}
}

func TestBrowser(t *testing.T) {
	w := usual(t)
	given := session.Browser{ID: "browser", Session: w.ForCookie(ada(app))}
	c := w.setCookie(t, given)
	got, err := w.Browser(request(nil, c))
	if err != nil || got.ID != given.ID || !reflect.DeepEqual(*got.Session, *given.Session) {
		t.Errorf("%+v, %v", got, err)
	}
	other := &http.Cookie{Name: "theme", Value: "dark"}
	if got, err := w.Browser(request(nil, other, c)); err != nil || got.ID != given.ID {
		t.Errorf("beside another cookie: %+v, %v", got, err)
	}
	w.now = noon.AddDate(1, 0, 0)
	if got, err := w.Browser(request(nil, c)); err != nil || got.ID != given.ID {
		t.Errorf("with a session whose time is over: %+v, %v", got, err)
	}
}

func TestNoBrowser(t *testing.T) {
	w := usual(t)
	good := w.setCookie(t, session.NewBrowser())
	altered := *good
	altered.Value = good.Value[:len(good.Value)-2] + "AA"
	for what, cookies := range map[string][]*http.Cookie{
		"none":                     nil,
		"another name":             {{Name: "gmailgrant", Value: good.Value}},
		"empty":                    {{Name: good.Name}},
		"garbage":                  {{Name: good.Name, Value: "garbage"}},
		"altered":                  {&altered},
		"twice":                    {good, good},
		"two":                      {good, w.setCookie(t, session.NewBrowser())},
		"planted beside":           {{Name: good.Name, Value: "x"}, good},
		"oversize":                 {{Name: good.Name, Value: good.Value + strings.Repeat("A", 4096)}},
		"a Bearer session":         {{Name: good.Name, Value: w.bearer(t, ada(app))}},
		"sealed for another thing": {{Name: good.Name, Value: w.sealed(t, seal.State, "cookie", `{"id":"x"}`)}},
		"not JSON inside":          {{Name: good.Name, Value: w.sealed(t, seal.Session, "cookie", "x")}},
	} {
		if b, err := w.Browser(request(nil, cookies...)); !errors.Is(err, session.ErrNoBrowser) {
			t.Errorf("%s: %+v, %v", what, b, err)
		}
	}
}

func (w *world) sealed(t testing.TB, p seal.Purpose, owner, payload string) string {
	t.Helper()
	value, _, err := w.Ring.Seal(t.Context(), p, time.Time{}, []byte(payload), owner)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestLifetimes(t *testing.T) {
	for _, row := range []struct {
		name string
		ttl  time.Duration
		ask  func(w *world) *http.Request
	}{
		{"cookie", 12 * time.Hour, func(w *world) *http.Request { return request(nil, w.signedIn(t, ada(app))) }},
		{"bearer", time.Hour, func(w *world) *http.Request {
			return request(http.Header{"Authorization": {"Bearer " + w.bearer(t, ada(app))}})
		}},
	} {
		w := usual(t)
		r := row.ask(w)
		w.now = noon.Add(row.ttl - time.Nanosecond)
		w.want(t, row.name+" a nanosecond before its end", r, "")
		w.now = noon.Add(row.ttl)
		w.want(t, row.name+" at its end", r, endpoint.SessionExpired)
		if _, err := w.Of(r); endpoint.AsProblem(err).User != "1234" {
			t.Errorf("%s: the problem does not name the user, whose login_hint it needs", row.name)
		}
	}
}

// A session cookie counts only where no other site, and no other host of our
// own site, made the browser send it.
func TestWhereACookieCounts(t *testing.T) {
	w := usual(t)
	c := w.signedIn(t, ada(app))
	for _, row := range []struct {
		site, origin string
		want         endpoint.Reason
	}{
		{"", "", ""}, // not a browser
		{"same-origin", "", ""},
		{"none", "", ""},
		{"same-site", app, ""},
		{"cross-site", app, ""},
		{"", app, ""},
		{"same-site", "", endpoint.OriginNotAllowed}, // an image on a sibling
		{"cross-site", "", endpoint.OriginNotAllowed},
		{"same-site", sibling, endpoint.OriginNotAllowed},
		{"cross-site", "null", endpoint.OriginNotAllowed},
		{"Same-Origin", "", endpoint.OriginNotAllowed},
		{"bogus", "", endpoint.OriginNotAllowed},
	} {
		header := http.Header{}
		if row.site != "" {
			header.Set("Sec-Fetch-Site", row.site)
		}
		if row.origin != "" {
			header.Set("Origin", row.origin)
		}
		w.want(t, row.site+" "+row.origin, request(header, c), row.want)
	}
}

// Refused where it does not count, a cookie costs no call upstream.
func TestRefusedBeforeAnyCall(t *testing.T) {
	w := usual(t)
	r := request(http.Header{"Sec-Fetch-Site": {"cross-site"}}, &http.Cookie{Name: w.CookieName, Value: "2." + strings.Repeat("A", 64)})
	w.down = true
	w.want(t, "key source down", r, endpoint.OriginNotAllowed)
}

func TestSessionBelongsToItsOrigin(t *testing.T) {
	w := usual(t)
	const local = "http://localhost:5173"
	for _, row := range []struct {
		made, asks string
		want       endpoint.Reason
	}{
		{app, app, ""},
		{app, "", ""},
		{app, local, endpoint.NoSession},
		{local, app, endpoint.NoSession},
		{app, "https://api.example.com", endpoint.NoSession},
		{"https://api.example.com", "https://api.example.com", ""},
		{sibling, sibling, endpoint.NoSession}, // no longer allowed
		{sibling, "", endpoint.NoSession},
		{"", "", endpoint.NoSession},
	} {
		header := http.Header{"Authorization": {"Bearer " + w.bearer(t, ada(row.made))}}
		if row.asks != "" {
			header.Set("Origin", row.asks)
		}
		w.want(t, "bearer of "+row.made+" asked by "+row.asks, request(header), row.want)
		header.Del("Authorization")
		w.want(t, "cookie of "+row.made+" asked by "+row.asks, request(header, w.signedIn(t, ada(row.made))), row.want)
	}
}

func TestCookieWithoutSession(t *testing.T) {
	w := usual(t)
	w.want(t, "no cookie", request(nil), endpoint.NoSession)
	w.want(t, "never signed in", request(nil, w.setCookie(t, session.NewBrowser())), endpoint.NoSession)
	c := w.signedIn(t, ada(app))
	w.want(t, "two cookies", request(nil, c, c), endpoint.NoSession)
	w.want(t, "garbage", request(nil, &http.Cookie{Name: c.Name, Value: "x"}), endpoint.NoSession)
}

// An Authorization header decides alone: whatever it is, the cookie beside it is
// not looked at.
func TestAuthorizationDecidesAlone(t *testing.T) {
	w := usual(t)
	c := w.signedIn(t, ada(app))
	good := w.bearer(t, ada(app))
	for _, row := range []struct {
		values []string
		want   endpoint.Reason
	}{
		{[]string{"Bearer " + good}, ""},
		{[]string{"bearer " + good}, ""},
		{[]string{"BEARER  " + good}, ""},
		{[]string{""}, endpoint.NoSession},
		{[]string{"Bearer"}, endpoint.NoSession},
		{[]string{"Bearer "}, endpoint.NoSession},
		{[]string{good}, endpoint.NoSession},
		{[]string{"Basic " + good}, endpoint.NoSession},
		{[]string{"Bearer " + good + "x"}, endpoint.NoSession},
		{[]string{"Bearer " + good + " " + good}, endpoint.NoSession},
		{[]string{"Bearer " + good, "Bearer " + good}, endpoint.NoSession},
		{[]string{"Bearer " + c.Value}, endpoint.NoSession}, // a cookie is no Bearer session
		{[]string{"Bearer " + good + strings.Repeat(" ", 4096)}, endpoint.NoSession},
		{[]string{"Bearer " + w.sealed(t, seal.Session, "bearer", "x")}, endpoint.NoSession},
		{[]string{"Bearer " + w.sealed(t, seal.HandOff, "bearer", `{"user":"1234","origin":"`+app+`"}`)}, endpoint.NoSession},
	} {
		w.want(t, strings.Join(row.values, " and "), request(http.Header{"Authorization": row.values}, c), row.want)
	}
	w.want(t, "from anywhere", request(http.Header{"Authorization": {"Bearer " + good}, "Sec-Fetch-Site": {"cross-site"}}), "")
}

// A key that can't be had is no verdict on the session.
func TestKeySourceDown(t *testing.T) {
	w := usual(t)
	c, b := w.signedIn(t, ada(app)), w.bearer(t, ada(app))
	cold := usual(t)
	cold.down = true
	for what, r := range map[string]*http.Request{
		"cookie": request(nil, c),
		"bearer": request(http.Header{"Authorization": {"Bearer " + b}}),
	} {
		if _, err := cold.Of(r); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := cold.Browser(request(nil, c)); !errors.Is(err, errDown) {
		t.Errorf("Browser: %v", err)
	}
}

// FuzzOf: whatever is taken for a session was given by us, as it is.
func FuzzOf(f *testing.F) {
	w := usual(f)
	cookie, bearer := w.signedIn(f, ada(app)).Value, w.bearer(f, ada(app))
	for _, seed := range []string{cookie, bearer, "", "2.", cookie + "A", "2." + strings.Repeat("A", 60)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, r := range []*http.Request{
			request(http.Header{"Authorization": {"Bearer " + value}}),
			request(http.Header{"Cookie": {w.CookieName + "=" + value}}),
		} {
			s, err := w.Of(r)
			if err != nil {
				if reasonOf(err) != endpoint.NoSession {
					t.Fatalf("%q: %v", value, err)
				}
				continue
			}
			want := ada(app)
			want.Expires = s.Expires
			if *s != want {
				got, _ := json.Marshal(s)
				t.Fatalf("%q was taken for %s", value, got)
			}
		}
	})
}
