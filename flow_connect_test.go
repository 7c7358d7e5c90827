package gmailgrant

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// claims are those of an ID token for a user, good as they are.
func (w *world) claims(t *testing.T, sub string) map[string]any {
	return map[string]any{
		"iss": w.google.URL(), "aud": clientID(t, w), "sub": sub,
		"iat": w.clock.Now().Unix(), "exp": w.clock.Now().Add(time.Hour).Unix(),
	}
}

// jwt is an unsigned ID token: one straight from the token endpoint needs no
// signature.
func jwt(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(payload) + "." + encode([]byte("signature"))
}

// tokenAnswer makes the token endpoint answer an exchange with these members
// changed; nil leaves one out. What it hands out is worth nothing elsewhere.
func (w *world) tokenAnswer(t *testing.T, changed map[string]any) (remove func()) {
	t.Helper()
	answer := map[string]any{
		"access_token": "made-up-access", "refresh_token": "made-up-refresh", "expires_in": 3599, "token_type": "Bearer",
		"scope": "openid " + readonly, "id_token": jwt(w.claims(t, "made-up")),
	}
	maps.Copy(answer, changed)
	maps.DeleteFunc(answer, func(_ string, v any) bool { return v == nil })
	body, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusOK, Body: string(body)})
}

func TestUserID(t *testing.T) {
	w := newWorld(t, 1, nil)
	changed := func(name string, value any) map[string]any {
		c := w.claims(t, "made-up")
		c[name] = value
		return map[string]any{"id_token": jwt(c)}
	}
	tests := []struct {
		name   string
		answer map[string]any
		stored string // sub; empty: no_user_id
	}{
		{"good", nil, "made-up"},
		{"no ID token", map[string]any{"id_token": nil}, ""},
		{"ID token empty", map[string]any{"id_token": ""}, ""},
		{"ID token a number", map[string]any{"id_token": 7}, ""},
		{"not a JWT", map[string]any{"id_token": "a.b.c"}, ""},
		{"another issuer", changed("iss", "https://accounts.google.com"), ""},
		{"another audience", changed("aud", "other"), ""},
		{"expires now", changed("exp", w.clock.Now().Unix()), ""},
		{"expires in a second", changed("exp", w.clock.Now().Unix()+1), "made-up"},
		{"no sub", changed("sub", ""), ""},
		{"sub with a slash", changed("sub", "a/b"), ""},
		{"sub not ASCII", changed("sub", "ä"), ""},
		{"sub a dot", changed("sub", ".."), ""},
		{"sub too long", changed("sub", strings.Repeat("1", 256)), ""},
		{"longest sub", changed("sub", strings.Repeat("1", 255)), strings.Repeat("1", 255)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer w.google.WipeDocuments()
			defer w.tokenAnswer(t, tt.answer)()
			end := w.newBrowser(t).trySignIn("?state=theirs", choice{}).String()
			if tt.stored != "" {
				w.grantID(t, tt.stored)
				return
			}
			if end != page+"?error=no_user_id&state=theirs" {
				t.Errorf("ended at %s", end)
			}
			w.wantNothingStored(t)
		})
	}
}

func TestUntickedBox(t *testing.T) {
	w := newWorld(t, 2, nil)
	_, challenge := pkce()
	for returnTo, query := range map[string]string{page: "?state=theirs", foreignPage: handOffQuery(challenge)} {
		end := w.newBrowser(t).trySignIn(query, choice{untick: []string{readonly}})
		want := url.Values{"error": {"missing_scope"}, "missing_scopes": {readonly}, "state": {"theirs"}}
		if got := end.String(); got != returnTo+"?"+want.Encode() {
			t.Errorf("ended at %s", got)
		}
	}
	w.wantNothingStored(t)
	if n := w.google.Calls("revoke"); n != 0 {
		t.Errorf("%d revocations of a partial grant", n)
	}
}

