package tokenstore_test

import (
	"errors"
	"testing"

	"google.golang.org/grpc"

	"example.com/gmailgrant/tokenstore"
)

// reseal fails the test on an error.
func (w *world) reseal(s *tokenstore.Store, user string) (older bool) {
	w.t.Helper()
	older, err := s.Reseal(w.t.Context(), user)
	if err != nil {
		w.t.Fatal(err)
	}
	return older
}

func TestContractReseal(t *testing.T) {
	eachFirestore(t, func(w *world) {
		if _, err := w.store().Reseal(w.t.Context(), ada.Sub); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("an absent grant: %v", err)
		}
		a := w.madeUp(w.store())
		g := w.mustConnect(w.store(), ada.Sub, a)
		before := w.document(ada.Sub)
		if w.reseal(w.store(), ada.Sub) {
			w.t.Error("sealed again with the same key")
		}
		w.google.AddSecretVersion(sealKey, newSealKey())
		if s := w.store(); !w.reseal(s, ada.Sub) || w.reseal(s, ada.Sub) {
			w.t.Error("not sealed again once")
		}
		after := w.document(ada.Sub)
		if after["key_version"] != int64(2) || after["created_at"] != before["created_at"] || after["expires_at"] != before["expires_at"] {
			w.t.Errorf("became %v", after)
		}
		w.google.SetSecretVersionEnabled(sealKey, 1, false)
		s := w.store()
		w.wantGrant(s, ada.Sub, g.ID)
		if tok := w.mustToken(s, ada.Sub, g.ID, ""); tok.AccessToken != a.AccessToken {
			w.t.Error("another access token")
		}
	})
}

// What another instance writes meanwhile is not lost.
func TestContractResealRace(t *testing.T) {
	eachFirestore(t, func(w *world) {
		w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.google.AddSecretVersion(sealKey, newSealKey())
		meanwhile := onCommit(once(func() { w.touch(ada.Sub) }))
		if !w.reseal(w.storeOf(tokenstore.Config{DialOptions: []grpc.DialOption{meanwhile}}), ada.Sub) {
			w.t.Error("not sealed again")
		}
		if d := w.document(ada.Sub); d["key_version"] != int64(2) {
			w.t.Errorf("sealed with %v", d["key_version"])
		}
	})
}

// A grant of another client is sealed again as well: that client may come back.
// One that does not open stays as it is.
func TestContractResealOthers(t *testing.T) {
	eachFirestore(t, func(w *world) {
		w.mustConnect(w.store(), ada.Sub, w.madeUp(w.store()))
		w.google.AddSecretVersion(sealKey, newSealKey())
		w.google.SetSecretVersionEnabled(sealKey, 1, false)
		before := w.document(ada.Sub)
		if _, err := w.store().Reseal(w.t.Context(), ada.Sub); !errors.Is(err, tokenstore.ErrNotConnected) {
			w.t.Errorf("a grant that does not open: %v", err)
		}
		if d := w.document(ada.Sub); d["sealed"] != before["sealed"] {
			w.t.Error("it was changed")
		}
		w.google.SetSecretVersionEnabled(sealKey, 1, true)
		if !w.reseal(w.otherClient(), ada.Sub) {
			w.t.Error("the grant of another client was not sealed again")
		}
	})
}
