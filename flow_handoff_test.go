package gmailgrant

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
)

func TestHandOff(t *testing.T) {
	w := newWorld(t, 3, nil)
	b := w.newBrowser(t)
	a := b.handOff(choice{account: ben.Sub})
	if b.cookie() != "" {
		t.Error("the hand-off set a cookie")
	}
	got := a.json(t)
	user, _ := got["user"].(map[string]any)
	if got["token_type"] != "Bearer" || got["expires_in"] != float64(3600) || user["sub"] != ben.Sub || user["email"] != ben.Email || user["name"] != ben.Name || user["picture"] != ben.Picture {
		t.Errorf("answer %s", a.body)
	}
	if ids := b.bearer(http.MethodGet, "/listmessages", a.session(t)).messages(t); len(ids) == 0 {
		t.Error("no messages")
	}
	if sub := b.bearer(http.MethodGet, "/callback", a.session(t)).sub(t); sub != ben.Sub {
		t.Errorf("signed in: %s", sub)
	}
}

// TestHandOffIgnoresCookie: that flow neither reads nor sets one.
func TestHandOffIgnoresCookie(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{})
	before := b.cookie()
	b.bearerSession(choice{account: ben.Sub})
	if b.cookie() != before {
		t.Error("the cookie was changed")
	}
	if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ada.Sub {
		t.Errorf("the cookie is now %s", sub)
	}
	// Begun in one browser and finished in another: bound by the verifier only.
	verifier, challenge := pkce()
	back := b.begin(handOffQuery(challenge), choice{})
	other := w.newBrowser(t)
	code := other.finish(other.arrive(back.String()), choice{}).Query().Get("code")
	other.trade(foreignSite, code, verifier).wantStatus(t, http.StatusOK)
}

func TestHandOffCodeLivesAMinute(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	code, verifier := b.handOffCode(choice{})
	w.google.ResetCalls()
	b.trade(foreignSite, code, verifier).wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"firestore.get": 1})
	w.clock.Advance(time.Minute - 1)
	b.trade(foreignSite, code, verifier).wantStatus(t, http.StatusOK) // again, within its minute
	w.clock.Advance(1)
	a := b.trade(foreignSite, code, verifier)
	a.wantProblem(t, endpoint.CodeExchangeFailed)
	a.wantAuthURL(t, w.base, url.Values{"return_to": {foreignSite + "/"}})
}

