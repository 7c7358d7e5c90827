package gmailgrant

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// lead goes where Google sends the browser, by ask, and to Google again as often
// as that answers with a redirect there.
func (b *browser) lead(back *url.URL, ask func(address string) *answer) *answer {
	b.t.Helper()
	for {
		a := ask(back.String())
		if !strings.HasPrefix(a.Header.Get("Location"), b.google) {
			return a
		}
		back, _ = b.atGoogle(a, choice{})
	}
}

// A change is what goes wrong at Google or with time.
type change func(t *testing.T, w *world)

// tokenFails makes the token endpoint answer an exchange with an OAuth error.
func tokenFails(status int, code string) change {
	return func(_ *testing.T, w *world) {
		w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: status, Body: `{"error":"` + code + `"}`})
	}
}

func tokenLacks(member string) change {
	return func(t *testing.T, w *world) { w.tokenAnswer(t, map[string]any{member: nil}) }
}

func gmailSays(status int, reason string) change {
	return func(_ *testing.T, w *world) { w.gmailFails(0, googleError(status, reason)) }
}

func firestoreSays(code codes.Code) change {
	return func(_ *testing.T, w *world) { w.google.Inject(fakegoogle.Fault{Op: "firestore.get", Code: code}) }
}

func timePasses(d time.Duration) change { return func(_ *testing.T, w *world) { w.clock.Advance(d) } }

// grantsAreHidden from instances that have not read one yet.
func grantsAreHidden(t *testing.T, w *world) {
	w.restart(nil)
	firestoreSays(codes.PermissionDenied)(t, w)
}

func documentsAreLost(_ *testing.T, w *world) { w.google.WipeDocuments() }

func keysAreGone(_ *testing.T, w *world) {
	w.restart(nil)
	w.google.Inject(fakegoogle.Fault{Op: "secretmanager.access", Code: codes.Internal})
}

// wantFailurePage checks that a failure is told by a page.
func (a *answer) wantFailurePage(t *testing.T, reason endpoint.Reason) {
	t.Helper()
	a.wantStatus(t, reason.Status())
	a.wantHeadersOf(t, reason)
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || strings.Contains(string(a.body), "<form") {
		t.Errorf("Content-Type %q: %s", a.Header.Get("Content-Type"), a.body)
	}
}

// TestNowhereToGo: without a return URL a sign-in that fails says so where it
// ends, to a script by the problem, to a browser by a page.
func TestNowhereToGo(t *testing.T) {
	tests := []struct {
		reason endpoint.Reason
		choice choice
		change change // between leaving and coming back
	}{
		{"access_denied", choice{deny: true}, nil},
		{"missing_scope", choice{untick: []string{readonly}}, nil},
		{"no_user_id", choice{}, tokenLacks("id_token")},
		{"no_refresh_token", choice{}, tokenLacks("refresh_token")},
		{"code_exchange_failed", choice{}, tokenFails(400, "invalid_grant")},
		{"domain_policy", choice{}, tokenFails(400, "admin_policy_enforced")},
		{"misconfigured", choice{}, tokenFails(401, "invalid_client")},
		{"upstream_unavailable", choice{}, tokenFails(503, "")},
		{"state_expired", choice{}, timePasses(30 * time.Minute)},
	}
	for _, tt := range tests {
		t.Run(string(tt.reason), func(t *testing.T) {
			w := newWorld(t, 1, map[string]string{"ALLOWED_ORIGINS": "", "RETURN_URLS": ""})
			script, browser := w.newBrowser(t), w.newBrowser(t)
			back, pageBack := script.begin("", tt.choice), browser.begin("", tt.choice)
			if tt.change != nil {
				tt.change(t, w)
			}
			ask := func(address string) *answer { return script.fetchFrom(w.base, address) }
			script.lead(back, ask).wantProblem(t, tt.reason)
			browser.lead(pageBack, browser.arrive).wantFailurePage(t, tt.reason)
			w.wantNothingStored(t)
		})
	}
}

// TestInBothLanguages: who prefers HTML gets a page, whatever the function and
// the method.
func TestInBothLanguages(t *testing.T) {
	const revoke = "/callback?grant=revoke"
	tests := []struct {
		method, address string
		body            func(t *testing.T, w *world, b *browser) string
		change          change
		reason          endpoint.Reason
	}{
		{"GET", "/authurl", nil, keysAreGone, "upstream_unavailable"},
		{"GET", "/listmessages", nil, gmailSays(403, "dailyLimitExceeded"), "rate_limited"},
		{"GET", "/listmessages", nil, gmailSays(503, "backendError"), "upstream_unavailable"},
		{"GET", "/listmessages", nil, grantsAreHidden, "misconfigured"},
		{"DELETE", revoke, nil, timePasses(12 * time.Hour), "session_expired"},
		{"DELETE", revoke, nil, firestoreSays(codes.PermissionDenied), "misconfigured"},
		{"DELETE", revoke, nil, firestoreSays(codes.DataLoss), "upstream_unavailable"},
		{"POST", "/callback", ofHandOff, documentsAreLost, "not_connected"},
		{"POST", "/callback", ofHandOff, firestoreSays(codes.PermissionDenied), "misconfigured"},
		{"POST", "/callback", ofHandOff, firestoreSays(codes.DataLoss), "upstream_unavailable"},
		{"POST", "/callback", ofPopup, tokenLacks("id_token"), "no_user_id"},
		{"POST", "/callback", ofPopup, tokenLacks("refresh_token"), "no_refresh_token"},
		{"POST", "/callback", ofPopup, tokenFails(400, "admin_policy_enforced"), "domain_policy"},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.address+" "+string(tt.reason), func(t *testing.T) {
			w := newWorld(t, 1, map[string]string{"POPUP_FLOW": "on"})
			b := w.newBrowser(t)
			b.signIn(choice{account: ben.Sub})
			body := ""
			if tt.body != nil {
				body = tt.body(t, w, b)
			}
			tt.change(t, w)
			ask := func(accept string) *answer {
				header := http.Header{"Accept": {accept}, "Content-Type": {"application/json"}, "Origin": {foreignSite}}
				if tt.body == nil {
					header.Del("Origin") // for which the cookie is not
				}
				return b.do(b.request(tt.method, tt.address, body, header))
			}
			ask("application/json").wantProblem(t, tt.reason)
			ask("text/html").wantFailurePage(t, tt.reason)
		})
	}
}

// ofHandOff and ofPopup are the bodies that trade a code.

func ofHandOff(_ *testing.T, _ *world, b *browser) string {
	code, verifier := b.handOffCode(choice{account: ben.Sub})
	return members("code", code, "code_verifier", verifier)
}

func ofPopup(t *testing.T, w *world, b *browser) string {
	return members("code", b.popupCode(t, w, choice{}), "redirect_uri", "postmessage")
}
