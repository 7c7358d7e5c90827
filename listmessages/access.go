package listmessages

import (
	"context"
	"sync"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

// access is what one listing needs to call Gmail for a user. It is safe for
// concurrent use.
type access struct {
	lister        *Lister
	user, grantID string
	deadline      time.Time

	mu      sync.Mutex
	token   *tokenstore.Token
	renewed bool // Gmail did not accept the first token
}

func (a *access) current() *tokenstore.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// wait returns when a refreshed token has been stored.
func (a *access) wait() { a.current().Wait() }

// renew replaces a token that Gmail did not accept, once. A second time the
// answer is revoked.
func (a *access) renew(ctx context.Context, rejected *tokenstore.Token) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != rejected {
		return nil // a call beside this one did it
	}
	if a.renewed {
		return &endpoint.Problem{Reason: endpoint.Revoked, User: a.user}
	}
	a.renewed = true
	token, err := a.lister.Store.Token(ctx, a.user, a.grantID, rejected.AccessToken)
	if err != nil {
		return endpoint.ForUser(err, a.user)
	}
	rejected.Wait()
	a.token = token
	return nil
}

// call makes a call to Gmail, again where that may help, until the deadline.
func (a *access) call(ctx context.Context, do func(ctx context.Context, authorization string) *failure) error {
	for {
		token := a.current()
		f := a.lister.Clock.retry(ctx, a.deadline, func() *failure {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			return do(ctx, "Bearer "+string(token.AccessToken))
		})
		if f == nil {
			return nil
		}
		if context.Cause(ctx) == context.DeadlineExceeded {
			return errDeadline
		}
		if !f.unauthorized {
			return f.problem(a.user)
		}
		if err := a.renew(ctx, token); err != nil {
			return err
		}
	}
}
