package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/tokenstore"
)

func mustSourceToken(t *testing.T, ts *tokenstore.TokenSource) *oauth2.Token {
	t.Helper()
	tok, err := ts.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// What it hands out is stored for all instances when it is handed out.
func TestContractTokenSource(t *testing.T) {
	eachFirestore(t, func(w *world) {
		w.connect(w.store(), ada, "")
		w.afterAnHour()
		s := w.store()
		ts := s.TokenSource(w.t.Context(), ada.Sub, readonly, "email")
		tok := mustSourceToken(w.t, ts)
		if !tok.Expiry.Equal(w.clock().Add(3599*time.Second)) || tok.Type() != "Bearer" {
			w.t.Errorf("expires at %s, type %s", tok.Expiry, tok.Type())
		}
		if other := mustSourceToken(w.t, w.store().TokenSource(w.t.Context(), ada.Sub)); other.AccessToken != tok.AccessToken {
			w.t.Error("another instance refreshed")
		}
		reads := w.google.Calls("secretmanager.access")
		if again := mustSourceToken(w.t, ts); again.AccessToken != tok.AccessToken || w.google.Calls("token.refresh") != 1 || w.google.Calls("secretmanager.access") != reads {
			w.t.Error("what was handed out is not remembered")
		}
	})
}

// Of Gmail's own client library, below which it belongs.
func TestTokenSourceBelowAClient(t *testing.T) {
	w := newStandIn(t)
	w.connect(w.store(), ada, "")
	client := &http.Client{Transport: &oauth2.Transport{Source: w.store().TokenSource(t.Context(), ada.Sub, readonly)}}
	resp, err := client.Get(w.google.URL() + "/gmail/v1/users/me/profile")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	client.Transport.(*oauth2.Transport).Source = w.store().TokenSource(t.Context(), ben.Sub, readonly)
	_, err = client.Get(w.google.URL() + "/gmail/v1/users/me/profile")
	if !errors.Is(err, tokenstore.ErrNotConnected) {
		t.Errorf("through a client: %v", err)
	}
}

func TestContractTokenSourceErrors(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.connect(s, ada, "")
		const labels = "https://www.googleapis.com/auth/gmail.labels"
		_, err := s.TokenSource(w.t.Context(), ada.Sub, readonly, labels).Token()
		missing, ok := errors.AsType[*tokenstore.MissingScopeError](err)
		if !ok || !slices.Equal(missing.Scopes, []string{labels}) {
			w.t.Errorf("a scope that was not granted: %v", err)
		}
		if _, err := s.TokenSource(w.t.Context(), ada.Sub).OfGrant("another").Token(); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("another grant: %v", err)
		}
		mustSourceToken(w.t, s.TokenSource(w.t.Context(), ada.Sub, readonly).OfGrant(g.ID))
		for _, user := range []string{ben.Sub, "", "a/b", "..", "ada@example.com/", "__x__"} {
			if _, err := s.TokenSource(w.t.Context(), user).Token(); !errors.Is(err, tokenstore.ErrNotConnected) {
				w.t.Errorf("user %q: %v", user, err)
			}
		}
		w.google.RevokeAccess(ada.Sub)
		w.afterAnHour()
		if _, err := s.TokenSource(w.t.Context(), ada.Sub).Token(); !errors.Is(err, tokenstore.ErrRevoked) {
			w.t.Errorf("after a revocation: %v", err)
		}
		if _, err := s.TokenSource(w.t.Context(), ada.Sub).Token(); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("a second time: %v", err)
		}
	})
}