func TestTrade(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	code, verifier := b.handOffCode(choice{})
	session := b.bearerSession(choice{})
	other, _ := pkce()
	good := members("code", code, "code_verifier", verifier)
	state := b.authorizationURL("").Query().Get("state")
	tests := []struct {
		name, origin, body string
		reason             endpoint.Reason // empty: a session
	}{
		{"good", foreignSite, good, ""},
		{"no Origin", "", good, ""},
		{"other Origin", frontEnd, good, endpoint.CodeExchangeFailed},
		{"foreign Origin", stranger, good, endpoint.OriginNotAllowed},
		{"wrong verifier", foreignSite, members("code", code, "code_verifier", other), endpoint.CodeExchangeFailed},
		{"short verifier", foreignSite, members("code", code, "code_verifier", verifier[:42]), endpoint.InvalidRequest},
		{"long verifier", foreignSite, members("code", code, "code_verifier", strings.Repeat("a", 129)), endpoint.InvalidRequest},
		{"reserved character", foreignSite, members("code", code, "code_verifier", verifier[1:]+"+"), endpoint.InvalidRequest},
		{"verifier with a line break", foreignSite, members("code", code, "code_verifier", verifier+"\n"), endpoint.InvalidRequest},
		{"no code", foreignSite, members("code", "", "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"Google's code", foreignSite, members("code", "4/0Acode", "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"altered code", foreignSite, members("code", flip(code), "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"huge code", foreignSite, members("code", strings.Repeat("1", 5000), "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"a session", foreignSite, members("code", session, "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"a state", foreignSite, members("code", state, "code_verifier", verifier), endpoint.CodeExchangeFailed},
		{"unknown member", foreignSite, members("code", code, "code_verifier", verifier, "x", ""), endpoint.InvalidRequest},
		{"both ways", foreignSite, members("code", code, "code_verifier", verifier, "redirect_uri", "postmessage"), endpoint.InvalidRequest},
		{"code only", foreignSite, members("code", code), endpoint.InvalidRequest},
		{"member by another case", foreignSite, members("code", code, "Code_Verifier", verifier), endpoint.InvalidRequest},
		{"duplicate member", foreignSite, good[:len(good)-1] + `,"code":"x"}`, endpoint.InvalidRequest},
		{"same member in escapes", foreignSite, good[:len(good)-1] + `,"cod\u0065":"x"}`, endpoint.InvalidRequest},
		{"trailing data", foreignSite, good + "{}", endpoint.InvalidRequest},
		{"trailing garbage", foreignSite, good + "x", endpoint.InvalidRequest},
		{"trailing space", foreignSite, good + " \n", ""},
		{"number", foreignSite, `{"code":1,"code_verifier":"` + verifier + `"}`, endpoint.InvalidRequest},
		{"null", foreignSite, `{"code":null,"code_verifier":"` + verifier + `"}`, endpoint.InvalidRequest},
		{"list", foreignSite, `["code"]`, endpoint.InvalidRequest},
		{"empty object", foreignSite, `{}`, endpoint.InvalidRequest},
		{"empty", foreignSite, ``, endpoint.InvalidRequest},
		{"cut", foreignSite, good[:len(good)-1], endpoint.InvalidRequest},
		{"16 KiB", foreignSite, good + strings.Repeat(" ", 16<<10-len(good)), ""},
		{"16 KiB and a byte", foreignSite, good + strings.Repeat(" ", 16<<10-len(good)+1), endpoint.RequestTooLarge},
		{"popup, which is off", foreignSite, members("code", "4/0A", "redirect_uri", "postmessage"), endpoint.InvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.google.ResetCalls()
			a := b.post(tt.origin, tt.body)
			if len(a.Cookies()) != 0 {
				t.Errorf("cookies %v", a.Cookies())
			}
			if tt.reason == "" {
				a.session(t)
				return
			}
			a.wantProblem(t, tt.reason)
			w.wantCalls(t, calls{})
		})
	}
}

func TestTradeContentType(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	code, verifier := b.handOffCode(choice{})
	body := members("code", code, "code_verifier", verifier)
	for contentType, reason := range map[string]endpoint.Reason{
		"application/json":                  "",
		"application/json; charset=utf-8":   "",
		"Application/JSON":                  "",
		"":                                  endpoint.UnsupportedMediaType,
		"text/plain":                        endpoint.UnsupportedMediaType,
		"application/x-www-form-urlencoded": endpoint.UnsupportedMediaType,
		"multipart/form-data; boundary=x":   endpoint.UnsupportedMediaType,
		"application/jsonx":                 endpoint.UnsupportedMediaType,
		"application/json;":                 "",
		"application/json; =":               endpoint.UnsupportedMediaType,
	} {
		a := b.do(b.request(http.MethodPost, "/callback", body, http.Header{"Content-Type": {contentType}, "Origin": {foreignSite}}))
		if reason == "" {
			a.wantStatus(t, http.StatusOK)
		} else {
			a.wantProblem(t, reason)
		}
	}
	b.do(b.request(http.MethodPost, "/callback?x=1", body, http.Header{"Content-Type": {"application/json"}})).wantProblem(t, endpoint.InvalidRequest)
}

// TestTradeAfterDisconnect: the code names a grant that is gone, or another.
func TestTradeAfterDisconnect(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	code, verifier := b.handOffCode(choice{account: ben.Sub})
	w.google.RevokeAccess(ben.Sub)
	b.signIn(choice{account: ben.Sub})
	b.trade(foreignSite, code, verifier).wantProblem(t, endpoint.NotConnected)
	w.google.WipeDocuments()
	a := b.trade(foreignSite, code, verifier)
	a.wantProblem(t, endpoint.NotConnected)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "return_to": {foreignSite + "/"}})
}

// TestOriginNoLongerAllowed: neither its codes nor its sessions count.
func TestOriginNoLongerAllowed(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	code, verifier := b.handOffCode(choice{})
	session := b.bearerSession(choice{})
	b.signIn(choice{})
	w.restart(map[string]string{"ALLOWED_ORIGINS": "https://new.example.net", "RETURN_URLS": "https://new.example.net/"})
	b.trade("", code, verifier).wantProblem(t, endpoint.CodeExchangeFailed)
	b.trade(foreignSite, code, verifier).wantProblem(t, endpoint.OriginNotAllowed)
	b.send(http.MethodGet, "/callback", http.Header{"Authorization": {"Bearer " + session}}).wantProblem(t, endpoint.NoSession)
	b.send(http.MethodGet, "/callback", nil).wantProblem(t, endpoint.NoSession)
}
