package tokenstore

import (
	"context"
	"errors"
	"strings"
	"time"
)

// What can be wrong, to be matched with [errors.Is]. Any function may also return a
// panic of its own as a [*flight.Panic].
var (
	// ErrNotConnected: there is no grant of this user, or none that can be
	// used: it does not open, was given to another client ID, or is another
	// one than was asked for.
	ErrNotConnected = errors.New("tokenstore: not connected")
	// ErrRevoked: the user or an administrator ended the grant, or it died of
	// age. It has been deleted if Google said so of its refresh token.
	ErrRevoked = errors.New("tokenstore: grant revoked")
	// ErrNoRefreshToken: Google returned no refresh token and none is stored.
	ErrNoRefreshToken = errors.New("tokenstore: no refresh token")
	// ErrCodeRefused: Google does not accept the authorization code.
	ErrCodeRefused = errors.New("tokenstore: authorization code refused")
	// ErrDomainPolicy: the user's administrator forbids it.
	ErrDomainPolicy = errors.New("tokenstore: forbidden by the domain's policy")
	// ErrMisconfigured: a secret is missing, not readable or malformed, or
	// Google does not accept the client.
	ErrMisconfigured = errors.New("tokenstore: misconfigured")
	// ErrUnavailable: Secret Manager, Firestore or Google's OAuth servers do
	// not answer as they should; trying again later may help.
	ErrUnavailable = errors.New("tokenstore: unavailable")
)

// A MissingScopeError says that the user's grant is good, but not for all that
// is needed: the user has to be asked for consent again.
type MissingScopeError struct {
	Scopes []string // needed, and not granted
}

func (e *MissingScopeError) Error() string {
	return "tokenstore: not granted: " + strings.Join(e.Scopes, " ")
}

// callError is one of the errors above with its cause. Causes are made of
// codes and field names, never of an upstream's text.
type callError struct {
	kind       error
	op         string // what was being done
	cause      error  // may be nil
	retryAfter time.Duration
}

func (e *callError) Error() string {
	text := e.kind.Error() + ": " + e.op
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *callError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// RetryAfter is how long an upstream asked to wait before trying again, or 0.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*callError](err); ok {
		return e.retryAfter
	}
	return 0
}

func misconfigured(op string, cause error) error {
	return &callError{kind: ErrMisconfigured, op: op, cause: cause}
}

func unavailable(op string, cause error) error {
	return &callError{kind: ErrUnavailable, op: op, cause: cause}
}

// Deadlines of single calls. A caller's own deadline counts if it is earlier.
const (
	secretTimeout    = 5 * time.Second
	firestoreTimeout = 5 * time.Second
	oauthTimeout     = 10 * time.Second
)

// detached is a context for work that must not end with the caller: it keeps
// the values of ctx and has a deadline of its own.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}
