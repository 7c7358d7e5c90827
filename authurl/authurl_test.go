package authurl

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
)

const (
	base     = "https://api.example.com"
	app      = "https://app.example.com/"
	foreign  = "https://app.example.net/app"
	ourPlace = "https://app.example.com/deep?x=1"
)

var challenge43 = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32))

// newHandler has what parsing needs; there is no store behind it.
func newHandler(t testing.TB, returnURLs ...string) *Handler {
	t.Helper()
	s, err := site.New(base, []string{"https://app.example.com", "https://app.example.net"}, returnURLs)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(context.Context, string) (int64, []byte, error) { return 1, make([]byte, seal.MinKeyBytes), nil }
	keeper := &session.Keeper{Ring: seal.NewRing(fetch, base, time.Now, func(error) {}), Site: s, Now: time.Now, CookieName: "c", CookieTTL: time.Hour, BearerTTL: time.Hour}
	return &Handler{Authorizer: &Authorizer{Site: s, Now: time.Now}, Sessions: keeper}
}

func parse(t testing.TB, h *Handler, raw string) (Flow, Hints, error) {
	t.Helper()
	query, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h.parse(query)
}

func TestParameters(t *testing.T) {
	h := newHandler(t, foreign, app)
	handOff := "code_challenge=" + challenge43 + "&code_challenge_method=S256"
	for raw, want := range map[string]struct {
		flow  Flow
		hints Hints
	}{
		"return_to=" + url.QueryEscape(app):                       {Flow{ReturnTo: app}, Hints{}},
		"return_to=" + url.QueryEscape(ourPlace) + "&state=a%20b": {Flow{ReturnTo: ourPlace, State: "a b"}, Hints{}},
		handOff: {Flow{ReturnTo: foreign, Challenge: challenge43}, Hints{}},
		handOff + "&return_to=" + url.QueryEscape(app):                                                 {Flow{ReturnTo: app, Challenge: challenge43}, Hints{}},
		handOff + "&login_hint=ada%2Bx@example.com&prompt=consent":                                     {Flow{ReturnTo: foreign, Challenge: challenge43}, Hints{"ada+x@example.com", "consent"}},
		handOff + "&login_hint=1234&prompt=select_account%20consent&state=" + strings.Repeat("s", 512): {Flow{ReturnTo: foreign, Challenge: challenge43, State: strings.Repeat("s", 512)}, Hints{"1234", "select_account consent"}},
		handOff + "&login_hint=" + strings.Repeat("x", 320):                                            {Flow{ReturnTo: foreign, Challenge: challenge43}, Hints{LoginHint: strings.Repeat("x", 320)}},
	} {
		flow, hints, err := parse(t, h, raw)
		if err != nil {
			t.Errorf("%.80s: %v", raw, err)
			continue
		}
		if flow.ID == "" {
			t.Errorf("%.80s: no flow ID", raw)
		}
		want.flow.ID = flow.ID
		if flow != want.flow || hints != want.hints {
			t.Errorf("%.80s: %+v %+v", raw, flow, hints)
		}
	}
}

func TestParametersRefused(t *testing.T) {
	h := newHandler(t, app, foreign)
	for raw, want := range map[string]endpoint.Reason{
		"state=" + strings.Repeat("s", 513):          endpoint.InvalidRequest,
		"state=%ff":                                  endpoint.InvalidRequest,
		"login_hint=":                                endpoint.InvalidRequest,
		"login_hint=a%20b":                           endpoint.InvalidRequest,
		"login_hint=a%0d%0ab":                        endpoint.InvalidRequest,
		"login_hint=a%00":                            endpoint.InvalidRequest,
		"login_hint=%ff":                             endpoint.InvalidRequest,
		"login_hint=" + strings.Repeat("x", 321):     endpoint.InvalidRequest,
		"prompt=":                                    endpoint.InvalidRequest,
		"prompt=none":                                endpoint.InvalidRequest,
		"prompt=login":                               endpoint.InvalidRequest,
		"prompt=consent%20none":                      endpoint.InvalidRequest,
		"prompt=consent%20%20select_account":         endpoint.InvalidRequest,
		"prompt=consent%20consent":                   endpoint.InvalidRequest,
		"prompt=Consent":                             endpoint.InvalidRequest,
		"code_challenge=" + challenge43:              endpoint.InvalidRequest,
		"code_challenge_method=S256":                 endpoint.InvalidRequest,
		"code_challenge=&code_challenge_method=":     endpoint.InvalidRequest,
		"code_challenge=&code_challenge_method=S256": endpoint.InvalidRequest,
		"code_challenge_method=plain&code_challenge=" + challenge43:                                endpoint.InvalidRequest,
		"code_challenge_method=s256&code_challenge=" + challenge43:                                 endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43 + "A":                           endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43[1:]:                             endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43[1:] + "%3D":                     endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43[2:] + "%2B%2F":                  endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43[:21] + "%0A" + challenge43[22:]: endpoint.InvalidRequest,
		"code_challenge_method=S256&code_challenge=" + challenge43[:42] + "t":                      endpoint.InvalidRequest, // stray bits
		"return_to=":                      endpoint.InvalidReturnTo,
		"return_to=/":                     endpoint.InvalidReturnTo,
		"return_to=" + foreign:            endpoint.InvalidReturnTo, // needs the hand-off
		"return_to=https://evil.example/": endpoint.InvalidReturnTo,
		"return_to=" + app + "x&code_challenge_method=S256&code_challenge=" + challenge43: endpoint.InvalidReturnTo,
	} {
		_, _, err := parse(t, h, raw)
		if err == nil || endpoint.AsProblem(err).Reason != want {
			t.Errorf("%.90s: %v, want %s", raw, err, want)
		}
	}
}

