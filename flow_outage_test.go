package gmailgrant

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// TestColdStartWhileDown: what an instance needs is down when it starts, or all
// is. It says so, and works once that is up again: no failure is kept. The
// client libraries try until their deadline, so these take seconds.
func TestColdStartWhileDown(t *testing.T) {
	for name, op := range map[string]string{"Secret Manager": "secretmanager.access", "everything": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, b := signedIn(t, ben)
			w.restart(nil)
			remove := w.google.Inject(fakegoogle.Fault{Op: op, Drop: true})
			for _, address := range []string{"/listmessages", "/authurl"} {
				b.fetch(http.MethodGet, address).wantProblem(t, endpoint.UpstreamUnavailable)
			}
			remove()
			for _, address := range []string{"/listmessages", "/authurl", "/callback"} {
				b.fetch(http.MethodGet, address).wantStatus(t, http.StatusOK)
			}
			b.signIn(choice{})
		})
	}
}

// TestFirestoreDown: the warm list goes on, the rest says so, a sign-in can be
// repeated.
func TestFirestoreDown(t *testing.T) {
	t.Parallel()
	w, b := signedIn(t, ben)
	b.get("").wantStatus(t, http.StatusOK)
	remove := w.google.Inject(fakegoogle.Fault{Op: "firestore.get", Drop: true})
	b.get("").wantStatus(t, http.StatusOK)
	b.fetch(http.MethodGet, "/callback").wantProblem(t, endpoint.UpstreamUnavailable)
	if end := b.trySignIn("", choice{}); end.Query().Get("error") != "upstream_unavailable" {
		t.Errorf("ended at %s", end)
	}
	b.fetch(http.MethodDelete, "/callback?grant=revoke").wantProblem(t, endpoint.UpstreamUnavailable)
	remove()
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
	b.signIn(choice{})
}

// TestFirestoreNotReadable is for the operator to correct.
func TestFirestoreNotReadable(t *testing.T) {
	w, b := signedIn(t, ben)
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition} {
		remove := w.google.Inject(fakegoogle.Fault{Op: "firestore.get", Code: code})
		b.fetch(http.MethodGet, "/callback").wantProblem(t, endpoint.Misconfigured)
		remove()
	}
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
}

// TestWriteFails at the end of a sign-in: the user is told, and repeats it.
func TestWriteFails(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	remove := w.google.Inject(fakegoogle.Fault{Op: "firestore.write", Code: codes.PermissionDenied})
	if end := b.trySignIn("?state=theirs", choice{}); end.String() != page+"?error=misconfigured&state=theirs" {
		t.Errorf("ended at %s", end)
	}
	remove()
	w.wantNothingStored(t)
	b.signIn(choice{}) // Google thinks that we have the refresh token
	b.get("maxResults=1").wantStatus(t, http.StatusOK)
}

// TestWarmWithoutSecretManager: the keys are kept while they can't be fetched
// again.
func TestWarmWithoutSecretManager(t *testing.T) {
	w, b := signedIn(t, ben)
	defer w.google.Inject(fakegoogle.Fault{Op: "secretmanager.access", Code: codes.PermissionDenied})()
	for range 3 {
		w.clock.Advance(10 * time.Minute)
		b.get("").wantStatus(t, http.StatusOK)
		b.signIn(choice{})
	}
}

// TestSealKeyRotation: the newest version seals, all that are enabled open.
func TestSealKeyRotation(t *testing.T) {
	w := newWorld(t, 2, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	bearer := b.bearerSession(choice{})
	back := b.begin("", choice{})
	w.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	w.clock.Advance(10 * time.Minute)
	for i := range 2 {
		w.answerFrom(i)
		b.bearer(http.MethodGet, "/callback", bearer).wantStatus(t, http.StatusOK)
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	}
	if got := w.grant(ben.Sub)["key_version"]; got != int64(2) {
		t.Errorf("the grant is sealed with version %v", got)
	}
	if end := b.finish(b.arrive(back.String()), choice{}); end.String() != page {
		t.Errorf("a flow begun before ended at %s", end)
	}
	w.google.SetSecretVersionEnabled("gmailgrant-seal-key", 1, false)
	w.clock.Advance(10 * time.Minute)
	b.bearer(http.MethodGet, "/callback", bearer).wantProblem(t, endpoint.NoSession)
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK) // sealed afresh by the flow
}

// TestNewKeyOnAnotherInstance: what one sealed with a version that the other
// has not seen opens there at once.
func TestNewKeyOnAnotherInstance(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.navigate("/authurl")
	w.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	w.startInstance(nil)
	w.answerFrom(1)
	b.forgetCookies()
	b.signIn(choice{account: ben.Sub})
	w.answerFrom(0)
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
}

// TestClientSecretRotation is noticed at once, by the first refusal.
func TestClientSecretRotation(t *testing.T) {
	w, b := signedIn(t, ben)
	w.google.SetClientSecret("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nt")
	w.google.AddSecretVersion("gmailgrant-client", w.google.ClientJSON())
	w.google.ExpireAccessTokens(ben.Sub)
	b.get("").wantStatus(t, http.StatusOK)

	w.google.SetClientSecret("GOCSPX-and-the-one-after-that-one")
	w.google.AddSecretVersion("gmailgrant-client", w.google.ClientJSON())
	b.signIn(choice{})
	b.handOff(choice{}).session(t)
}

// TestRedirectsAreNotFollowed: they would take codes, secrets and tokens
// elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s arrived elsewhere", r.Method, r.URL.Path)
	}))
	defer elsewhere.Close()
	w, b := signedIn(t, ben)
	b.get("").wantStatus(t, http.StatusOK)
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
		for _, op := range []string{"token.code", "token.refresh", "gmail.list", "revoke"} {
			w.google.Inject(fakegoogle.Fault{Op: op, Status: status, Times: 1, Header: http.Header{"Location": {elsewhere.URL}}})
		}
		if end := b.trySignIn("", choice{}); !end.Query().Has("error") {
			t.Errorf("a sign-in ended at %s", end)
		}
		if a := b.get(""); a.StatusCode < http.StatusInternalServerError {
			t.Errorf("a list ended with %d %s", a.StatusCode, a.body)
		}
		w.google.ExpireAccessTokens(ben.Sub)
		b.get("").wantProblem(t, endpoint.UpstreamUnavailable)
		if a := b.fetch(http.MethodDelete, "/callback?grant=revoke"); a.json(t)["revoked"] != false {
			t.Errorf("disconnect: %s", a.body)
		}
		b.trySignIn("", choice{account: ben.Sub})
	}
}
