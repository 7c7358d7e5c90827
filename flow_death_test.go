package gmailgrant

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

func TestWho(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	w.clock.Advance(30 * time.Minute)
	w.google.ResetCalls()
	got := b.fetch(http.MethodGet, "/callback").json(t)
	w.wantCalls(t, calls{"secretmanager.access": 2, "firestore.get": 1}) // the keys are fetched again every ten minutes
	user, _ := got["user"].(map[string]any)
	if user["sub"] != ben.Sub || user["email"] != ben.Email || user["name"] != ben.Name || user["picture"] != ben.Picture {
		t.Errorf("user %v", user)
	}
	if scopes, _ := got["scopes"].([]any); len(scopes) != 4 {
		t.Errorf("scopes %v", got["scopes"])
	}
	if missing, ok := got["missing_scopes"].([]any); !ok || len(missing) != 0 {
		t.Errorf("missing_scopes %v", got["missing_scopes"])
	}
	if want := (11*time.Hour + 30*time.Minute).Seconds(); got["expires_in"] != want {
		t.Errorf("expires_in %v, want %v", got["expires_in"], want)
	}
	w.google.ResetCalls()
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"firestore.get": 1})
	b.fetch(http.MethodGet, "/callback?x=1").wantProblem(t, endpoint.InvalidRequest)
}

func TestSessionExpires(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	bearer := b.bearerSession(choice{})
	w.clock.Advance(time.Hour - 1)
	b.bearer(http.MethodGet, "/callback", bearer).wantStatus(t, http.StatusOK)
	w.clock.Advance(1)
	a := b.bearer(http.MethodGet, "/callback", bearer)
	a.wantProblem(t, endpoint.SessionExpired)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ada.Sub}, "return_to": {foreignSite + "/"}})
	w.clock.Advance(11*time.Hour - 1)
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
	w.clock.Advance(1)
	a = b.fetch(http.MethodGet, "/callback")
	a.wantProblem(t, endpoint.SessionExpired)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ada.Sub}, "return_to": {page}})
	b.signIn(choice{})
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
}

func TestSignOut(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	before := b.cookie()
	a := b.fetch(http.MethodDelete, "/callback")
	a.wantStatus(t, http.StatusNoContent)
	if after := b.cookie(); after == before || after == "" {
		t.Errorf("cookie %q after sign-out", after)
	}
	b.fetch(http.MethodGet, "/callback").wantProblem(t, endpoint.NoSession)
	if w.grant(ada.Sub) == nil || w.google.Calls("revoke") != 0 {
		t.Error("signing out disconnected")
	}
	b.fetch(http.MethodDelete, "/callback").wantStatus(t, http.StatusNoContent)
	w.newBrowser(t).fetch(http.MethodDelete, "/callback").wantStatus(t, http.StatusNoContent)
	b.fetch(http.MethodDelete, "/callback?grant=keep").wantProblem(t, endpoint.InvalidRequest)
	b.fetch(http.MethodDelete, "/callback?x=1").wantProblem(t, endpoint.InvalidRequest)
}

// TestSignOutUnbindsFlows: the browser gets a new ID, so a flow begun before
// has to be bound to it first.
func TestSignOutUnbindsFlows(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	back := b.begin("", choice{})
	b.fetch(http.MethodDelete, "/callback")
	w.google.ResetCalls()
	b.arrive(back.String()).wantStatus(t, http.StatusSeeOther)
	w.wantCalls(t, calls{})
}

// TestSignOutWithAuthorization leaves the cookie alone.
func TestSignOutWithAuthorization(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	for _, session := range []string{"", "garbage"} {
		a := b.bearer(http.MethodDelete, "/callback", session)
		a.wantStatus(t, http.StatusNoContent)
		if len(a.Cookies()) != 0 {
			t.Errorf("cookies %v", a.Cookies())
		}
	}
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
}

// TestSignOutWhileKeysAreGone: always 204.
func TestSignOutWhileKeysAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	w.restart(nil)
	defer w.google.Inject(fakegoogle.Fault{Drop: true})()
	b.fetch(http.MethodDelete, "/callback").wantStatus(t, http.StatusNoContent)
	if b.cookie() != "" {
		t.Error("the session is still in the cookie")
	}
}

