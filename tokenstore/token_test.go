package tokenstore_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/tokenstore"
)

// afterAnHour is when the access token of a sign-in has expired, and what was
// remembered of the grant is forgotten.
func (w *world) afterAnHour() { w.advance(time.Hour) }

func TestContractTokenIsSharedUntilItExpires(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		first := w.mustToken(s, ada.Sub, g.ID, "")
		w.advance(3599*time.Second - time.Minute - time.Nanosecond)
		for _, instance := range []*tokenstore.Store{s, w.store()} {
			if tok := w.mustToken(instance, ada.Sub, g.ID, ""); tok.AccessToken != first.AccessToken {
				w.t.Error("another token while the first lives a minute more")
			}
		}
		if n := w.google.Calls("token.refresh"); n != 0 {
			w.t.Errorf("%d refreshes, want none", n)
		}
		w.advance(time.Nanosecond)
		if tok := w.mustToken(s, ada.Sub, g.ID, ""); tok.AccessToken == first.AccessToken {
			w.t.Error("a token with a minute left was handed out")
		}
	})
}

func TestContractOneRefreshForManyCallers(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		arrived := make(chan struct{})
		release := make(chan struct{})
		s := w.store(onRefresh(once(func() { close(arrived); <-release })))
		tokens := make(chan tokenstore.Secret, 50)
		get := func(id string) {
			tok, err := s.Token(context.Background(), ada.Sub, id, "")
			if err != nil {
				w.t.Error(err)
				tokens <- ""
				return
			}
			tok.Wait(context.Background())
			tokens <- tok.AccessToken
		}
		go get(g.ID)
		<-arrived // the others come while this one refreshes, or after
		for n := range cap(tokens) - 1 {
			go get([]string{g.ID, tokenstore.AnyGrant}[n%2])
		}
		close(release)
		first := <-tokens
		for range cap(tokens) - 1 {
			if tok := <-tokens; tok != first {
				w.t.Error("callers got different tokens")
			}
		}
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes, want 1", n)
		}
	})
}

func TestContractRefreshedTokenIsStoredForOthers(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		tok := w.mustToken(w.store(), ada.Sub, g.ID, "")
		if other := w.mustToken(w.store(), ada.Sub, g.ID, ""); other.AccessToken != tok.AccessToken {
			w.t.Error("another instance got another token")
		}
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes, want 1", n)
		}
		if end := w.document(ada.Sub)["expires_at"].(time.Time); !end.Equal(w.clock().AddDate(0, 6, 0)) {
			w.t.Errorf("use did not make it live longer: %s", end)
		}
		if tok.Grant.ID != g.ID || tok.Grant.Profile.Email == "" {
			w.t.Errorf("the token's grant: %+v", tok.Grant.ID)
		}
	})
}

// Two instances refresh at once: the one that loses the condition has a token
// all the same.
func TestContractLosingTheConditionIsNoError(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		other := w.store()
		s := w.store(onRefresh(once(func() { w.mustToken(other, ada.Sub, g.ID, "") })))
		if tok := w.mustToken(s, ada.Sub, g.ID, ""); tok.AccessToken == "" {
			w.t.Error("no token")
		}
		w.wantGrant(w.store(), ada.Sub, g.ID)
	})
}

func TestContractStoringFailsButTheTokenIsThere(t *testing.T) {
	w := newStandIn(t)
	g := w.connect(w.store(), ada, "")
	w.afterAnHour()
	w.google.Inject(fakegoogle.Fault{Op: "firestore.write", Code: codes.PermissionDenied})
	w.mustToken(w.store(), ada.Sub, g.ID, "")
}

const rotated = `{"access_token":"ya29.rotated","expires_in":3599,"token_type":"Bearer","refresh_token":"1//0rotated-refresh-token","scope":"openid ` + readonly + `"}`

func TestContractRotatedRefreshTokenIsKept(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		remove := w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Times: 1, Status: http.StatusOK, Body: rotated})
		w.mustToken(w.store(), ada.Sub, g.ID, "")
		remove()
		w.afterAnHour()
		w.wantRefreshWith(ada.Sub, g.ID, "1//0rotated-refresh-token")
	})
}

