// Package listmessages lists a user's messages: every page, streamed as it
// arrives, with a cursor wherever it has to stop.
package listmessages

import (
	"context"
	"errors"
	"net/http"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
)

// A Handler answers GET listmessages. It is safe for concurrent use.
type Handler struct {
	Lister   *Lister
	Sessions *session.Keeper
	Deadline time.Duration // LIST_DEADLINE
}

const (
	// margin is what is left of the platform's time-out to end an answer.
	margin = time.Second
	// maxAnswer is when an answer ends with a cursor, below the 10 MB that the
	// platform allows a streamed one, by more than a page.
	maxAnswer = 9_000_000 // bytes
)

// Get lists the messages of the session's user.
func (h *Handler) Get(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	deadline := h.deadline(r.Context())
	s, err := h.Sessions.Of(r)
	if err != nil {
		return err
	}
	out := &stream{w: w, lines: wantsLines(r)}
	var end ending
	for page, err := range h.Lister.Pages(r.Context(), s.User, s.GrantID, q, deadline) {
		if err != nil && !out.begun {
			return err
		}
		if err != nil {
			end.Incomplete = h.stopped(r.Context(), err)
			break
		}
		if !out.begun {
			end.ResultSizeEstimate = page.ResultSizeEstimate
		}
		end.NextPageToken = page.NextPageToken
		if err := out.page(page.Messages); err != nil {
			return nil // the client left; the iterator has stopped
		}
		if out.bytes > maxAnswer && page.NextPageToken != "" {
			end.Incomplete = &incomplete{Reason: "response_size"}
			break
		}
	}
	if end.Incomplete != nil {
		endpoint.RecordOf(r.Context()).Incomplete = end.Incomplete.Reason
	}
	_ = out.end(end) // a client that left is no failure
	return nil
}

// deadline is when a listing ends: LIST_DEADLINE from now, or before the
// platform's time-out if that comes first.
func (h *Handler) deadline(ctx context.Context) time.Time {
	deadline := h.Lister.Clock.now().Add(h.Deadline)
	if platform, ok := ctx.Deadline(); ok && platform.Add(-margin).Before(deadline) {
		return platform.Add(-margin)
	}
	return deadline
}

// stopped says why a list that was begun ends early.
func (h *Handler) stopped(ctx context.Context, err error) *incomplete {
	p := endpoint.AsProblem(err)
	rec := endpoint.RecordOf(ctx)
	rec.Err = p.Err
	if errors.Is(err, errDeadline) {
		return &incomplete{Reason: "deadline"}
	}
	in := &incomplete{Reason: string(endpoint.UpstreamUnavailable)}
	switch p.Reason {
	case endpoint.RateLimited, endpoint.Revoked:
		in.Reason = string(p.Reason)
	case endpoint.NotConnected:
		in.Reason = string(endpoint.Revoked)
	}
	if p.RetryAfter > 0 {
		in.RetryAfter = endpoint.RetrySeconds(p.RetryAfter)
	}
	return in
}
