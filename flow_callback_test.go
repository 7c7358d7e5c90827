package gmailgrant

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// with is an address with one parameter replaced; without values it is left out.
func with(u *url.URL, name string, values ...string) string {
	changed := *u
	query := changed.Query()
	query[name] = values
	if len(values) == 0 {
		query.Del(name)
	}
	changed.RawQuery = query.Encode()
	return changed.String()
}

// TestStateComesFirst: without a genuine state nothing is read or spent, and
// the browser is sent nowhere.
func TestStateComesFirst(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.startInstance(map[string]string{"BASE_URL": "http://localhost:1"})
	w.answerFrom(1)
	otherEnvironment := w.newBrowser(t).authorizationURL("").Query().Get("state")
	w.answerFrom(0)

	b := w.newBrowser(t)
	bearer := w.newBrowser(t)
	handOff, _ := bearer.handOffCode(choice{account: ben.Sub})
	session := bearer.bearerSession(choice{account: ben.Sub})
	back := b.begin("", choice{})
	state := back.Query().Get("state")
	tests := []struct {
		name  string
		state []string
	}{
		{"absent", nil},
		{"empty", []string{""}},
		{"forged", []string{"1.forged"}},
		{"repeated", []string{state, state}},
		{"cut", []string{state[:len(state)-1]}},
		{"longer", []string{state + "A"}},
		{"altered", []string{flip(state)}},
		{"another key version", []string{"2" + strings.TrimPrefix(state, "1")}},
		{"of another environment", []string{otherEnvironment}},
		{"a hand-off code", []string{handOff}},
		{"a session", []string{session}},
		{"the cookie", []string{b.cookie()}},
		{"huge", []string{strings.Repeat("1", 9000)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.google.ResetCalls()
			b.arrive(with(back, "state", tt.state...)).wantPage(t, http.StatusBadRequest, page)
			u, _ := url.Parse(with(back, "state", tt.state...))
			b.arrive(with(u, "error", "access_denied")).wantPage(t, http.StatusBadRequest, page)
			if n := w.google.Calls("token.code") + w.google.Calls("firestore.get"); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
	if w.grant(ada.Sub) != nil {
		t.Error("something was stored")
	}
	// A script that comes here is told in its own language.
	b.fetch(http.MethodGet, with(back, "state", "x")).wantProblem(t, endpoint.InvalidState)
	if end := b.finish(b.arrive(back.String()), choice{}); end.String() != page {
		t.Errorf("after all that the flow ended at %s", end)
	}
}

// flip changes a character in the middle.
func flip(s string) string {
	b := []byte(s)
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestStateLivesHalfAnHour(t *testing.T) {
	_, challenge := pkce()
	for name, query := range map[string]string{"cookie": "?state=theirs", "hand-off": handOffQuery(challenge)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, nil)
			b := w.newBrowser(t)
			inTime := b.navigate("/authurl" + query)
			w.clock.Advance(30*time.Minute - 1)
			if end := b.finish(inTime, choice{}); end.Query().Has("error") {
				t.Errorf("a nanosecond before its end the flow ended at %s", end)
			}
			late := b.navigate("/authurl" + query)
			w.clock.Advance(30 * time.Minute)
			w.google.ResetCalls()
			end := b.finish(late, choice{})
			if got := end.Query().Encode(); got != "error=state_expired&state=theirs" {
				t.Errorf("at its end the flow ended at %s", end)
			}
			if n := w.google.Calls("token.code"); n != 0 {
				t.Errorf("%d codes were spent", n)
			}
		})
	}
}

// TestForeignBrowser: a flow ends in the browser that began it.
func TestForeignBrowser(t *testing.T) {
	w := newWorld(t, 1, nil)
	attacker, victim := w.newBrowser(t), w.newBrowser(t)
	back := attacker.begin("", choice{account: ben.Sub}).String()
	w.google.ResetCalls()
	victim.arrive(back).wantPage(t, http.StatusBadRequest, page)
	victim.setCookie(attacker.cookie()[:20])
	victim.arrive(back).wantPage(t, http.StatusBadRequest, page)
	w.wantCalls(t, calls{})

	// With a browser ID of its own it starts again: the victim is at Google,
	// as himself, and the attacker's code is not used.
	victim.forgetCookies()
	victim.signIn(choice{})
	w.google.ResetCalls()
	a := victim.arrive(back)
	w.wantCalls(t, calls{})
	if end := victim.finish(a, choice{}); end.String() != page {
		t.Errorf("ended at %s", end)
	}
	if sub := victim.fetch(http.MethodGet, "/callback").sub(t); sub != ada.Sub {
		t.Errorf("the victim is now %s", sub)
	}
}

func TestGoogleSaysError(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	_, challenge := pkce()
	ways := map[string]*url.URL{
		page:        b.begin("?state=theirs", choice{deny: true}),
		foreignPage: b.begin(handOffQuery(challenge), choice{deny: true}),
	}
	tests := map[string]endpoint.Reason{
		"access_denied":           endpoint.AccessDenied,
		"admin_policy_enforced":   endpoint.DomainPolicy,
		"org_internal":            endpoint.DomainPolicy,
		"server_error":            endpoint.UpstreamUnavailable,
		"temporarily_unavailable": endpoint.UpstreamUnavailable,
		"invalid_scope":           endpoint.Misconfigured,
		"unauthorized_client":     endpoint.Misconfigured,
		"invalid_client":          endpoint.Misconfigured,
		"interaction_required":    endpoint.InvalidRequest,
		"invalid_request":         endpoint.InvalidRequest,
		"<script>":                endpoint.InvalidRequest,
		"":                        endpoint.InvalidRequest,
	}
	w.google.ResetCalls()
	for returnTo, back := range ways {
		if got := back.Query().Get("error"); got != "access_denied" {
			t.Fatalf("Google said %q", got)
		}
		for name, reason := range tests {
			address, _ := url.Parse(with(back, "error", name))
			address, _ = url.Parse(with(address, "error_description", "upstream words"))
			a := b.arrive(with(address, "code", "4/0Acode")) // an error comes before a code
			a.wantStatus(t, http.StatusSeeOther)
			if got, want := a.Header.Get("Location"), returnTo+"?error="+string(reason)+"&state=theirs"; got != want {
				t.Errorf("error=%s led to %s, want %s", name, got, want)
			}
		}
	}
	w.wantCalls(t, calls{})
	w.wantNothingStored(t)
}

func TestCodeIsCheckedFirst(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	back := b.begin("?state=theirs", choice{})
	w.google.ResetCalls()
	for _, code := range [][]string{nil, {""}, {"a b"}, {"a\r\nb"}, {"ä"}, {strings.Repeat("x", 513)}, {"4/0A", "4/0A"}} {
		a := b.arrive(with(back, "code", code...))
		if got := a.Header.Get("Location"); got != page+"?error=invalid_request&state=theirs" {
			t.Errorf("code %.20q led to %s", code, got)
		}
	}
	w.wantCalls(t, calls{})
}

// TestRefusedCode: one more trip to Google, without a prompt.
func TestRefusedCode(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	for _, query := range []string{"", "?prompt=consent"} {
		b.navigate("/authurl")
		back := b.begin(query, choice{})
		w.google.ResetCalls()
		remove := w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusBadRequest, Times: 1})
		a := b.arrive(back.String())
		if again := a.location(t); again.Query().Has("prompt") || again.Query().Get("state") == back.Query().Get("state") {
			t.Errorf("sent again to %s", again)
		}
		back, asked := b.atGoogle(a, choice{})
		if asked {
			t.Error("the user was asked again")
		}
		if end := b.finish(b.arrive(back.String()), choice{}); end.String() != page {
			t.Errorf("ended at %s", end)
		}
		if n := w.google.Calls("token.code"); n != 2 {
			t.Errorf("%d exchanges, want 2", n)
		}
		remove()
	}
}

