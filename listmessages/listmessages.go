// Package listmessages lists a user's messages: every page, streamed as it
// arrives, with a cursor wherever it has to stop.
package listmessages

import (
	"context"
	"errors"
	"net/http"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
)

// A Handler answers GET listmessages. It is safe for concurrent use.
type Handler struct {
	Lister   *Lister
	Sessions *session.Keeper
}

// Get lists the messages of the session's user.
func (h *Handler) Get(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	limits := Limits{Deadline: h.Lister.deadline(r.Context())} // getting a key counts too
	s, err := h.Sessions.Of(r)
	if err != nil {
		return err
	}
	out := &stream{w: w, lines: wantsLines(r)}
	var end ending
	moved := false // something was delivered, if only a place further on
	for part, err := range h.Lister.listChecked(r.Context(), s.User, s.GrantID, q, limits) {
		if err != nil && !moved {
			return err
		}
		moved = true
		if end.ResultSizeEstimate == 0 {
			end.ResultSizeEstimate = part.ResultSizeEstimate
		}
		end.NextPageToken = part.NextPageToken
		if err != nil {
			end.Incomplete = h.stopped(r.Context(), err)
			break
		}
		if len(part.Messages) == 0 {
			continue
		}
		if err := out.part(part.Messages, !part.last); err != nil {
			return nil // the client left, and the work has stopped
		}
	}
	_ = out.end(end) // a client that left is no failure
	return nil
}

// stopped says why a list that was begun ends early.
func (h *Handler) stopped(ctx context.Context, err error) *incomplete {
	rec := endpoint.RecordOf(ctx)
	rec.Err = err
	in := &incomplete{Reason: incompleteReason(err)}
	if p := endpoint.AsProblem(err); p.RetryAfter > 0 {
		in.RetryAfter = endpoint.RetrySeconds(p.RetryAfter)
	}
	rec.Incomplete = in.Reason
	return in
}

func incompleteReason(err error) string {
	switch {
	case errors.Is(err, ErrDeadline):
		return "deadline"
	case errors.Is(err, ErrBytes):
		return "response_size"
	}
	switch reason := endpoint.AsProblem(err).Reason; reason {
	case endpoint.RateLimited, endpoint.Revoked:
		return string(reason)
	case endpoint.NotConnected:
		return string(endpoint.Revoked)
	}
	return string(endpoint.UpstreamUnavailable)
}
