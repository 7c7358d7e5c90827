package gmailgrant

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

var popupOn = map[string]string{"POPUP_FLOW": "on"}

// popupMessage is what the last page of Google's popup hands to the page that
// opened it.
var popupMessage = regexp.MustCompile(`answer: (\{.*?\}) \}`)

// popupCode is what Google's popup gives to a script of the front end elsewhere,
// as its code client asks for it.
func (b *browser) popupCode(t *testing.T, w *world, c choice) string {
	t.Helper()
	query := url.Values{
		"client_id": {clientID(t, w)}, "redirect_uri": {"storagerelay://https/app.example.net?id=question"},
		"response_type": {"code"}, "access_type": {"offline"}, "include_granted_scopes": {"false"},
		"scope": {w.env["SCOPES"] + " openid email profile " + readonly},
	}
	a := b.consent(b.arrive(w.google.URL()+"/o/oauth2/v2/auth?"+query.Encode()), c)
	found := popupMessage.FindSubmatch(a.body)
	if found == nil {
		t.Fatalf("no answer of the popup in %s", a.body)
	}
	var answer map[string]string
	if err := json.Unmarshal(found[1], &answer); err != nil || answer["code"] == "" {
		t.Fatalf("the popup's answer %s, %v", found[1], err)
	}
	return answer["code"]
}

// tradePopup posts a code of the popup as a script of the front end elsewhere.
func (b *browser) tradePopup(code, redirectURI string) *answer {
	b.t.Helper()
	return b.post(foreignSite, members("code", code, "redirect_uri", redirectURI))
}

func (a *answer) wantNoCookie(t *testing.T) {
	t.Helper()
	if cookies := a.Header["Set-Cookie"]; len(cookies) != 0 {
		t.Errorf("cookies %v", cookies)
	}
}

func TestPopup(t *testing.T) {
	for _, redirectURI := range []string{"postmessage", foreignSite} {
		w := newWorld(t, 2, popupOn)
		b := w.newBrowser(t)
		code := b.popupCode(t, w, choice{account: ben.Sub})
		w.google.ResetCalls()
		a := b.tradePopup(code, redirectURI)
		a.wantNoCookie(t)
		session := a.session(t)
		if n := w.google.Calls("token.code"); n != 1 {
			t.Errorf("%d exchanges", n)
		}
		got := a.json(t)
		user, _ := got["user"].(map[string]any)
		missing, _ := got["missing_scopes"].([]any)
		if got["token_type"] != "Bearer" || got["expires_in"] != float64(3600) || user["sub"] != ben.Sub || user["email"] != ben.Email || missing == nil || len(missing) != 0 {
			t.Errorf("answer %s", a.body)
		}
		if ids := b.bearer(http.MethodGet, "/listmessages", session).messages(t); len(ids) == 0 {
			t.Error("no messages")
		}
		again := b.tradePopup(code, redirectURI)
		again.wantProblem(t, endpoint.CodeExchangeFailed)
		again.wantAuthURL(t, w.base, url.Values{"return_to": {foreignSite + "/"}})
		again.wantNoCookie(t)
	}
}

// TestPopupRefusals spend nothing: what is refused is refused before Google is asked.
func TestPopupRefusals(t *testing.T) {
	w := newWorld(t, 1, popupOn)
	b := w.newBrowser(t)
	code := b.popupCode(t, w, choice{account: ben.Sub})
	good := members("code", code, "redirect_uri", "postmessage")
	tests := []struct {
		name, origin, body string
		reason             endpoint.Reason
	}{
		{"no Origin", "", good, endpoint.OriginNotAllowed},
		{"foreign Origin", stranger, good, endpoint.OriginNotAllowed},
		{"sandboxed page", "null", good, endpoint.OriginNotAllowed},
		{"other allowed origin as redirect_uri", foreignSite, members("code", code, "redirect_uri", frontEnd), endpoint.InvalidRequest},
		{"origin with a slash", foreignSite, members("code", code, "redirect_uri", foreignSite+"/"), endpoint.InvalidRequest},
		{"our own redirect URI", foreignSite, members("code", code, "redirect_uri", w.base+"/callback"), endpoint.InvalidRequest},
		{"postmessage by another case", foreignSite, members("code", code, "redirect_uri", "PostMessage"), endpoint.InvalidRequest},
		{"empty redirect_uri", foreignSite, members("code", code, "redirect_uri", ""), endpoint.InvalidRequest},
		{"no redirect_uri", foreignSite, members("code", code), endpoint.InvalidRequest},
		{"a verifier too", foreignSite, members("code", code, "redirect_uri", "postmessage", "code_verifier", strings.Repeat("v", 43)), endpoint.InvalidRequest},
		{"a state too", foreignSite, members("code", code, "redirect_uri", "postmessage", "state", "x"), endpoint.InvalidRequest},
		{"no code", foreignSite, members("code", "", "redirect_uri", "postmessage"), endpoint.InvalidRequest},
		{"code with a line break", foreignSite, members("code", code+"\r\n", "redirect_uri", "postmessage"), endpoint.InvalidRequest},
		{"code too long", foreignSite, members("code", strings.Repeat("4", 513), "redirect_uri", "postmessage"), endpoint.InvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.google.ResetCalls()
			a := b.post(tt.origin, tt.body)
			a.wantProblem(t, tt.reason)
			a.wantNoCookie(t)
			w.wantCalls(t, calls{})
		})
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {foreignSite}}
	b.do(b.request(http.MethodPost, "/callback", "code="+url.QueryEscape(code)+"&redirect_uri=postmessage", form)).wantProblem(t, endpoint.UnsupportedMediaType)
	w.wantNothingStored(t)
	b.post(foreignSite, good).session(t) // the code is still good
}

