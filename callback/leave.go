package callback

import (
	"context"
	"net/http"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
)

// disconnectTimeout bounds a disconnect, which goes on when the client leaves.
const disconnectTimeout = 30 * time.Second

// Delete signs out; with grant=revoke it disconnects.
func (h *Handler) Delete(w http.ResponseWriter, r *http.Request) error {
	query, err := endpoint.Query(r, []string{"grant"}, nil)
	if err != nil {
		return err
	}
	if !query.Has("grant") {
		h.signOut(w, r)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if query.Get("grant") != "revoke" {
		return endpoint.Invalid("The parameter grant must be revoke.")
	}
	return h.disconnect(w, r)
}

// signOut gives the browser a new ID and no session. With an Authorization
// header the cookie is left alone.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Header["Authorization"]; ok {
		return
	}
	if err := h.sessions.SetCookie(r.Context(), w, session.NewBrowser()); err != nil {
		endpoint.RecordOf(r.Context()).Err = err
		h.sessions.DropCookie(w)
	}
}

// disconnect ends the grant of the session, at Google and here. It is not cut
// off by the client leaving.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request) error {
	s, err := h.sessions.Of(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), disconnectTimeout)
	defer cancel()
	found, revoked, err := h.store.Disconnect(ctx, s.User, s.GrantID)
	if err != nil {
		return endpoint.ForUser(err, s.User)
	}
	h.signOut(w, r.WithContext(ctx))
	if !found {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return endpoint.WriteJSON(w, struct {
		Revoked bool `json:"revoked"`
	}{revoked})
}