// A rotated refresh token is stored even when the condition is lost to a write
// that did not touch the refresh token.
func TestContractRotatedRefreshTokenSurvivesAConflict(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		other := w.store()
		s := w.store(onRefresh(once(func() {
			w.mustToken(other, ada.Sub, g.ID, "")
			w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Times: 1, Status: http.StatusOK, Body: rotated})
		})))
		w.mustToken(s, ada.Sub, g.ID, "")
		w.afterAnHour()
		w.wantRefreshWith(ada.Sub, g.ID, "1//0rotated-refresh-token")
	})
}

// wantRefreshWith makes a cold instance refresh and looks at what it sends.
func (w *world) wantRefreshWith(user, id, refreshToken string) {
	w.t.Helper()
	var sent string
	remove := w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusServiceUnavailable, Match: func(r *http.Request) bool {
		_ = r.ParseForm()
		sent = r.PostForm.Get("refresh_token")
		return true
	}})
	defer remove()
	if _, err := w.store().Token(w.t.Context(), user, id, ""); !errors.Is(err, tokenstore.ErrUnavailable) {
		w.t.Errorf("%v", err)
	}
	if sent != refreshToken {
		w.t.Errorf("refreshed with %q, want %q", sent, refreshToken)
	}
}

func TestContractRevokedIsDeleted(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		b := w.connect(s, ben, "")
		w.google.RevokeAccess(ada.Sub)
		w.afterAnHour()
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrRevoked) {
			w.t.Errorf("%v, want ErrRevoked", err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
		w.wantNoGrant(s, ada.Sub, g.ID)
		w.mustToken(s, ben.Sub, b.ID, "")
	})
}

// While a refresh fails, the user connects again: the new grant is not deleted
// for the old one's sake.
func TestContractRevokedWhileConnectedAgain(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.google.RevokeAccess(ada.Sub)
		w.afterAnHour()
		var second *tokenstore.Grant
		s := w.store(onRefresh(once(func() { second = w.connect(w.store(), ada, "consent") })))
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("for the old session: %v, want ErrNotConnected", err)
		}
		w.wantGrant(w.store(), ada.Sub, second.ID)
		w.mustToken(s, ada.Sub, second.ID, "")
	})
}

