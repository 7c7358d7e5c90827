package listmessages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/googleapi"

	"example.com/gmailgrant/internal/endpoint"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// old and detailed make errors in the two formats in which Google names the reason of an error.
func old(status int, reasons ...string) *googleapi.Error {
	ge := &googleapi.Error{Code: status, Message: "private text"}
	for _, r := range reasons {
		ge.Errors = append(ge.Errors, googleapi.ErrorItem{Reason: r, Message: "private text"})
	}
	return ge
}

func detailed(status int, reason any) *googleapi.Error {
	return &googleapi.Error{Code: status, Message: "private text", Details: []any{"a string", map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}}}
}

func TestClassify(t *testing.T) {
	for _, row := range []struct {
		err          error
		reason       endpoint.Reason
		retry        bool
		unauthorized bool
	}{
		{old(401, "authError"), endpoint.Revoked, false, true},
		{old(401, "rateLimitExceeded"), endpoint.Revoked, false, true},
		{old(429), endpoint.RateLimited, true, false},
		{old(429, "rateLimitExceeded"), endpoint.RateLimited, true, false},
		{old(429, "dailyLimitExceeded"), endpoint.RateLimited, false, false},
		{old(403, "rateLimitExceeded"), endpoint.RateLimited, true, false},
		{old(403, "userRateLimitExceeded"), endpoint.RateLimited, true, false},
		{old(403, "dailyLimitExceeded"), endpoint.RateLimited, false, false},
		{old(403, "domainPolicy"), endpoint.DomainPolicy, false, false},
		{old(400, "failedPrecondition"), endpoint.DomainPolicy, false, false},
		{old(403, "accessNotConfigured"), endpoint.GmailDisabled, false, false},
		{detailed(403, "SERVICE_DISABLED"), endpoint.GmailDisabled, false, false},
		{old(403, "insufficientPermissions"), endpoint.MissingScope, false, false},
		{detailed(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), endpoint.MissingScope, false, false},
		{old(403, "unknown", "insufficientPermissions"), endpoint.MissingScope, false, false},
		{old(403), endpoint.Misconfigured, false, false},
		{old(403, "private text"), endpoint.Misconfigured, false, false},
		{detailed(403, 7), endpoint.Misconfigured, false, false},
		{old(400, "invalidArgument"), endpoint.InvalidRequest, false, false},
		{old(404, "notFound"), endpoint.InvalidRequest, false, false},
		{old(408), endpoint.UpstreamUnavailable, true, false},
		{old(500, "backendError"), endpoint.UpstreamUnavailable, true, false},
		{old(502), endpoint.UpstreamUnavailable, true, false},
		{old(503, "domainPolicy"), endpoint.UpstreamUnavailable, true, false}, // a reason counts with a 4xx only
		{fmt.Errorf("wrapped: %w", old(503)), endpoint.UpstreamUnavailable, true, false},
		{io.ErrUnexpectedEOF, endpoint.UpstreamUnavailable, true, false},
		{&url.Error{Op: "Get", URL: "https://gmail.googleapis.com/?q=private", Err: errors.New("connection refused")}, endpoint.UpstreamUnavailable, true, false},
		{context.DeadlineExceeded, endpoint.UpstreamUnavailable, true, false},
		{errors.New("invalid character: private text"), endpoint.UpstreamUnavailable, true, false},
	} {
		f := classify(row.err, noon)
		if f.reason != row.reason || f.retry != row.retry || f.unauthorized != row.unauthorized {
			t.Errorf("%v: %+v", row.err, f)
		}
		if f.cause == nil || strings.Contains(f.cause.Error(), "private") {
			t.Errorf("%v: cause %v", row.err, f.cause)
		}
	}
}

func TestWaitAsked(t *testing.T) {
	for _, row := range []struct {
		header, message string
		want            time.Duration
	}{
		{"", "", 0},
		{"30", "", 30 * time.Second},
		{"Sun, 01 Nov 2026 12:02:00 GMT", "", 2 * time.Minute},
		{"x", "", 0},
		{"", "User-rate limit exceeded.  Retry after 2026-11-01T12:00:45.123Z (Mail sending)", 45*time.Second + 123*time.Millisecond},
		{"", "User-rate limit exceeded.  Retry after 2026-11-01T12:15:00Z", 15 * time.Minute},
		{"30", "Retry after 2026-11-01T12:15:00Z", 30 * time.Second},
		{"", "Retry after 2026-11-01T11:00:00Z", 0},
		{"", "Retry after 2026-13-41T25:00:00Z", 0},
		{"", "Retry after a while", 0},
	} {
		ge := &googleapi.Error{Code: 429, Message: row.message, Header: http.Header{}}
		if row.header != "" {
			ge.Header.Set("Retry-After", row.header)
		}
		if got := classify(ge, noon).retryAfter; got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}

// What Gmail asked for is handed on with the problem, its words are not.
func TestProblem(t *testing.T) {
	f := classify(&googleapi.Error{Code: 429, Message: "private text", Header: http.Header{"Retry-After": {"30"}}}, noon)
	p := (&access{user: user}).problem(&f)
	if p.Reason != endpoint.RateLimited || p.RetryAfter != 30*time.Second || p.User != user || strings.Contains(p.Detail+p.Error(), "private") {
		t.Errorf("%+v", p)
	}
}
