package listmessages

import (
	"context"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

// access is what one listing needs to call Gmail for a user. It is used by one
// goroutine.
type access struct {
	lister        *Lister
	user, grantID string
	token         *tokenstore.Token
	renewed       bool // Gmail did not accept the first token
	deadline      time.Time
}

// wait returns when a refreshed token has been stored.
func (a *access) wait() { a.token.Wait() }

// call makes a call to Gmail, again where that may help, until the deadline. If
// Gmail does not accept the token, it is replaced, once; if it still does not,
// the answer is revoked.
func (a *access) call(ctx context.Context, units int64, do func(ctx context.Context, authorization string) error) error {
	f := a.tries(ctx, units, do)
	if f != nil && f.unauthorized && !a.renewed {
		if err := a.renew(ctx); err != nil {
			return err
		}
		f = a.tries(ctx, units, do)
	}
	switch {
	case f == nil:
		return nil
	case context.Cause(ctx) == context.DeadlineExceeded:
		return errDeadline
	}
	return f.problem(a.user)
}

func (a *access) renew(ctx context.Context) error {
	a.renewed = true
	token, err := a.lister.Store.Token(ctx, a.user, a.grantID, a.token.AccessToken)
	if err != nil {
		return endpoint.ForUser(err, a.user)
	}
	a.token.Wait()
	a.token = token
	return nil
}

func (a *access) tries(ctx context.Context, units int64, do func(context.Context, string) error) *failure {
	clock := a.lister.Clock
	return clock.retry(ctx, a.deadline, func() *failure {
		if ctx.Err() != nil {
			return &failure{reason: endpoint.UpstreamUnavailable, cause: ctx.Err()}
		}
		endpoint.RecordOf(ctx).QuotaUnits.Add(units)
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err := do(ctx, "Bearer "+string(a.token.AccessToken))
		if err == nil {
			return nil
		}
		f := classify(err, clock.now())
		return &f
	})
}
