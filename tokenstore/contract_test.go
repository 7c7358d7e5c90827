package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gmailgrant/tokenstore"
)

// The contract of the grant store. What is said here holds with the stand-in
// and with Google's Firestore emulator.

func TestContractAbsent(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		w.wantNoGrant(s, ada.Sub, "any")
		a := w.madeUp(s)
		a.RefreshToken = ""
		if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrNoRefreshToken) {
			w.t.Errorf("Connect without a refresh token: %v", err)
		}
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, "any"); found || revoked || err != nil {
			w.t.Errorf("Disconnect: %t, %t, %v", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("something was stored: %v", d)
		}
	})
}

func TestContractCreate(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a := w.madeUp(s)
		g := w.mustConnect(s, ada.Sub, a)
		for _, instance := range []*tokenstore.Store{s, w.store()} {
			got := w.wantGrant(instance, ada.Sub, g.ID)
			if got.Profile != g.Profile || !slices.Equal(got.Scopes, a.Scopes) || got.ClientID != a.ClientID {
				w.t.Errorf("read back as %+v", got)
			}
			if tok := w.mustToken(instance, ada.Sub, g.ID, ""); tok.AccessToken != a.AccessToken {
				w.t.Error("another access token")
			}
		}
		w.wantDocument(ada.Sub, g.ID, a)
	})
}

// wantDocument: the fields of the contract, no others, and nothing in clear
// that identifies the user or is a secret.
func (w *world) wantDocument(user, id string, a *tokenstore.Authorization) {
	w.t.Helper()
	d := w.document(user)
	fields := slices.Sorted(maps.Keys(d))
	if !slices.Equal(fields, []string{"client_id", "created_at", "expires_at", "grant_id", "key_version", "sealed", "updated_at"}) {
		w.t.Errorf("fields %v", fields)
	}
	now := w.clock()
	if d["grant_id"] != id || d["client_id"] != a.ClientID || d["key_version"] != int64(1) ||
		!now.Equal(d["created_at"].(time.Time)) || !now.Equal(d["updated_at"].(time.Time)) || !now.AddDate(0, 6, 0).Equal(d["expires_at"].(time.Time)) {
		w.t.Errorf("document %v", d)
	}
	for _, private := range []string{string(a.RefreshToken), string(a.AccessToken), user, "@", "Ada", "gmail.readonly"} {
		if strings.Contains(fmt.Sprint(d), private) {
			w.t.Errorf("%q stands in clear", private)
		}
	}
}

func TestContractOverwrite(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		first := w.mustConnect(s, ada.Sub, w.madeUp(s))
		w.advance(time.Hour)
		a := w.madeUp(s)
		second := w.mustConnect(s, ada.Sub, a)
		if first.ID == second.ID {
			w.t.Error("the ID of a dead grant was kept: a session stolen before revives")
		}
		w.wantGrant(w.store(), ada.Sub, second.ID)
		w.wantDocument(ada.Sub, second.ID, a)
		if _, err := w.store().Token(w.t.Context(), ada.Sub, first.ID, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("a token for the old ID: %v", err)
		}
	})
}

func TestContractDeleteTwice(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.mustConnect(s, ada.Sub, w.madeUp(s))
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); !found || revoked || err != nil {
			w.t.Errorf("%t, %t, %v; Google does not know the token", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
		if found, revoked, err := s.Disconnect(w.t.Context(), ada.Sub, g.ID); found || revoked || err != nil {
			w.t.Errorf("again: %t, %t, %v", found, revoked, err)
		}
		w.wantNoGrant(s, ada.Sub, g.ID)
	})
}

func TestContractTwoUsers(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a, b := w.mustConnect(s, ada.Sub, w.madeUp(s)), w.mustConnect(s, ben.Sub, w.madeUp(s))
		if a.ID == b.ID {
			w.t.Error("two users share a grant ID")
		}
		if _, err := s.Token(w.t.Context(), ben.Sub, a.ID, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("one user's ID with the other's name: %v", err)
		}
		if _, _, err := s.Disconnect(w.t.Context(), ada.Sub, a.ID); err != nil {
			w.t.Fatal(err)
		}
		w.wantNoGrant(s, ada.Sub, a.ID)
		w.wantGrant(s, ben.Sub, b.ID)
	})
}

func TestContractConcurrentWriters(t *testing.T) {
	eachFirestore(t, func(w *world) {
		const writers = 5 // each round one of them wins, so none has to try more often
		grants := make([]*tokenstore.Grant, writers)
		var group sync.WaitGroup
		for i := range grants {
			s := w.store()
			a := w.madeUp(s)
			group.Go(func() {
				g, err := s.Connect(context.Background(), ada.Sub, a, tokenstore.Profile{})
				if err != nil {
					w.t.Error(err)
					return
				}
				grants[i] = g
			})
		}
		group.Wait()
		stored, err := w.store().Grant(w.t.Context(), ada.Sub)
		if err != nil {
			w.t.Fatal(err)
		}
		if !slices.ContainsFunc(grants, func(g *tokenstore.Grant) bool { return g != nil && g.ID == stored.ID }) {
			w.t.Error("what is stored is nobody's")
		}
	})
}