// TestUntickedBoxLeavesGoodGrant: neither overwritten nor revoked.
func TestUntickedBoxLeavesGoodGrant(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	before := w.grant(ben.Sub)
	if end := b.trySignIn("?prompt=consent", choice{untick: []string{readonly}}); end.Query().Get("error") != "missing_scope" {
		t.Errorf("ended at %s", end)
	}
	if !reflect.DeepEqual(w.grant(ben.Sub), before) {
		t.Error("the stored grant was changed")
	}
	if n := w.google.Calls("revoke"); n != 0 {
		t.Errorf("%d revocations", n)
	}
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

// TestScopesOfTheQuery are the user's to write: only the token response counts.
func TestScopesOfTheQuery(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	back := b.begin("?prompt=consent", choice{untick: []string{readonly}})
	if end := b.finish(b.arrive(with(back, "scope", "openid "+readonly)), choice{}); end.Query().Get("error") != "missing_scope" {
		t.Errorf("claimed: ended at %s", end)
	}
	back = b.begin("?prompt=consent", choice{})
	if end := b.finish(b.arrive(with(back, "scope", "openid")), choice{}); end.String() != page {
		t.Errorf("denied: ended at %s", end)
	}
}

func TestOtherScopeMissing(t *testing.T) {
	const calendar = "https://www.googleapis.com/auth/calendar.readonly"
	w := newWorld(t, 2, map[string]string{"SCOPES": "email " + readonly + " " + calendar})
	b := w.newBrowser(t)
	end := b.trySignIn("", choice{account: ben.Sub, untick: []string{calendar}})
	if end.String() != page+"?missing_scopes="+url.QueryEscape(calendar) {
		t.Errorf("ended at %s", end)
	}
	who := b.fetch(http.MethodGet, "/callback").json(t)
	if got := who["missing_scopes"]; !reflect.DeepEqual(got, []any{calendar}) {
		t.Errorf("missing_scopes %v", got)
	}
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	a := b.handOff(choice{}) // granted before: Google asks for the missing one again
	if got := a.json(t)["missing_scopes"]; !reflect.DeepEqual(got, []any{}) {
		t.Errorf("after the box was ticked: missing_scopes %v", got)
	}
}

// TestScopeAddedLater: grants made before a scope was added go on listing.
func TestScopeAddedLater(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	const labels = "https://www.googleapis.com/auth/gmail.labels"
	w.restart(map[string]string{"SCOPES": readonly + " " + labels})
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	if got := b.fetch(http.MethodGet, "/callback").json(t)["missing_scopes"]; !reflect.DeepEqual(got, []any{labels}) {
		t.Errorf("missing_scopes %v", got)
	}
}

func TestBroaderScopeIsEnough(t *testing.T) {
	const modify = "https://www.googleapis.com/auth/gmail.modify"
	w := newWorld(t, 1, nil)
	defer w.tokenAnswer(t, map[string]any{"scope": "openid " + modify})()
	b := w.newBrowser(t)
	if end := b.trySignIn("", choice{}); end.Query().Get("missing_scopes") != "email profile" {
		t.Errorf("ended at %s", end)
	}
}

// TestNoRefreshToken: Google thinks that we have one. One trip with forced
// consent brings another.
func TestNoRefreshToken(t *testing.T) {
	lost := map[string]func(w *world){
		"no document": func(w *world) { w.google.WipeDocuments() },
		"document does not open": func(w *world) {
			doc := w.grant(ben.Sub)
			doc["sealed"] = flip(doc["sealed"].(string))
			w.google.SetDocument("grants/"+ben.Sub, doc)
		},
		"given to another client": func(w *world) {
			doc := w.grant(ben.Sub)
			doc["client_id"] = "other"
			w.google.SetDocument("grants/"+ben.Sub, doc)
		},
		"expired": func(w *world) { w.clock.Advance(200 * 24 * time.Hour) },
	}
	for name, lose := range lost {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, nil)
			b := w.newBrowser(t)
			b.signIn(choice{account: ben.Sub})
			lose(w)
			a := b.arrive(b.begin("?state=theirs", choice{}).String())
			a.wantStatus(t, http.StatusSeeOther)
			again := a.location(t).Query()
			if again.Get("prompt") != "consent" || again.Get("login_hint") != ben.Sub {
				t.Errorf("sent again with %v", again)
			}
			if end := b.finish(a, choice{}); end.String() != page+"?state=theirs" {
				t.Errorf("ended at %s", end)
			}
			b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
		})
	}
}

func TestStillNoRefreshToken(t *testing.T) {
	w := newWorld(t, 1, nil)
	for _, empty := range []any{nil, ""} {
		remove := w.tokenAnswer(t, map[string]any{"refresh_token": empty})
		w.google.ResetCalls()
		if end := w.newBrowser(t).trySignIn("?state=theirs", choice{}); end.String() != page+"?error=no_refresh_token&state=theirs" {
			t.Errorf("ended at %s", end)
		}
		if n := w.google.Calls("token.code"); n != 2 {
			t.Errorf("%d exchanges, want 2", n)
		}
		w.wantNothingStored(t)
		remove()
	}
}

// TestEmptyRefreshTokenNeverOverwrites, nor does an absent one.
func TestEmptyRefreshTokenNeverOverwrites(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	before := w.grantID(t, ben.Sub)
	for _, empty := range []any{nil, ""} {
		remove := w.tokenAnswer(t, map[string]any{"refresh_token": empty, "id_token": jwt(w.claims(t, ben.Sub))})
		b.signIn(choice{})
		remove()
		if got := w.grantID(t, ben.Sub); got != before {
			t.Errorf("the grant ID became %s", got)
		}
		w.google.ResetCalls()
		// Gmail does not know the made-up access token: only the refresh
		// token of the first sign-in can help.
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
		if n := w.google.Calls("token.refresh"); n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}
	}
}

// TestSecondDevice: signing in elsewhere, with consent, signs nobody out.
func TestSecondDevice(t *testing.T) {
	w := newWorld(t, 2, nil)
	first, second := w.newBrowser(t), w.newBrowser(t)
	first.signIn(choice{account: ben.Sub})
	old := first.bearerSession(choice{})
	if end := second.trySignIn("?prompt=consent", choice{account: ben.Sub}); end.String() != page {
		t.Errorf("ended at %s", end)
	}
	for name, b := range map[string]*browser{"first": first, "second": second} {
		if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ben.Sub {
			t.Errorf("the %s device is signed in as %q", name, sub)
		}
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	}
	first.bearer(http.MethodGet, "/listmessages", old).wantStatus(t, http.StatusOK)
}

// TestStolenSessionStaysDead: it does not revive when the user connects again.
func TestStolenSessionStaysDead(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	stolen, bearer := b.cookie(), b.bearerSession(choice{})
	before := w.grantID(t, ben.Sub)
	w.google.RevokeAccess(ben.Sub)
	b.signIn(choice{account: ben.Sub})
	if w.grantID(t, ben.Sub) == before {
		t.Fatal("the grant ID was kept over a revocation")
	}
	thief := w.newBrowser(t)
	thief.setCookie(stolen)
	for _, address := range []string{"/callback", "/listmessages"} {
		thief.fetch(http.MethodGet, address).wantProblem(t, endpoint.NotConnected)
		thief.bearer(http.MethodGet, address, bearer).wantProblem(t, endpoint.NotConnected)
		b.fetch(http.MethodGet, address).wantStatus(t, http.StatusOK)
	}
}