// A token that Google answered 401 to is not handed out again.
func TestContractTokenSourceReject(t *testing.T) {
	eachFirestore(t, func(w *world) {
		w.connect(w.store(), ada, "")
		ts := w.store().TokenSource(w.t.Context(), ada.Sub)
		first := mustSourceToken(w.t, ts)
		ts.Reject(first.AccessToken)
		second := mustSourceToken(w.t, ts)
		if second.AccessToken == first.AccessToken || w.google.Calls("token.refresh") != 1 {
			w.t.Errorf("the same token after %d refreshes", w.google.Calls("token.refresh"))
		}
		if mustSourceToken(w.t, ts).AccessToken != second.AccessToken || w.google.Calls("token.refresh") != 1 {
			w.t.Error("one rejection refreshes twice")
		}
		w.google.RevokeAccess(ada.Sub)
		ts.Reject(second.AccessToken)
		if _, err := ts.Token(); !errors.Is(err, tokenstore.ErrRevoked) {
			w.t.Errorf("rejected after a revocation: %v", err)
		}
	})
}

// The one grant that is stored, remembered or not.
func TestContractAnyGrant(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		if _, err := s.Token(w.t.Context(), ada.Sub, tokenstore.AnyGrant, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("without a grant: %v", err)
		}
		g := w.connect(s, ada, "")
		for _, instance := range []*tokenstore.Store{s, w.store()} {
			if tok := w.mustToken(instance, ada.Sub, tokenstore.AnyGrant, ""); tok.Grant.ID != g.ID {
				w.t.Errorf("a token of grant %s, want %s", tok.Grant.ID, g.ID)
			}
		}
		w.afterAnHour()
		old := w.store()
		w.google.RevokeAccess(ada.Sub)
		g = w.connect(w.store(), ada, "consent")
		for _, instance := range []*tokenstore.Store{s, old} {
			if tok := w.mustToken(instance, ada.Sub, tokenstore.AnyGrant, ""); tok.Grant.ID != g.ID {
				w.t.Errorf("after a revocation a token of grant %s, want %s", tok.Grant.ID, g.ID)
			}
		}
	})
}

func users(w *world, s *tokenstore.Store) []string {
	w.t.Helper()
	var all []string
	for user, err := range s.Users(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, user)
	}
	return all
}

func TestContractUsers(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		if all := users(w, s); len(all) != 0 {
			w.t.Errorf("of nobody: %q", all)
		}
		w.mustConnect(s, ben.Sub, w.madeUp(s))
		w.advance(time.Minute)
		w.mustConnect(s, ada.Sub, w.madeUp(s))
		w.setDocument("not-ours", map[string]any{"x": 1})
		if all := users(w, s); !slices.Equal(all, []string{ada.Sub, ben.Sub}) {
			w.t.Errorf("users %q", all)
		}
		w.advance(w.document(ben.Sub)["expires_at"].(time.Time).Sub(w.clock()))
		if all := users(w, s); !slices.Equal(all, []string{ada.Sub}) {
			w.t.Errorf("with one whose time is over: %q", all)
		}
	})
}

// More than a page, whose border is nobody's loss.
func TestContractUsersOfSeveralPages(t *testing.T) {
	eachFirestore(t, func(w *world) {
		end := w.clock().AddDate(0, 1, 0)
		var want []string
		for i := range 650 {
			user := fmt.Sprintf("%021d", i*7919%650)
			want = append(want, user)
			w.setDocument(user, map[string]any{"expires_at": end})
		}
		slices.Sort(want)
		s := w.store()
		if all := users(w, s); !slices.Equal(all, want) {
			w.t.Errorf("%d users, want %d, each once, in order", len(all), len(want))
		}
		n := 0
		for range s.Users(w.t.Context()) {
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			w.t.Errorf("stopped after %d", n)
		}
	})
}

func TestContractUsersFails(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		w.mustConnect(s, ada.Sub, w.madeUp(s))
		w.proxy.hang()
		ctx, cancel := context.WithTimeout(w.t.Context(), 50*time.Millisecond)
		defer cancel()
		n := 0
		for user, err := range s.Users(ctx) {
			if n++; n > 1 || user != "" || !errors.Is(err, tokenstore.ErrUnavailable) {
				w.t.Errorf("%d: %q, %v", n, user, err)
			}
		}
		if n == 0 {
			w.t.Error("no error")
		}
	})
}