func TestCodeRefusedTwice(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusBadRequest})
	if end := b.trySignIn("?state=theirs", choice{}); end.String() != page+"?error=code_exchange_failed&state=theirs" {
		t.Errorf("ended at %s", end)
	}
	if n := w.google.Calls("token.code"); n != 2 {
		t.Errorf("%d exchanges, want 2", n)
	}
	w.wantNothingStored(t)
}

func TestExchangeFails(t *testing.T) {
	const words = "words of Google's"
	oauthError := func(status int, code string) fakegoogle.Fault {
		return fakegoogle.Fault{Status: status, Body: `{"error":"` + code + `","error_description":"` + words + `"}`}
	}
	tests := []struct {
		name   string
		fault  fakegoogle.Fault
		reason endpoint.Reason
	}{
		{"client refused", oauthError(401, "invalid_client"), endpoint.Misconfigured},
		{"client not allowed", oauthError(400, "unauthorized_client"), endpoint.Misconfigured},
		{"redirect URI not registered", oauthError(400, "redirect_uri_mismatch"), endpoint.Misconfigured},
		{"administrator", oauthError(400, "admin_policy_enforced"), endpoint.DomainPolicy},
		{"throttled", oauthError(429, "rate_limit_exceeded"), endpoint.UpstreamUnavailable},
		{"500", oauthError(500, "internal_failure"), endpoint.UpstreamUnavailable},
		{"503 in HTML", fakegoogle.Fault{Status: 503, Body: "<html>" + words}, endpoint.UpstreamUnavailable},
		{"400 in HTML", fakegoogle.Fault{Status: 400, Body: "<html>" + words}, endpoint.UpstreamUnavailable},
		{"no JSON", fakegoogle.Fault{Status: 200, Body: words}, endpoint.UpstreamUnavailable},
		{"redirect", fakegoogle.Fault{Status: 302, Header: http.Header{"Location": {"/elsewhere"}}, Body: words}, endpoint.UpstreamUnavailable},
		{"cut", fakegoogle.Fault{Truncate: 40}, endpoint.UpstreamUnavailable},
		{"dropped", fakegoogle.Fault{Drop: true}, endpoint.UpstreamUnavailable},
	}
	w := newWorld(t, 1, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Op = "token.code"
			remove := w.google.Inject(tt.fault)
			defer remove()
			w.google.ResetCalls()
			end := w.newBrowser(t).trySignIn("?state=theirs", choice{account: ben.Sub})
			if want := page + "?error=" + string(tt.reason) + "&state=theirs"; end.String() != want {
				t.Errorf("ended at %s, want %s", end, want)
			}
			if n := w.google.Calls("token.code"); n != 1 {
				t.Errorf("%d exchanges, want 1", n)
			}
			w.wantNothingStored(t)
		})
	}
	for _, text := range []string{w.logs.String(), w.heard.String()} {
		if strings.Contains(text, words) {
			t.Error("words of the upstream were handed on")
		}
	}
}

// TestReturnToOfYesterday: a return URL that is no longer allowed when the
// browser comes back.
func TestReturnToOfYesterday(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	_, challenge := pkce()
	ways := []*url.URL{b.begin("", choice{}), b.begin(handOffQuery(challenge), choice{}), b.begin("", choice{deny: true})}
	w.restart(map[string]string{"ALLOWED_ORIGINS": frontEnd, "RETURN_URLS": page})
	b.arrive(ways[1].String()).wantPage(t, http.StatusBadRequest, page)
	w.restart(map[string]string{"ALLOWED_ORIGINS": foreignSite, "RETURN_URLS": foreignPage})
	b.arrive(ways[0].String()).wantPage(t, http.StatusBadRequest, foreignPage)
	w.clock.Advance(time.Hour) // nor with an expired state
	b.arrive(ways[2].String()).wantPage(t, http.StatusBadRequest, foreignPage)
	if n := w.google.Calls("token.code"); n != 0 {
		t.Errorf("%d codes were spent", n)
	}
}
