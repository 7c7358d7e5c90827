package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// An Authorization is what Google's token endpoint answered.
type Authorization struct {
	RefreshToken       Secret // empty unless Google sent one
	RefreshTokenExpiry time.Time
	AccessToken        Secret
	AccessTokenExpiry  time.Time
	Scopes             []string // as granted; the only truth about them
	IDToken            string
	ClientID           string // the client it was given to
	Issuer             string // whose ID tokens count for that client
}

// Exchange trades an authorization code at the token endpoint (RFC 6749,
// section 4.1.3), once. An empty verifier sends none.
//
// Its errors are [ErrCodeRefused], [ErrMisconfigured], [ErrDomainPolicy] and
// [ErrUnavailable].
func (s *Store) Exchange(ctx context.Context, code, verifier, redirectURI string) (*Authorization, error) {
	client, err := s.Client(ctx)
	if err != nil {
		return nil, err
	}
	a, err := s.withClient(ctx, client, func(ctx context.Context, c *Client) (*oauth2.Token, error) {
		var opts []oauth2.AuthCodeOption
		if verifier != "" {
			opts = append(opts, oauth2.VerifierOption(verifier))
		}
		return c.config(redirectURI).Exchange(ctx, code, opts...)
	})
	if isOAuthError(err, "invalid_grant") {
		return nil, &callError{kind: ErrCodeRefused, op: "code exchange", cause: err}
	}
	return a, err
}

// refresh asks for a new access token (RFC 6749, section 6) as the client that
// the refresh token was given to. Its errors are errRefreshRefused,
// [ErrMisconfigured], [ErrDomainPolicy], [ErrUnavailable].
func (s *Store) refresh(ctx context.Context, client *Client, refreshToken Secret) (*Authorization, error) {
	a, err := s.withClient(ctx, client, func(ctx context.Context, c *Client) (*oauth2.Token, error) {
		return c.config("").TokenSource(ctx, &oauth2.Token{RefreshToken: string(refreshToken)}).Token()
	})
	if isOAuthError(err, "invalid_grant") {
		return nil, errRefreshRefused
	}
	if err == nil && a.RefreshToken == refreshToken {
		a.RefreshToken = "" // x/oauth2 hands back the one it was given
	}
	return a, err
}

var errRefreshRefused = errors.New("tokenstore: refresh token refused")

// withClient makes a call to the token endpoint. If Google refuses the client,
// the secret is read again, and the call repeated if that brought another secret
// of the same client: what was given to one client is nothing to another.
func (s *Store) withClient(ctx context.Context, client *Client, call func(context.Context, *Client) (*oauth2.Token, error)) (*Authorization, error) {
	tok, err := s.tokenCall(ctx, client, call)
	if isOAuthError(err, "invalid_client") {
		if newer := s.newerClient(ctx, client); newer != nil && newer.ID == client.ID {
			client = newer
			tok, err = s.tokenCall(ctx, client, call)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.authorization(tok, client), nil
}

func (s *Store) tokenCall(ctx context.Context, c *Client, call func(context.Context, *Client) (*oauth2.Token, error)) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, oauthTimeout)
	defer cancel()
	tok, err := call(context.WithValue(ctx, oauth2.HTTPClient, s.cfg.HTTPClient), c)
	if err != nil {
		return nil, s.oauthError(err)
	}
	return tok, nil
}

// maxExpiry is a time so far away that it is no limit.
const maxExpiry = 10 * 365 * 24 * time.Hour

func (s *Store) authorization(tok *oauth2.Token, c *Client) *Authorization {
	a := &Authorization{
		RefreshToken:      Secret(tok.RefreshToken),
		AccessToken:       Secret(tok.AccessToken),
		AccessTokenExpiry: s.now().Add(lifetime(tok)),
		ClientID:          c.ID,
		Issuer:            c.issuer,
	}
	scope, _ := tok.Extra("scope").(string)
	a.Scopes = strings.Fields(scope)
	a.IDToken, _ = tok.Extra("id_token").(string)
	if seconds, ok := tok.Extra("refresh_token_expires_in").(float64); ok && seconds > 0 && seconds < maxExpiry.Seconds() {
		a.RefreshTokenExpiry = s.now().Add(time.Duration(seconds) * time.Second)
	}
	return a
}

// unannounced is taken for the lifetime of an access token that came without one,
// which RFC 6749 allows (section 5.1).
const unannounced = 10 * time.Minute

func lifetime(tok *oauth2.Token) time.Duration {
	if tok.ExpiresIn <= 0 {
		return unannounced
	}
	return time.Duration(min(tok.ExpiresIn, int64(maxExpiry/time.Second))) * time.Second
}

// An oauthError is an error answer of the token endpoint: its status and code
// (RFC 6749, section 5.2), never its description or body.
type oauthError struct {
	status int
	code   string
}

func (e *oauthError) Error() string {
	return fmt.Sprintf("token endpoint answered %d %q", e.status, e.code)
}

// isOAuthError reports whether the token endpoint said code, and meant it: in an
// answer that says to come back later it decides nothing.
func isOAuthError(err error, code string) bool {
	e, ok := errors.AsType[*oauthError](err)
	return ok && e.code == code && !errors.Is(err, ErrUnavailable)
}

// oauthError classifies a failed call to the token endpoint.
func (s *Store) oauthError(err error) error {
	re, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return unavailable("token endpoint", TransportCause(err))
	}
	e := &callError{kind: ErrMisconfigured, op: "OAuth", cause: &oauthError{re.Response.StatusCode, printable(re.ErrorCode)}}
	status := re.Response.StatusCode
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 || status < 400 || re.ErrorCode == "":
		e.kind = ErrUnavailable
		e.retryAfter = ParseRetryAfter(re.Response.Header.Get("Retry-After"), s.now())
	case re.ErrorCode == "admin_policy_enforced" || re.ErrorCode == "org_internal" || re.ErrorCode == "access_denied":
		e.kind = ErrDomainPolicy
	}
	return e
}

// printable bounds a code of an upstream before it goes into a log.
func printable(code string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, code)
	return clean[:min(len(clean), 64)]
}

// TransportCause is what may be logged of an HTTP call that brought no answer:
// never its URL, nor what a peer sent instead of HTTP.
func TransportCause(err error) error {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	return errors.New("malformed answer")
}

// MaxRetryAfter bounds what an upstream can ask for.
const MaxRetryAfter = 24 * time.Hour

// ParseRetryAfter reads a Retry-After header, seconds or a date (RFC 9110,
// section 10.2.3). It returns 0 for anything else.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), MaxRetryAfter)
	}
	return 0
}

// revoke ends a grant at Google. The token goes in the body, never in the URL.
// https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke
func (s *Store) revoke(ctx context.Context, token Secret) error {
	client, err := s.Client(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, oauthTimeout)
	defer cancel()
	form := url.Values{"token": {string(token)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, client.revokeURL, strings.NewReader(form))
	if err != nil {
		return misconfigured("revocation endpoint", errors.New("not a URL"))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.cfg.HTTPClient.Do(req)
	if err != nil {
		return unavailable("revocation endpoint", TransportCause(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return unavailable("revocation endpoint", fmt.Errorf("answered %d", resp.StatusCode))
	}
	return nil
}