func TestUsersNotReadable(t *testing.T) {
	w := newStandIn(t)
	w.google.Inject(fakegoogle.Fault{Op: "firestore.query", Code: 7})
	for _, err := range w.store().Users(t.Context()) {
		if !errors.Is(err, tokenstore.ErrMisconfigured) {
			t.Errorf("%v", err)
		}
	}
}

// The user connected again on another instance, whose grant this one does not know
// yet: Google's 401 leads to the one that is stored.
func TestAnyGrantIsTheStoredOne(t *testing.T) {
	w := newStandIn(t)
	s := w.store()
	w.connect(s, ada, "")
	ts := s.TokenSource(t.Context(), ada.Sub)
	first := mustSourceToken(t, ts)
	w.google.RevokeAccess(ada.Sub)
	second := w.connect(w.store(), ada, "consent")
	ts.Reject(first.AccessToken)
	if tok := mustSourceToken(t, ts); tok.AccessToken == first.AccessToken {
		t.Error("the rejected token again")
	}
	if g, err := s.Grant(t.Context(), ada.Sub); err != nil || g.ID != second.ID {
		t.Errorf("%v, %v", g, err)
	}
}

// A rejection that comes after the next token is of the one before.
func TestRejectLate(t *testing.T) {
	w := newStandIn(t)
	s := w.store()
	w.connect(s, ada, "")
	ts := s.TokenSource(t.Context(), ada.Sub)
	first := mustSourceToken(t, ts)
	ts.Reject(first.AccessToken)
	second := mustSourceToken(t, ts)
	ts.Reject(second.AccessToken)
	ts.Reject(first.AccessToken)
	if third := mustSourceToken(t, ts); third.AccessToken == second.AccessToken {
		t.Error("the rejected token again")
	}
}

// An answer of the token endpoint without expires_in is believed for a while.
func TestNoExpiresIn(t *testing.T) {
	w := newStandIn(t)
	s := w.store()
	g := w.connect(s, ada, "")
	w.afterAnHour()
	w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusOK, Body: `{"access_token":"ya29.without-expiry","token_type":"Bearer"}`})
	w.google.ResetCalls()
	for range 5 {
		w.mustToken(s, ada.Sub, g.ID, "")
	}
	if n := w.google.Calls("token.refresh"); n != 1 {
		t.Errorf("%d refreshes for 5 tokens", n)
	}
	w.advance(10 * time.Minute)
	w.mustToken(s, ada.Sub, g.ID, "")
	if n := w.google.Calls("token.refresh"); n != 2 {
		t.Errorf("%d refreshes after ten minutes", n)
	}
}

// A stranger's value of a made-up key version must not make a grant unreadable
// that another instance has sealed with a new key meanwhile.
func TestNewKeyAfterAStrangersValue(t *testing.T) {
	for name, do := range map[string]func(w *world, s *tokenstore.Store, g *tokenstore.Grant){
		"read": func(w *world, s *tokenstore.Store, g *tokenstore.Grant) { w.wantGrant(s, ada.Sub, g.ID) },
		"disconnect": func(w *world, s *tokenstore.Store, g *tokenstore.Grant) {
			if _, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !revoked || err != nil {
				w.t.Errorf("revoked: %t, %v", revoked, err)
			}
		},
		"consent": func(w *world, s *tokenstore.Store, g *tokenstore.Grant) {
			if again := w.connect(s, ada, "consent"); again.ID != g.ID {
				w.t.Error("another grant: sessions of the first one have ended")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStandIn(t)
			s := w.store()
			g := w.connect(s, ada, "")
			if _, err := s.Ring().Open(t.Context(), seal.Session, "999."+strings.Repeat("A", 60), "bearer"); !errors.Is(err, seal.ErrNotOpened) {
				t.Fatal(err)
			}
			w.google.AddSecretVersion(sealKey, newSealKey())
			w.wantGrant(w.store(), ada.Sub, g.ID) // which seals it again
			w.advance(9 * time.Second)
			do(w, s, g)
		})
	}
}