func TestPopupIsOffByDefault(t *testing.T) {
	for _, settings := range []map[string]string{nil, {"POPUP_FLOW": "off"}} {
		w := newWorld(t, 1, settings)
		b := w.newBrowser(t)
		code := b.popupCode(t, w, choice{account: ben.Sub})
		w.google.ResetCalls()
		b.tradePopup(code, "postmessage").wantProblem(t, endpoint.InvalidRequest)
		w.wantCalls(t, calls{})
	}
}

// TestPopupNoRefreshToken: the popup can't force consent, so the way out leads by
// our authurl.
func TestPopupNoRefreshToken(t *testing.T) {
	w := newWorld(t, 2, popupOn)
	b := w.newBrowser(t)
	b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage").session(t)
	w.google.WipeDocuments()
	a := b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage")
	a.wantProblem(t, endpoint.NoRefreshToken)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "prompt": {"consent"}, "return_to": {foreignSite + "/"}})
	a.wantNoCookie(t)
	w.wantNothingStored(t)
}

// TestPopupAgain: without a new refresh token the stored grant is kept, and so are
// the sessions of other devices.
func TestPopupAgain(t *testing.T) {
	w := newWorld(t, 2, popupOn)
	b := w.newBrowser(t)
	first := b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage").session(t)
	id := w.grantID(t, ben.Sub)
	b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage").session(t)
	if again := w.grantID(t, ben.Sub); again != id {
		t.Error("another grant ID")
	}
	b.bearer(http.MethodGet, "/listmessages?maxResults=1", first).wantStatus(t, http.StatusOK)
}

func TestPopupUntickedBox(t *testing.T) {
	w := newWorld(t, 1, popupOn)
	b := w.newBrowser(t)
	b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage").session(t)
	before := w.grant(ben.Sub)
	a := b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub, untick: []string{readonly}}), "postmessage")
	p := a.wantProblem(t, endpoint.MissingScope)
	if got, _ := p["missing_scopes"].([]any); len(got) != 1 || got[0] != readonly {
		t.Errorf("missing_scopes %v", p["missing_scopes"])
	}
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "prompt": {"consent"}, "return_to": {foreignSite + "/"}})
	if !reflect.DeepEqual(w.grant(ben.Sub), before) || w.google.Calls("revoke") != 0 {
		t.Error("the good grant was not left alone")
	}
}

// TestPopupMissingScope: another scope than that of listing only goes along.
func TestPopupMissingScope(t *testing.T) {
	const labels = "https://www.googleapis.com/auth/gmail.labels"
	w := newWorld(t, 1, map[string]string{"POPUP_FLOW": "on", "SCOPES": readonly + " " + labels})
	b := w.newBrowser(t)
	a := b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub, untick: []string{labels}}), "postmessage")
	a.session(t)
	if got, _ := a.json(t)["missing_scopes"].([]any); len(got) != 1 || got[0] != labels {
		t.Errorf("answer %s", a.body)
	}
}

// TestPopupUpstream: Google's failures, and its answers that tell too little.
func TestPopupUpstream(t *testing.T) {
	w := newWorld(t, 1, popupOn)
	b := w.newBrowser(t)
	tests := []struct {
		name   string
		fault  func() (remove func())
		reason endpoint.Reason
	}{
		{"no ID token", func() func() { return w.tokenAnswer(t, map[string]any{"id_token": nil}) }, endpoint.NoUserID},
		{"nothing granted", func() func() { return w.tokenAnswer(t, map[string]any{"scope": "openid"}) }, endpoint.MissingScope},
		{"down", func() func() {
			return w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusServiceUnavailable})
		}, endpoint.UpstreamUnavailable},
		{"throttled", func() func() {
			return w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusTooManyRequests})
		}, endpoint.UpstreamUnavailable},
		{"secret rotated", func() func() {
			return w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`})
		}, endpoint.Misconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code := b.popupCode(t, w, choice{account: ben.Sub})
			defer tt.fault()()
			a := b.tradePopup(code, "postmessage")
			a.wantProblem(t, tt.reason)
			a.wantNoCookie(t)
			w.wantNothingStored(t)
		})
	}
}

// TestPopupSession is one of the hand-off's kind: bound to its origin, dead with
// its grant, and the cookie of the browser is neither read nor changed.
func TestPopupSession(t *testing.T) {
	w := newWorld(t, 1, popupOn)
	b := w.newBrowser(t)
	b.signIn(choice{account: ada.Sub})
	cookie := b.cookie()
	session := b.tradePopup(b.popupCode(t, w, choice{account: ben.Sub}), "postmessage").session(t)
	if b.cookie() != cookie {
		t.Error("the cookie was changed")
	}
	if sub := b.bearer(http.MethodGet, "/callback", session).sub(t); sub != ben.Sub {
		t.Errorf("signed in: %s", sub)
	}
	if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ada.Sub {
		t.Errorf("the cookie is now %s", sub)
	}
	elsewhere := http.Header{"Authorization": {"Bearer " + session}, "Origin": {frontEnd}}
	b.send(http.MethodGet, "/callback", elsewhere).wantProblem(t, endpoint.NoSession)
	b.bearer(http.MethodDelete, "/callback?grant=revoke", session).wantStatus(t, http.StatusOK)
	b.bearer(http.MethodGet, "/listmessages", session).wantProblem(t, endpoint.NotConnected)
	b.fetch(http.MethodGet, "/listmessages?maxResults=1").wantStatus(t, http.StatusOK)
}
