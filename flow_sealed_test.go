package gmailgrant

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
)

// sealedValues are one of each kind that leaves us: what somebody may hold, and
// try elsewhere.
func sealedValues(t *testing.T, w *world) (values map[string]string, verifier string) {
	t.Helper()
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	code, verifier := b.handOffCode(choice{})
	return map[string]string{
		"state":   b.authorizationURL("").Query().Get("state"),
		"code":    code,
		"cookie":  b.cookie(),
		"bearer":  b.bearerSession(choice{}),
		"grant":   w.grant(ben.Sub)["sealed"].(string),
		"cursor":  b.fetch(http.MethodGet, "/listmessages?maxResults=1").list(t).NextPageToken,
		"nothing": "1.AAAA",
	}, verifier
}

// variants of a value that nobody sealed.
func variants(value string) []string {
	all := []string{flip(value), value[:len(value)-1], value[:len(value)/2], value + "A", "1" + value, strings.ToUpper(value)}
	for i := 0; i < len(value); i += 1 + len(value)/40 { // a bit here and there
		changed := []byte(value)
		changed[i] ^= 1
		if s := string(changed); !strings.ContainsAny(s, "\r\n\"; ,") {
			all = append(all, s)
		}
	}
	return all
}

// TestKindsAreKeptApart: each sealed value in each place of the others, and its
// own with something changed. None opens, nothing is asked of Google.
func TestKindsAreKeptApart(t *testing.T) {
	w := newWorld(t, 1, nil)
	values, verifier := sealedValues(t, w)
	b := w.newBrowser(t)
	w.google.ResetCalls()

	places := map[string]func(value string) (*answer, endpoint.Reason){
		"bearer": func(v string) (*answer, endpoint.Reason) {
			return b.bearer(http.MethodGet, "/listmessages", v), endpoint.NoSession
		},
		"cookie": func(v string) (*answer, endpoint.Reason) {
			b.setCookie(v)
			return b.fetch(http.MethodGet, "/listmessages"), endpoint.NoSession
		},
		"code": func(v string) (*answer, endpoint.Reason) {
			return b.trade(foreignSite, v, verifier), endpoint.CodeExchangeFailed
		},
		"state": func(v string) (*answer, endpoint.Reason) {
			query := url.Values{"state": {v}, "code": {"4/0Acode"}}.Encode()
			return b.send(http.MethodGet, "/callback?"+query, http.Header{"Sec-Fetch-Mode": {"cors"}}), endpoint.InvalidState
		},
	}
	for place, offer := range places {
		for kind, value := range values {
			offered := variants(value)
			if kind != place {
				offered = append(offered, value)
			}
			for _, v := range offered {
				a, reason := offer(v)
				a.wantProblem(t, reason)
				if t.Failed() {
					t.Fatalf("a %s as %s: %.60s", kind, place, v)
				}
			}
		}
	}
	w.wantCalls(t, calls{"secretmanager.access": 1}) // one look for a version that was made up
}

// TestForeignDocument: another user's document in the place of mine opens
// nobody's mail, nor does mine with the other's IDs.
func TestForeignDocument(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	w.newBrowser(t).signIn(choice{account: cleo.Sub})
	mine, other := w.grant(ben.Sub), w.grant(cleo.Sub)
	for name, change := range map[string]func(doc map[string]any){
		"the whole document":       func(doc map[string]any) { maps.Copy(doc, other) },
		"the sealed field":         func(doc map[string]any) { doc["sealed"] = other["sealed"] },
		"the grant ID":             func(doc map[string]any) { doc["grant_id"] = other["grant_id"] },
		"all but the sealed field": func(doc map[string]any) { sealed := doc["sealed"]; maps.Copy(doc, other); doc["sealed"] = sealed },
		"all but the grant ID":     func(doc map[string]any) { id := doc["grant_id"]; maps.Copy(doc, other); doc["grant_id"] = id },
	} {
		doc := maps.Clone(mine)
		change(doc)
		w.google.SetDocument("grants/"+ben.Sub, doc)
		w.clock.Advance(time.Minute)
		for _, address := range []string{"/listmessages", "/callback"} {
			if a := b.fetch(http.MethodGet, address); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			} else {
				a.wantProblem(t, endpoint.NotConnected)
			}
		}
	}
	w.google.SetDocument("grants/"+ben.Sub, mine)
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

// TestMadeUpKeyVersions: callers choose the version in what they send, and can't
// make an instance ask for as many.
func TestMadeUpKeyVersions(t *testing.T) {
	w := newWorld(t, 1, nil)
	for range 4 {
		w.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	}
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	_, rest, _ := strings.Cut(flip(b.bearerSession(choice{})), ".")
	for version := 1; version <= 3; version++ { // of which all but one are refused
		w.google.SetSecretVersionEnabled("gmailgrant-seal-key", version, false)
	}
	w.google.ResetCalls()
	for i := range 400 {
		for _, version := range []string{fmt.Sprint(i % 8), fmt.Sprint(1000 + i), "18446744073709551616", "-1", "01"} {
			b.bearer(http.MethodGet, "/callback", version+"."+rest).wantProblem(t, endpoint.NoSession)
		}
	}
	// The four older versions once each, and one look for all that are newer.
	if n := w.google.Calls("secretmanager.access"); n > 5 {
		t.Errorf("%d calls of Secret Manager", n)
	}
}

// TestKeyVersionDisabled: what was sealed with it is gone, and there is a way
// on for everybody.
func TestKeyVersionDisabled(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	bearer := b.bearerSession(choice{})
	back := b.begin("", choice{})
	before := w.grant(ben.Sub)
	w.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	w.google.SetSecretVersionEnabled("gmailgrant-seal-key", 1, false)
	w.restart(nil)

	b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NoSession)
	b.bearer(http.MethodGet, "/callback", bearer).wantProblem(t, endpoint.NoSession)
	b.arrive(back.String()).wantPage(t, http.StatusBadRequest, page)
	if w.grant(ben.Sub)["sealed"] != before["sealed"] {
		t.Error("the grant that does not open was touched")
	}
	b.signIn(choice{account: ben.Sub}) // Google gives no refresh token, so consent is asked for
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	if got := w.grant(ben.Sub)["key_version"]; got != int64(2) {
		t.Errorf("sealed with version %v", got)
	}
}