// The same with a grant that kept its ID: the request goes on with the newer
// refresh token.
func TestContractRefreshTokenReplacedMeanwhile(t *testing.T) {
	eachFirestore(t, func(w *world) {
		first := w.authorize(w.store(), ada, "")
		g := w.mustConnect(w.store(), ada.Sub, first)
		w.afterAnHour()
		s := w.store(onRefresh(once(func() {
			if second := w.connect(w.store(), ada, "consent"); second.ID != g.ID {
				w.t.Error("the grant that works got another ID")
			}
			w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Times: 1, Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`})
		})))
		w.mustToken(s, ada.Sub, g.ID, "")
		w.wantGrant(w.store(), ada.Sub, g.ID)
	})
}

// An access token written meanwhile changes only the update time: the dead
// grant is read again and deleted.
func TestContractRevokedWhileWritten(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		s := w.store(onRefresh(once(func() {
			w.mustToken(w.store(), ada.Sub, g.ID, "")
			w.google.RevokeAccess(ada.Sub)
		})))
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrRevoked) {
			w.t.Errorf("%v, want ErrRevoked", err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
	})
}

// The same between reading the dead grant and deleting it, here and at a
// disconnect. With the emulator Google's library makes its own connection, into
// which nothing can be hooked.
func TestContractWrittenBeforeTheDelete(t *testing.T) {
	w := newStandIn(t)
	touched := 0
	touching := func() *tokenstore.Store {
		touch := once(func() { touched++; w.touch(ada.Sub) })
		return w.storeOf(tokenstore.Config{DialOptions: []grpc.DialOption{onCommit(touch)}})
	}
	g := w.connect(w.store(), ada, "")
	w.google.RevokeAccess(ada.Sub)
	w.afterAnHour()
	if _, err := touching().Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrRevoked) || w.document(ada.Sub) != nil {
		t.Errorf("%v, want ErrRevoked and no document", err)
	}
	g = w.connect(w.store(), ada, "")
	if found, revoked, err := touching().Disconnect(w.t.Context(), ada.Sub, g.ID); !found || !revoked || err != nil || w.document(ada.Sub) != nil {
		t.Errorf("%t, %t, %v, want no document", found, revoked, err)
	}
	if touched != 2 {
		t.Errorf("written %d times in between, want 2: nothing was shown", touched)
	}
}

// Only invalid_grant, said with its own status, ends a grant.
func TestContractOtherFailuresDeleteNothing(t *testing.T) {
	for name, row := range map[string]struct {
		fault fakegoogle.Fault
		want  error
	}{
		"500":                        {fakegoogle.Fault{Status: 500}, tokenstore.ErrUnavailable},
		"503":                        {fakegoogle.Fault{Status: 503}, tokenstore.ErrUnavailable},
		"503 that says so":           {fakegoogle.Fault{Status: 503, Body: `{"error":"invalid_grant"}`}, tokenstore.ErrUnavailable},
		"429":                        {fakegoogle.Fault{Status: 429, Body: `{"error":"rate_limit_exceeded"}`}, tokenstore.ErrUnavailable},
		"429 that says so":           {fakegoogle.Fault{Status: 429, Body: `{"error":"invalid_grant"}`}, tokenstore.ErrUnavailable},
		"200 that says so":           {fakegoogle.Fault{Status: 200, Body: `{"error":"invalid_grant"}`}, tokenstore.ErrUnavailable},
		"302":                        {fakegoogle.Fault{Status: 302, Header: http.Header{"Location": {"/o/oauth2/v2/auth"}}}, tokenstore.ErrUnavailable},
		"400 in words":               {fakegoogle.Fault{Status: 400, Body: "invalid_grant"}, tokenstore.ErrUnavailable},
		"200 that is no JSON":        {fakegoogle.Fault{Status: 200, Body: "<html>"}, tokenstore.ErrUnavailable},
		"200 without a token":        {fakegoogle.Fault{Status: 200, Body: `{}`}, tokenstore.ErrUnavailable},
		"dropped":                    {fakegoogle.Fault{Drop: true}, tokenstore.ErrUnavailable},
		"cut":                        {fakegoogle.Fault{Truncate: 20}, tokenstore.ErrUnavailable},
		"invalid_client":             {fakegoogle.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, tokenstore.ErrMisconfigured},
		"unauthorized_client":        {fakegoogle.Fault{Status: 400, Body: `{"error":"unauthorized_client"}`}, tokenstore.ErrMisconfigured},
		"invalid_grant as a subcode": {fakegoogle.Fault{Status: 400, Body: `{"error":"invalid_request","error_subtype":"invalid_grant","error_description":"invalid_grant"}`}, tokenstore.ErrMisconfigured},
		"admin_policy_enforced":      {fakegoogle.Fault{Status: 400, Body: `{"error":"admin_policy_enforced"}`}, tokenstore.ErrDomainPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			eachFirestore(t, func(w *world) {
				g := w.connect(w.store(), ada, "")
				w.afterAnHour()
				row.fault.Op = "token.refresh"
				remove := w.google.Inject(row.fault)
				s := w.store()
				if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, row.want) || errors.Is(err, tokenstore.ErrRevoked) {
					w.t.Errorf("%v, want %v", err, row.want)
				}
				remove()
				w.mustToken(s, ada.Sub, g.ID, "")
			})
		})
	}
}

func TestContractRetryAfterIsHandedOn(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: 429, Header: http.Header{"Retry-After": {"77"}}})
		_, err := w.store().Token(w.t.Context(), ada.Sub, g.ID, "")
		if got := tokenstore.RetryAfter(err); got != 77*time.Second {
			w.t.Errorf("%s of %v", got, err)
		}
	})
}

// After the client secret was rotated, the new one is fetched at once, whatever
// its age in memory.
func TestContractRotatedClientSecret(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.afterAnHour()
		if _, err := s.Client(w.t.Context()); err != nil { // fetched just now
			w.t.Fatal(err)
		}
		w.google.SetClientSecret("GOCSPX-rotated-client-secret")
		w.google.AddSecretVersion(clientSecret, w.google.ClientJSON())
		w.mustToken(s, ada.Sub, g.ID, "")
		w.authorize(s, ben, "")
	})
}

func TestContractRefusedClientSecret(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.afterAnHour()
		w.google.SetClientSecret("GOCSPX-rotated-client-secret")
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrMisconfigured) {
			w.t.Errorf("%v, want ErrMisconfigured", err)
		}
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes with the same refused secret, want 1", n)
		}
		w.google.AddSecretVersion(clientSecret, w.google.ClientJSON())
		w.mustToken(s, ada.Sub, g.ID, "")
	})
}

// The secret is replaced by that of another client while a token is refreshed:
// what was given to the one says nothing about the other, and nothing is deleted.
func TestContractClientReplacedWhileRefreshing(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		s := w.store(onRefresh(once(func() {
			other := strings.ReplaceAll(string(w.google.ClientJSON()), "standin", "another")
			w.google.AddSecretVersion(clientSecret, []byte(other))
			w.google.SetClientSecret("GOCSPX-of-nobody")
		})))
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrMisconfigured) {
			w.t.Errorf("%v, want ErrMisconfigured", err)
		}
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes, want 1: the other client was tried with it", n)
		}
		if w.document(ada.Sub) == nil {
			w.t.Error("the grant was deleted")
		}
	})
}

func TestContractRejectedTokenForcesARefresh(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		first := w.mustToken(s, ada.Sub, g.ID, "")
		second := w.mustToken(s, ada.Sub, g.ID, first.AccessToken)
		if second.AccessToken == first.AccessToken {
			w.t.Error("the rejected token again")
		}
		// One that another instance refreshed meanwhile is taken without a refresh.
		third := w.mustToken(w.store(), ada.Sub, g.ID, first.AccessToken)
		if third.AccessToken != second.AccessToken {
			w.t.Error("not the one that is stored")
		}
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes, want 1", n)
		}
	})
}

func TestContractRejectedByManyAtOnce(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		first := w.mustToken(s, ada.Sub, g.ID, "").AccessToken
		var group sync.WaitGroup
		for i := range 30 {
			group.Go(func() {
				rejected := first
				if i%2 == 0 {
					rejected = ""
				}
				tok, err := s.Token(context.Background(), ada.Sub, g.ID, rejected)
				if err != nil {
					w.t.Error(err)
					return
				}
				tok.Wait(context.Background())
				if tok.AccessToken == rejected {
					w.t.Error("the rejected token again")
				}
			})
		}
		group.Wait()
	})
}

// A grant read within the last minute is used from memory; after that Firestore
// is asked, and so it is before anything is said of a grant that is not there.
func TestContractRemembered(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		if _, _, err := w.store().Disconnect(w.t.Context(), ada.Sub, g.ID); err != nil {
			w.t.Fatal(err)
		}
		w.advance(time.Minute - time.Nanosecond)
		w.mustToken(s, ada.Sub, g.ID, "")
		w.advance(time.Nanosecond)
		if _, err := s.Token(w.t.Context(), ada.Sub, g.ID, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("after a minute: %v", err)
		}
		second := w.connect(w.store(), ada, "") // absence is not remembered
		w.mustToken(s, ada.Sub, second.ID, "")
		third := w.connect(w.store(), ada, "consent")
		w.mustToken(s, ada.Sub, third.ID, "")
	})
}

func TestContractRefreshTokenExpiry(t *testing.T) {
	const week = `{"access_token":"ya29.first","expires_in":3599,"token_type":"Bearer","refresh_token":"1//0first-refresh-token","refresh_token_expires_in":604800,"scope":"openid ` + readonly + `"}`
	eachFirestore(t, func(w *world) {
		s := w.store()
		remove := w.google.Inject(fakegoogle.Fault{Op: "token.code", Status: http.StatusOK, Body: week})
		g := w.mustConnect(s, ada.Sub, w.authorize(s, ada, ""))
		remove()
		end := w.clock().Add(7 * 24 * time.Hour)
		w.wantExpiry(ada.Sub, end)

		w.afterAnHour() // a refresh that says nothing of it does not move it
		remove = w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusOK, Body: `{"access_token":"ya29.next","expires_in":3599,"token_type":"Bearer"}`})
		w.mustToken(s, ada.Sub, g.ID, "")
		remove()
		w.wantExpiry(ada.Sub, end)

		w.afterAnHour() // a new refresh token without an end has Google's six months
		w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusOK, Body: rotated})
		w.mustToken(s, ada.Sub, g.ID, "")
		w.wantExpiry(ada.Sub, w.clock().AddDate(0, 6, 0))
	})
}

func (w *world) wantExpiry(user string, want time.Time) {
	w.t.Helper()
	if got := w.document(user)["expires_at"].(time.Time); !got.Equal(want) {
		w.t.Errorf("expires at %s, want %s", got, want)
	}
}

// A caller that leaves does not end the refresh that others wait for.
func TestContractOneCallerLeaves(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		ctx, leave := context.WithCancel(w.t.Context())
		s := w.store(onRefresh(once(leave)))
		if _, err := s.Token(ctx, ada.Sub, g.ID, ""); err != nil && !errors.Is(err, tokenstore.ErrUnavailable) {
			w.t.Errorf("who left: %v", err)
		}
		w.mustToken(s, ada.Sub, g.ID, "")
		if n := w.google.Calls("token.refresh"); n != 1 {
			w.t.Errorf("%d refreshes, want 1", n)
		}
	})
}

func TestContractExchange(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a := w.authorize(s, ada, "")
		if a.RefreshToken == "" || a.AccessToken == "" || a.IDToken == "" || a.Issuer != w.google.URL() || !tokenstore.CanList(a.Scopes) {
			w.t.Errorf("scopes %v, issuer %s", a.Scopes, a.Issuer)
		}
		if !a.AccessTokenExpiry.Equal(w.clock().Add(3599 * time.Second)) {
			w.t.Errorf("expires %s", a.AccessTokenExpiry)
		}
		if again := w.authorize(s, ada, ""); again.RefreshToken != "" {
			w.t.Error("a refresh token out of nothing")
		}
	})
}

// A refused code is posted once, and says nothing of stored grants.
func TestContractRefusedCode(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		code := w.code(s, ada, "")
		w.google.ResetCalls()
		for range 2 { // the second time it is spent
			_, _ = s.Exchange(w.t.Context(), code, "", redirectURI)
		}
		_, err := s.Exchange(w.t.Context(), code, "", redirectURI)
		if !errors.Is(err, tokenstore.ErrCodeRefused) {
			w.t.Errorf("%v, want ErrCodeRefused", err)
		}
		if n := w.google.Calls("token.code"); n != 3 {
			w.t.Errorf("%d posts of three, want each once", n)
		}
		w.wantGrant(s, ada.Sub, g.ID)
	})
}

func TestContractConnectAgain(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.advance(time.Minute)
		again := w.connect(s, ada, "") // no refresh token comes the second time
		if again.ID != g.ID {
			w.t.Error("a returning user got another grant ID")
		}
		w.advance(time.Minute)
		consented := w.connect(s, ada, "consent") // a refresh token comes, and the stored one works
		if consented.ID != g.ID {
			w.t.Error("other devices are signed out by a consent")
		}
		w.google.RevokeAccess(ada.Sub)
		if revived := w.connect(s, ada, ""); revived.ID == g.ID {
			w.t.Error("a session stolen before a revocation revives")
		}
	})
}

// "Anything else" than success of the stored refresh token makes a new ID.
func TestContractConnectWhileRefreshFails(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: 503})
		w.google.ResetCalls()
		if again := w.connect(s, ada, "consent"); again.ID == g.ID {
			w.t.Error("the ID was kept though it is not known that the grant lives")
		}
		if n := w.google.Calls("token.refresh"); n != 2 {
			w.t.Errorf("refresh tokens were tried %d times, want the stored and the new one once each", n)
		}
	})
}

// Two sign-ins at once: the second to write sees the first one's grant, which
// works, and keeps its ID.
func TestContractConnectWhileConnectedElsewhere(t *testing.T) {
	eachFirestore(t, func(w *world) {
		w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		var other *tokenstore.Grant
		s := w.store(onRefresh(once(func() { other = w.connect(w.store(), ada, "") })))
		if g := w.mustConnect(s, ada.Sub, w.madeUp(s)); g.ID != other.ID {
			w.t.Error("the other sign-in's grant was overwritten unseen")
		}
		w.wantGrant(w.store(), ada.Sub, other.ID)
	})
}

// A lost condition is tried again, the stored refresh token is not: each try
// makes an access token, and Google counts them. The new one is, since what
// happened meanwhile may have ended it.
func TestContractConnectTriesATokenOnce(t *testing.T) {
	w := newStandIn(t)
	first := w.authorize(w.store(), ada, "")
	g := w.mustConnect(w.store(), ada.Sub, first)
	touch := once(func() { w.touch(ada.Sub) })
	s := w.storeOf(tokenstore.Config{DialOptions: []grpc.DialOption{onCommit(touch)}})
	stored := 0
	w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Match: func(r *http.Request) bool {
		if r.PostForm.Get("refresh_token") == string(first.RefreshToken) {
			stored++
		}
		return false
	}})
	if again := w.connect(s, ada, "consent"); again.ID != g.ID {
		t.Error("the ID of a grant that works was not kept")
	}
	if n := w.google.Calls("token.refresh"); stored != 1 || n != 3 {
		t.Errorf("the stored one tried %d times, %d in all", stored, n)
	}
}

// Two sign-ins, and a revocation after the first has got its refresh token: that
// of the second is the one that works, and stays.
func TestContractConnectLateAfterARevocation(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		late := w.authorize(s, ada, "")
		w.google.RevokeAccess(ada.Sub)
		second := w.authorize(s, ada, "")
		g := w.mustConnect(s, ada.Sub, second)
		if got := w.mustConnect(s, ada.Sub, late); got.ID != g.ID {
			w.t.Error("the grant that works was replaced")
		}
		w.afterAnHour()
		w.wantRefreshWith(ada.Sub, g.ID, string(second.RefreshToken))
		w.mustToken(w.store(), ada.Sub, g.ID, "")
	})
}

// And if it can't be said of the stored one whether it works, it is not replaced
// by one that does not.
func TestContractConnectLateWhileRefreshFails(t *testing.T) {
	w := newStandIn(t)
	s := w.store()
	late := w.authorize(s, ada, "")
	w.google.RevokeAccess(ada.Sub)
	g := w.connect(s, ada, "")
	w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Times: 1, Status: http.StatusServiceUnavailable})
	if _, err := s.Connect(t.Context(), ada.Sub, late, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Connect: %v", err)
	}
	w.afterAnHour()
	w.mustToken(w.store(), ada.Sub, g.ID, "")
}

// Without a refresh token the stored one stays; access token, scopes and
// profile are the new ones.
func TestContractConnectWithoutRefreshToken(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		first := w.authorize(s, ada, "")
		g := w.mustConnect(s, ada.Sub, first)
		created := w.document(ada.Sub)["created_at"].(time.Time)
		w.advance(time.Minute)
		a := w.madeUp(s)
		a.RefreshToken, a.Scopes = "", []string{"openid", "https://mail.google.com/"}
		if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{Email: "new@example.com"}); err != nil {
			w.t.Fatal(err)
		}
		got := w.wantGrant(w.store(), ada.Sub, g.ID)
		if got.Profile != (tokenstore.Profile{Email: "new@example.com"}) || got.Scopes[1] != "https://mail.google.com/" {
			w.t.Errorf("%+v %v", got.Profile, got.Scopes)
		}
		if tok := w.mustToken(w.store(), ada.Sub, g.ID, ""); tok.AccessToken != a.AccessToken {
			w.t.Error("not the new access token")
		}
		if !w.document(ada.Sub)["created_at"].(time.Time).Equal(created) {
			w.t.Error("created_at moved")
		}
		w.advance(2 * time.Hour)
		w.wantRefreshWith(ada.Sub, g.ID, string(first.RefreshToken))
	})
}

// A stored refresh token that is dead counts as none, and a sign-in that brings
// none of its own does not revive its sessions.
func TestContractConnectWithoutRefreshTokenToADeadGrant(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.google.RevokeAccess(ada.Sub)
		a := w.authorize(s, ada, "")
		a.RefreshToken = "" // as if consent had been given to another sign-in, just before
		if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrNoRefreshToken) {
			w.t.Errorf("Connect: %v", err)
		}
		if again := w.connect(s, ada, "consent"); again.ID == g.ID {
			w.t.Error("the ID of the dead grant was kept")
		}
	})
}

// While it can't be said whether the stored refresh token works, nothing is
// changed. A successor that trying it brings is kept.
func TestContractConnectWithoutRefreshTokenTries(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		before := w.document(ada.Sub)
		remove := w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusServiceUnavailable})
		a := w.authorize(s, ada, "")
		a.RefreshToken = ""
		if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrUnavailable) {
			w.t.Errorf("while it can't be tried: %v", err)
		}
		remove()
		if after := w.document(ada.Sub); after["sealed"] != before["sealed"] {
			w.t.Error("the grant was changed")
		}
		w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Times: 1, Status: http.StatusOK, Body: rotated})
		w.mustConnect(s, ada.Sub, a)
		w.afterAnHour()
		w.wantRefreshWith(ada.Sub, g.ID, "1//0rotated-refresh-token")
	})
}

func TestContractDisconnect(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !found || !revoked || err != nil {
			w.t.Errorf("%t, %t, %v", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
		w.wantNoGrant(s, ada.Sub, g.ID) // not from memory either
		if n := w.google.Calls("revoke"); n != 1 {
			w.t.Errorf("%d revocations, want 1", n)
		}
	})
}

func TestContractDisconnectWhenGoogleFails(t *testing.T) {
	for name, fault := range map[string]fakegoogle.Fault{
		"503": {Status: 503}, "400": {Status: 400, Body: `{"error":"invalid_token"}`}, "302": {Status: 302, Header: http.Header{"Location": {"/"}}}, "dropped": {Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			eachFirestore(t, func(w *world) {
				s := w.store()
				g := w.connect(s, ada, "")
				fault.Op = "revoke"
				w.google.Inject(fault)
				if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !found || revoked || err != nil {
					w.t.Errorf("%t, %t, %v", found, revoked, err)
				}
				if d := w.document(ada.Sub); d != nil {
					w.t.Errorf("still there: %v", d)
				}
			})
		})
	}
}

func TestContractDisconnectOldSession(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		old := w.connect(s, ada, "")
		w.google.RevokeAccess(ada.Sub)
		g := w.connect(s, ada, "")
		w.google.ResetCalls()
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, old.ID); found || revoked || !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("%t, %t, %v", found, revoked, err)
		}
		if n := w.google.Calls("revoke"); n != 0 {
			w.t.Error("the newer grant was revoked")
		}
		w.mustToken(w.store(), ada.Sub, g.ID, "")
	})
}

// While Google revokes, the user connects again: the newer grant stays.
func TestContractDisconnectWhileConnectedAgain(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		other := w.store()
		var second *tokenstore.Grant
		s := w.store(func(r *http.Request) {
			if r.URL.Path == "/revoke" {
				w.google.RevokeAccess(ada.Sub)
				second = w.connect(other, ada, "")
				w.google.Inject(fakegoogle.Fault{Op: "revoke", Times: 1, Status: 400})
			}
		})
		if _, _, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); err != nil {
			w.t.Error(err)
		}
		w.mustToken(w.store(), ada.Sub, second.ID, "")
	})
}

// While Google revokes, another instance stores an access token: the condition
// is lost, the grant goes all the same.
func TestContractDisconnectWhileWritten(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		other := w.store()
		s := w.store(func(r *http.Request) {
			if r.URL.Path == "/revoke" {
				w.mustToken(other, ada.Sub, g.ID, "")
			}
		})
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !found || !revoked || err != nil {
			w.t.Errorf("%t, %t, %v", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
		if n := w.google.Calls("revoke"); n != 1 {
			w.t.Errorf("%d revocations, want 1", n)
		}
	})
}

// Google does not answer, and the document is written meanwhile: it is asked
// once, and the grant is deleted all the same.
func TestContractDisconnectAsksGoogleOnce(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.google.Inject(fakegoogle.Fault{Op: "revoke", Drop: true})
		s := w.store(func(r *http.Request) {
			if r.URL.Path == "/revoke" {
				w.touch(ada.Sub)
			}
		})
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !found || revoked || err != nil {
			w.t.Errorf("%t, %t, %v", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
		if n := w.google.Calls("revoke"); n != 1 {
			w.t.Errorf("%d revocations, want 1", n)
		}
	})
}

// Many instances connect a user at once: none fails for having lost a race.
func TestContractManyConnectAtOnce(t *testing.T) {
	eachFirestore(t, func(w *world) {
		var group sync.WaitGroup
		for range 20 {
			s := w.store()
			a := w.authorize(s, ada, "consent")
			group.Go(func() {
				if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); err != nil {
					w.t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

const upstreamText = "upstream-text-that-nobody-may-see"

// Errors are made of codes: no token, no secret, nothing that an upstream said.
func TestContractErrorsTellNothing(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		w.afterAnHour()
		var errs []error
		for _, fault := range []fakegoogle.Fault{
			{Status: 400, Body: `{"error":"invalid_request","error_description":"` + upstreamText + `"}`}, {Status: 400, Body: "<" + upstreamText},
			{Status: 503, Body: `{"error":"x y","error_description":"` + upstreamText + `"}`}, {Status: 200, Body: upstreamText}, {Drop: true}, {Status: 503, Body: upstreamText},
		} {
			fault.Times = 1
			for _, op := range []string{"token.refresh", "token.code", "revoke"} {
				fault.Op = op
				w.google.Inject(fault)
			}
			_, err := s.Token(w.t.Context(), ada.Sub, g.ID, "")
			errs = append(errs, err)
			_, err = s.Exchange(w.t.Context(), w.code(s, ben, ""), "", redirectURI)
			errs = append(errs, err)
		}
		for _, err := range errs {
			if err == nil {
				w.t.Error("no error")
				continue
			}
			for _, secret := range append(w.google.Handed(), upstreamText) {
				if strings.Contains(err.Error(), secret) {
					w.t.Errorf("%v holds %s", err, secret)
				}
			}
		}
	})
}

// A disconnect while a refresh is under way: what the refresh brings is not
// remembered, although Google did not end it.
func TestContractDisconnectedWhileRefreshing(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.connect(w.store(), ada, "")
		w.afterAnHour()
		w.google.Inject(fakegoogle.Fault{Op: "revoke", Status: http.StatusServiceUnavailable})
		var s *tokenstore.Store
		s = w.store(onRefresh(once(func() {
			if found, _, err := s.Disconnect(context.Background(), ada.Sub, g.ID); !found || err != nil {
				w.t.Errorf("Disconnect: %t, %v", found, err)
			}
		})))
		w.mustToken(s, ada.Sub, g.ID, "") // asked for before the disconnect
		w.wantNoGrant(s, ada.Sub, g.ID)
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("stored again: %v", d)
		}
	})
}