func TestDisconnect(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	old := b.cookie()
	bearer := b.bearerSession(choice{})
	for i := range 2 { // both instances know the grant
		w.answerFrom(i)
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	}
	w.answerFrom(0)
	a := b.fetch(http.MethodDelete, "/callback?grant=revoke")
	a.wantStatus(t, http.StatusOK)
	if a.json(t)["revoked"] != true || w.google.Calls("revoke") != 1 {
		t.Errorf("answer %s after %d revocations", a.body, w.google.Calls("revoke"))
	}
	w.wantNothingStored(t)
	b.fetch(http.MethodGet, "/callback").wantProblem(t, endpoint.NoSession)

	b.setCookie(old)
	for i := range 2 {
		w.answerFrom(i)
		a := b.fetch(http.MethodGet, "/listmessages")
		a.wantProblem(t, endpoint.NotConnected)
		a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "return_to": {page}})
		b.bearer(http.MethodGet, "/callback", bearer).wantProblem(t, endpoint.NotConnected)
	}
	b.fetch(http.MethodDelete, "/callback?grant=revoke").wantStatus(t, http.StatusNoContent)
	b.fetch(http.MethodDelete, "/callback?grant=revoke").wantProblem(t, endpoint.NoSession)
	b.bearer(http.MethodDelete, "/callback?grant=revoke", bearer).wantStatus(t, http.StatusNoContent)
}

// TestOldSessionOutlivesDisconnect by the minute for which an instance may keep
// a grant, and no longer; who is signed in is always read.
func TestOldSessionOutlivesDisconnect(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	w.answerFrom(1)
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	w.answerFrom(0)
	remove := w.google.Inject(fakegoogle.Fault{Op: "revoke", Status: http.StatusInternalServerError}) // the access token lives on
	old := b.cookie()
	b.fetch(http.MethodDelete, "/callback?grant=revoke").wantStatus(t, http.StatusOK)
	remove()
	w.answerFrom(1)
	b.setCookie(old)
	w.clock.Advance(time.Minute - 1)
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	b.fetch(http.MethodGet, "/callback").wantProblem(t, endpoint.NotConnected)
	w.clock.Advance(1)
	b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NotConnected)
}

// TestAbsenceIsNotCached: who connects again may list at once, everywhere.
func TestAbsenceIsNotCached(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	doc := w.grant(ben.Sub)
	w.google.WipeDocuments()
	w.clock.Advance(time.Minute)
	for i := range 2 {
		w.answerFrom(i)
		b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NotConnected)
	}
	w.google.SetDocument("grants/"+ben.Sub, doc)
	for i := range 2 {
		w.answerFrom(i)
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	}
}

// TestDisconnectWhateverGoogleSays: the grant is deleted, revoked or not.
func TestDisconnectWhateverGoogleSays(t *testing.T) {
	faults := map[string]fakegoogle.Fault{
		"refused":  {Op: "revoke", Status: http.StatusBadRequest, Body: `{"error":"invalid_token"}`},
		"failed":   {Op: "revoke", Status: http.StatusServiceUnavailable},
		"dropped":  {Op: "revoke", Drop: true},
		"redirect": {Op: "revoke", Status: http.StatusFound, Header: http.Header{"Location": {"/elsewhere"}}},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, nil)
			b := w.newBrowser(t)
			b.signIn(choice{account: ben.Sub})
			w.google.Inject(fault)
			a := b.fetch(http.MethodDelete, "/callback?grant=revoke")
			a.wantStatus(t, http.StatusOK)
			if got := a.json(t)["revoked"]; got != false {
				t.Errorf("revoked %v", got)
			}
			w.wantNothingStored(t)
		})
	}
}

func TestDisconnectUnreadableGrant(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	doc := w.grant(ben.Sub)
	doc["sealed"] = flip(doc["sealed"].(string))
	w.google.SetDocument("grants/"+ben.Sub, doc)
	a := b.fetch(http.MethodDelete, "/callback?grant=revoke")
	a.wantStatus(t, http.StatusOK)
	if a.json(t)["revoked"] != false || w.google.Calls("revoke") != 0 {
		t.Errorf("answer %s after %d revocations", a.body, w.google.Calls("revoke"))
	}
	w.wantNothingStored(t)
}

// TestDisconnectNewerGrant: an old session must not end it.
func TestDisconnectNewerGrant(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	old := b.bearerSession(choice{})
	w.google.RevokeAccess(ben.Sub)
	b.signIn(choice{account: ben.Sub})
	before := w.grantID(t, ben.Sub)
	b.bearer(http.MethodDelete, "/callback?grant=revoke", old).wantProblem(t, endpoint.NotConnected)
	if w.grantID(t, ben.Sub) != before || w.google.Calls("revoke") != 0 {
		t.Error("the newer grant was touched")
	}
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

func TestDisconnectNeedsSession(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.fetch(http.MethodDelete, "/callback?grant=revoke").wantProblem(t, endpoint.NoSession)
	b.bearer(http.MethodDelete, "/callback?grant=revoke", "garbage").wantProblem(t, endpoint.NoSession)
}

// TestDisconnectGoesOnAlone: the client leaves while Google is asked to revoke.
func TestDisconnectGoesOnAlone(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	ctx, leave := context.WithCancel(context.Background())
	w.google.Inject(fakegoogle.Fault{Op: "revoke", Delay: 200 * time.Millisecond, Match: func(*http.Request) bool {
		leave()
		return true
	}})
	req := b.request(http.MethodDelete, "/callback?grant=revoke", "", http.Header{"Origin": {frontEnd}, "Sec-Fetch-Site": {"same-site"}})
	if _, err := b.try(req.WithContext(ctx)); err == nil {
		t.Fatal("the client did not leave")
	}
	w.running.Wait()
	w.wantNothingStored(t)
	if n := w.google.Calls("revoke"); n != 1 {
		t.Errorf("%d revocations", n)
	}
	if _, asked := b.atGoogle(b.navigate("/authurl"), choice{}); !asked {
		t.Error("Google still knows the grant")
	}
}

// TestRevokedByUser: at Google's own page. The first refresh finds out, and the
// grant is deleted.
func TestRevokedByUser(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	w.answerFrom(0)
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	w.google.RevokeAccess(ben.Sub)
	w.google.ResetCalls()
	a := b.fetch(http.MethodGet, "/listmessages")
	a.wantProblem(t, endpoint.Revoked)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "prompt": {"consent"}, "return_to": {page}})
	w.wantCalls(t, calls{"gmail.list": 1, "firestore.get": 2, "token.refresh": 1, "firestore.write": 1})
	w.wantNothingStored(t)
	b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NotConnected)
	b.signIn(choice{account: ben.Sub})
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

