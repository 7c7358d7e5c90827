package callback

import "example.com/gmailgrant/internal/endpoint"

// The failures that Google's guide to server-side authorization knows as
// exceptions. Each carries the URL at which the user can authorize again, and
// is matched with errors.As.

// A CodeExchangeError says that Google did not accept the code.
type CodeExchangeError struct {
	AuthorizationURL string
	problem          *endpoint.Problem
}

func (e *CodeExchangeError) Error() string { return e.problem.Error() }
func (e *CodeExchangeError) Unwrap() error { return e.problem }

// A NoRefreshTokenError says that Google gave no refresh token and that none is
// stored.
type NoRefreshTokenError struct {
	AuthorizationURL string
	problem          *endpoint.Problem
}

func (e *NoRefreshTokenError) Error() string { return e.problem.Error() }
func (e *NoRefreshTokenError) Unwrap() error { return e.problem }

// A NoUserIDError says that Google's answer does not tell who signed in.
type NoUserIDError struct {
	AuthorizationURL string
	problem          *endpoint.Problem
}

func (e *NoUserIDError) Error() string { return e.problem.Error() }
func (e *NoUserIDError) Unwrap() error { return e.problem }

func (h *Handler) codeExchangeError(cause error) error {
	return &CodeExchangeError{
		AuthorizationURL: endpoint.AuthorizationURL(h.site, "", false, ""),
		problem:          &endpoint.Problem{Reason: endpoint.CodeExchangeFailed, Err: cause},
	}
}

func (h *Handler) noRefreshTokenError(user string, cause error) error {
	return &NoRefreshTokenError{
		AuthorizationURL: endpoint.AuthorizationURL(h.site, user, true, ""),
		problem:          &endpoint.Problem{Reason: endpoint.NoRefreshToken, User: user, Err: cause},
	}
}

func (h *Handler) noUserIDError(cause error) error {
	return &NoUserIDError{
		AuthorizationURL: endpoint.AuthorizationURL(h.site, "", false, ""),
		problem:          &endpoint.Problem{Reason: endpoint.NoUserID, Err: cause},
	}
}