// all calls each operation that reaches Firestore.
func all(ctx context.Context, s *tokenstore.Store, user, id string, a *tokenstore.Authorization) map[string]error {
	_, grant := s.Grant(ctx, user)
	_, token := s.Token(ctx, user, id, a.AccessToken)
	_, connect := s.Connect(ctx, user, a, tokenstore.Profile{})
	_, _, disconnect := s.Disconnect(ctx, user, id)
	return map[string]error{"Grant": grant, "Token": token, "Connect": connect, "Disconnect": disconnect}
}

func TestContractCancelled(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a := w.madeUp(s)
		g := w.mustConnect(s, ada.Sub, a)
		before := w.document(ada.Sub)
		ctx, cancel := context.WithCancel(w.t.Context())
		cancel()
		for name, err := range all(ctx, s, ada.Sub, g.ID, w.madeUp(s)) {
			if !errors.Is(err, tokenstore.ErrUnavailable) {
				if name != "Token" || err != nil { // which may come from memory
					w.t.Errorf("%s: %v", name, err)
				}
			}
		}
		if after := w.document(ada.Sub); after["sealed"] != before["sealed"] {
			w.t.Error("a cancelled call wrote")
		}
		w.wantGrant(s, ada.Sub, g.ID) // the clients outlive a request
	})
}

func TestContractDeadline(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a := w.madeUp(s)
		g := w.mustConnect(s, ada.Sub, a)
		w.proxy.hang()
		w.advance(2 * time.Minute) // past what is remembered
		for _, call := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := s.Grant(ctx, ada.Sub); return err },
			func(ctx context.Context) error { _, err := s.Token(ctx, ada.Sub, g.ID, ""); return err },
			func(ctx context.Context) error {
				_, err := s.Connect(ctx, ada.Sub, a, tokenstore.Profile{})
				return err
			},
			func(ctx context.Context) error { _, _, err := s.Disconnect(ctx, ada.Sub, g.ID); return err },
		} {
			ctx, cancel := context.WithTimeout(w.t.Context(), 50*time.Millisecond)
			err := call(ctx)
			cancel()
			if !errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				w.t.Errorf("%v", err)
			}
		}
	})
}

func TestContractDownAndUpAgain(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		a := w.madeUp(s)
		g := w.mustConnect(s, ada.Sub, a)
		w.proxy.down()
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Grant(ctx, ada.Sub); !errors.Is(err, tokenstore.ErrUnavailable) || errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("down: %v", err)
		}
		w.proxy.up(w.t)
		w.wantGrant(s, ada.Sub, g.ID)
	})
}

func TestContractFirstUseWhileDown(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.proxy.down()
		s := w.store()
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Grant(ctx, ada.Sub); !errors.Is(err, tokenstore.ErrUnavailable) {
			w.t.Errorf("down: %v", err)
		}
		w.proxy.up(w.t)
		w.wantGrant(s, ada.Sub, g.ID)
	})
}

func TestContractNotWrittenByUs(t *testing.T) {
	for name, fields := range map[string]map[string]any{
		"empty":       {},
		"other types": {"sealed": 7, "grant_id": true, "expires_at": "tomorrow"},
		"garbage":     {"sealed": "1.AAAA", "grant_id": "id", "client_id": "c", "key_version": 1, "expires_at": time.Now().AddDate(1, 0, 0)},
		"extra":       {"refresh_token": "1//0in-clear"},
	} {
		t.Run(name, func(t *testing.T) {
			eachFirestore(t, func(w *world) {
				s := w.store()
				w.setDocument(ada.Sub, fields)
				w.wantNoGrant(s, ada.Sub, "id")
				a := w.madeUp(s)
				a.RefreshToken = ""
				if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrNoRefreshToken) {
					w.t.Errorf("it counts as stored: %v", err)
				}
				g := w.mustConnect(s, ada.Sub, w.madeUp(s))
				w.wantGrant(w.store(), ada.Sub, g.ID)
			})
		})
	}
}

func TestContractCopiedOverAnotherUser(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		g := w.mustConnect(s, ada.Sub, w.madeUp(s))
		w.setDocument(ben.Sub, w.document(ada.Sub))
		w.wantNoGrant(s, ben.Sub, g.ID)
		w.wantGrant(s, ada.Sub, g.ID)
	})
}

func TestContractFieldsChanged(t *testing.T) {
	for field, value := range map[string]any{"grant_id": "another", "client_id": "another", "sealed": "1.AAAA"} {
		t.Run(field, func(t *testing.T) {
			eachFirestore(t, func(w *world) {
				s := w.store()
				g := w.mustConnect(s, ada.Sub, w.madeUp(s))
				d := w.document(ada.Sub)
				d[field] = value
				w.setDocument(ada.Sub, d)
				w.wantNoGrant(w.store(), ada.Sub, g.ID)
				w.wantNoGrant(w.store(), ada.Sub, "another")
			})
		})
	}
}