// TestRefreshFails: only invalid_grant deletes.
func TestRefreshFails(t *testing.T) {
	tests := []struct {
		name   string
		fault  fakegoogle.Fault
		reason endpoint.Reason
	}{
		{"invalid_client", fakegoogle.Fault{Status: 401}, endpoint.Misconfigured},
		{"throttled", fakegoogle.Fault{Status: 429, Header: http.Header{"Retry-After": {"17"}}}, endpoint.UpstreamUnavailable},
		{"500", fakegoogle.Fault{Status: 500}, endpoint.UpstreamUnavailable},
		{"dropped", fakegoogle.Fault{Drop: true}, endpoint.UpstreamUnavailable},
		{"administrator", fakegoogle.Fault{Status: 400, Body: `{"error":"admin_policy_enforced"}`}, endpoint.DomainPolicy},
		{"no JSON", fakegoogle.Fault{Status: 200, Body: "hello"}, endpoint.UpstreamUnavailable},
		{"invalid_grant", fakegoogle.Fault{Status: 400}, endpoint.Revoked},
	}
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.google.ExpireAccessTokens(ben.Sub)
			w.clock.Advance(time.Hour)
			tt.fault.Op = "token.refresh"
			remove := w.google.Inject(tt.fault)
			a := b.fetch(http.MethodGet, "/listmessages")
			remove()
			a.wantProblem(t, tt.reason)
			if want := tt.fault.Header.Get("Retry-After"); want != "" && a.Header.Get("Retry-After") != want {
				t.Errorf("Retry-After %q, want %q", a.Header.Get("Retry-After"), want)
			}
			if deleted := w.grant(ben.Sub) == nil; deleted != (tt.reason == endpoint.Revoked) {
				t.Errorf("deleted: %t", deleted)
			}
			if tt.reason != endpoint.Revoked {
				b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
			}
		})
	}
}

// TestUnreadableGrant counts as not there; so does one of another client.
func TestUnreadableGrant(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	good := w.grant(ben.Sub)
	for field, value := range map[string]any{"sealed": flip(good["sealed"].(string)), "client_id": "other", "grant_id": "other", "expires_at": w.clock.Now()} {
		doc := w.grant(ben.Sub)
		doc[field] = value
		w.google.SetDocument("grants/"+ben.Sub, doc)
		w.clock.Advance(time.Minute)
		for _, address := range []string{"/callback", "/listmessages"} {
			a := b.fetch(http.MethodGet, address)
			a.wantProblem(t, endpoint.NotConnected)
			a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "return_to": {page}})
		}
		if w.grant(ben.Sub) == nil {
			t.Errorf("with another %s the document was deleted", field)
		}
		w.google.SetDocument("grants/"+ben.Sub, good)
	}
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

// TestAnotherClient: a grant given to the client ID of before counts as not
// there, in a warm instance too once it has read the secret again.
func TestAnotherClient(t *testing.T) {
	w, b := signedIn(t, ben)
	b.get("").wantStatus(t, http.StatusOK)
	id := clientID(t, w)
	w.google.AddSecretVersion("gmailgrant-client", bytes.ReplaceAll(w.google.ClientJSON(), []byte(id), []byte("other-"+id)))
	w.clock.Advance(10 * time.Minute)
	w.google.ResetCalls()
	for _, address := range []string{"/listmessages", "/callback"} {
		b.fetch(http.MethodGet, address).wantProblem(t, endpoint.NotConnected)
	}
	if n := w.google.Calls("gmail.list") + w.google.Calls("token.refresh"); n != 0 {
		t.Errorf("%d calls with the tokens of another client", n)
	}
	w.grantID(t, ben.Sub) // it is not deleted for it
}
