package endpoint

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"example.com/gmailgrant/internal/flight"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// A Reason is the machine-readable name of a failure, stable for front ends.
type Reason string

// Every reason of the contract.
const (
	InvalidRequest       Reason = "invalid_request"
	UnsupportedMediaType Reason = "unsupported_media_type"
	RequestTooLarge      Reason = "request_too_large"
	InvalidReturnTo      Reason = "invalid_return_to"
	InvalidState         Reason = "invalid_state"
	StateExpired         Reason = "state_expired"
	CodeExchangeFailed   Reason = "code_exchange_failed"
	AccessDenied         Reason = "access_denied"
	MissingScope         Reason = "missing_scope"
	NoUserID             Reason = "no_user_id"
	NoRefreshToken       Reason = "no_refresh_token"
	NoSession            Reason = "no_session"
	SessionExpired       Reason = "session_expired"
	NotConnected         Reason = "not_connected"
	Revoked              Reason = "revoked"
	OriginNotAllowed     Reason = "origin_not_allowed"
	RateLimited          Reason = "rate_limited"
	UpstreamUnavailable  Reason = "upstream_unavailable"
	DomainPolicy         Reason = "domain_policy"
	GmailDisabled        Reason = "gmail_disabled"
	Misconfigured        Reason = "misconfigured"
	MethodNotAllowed     Reason = "method_not_allowed"
	Internal             Reason = "internal"
)

// remedy says whether a new authorization helps.
type remedy int

const (
	none    remedy = iota
	connect        // authorization_url
	consent        // authorization_url with prompt=consent
)

// reasons is the one table from a reason to what a client is told.
var reasons = map[Reason]struct {
	status int
	remedy remedy
	title  string
	detail string
}{
	InvalidRequest:       {400, none, "Invalid request", "The request is malformed; correct it before sending it again."},
	UnsupportedMediaType: {415, none, "Unsupported media type", "Send the body as application/json."},
	RequestTooLarge:      {413, none, "Request too large", "Send at most 16 KiB."},
	InvalidReturnTo:      {400, none, "Return URL not accepted", "Use a return_to that this deployment allows."},
	InvalidState:         {400, connect, "Sign-in not recognised", "This sign-in was not started here, or not in this browser; start again."},
	StateExpired:         {400, connect, "Sign-in took too long", "This sign-in was started more than 30 minutes ago; start again."},
	CodeExchangeFailed:   {400, connect, "Code not accepted", "The code was used, has expired, or belongs to another sign-in; start again."},
	AccessDenied:         {403, connect, "Access denied", "Access to Gmail was not allowed; connect again to allow it."},
	MissingScope:         {403, consent, "Permission missing", "Connect again and tick the box that lets this app read Gmail."},
	NoUserID:             {502, connect, "User not identified", "Google did not say who signed in; start again."},
	NoRefreshToken:       {409, consent, "No offline access", "Google granted no lasting access; connect again and give consent."},
	NoSession:            {401, connect, "Not signed in", "Sign in by following authorization_url."},
	SessionExpired:       {401, connect, "Session expired", "Sign in again by following authorization_url."},
	NotConnected:         {401, connect, "Gmail is not connected", "Connect Gmail by following authorization_url."},
	Revoked:              {401, consent, "Gmail access was revoked", "Connect Gmail again by following authorization_url."},
	OriginNotAllowed:     {403, none, "Origin not allowed", "This origin may not call this address."},
	RateLimited:          {429, none, "Too many requests", "Gmail asks to slow down; try again after the time in Retry-After."},
	UpstreamUnavailable:  {503, none, "Service unavailable", "A service that is needed does not answer; try again after the time in Retry-After."},
	DomainPolicy:         {403, none, "Forbidden by the organisation", "The administrator of this account does not allow access to Gmail; ask them."},
	GmailDisabled:        {503, none, "Gmail API is off", "The Gmail API is not enabled for this app; its operator has to enable it."},
	Misconfigured:        {500, none, "Service misconfigured", "The operator of this service has to correct its settings; the log says which."},
	MethodNotAllowed:     {405, none, "Method not allowed", "Use one of the methods in Allow."},
	Internal:             {500, none, "Internal error", "Something went wrong here; the log has it under request_id."},
}

// Status is the HTTP status of answers with this reason.
func (r Reason) Status() int { return reasons[r].status }

// A Problem is a failure that a client is told about. What the client may read
// and what the log needs are different fields.
type Problem struct {
	Reason        Reason
	Detail        string        // for the client: what to do, one sentence; empty: the reason's own
	User          string        // whom the failure is about, if known: becomes login_hint
	MissingScopes []string      // for MissingScope
	RetryAfter    time.Duration // for RateLimited and UpstreamUnavailable; 0: a default
	Err           error         // the cause, for the log only; may be nil
}