func TestDefaultReturn(t *testing.T) {
	if flow, _, err := parse(t, newHandler(t, app, foreign), ""); err != nil || flow.ReturnTo != app {
		t.Errorf("the first entry: %+v, %v", flow, err)
	}
	if _, _, err := parse(t, newHandler(t, foreign, app), ""); err == nil {
		t.Error("the cookie way begins though its default return URL is of another site")
	}
	s, err := site.New(base, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newHandler(t)
	h.Authorizer.Site = s
	if flow, _, err := parse(t, h, ""); err != nil || flow.ReturnTo != "" {
		t.Errorf("nothing configured: %+v, %v", flow, err)
	}
	if _, _, err := parse(t, h, "code_challenge_method=S256&code_challenge="+challenge43); err == nil {
		t.Error("a hand-off with nowhere to end")
	}
}

// A foreign link must not begin a flow of the cookie way.
func TestBind(t *testing.T) {
	h := newHandler(t, app)
	for _, row := range []struct {
		mode, site string
		ok         bool
	}{
		{"navigate", "cross-site", false}, {"navigate", "same-site", true}, {"navigate", "same-origin", true}, {"navigate", "none", true},
		{"navigate", "", true}, {"cors", "same-site", true}, {"", "", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/authurl", nil)
		for name, value := range map[string]string{"Sec-Fetch-Mode": row.mode, "Sec-Fetch-Site": row.site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		var flow Flow
		fresh, err := h.bind(r, &flow)
		if row.ok != (err == nil) || row.ok != (flow.Browser != "") || row.ok != (fresh != nil) {
			t.Errorf("%+v: %v, bound to %q", row, err, flow.Browser)
		}
		if !row.ok {
			if got := endpoint.AsProblem(err).Reason; got != endpoint.OriginNotAllowed {
				t.Errorf("%+v: %s", row, got)
			}
			continue
		}
		w := httptest.NewRecorder()
		if err := h.Sessions.SetCookie(t.Context(), w, *fresh); err != nil {
			t.Fatal(err)
		}
		r.AddCookie(w.Result().Cookies()[0])
		var second Flow
		if fresh, err := h.bind(r, &second); err != nil || second.Browser != flow.Browser || fresh != nil {
			t.Errorf("%+v, with the cookie: %v, %v", row, err, fresh)
		}
	}
}

// FuzzParameters: what is accepted obeys the grammar of each parameter, whatever
// the others are.
func FuzzParameters(f *testing.F) {
	h := newHandler(f, app, foreign)
	f.Add(app, "state", challenge43, "S256", "ada@example.com", "consent")
	f.Add(foreign, "", "", "", "", "")
	f.Add(ourPlace, "\xff", challenge43, "plain", "a b", "none")
	f.Fuzz(func(t *testing.T, returnTo, state, challenge, method, hint, prompt string) {
		query := url.Values{"return_to": {returnTo}, "state": {state}, "code_challenge": {challenge}, "code_challenge_method": {method}, "login_hint": {hint}, "prompt": {prompt}}
		for name, values := range query {
			if values[0] == "" {
				query.Del(name)
			}
		}
		flow, hints, err := h.parse(query)
		if err != nil {
			if r := endpoint.AsProblem(err).Reason; r != endpoint.InvalidRequest && r != endpoint.InvalidReturnTo {
				t.Fatalf("%v", err)
			}
			return
		}
		if flow.State != state || flow.Challenge != challenge || hints.LoginHint != hint || hints.Prompt != prompt {
			t.Fatalf("%v became %+v %+v", query, flow, hints)
		}
		if len(state) > 512 || strings.ContainsAny(hint, " \t\r\n\x00") || (challenge == "") != (method == "") || challenge != "" && len(challenge) != 43 {
			t.Fatalf("%v was accepted", query)
		}
		if flow.HandOff() && !slices.Contains([]string{app, foreign}, flow.ReturnTo) || !flow.HandOff() && !strings.HasPrefix(strings.ToLower(flow.ReturnTo), "https://a") {
			t.Fatalf("%v returns to %q", query, flow.ReturnTo)
		}
	})
}
