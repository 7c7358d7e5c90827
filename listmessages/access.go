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
	refused       string // what to tell the client of a request that Gmail does not accept

	mu       sync.Mutex
	token    *tokenstore.Token
	renewals int
	renewErr error // why the token could not be replaced
}

func (l *Lister) access(ctx context.Context, user, grantID string, deadline time.Time) (*access, error) {
	a := &access{lister: l, user: user, grantID: grantID, deadline: deadline, refused: "Gmail does not accept the request."}
	token, err := a.get(ctx, "")
	if err != nil {
		return nil, err
	}
	a.token = token
	return a, nil
}

// get gets a token other than the rejected one. A client that leaves does not cut
// it short: once the request has ended, the platform stops the CPU, and a new
// refresh token could be lost.
func (a *access) get(ctx context.Context, rejected tokenstore.Secret) (*tokenstore.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.left())
	defer cancel()
	token, err := a.lister.Store.Token(ctx, a.user, a.grantID, rejected)
	if ctx.Err() == context.DeadlineExceeded {
		return nil, ErrDeadline
	}
	if err != nil {
		return nil, endpoint.ForUser(err, a.user)
	}
	return token, nil
}

// left is how long there is until the deadline.
func (a *access) left() time.Duration { return a.deadline.Sub(a.lister.Clock.now()) }

// Call makes a call to Gmail for the user of a grant, which may be
// [tokenstore.AnyGrant], in the manner of a listing: do gets the value of the
// Authorization header and a context with a deadline. It is repeated where that may
// help, after an answer that was lost too: it must be a call that can be made twice,
// and what it returns the error of that call. An error of its own it keeps elsewhere.
//
// What Call returns is an [endpoint.Problem], in which the errors of tokenstore
// can be matched.
func (l *Lister) Call(ctx context.Context, user, grantID string, do func(ctx context.Context, authorization string) error) error {
	deadline := l.deadline(ctx)
	ctx, cancel := context.WithTimeout(ctx, deadline.Sub(l.Clock.now()))
	defer cancel()
	a, err := l.access(ctx, user, grantID, deadline)
	if err != nil {
		return err
	}
	defer a.wait(ctx)
	return a.call(ctx, func(ctx context.Context, authorization string) *failure {
		if err := do(ctx, authorization); err != nil {
			return l.failed(err)
		}
		return nil
	})
}

func (a *access) current() *tokenstore.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// wait returns when a refreshed token has been stored, or that has taken long enough,
// or when the platform is about to cut the answer. A client that leaves does not cut
// it short.
func (a *access) wait(ctx context.Context) { a.waitFor(ctx, a.current()) }

func (a *access) waitFor(ctx context.Context, token *tokenstore.Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.left()+margin/2)
	defer cancel()
	token.Wait(ctx)
}

// maxRenewals bounds how often a token is replaced by one that another instance
// stored, before one is refreshed.
const maxRenewals = 3

// renew replaces a token that Gmail did not accept. If Gmail does not accept one
// that was refreshed for that reason, access is revoked.
func (a *access) renew(ctx context.Context, rejected *tokenstore.Token) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != rejected || a.renewErr != nil {
		return a.renewErr // a call beside this one did it
	}
	if a.renewals == maxRenewals || a.renewals > 0 && rejected.Refreshed() {
		a.renewErr = &endpoint.Problem{Reason: endpoint.Revoked, User: a.user, Err: tokenstore.ErrRevoked}
		return a.renewErr
	}
	a.renewals++
	token, err := a.get(ctx, rejected.AccessToken)
	if err != nil {
		a.renewErr = err
		return err
	}
	a.waitFor(ctx, rejected)
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
			return ErrDeadline
		}
		if !f.unauthorized {
			return a.problem(f)
		}
		if err := a.renew(ctx, token); err != nil {
			return err
		}
	}
}

// problem is what the client is told of a failure if nothing could be delivered.
func (a *access) problem(f *failure) *endpoint.Problem {
	p := &endpoint.Problem{Reason: f.reason, User: a.user, RetryAfter: f.retryAfter, Err: f.cause}
	switch f.reason {
	case endpoint.InvalidRequest:
		p.Detail = a.refused
	case endpoint.MissingScope:
		p.MissingScopes = a.lister.missing(a.current().Grant.Scopes)
	}
	return p
}