func (p *Problem) Error() string {
	if p.Err != nil {
		return string(p.Reason) + ": " + p.Err.Error()
	}
	if p.Detail != "" {
		return string(p.Reason) + ": " + p.Detail
	}
	return string(p.Reason)
}

func (p *Problem) Unwrap() error { return p.Err }

// Invalid is an invalid_request that tells the client what is wrong.
func Invalid(detail string) *Problem {
	return &Problem{Reason: InvalidRequest, Detail: detail}
}

// ForUser names the user that err is about, for the login_hint of its
// authorization URL.
func ForUser(err error, user string) error {
	if err == nil {
		return nil
	}
	p := *AsProblem(err)
	p.User = user
	return &p
}

// stored maps the errors of tokenstore. Their order matters where one error
// wraps another.
var stored = []struct {
	err    error
	reason Reason
}{
	{tokenstore.ErrNotConnected, NotConnected},
	{tokenstore.ErrRevoked, Revoked},
	{tokenstore.ErrNoRefreshToken, NoRefreshToken},
	{tokenstore.ErrCodeRefused, CodeExchangeFailed},
	{tokenstore.ErrDomainPolicy, DomainPolicy},
	{tokenstore.ErrMisconfigured, Misconfigured},
	{tokenstore.ErrUnavailable, UpstreamUnavailable},
	{context.DeadlineExceeded, UpstreamUnavailable},
	{context.Canceled, UpstreamUnavailable},
}

// AsProblem is the one place where errors become problems.
func AsProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p, ok := errors.AsType[*flight.Panic](err); ok {
		return &Problem{Reason: Internal, Err: p}
	}
	if e, ok := errors.AsType[*tokenstore.MissingScopeError](err); ok {
		return &Problem{Reason: MissingScope, MissingScopes: e.Scopes, Err: err}
	}
	for _, m := range stored {
		if errors.Is(err, m.err) {
			return &Problem{Reason: m.reason, Err: err, RetryAfter: tokenstore.RetryAfter(err)}
		}
	}
	return &Problem{Reason: Internal, Err: err}
}

// document is a problem on the wire (RFC 9457).
type document struct {
	Type             string   `json:"type"`
	Title            string   `json:"title"`
	Status           int      `json:"status"`
	Detail           string   `json:"detail"`
	Reason           Reason   `json:"reason"`
	MissingScopes    []string `json:"missing_scopes,omitempty"`
	AuthorizationURL string   `json:"authorization_url,omitempty"`
	RequestID        string   `json:"request_id"`
}

// defaultRetryAfter is advised when the upstream said nothing about waiting.
const defaultRetryAfter = 10 * time.Second

func (e *Endpoint) writeProblem(w http.ResponseWriter, r *http.Request, p *Problem, requestID string) {
	entry := reasons[p.Reason]
	d := document{
		Type:             "urn:gmailgrant:problem:" + string(p.Reason),
		Title:            entry.title,
		Status:           entry.status,
		Detail:           p.Detail,
		Reason:           p.Reason,
		MissingScopes:    p.MissingScopes,
		AuthorizationURL: e.authorizationURL(r, p),
		RequestID:        requestID,
	}
	if d.Detail == "" {
		d.Detail = entry.detail
	}
	h := w.Header()
	if entry.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.Reason == RateLimited || p.Reason == UpstreamUnavailable {
		h.Set("Retry-After", strconv.Itoa(RetrySeconds(p.RetryAfter)))
	}
	if e.wantsPage(r) {
		e.writeFailurePage(w, d)
		return
	}
	body, err := marshal(d)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(d.Status)
	_, _ = w.Write(body) // a client that left is no failure
}

// RetrySeconds is d in whole seconds, rounded up, as Retry-After wants it; the
// default when nothing is known.
func RetrySeconds(d time.Duration) int {
	if d <= 0 {
		d = defaultRetryAfter
	}
	return int(math.Ceil(d.Seconds()))
}

// authorizationURL is our own authurl, since the browser has to be bound
// afresh: never Google's address.
func (e *Endpoint) authorizationURL(r *http.Request, p *Problem) string {
	how := reasons[p.Reason].remedy
	if how == none || e.Site == nil {
		return ""
	}
	return AuthorizationURL(e.Site, p.User, how == consent, r.Header.Get("Origin"))
}

// AuthorizationURL is the address of our authurl for a user who has to connect
// (again): with login_hint if the user is known, prompt=consent if consent is
// needed, and a return to the root of the calling origin if that is allowed.
func AuthorizationURL(site *site.Site, user string, consent bool, origin string) string {
	query := url.Values{}
	if user != "" {
		query.Set("login_hint", user)
	}
	if consent {
		query.Set("prompt", "consent")
	}
	if origin != "" && site.Allowed(origin) {
		query.Set("return_to", origin+"/")
	}
	address := site.FunctionURL("authurl")
	if len(query) == 0 {
		return address
	}
	return address + "?" + query.Encode()
}