// Nor does a grant open for another client when its document is made to say so.
func TestContractClientIDIsSealed(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		s := w.otherClient()
		client, err := s.Client(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		d := w.document(ada.Sub)
		d["client_id"] = client.ID
		w.setDocument(ada.Sub, d)
		w.wantNoGrant(s, ada.Sub, g.ID)
	})
}

// An old document put back over a newer one names the old grant ID, which no
// session of the newer one has.
func TestContractSwappedSeals(t *testing.T) {
	eachFirestore(t, func(w *world) {
		s := w.store()
		first := w.mustConnect(s, ada.Sub, w.madeUp(s))
		old := w.document(ada.Sub)
		second := w.mustConnect(s, ada.Sub, w.madeUp(s))
		d := w.document(ada.Sub)
		d["sealed"] = old["sealed"]
		w.setDocument(ada.Sub, d)
		w.wantNoGrant(w.store(), ada.Sub, first.ID)
		w.wantNoGrant(w.store(), ada.Sub, second.ID)
	})
}

// Firestore's TTL deletes a day late: the time counts on reading.
func TestContractExpired(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		end := w.clock().AddDate(0, 6, 0)
		w.setClock(end.Add(-time.Nanosecond))
		w.wantGrant(w.store(), ada.Sub, g.ID)
		w.setClock(end)
		w.wantNoGrant(w.store(), ada.Sub, g.ID)
		if w.document(ada.Sub) == nil {
			w.t.Error("reading deleted it")
		}
		if second := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store())); second.ID == g.ID {
			w.t.Error("the ID of an expired grant was kept")
		}
	})
}

func TestContractSealedAgainWithTheNewestKey(t *testing.T) {
	eachFirestore(t, func(w *world) {
		a := w.madeUp(w.store())
		g := w.mustConnect(w.store(), ada.Sub, a)
		end := w.document(ada.Sub)["expires_at"]
		w.google.AddSecretVersion(sealKey, newSealKey())
		w.wantGrant(w.store(), ada.Sub, g.ID)
		d := w.document(ada.Sub)
		if d["key_version"] != int64(2) || !strings.HasPrefix(d["sealed"].(string), "2.") {
			w.t.Errorf("sealed with %v: %.4s", d["key_version"], d["sealed"])
		}
		if !end.(time.Time).Equal(d["expires_at"].(time.Time)) {
			w.t.Error("reading made it live longer")
		}
		w.google.SetSecretVersionEnabled(sealKey, 1, false)
		cold := w.store()
		w.wantGrant(cold, ada.Sub, g.ID)
		if tok := w.mustToken(cold, ada.Sub, g.ID, ""); tok.AccessToken != a.AccessToken {
			w.t.Error("another access token after sealing again")
		}
	})
}

// With its key version disabled a grant counts as not there; it is not deleted
// for that, and opens again when the version is enabled.
func TestContractKeyVersionDisabled(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.google.AddSecretVersion(sealKey, newSealKey())
		w.google.SetSecretVersionEnabled(sealKey, 1, false)
		w.wantNoGrant(w.store(), ada.Sub, g.ID)
		if w.document(ada.Sub) == nil {
			w.t.Fatal("it was deleted")
		}
		w.google.SetSecretVersionEnabled(sealKey, 1, true)
		w.wantGrant(w.store(), ada.Sub, g.ID)
	})
}

// A disconnect is what the user asked for, so it deletes what does not open too.
func TestContractDisconnectUnreadable(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.google.AddSecretVersion(sealKey, newSealKey())
		w.google.SetSecretVersionEnabled(sealKey, 1, false)
		if found, revoked, err := w.store().Disconnect(w.t.Context(), ada.Sub, g.ID); !found || revoked || err != nil {
			w.t.Errorf("%t, %t, %v", found, revoked, err)
		}
		if d := w.document(ada.Sub); d != nil {
			w.t.Errorf("still there: %v", d)
		}
	})
}

// otherClient is an instance with another OAuth client.
func (w *world) otherClient() *tokenstore.Store {
	w.google.AddSecretVersion("other-client", []byte(strings.ReplaceAll(string(w.google.ClientJSON()), "407408718192", "999999999999")))
	return w.storeOf(tokenstore.Config{ClientSecretName: "other-client"})
}

func TestContractOtherClientID(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		s := w.otherClient()
		w.wantNoGrant(s, ada.Sub, g.ID)
		a := w.madeUp(s)
		a.RefreshToken = ""
		if _, err := s.Connect(w.t.Context(), ada.Sub, a, tokenstore.Profile{}); !errors.Is(err, tokenstore.ErrNoRefreshToken) {
			w.t.Errorf("it counts as stored: %v", err)
		}
		w.wantGrant(w.store(), ada.Sub, g.ID) // untouched for the client it was given to
		if second := w.mustConnect(s, ada.Sub, w.madeUp(s)); second.ID == g.ID {
			w.t.Error("the ID of another client's grant was kept")
		}
	})
}

// Grants are shared by all who share the seal key: BASE_URL does not part them.
func TestContractOtherBaseURL(t *testing.T) {
	eachFirestore(t, func(w *world) {
		g := w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.wantGrant(w.storeOf(tokenstore.Config{BaseURL: "https://app.example.com"}), ada.Sub, g.ID)
	})
}
