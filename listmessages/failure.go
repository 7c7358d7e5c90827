package listmessages

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/googleapi"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

// A failure is what a failed call to Gmail means.
type failure struct {
	reason       endpoint.Reason
	retry        bool          // trying again may help
	unauthorized bool          // Gmail does not accept the access token
	progress     bool          // a part of the call succeeded
	exhausted    bool          // it was tried as often as may be
	part         bool          // of one message in a batch that Gmail answered
	status       int           // of Gmail's answer; 0: there was none
	retryAfter   time.Duration // as Gmail asked; 0: it did not
	cause        error         // for the log: codes, never Gmail's text or the URL
}

// reasons of Gmail's errors that have a meaning of their own.
// https://developers.google.com/workspace/gmail/api/guides/handle-errors
var reasonMeanings = map[string]failure{
	"rateLimitExceeded":               {reason: endpoint.RateLimited, retry: true},
	"userRateLimitExceeded":           {reason: endpoint.RateLimited, retry: true},
	"dailyLimitExceeded":              {reason: endpoint.RateLimited},
	"quotaExceeded":                   {reason: endpoint.RateLimited},
	"domainPolicy":                    {reason: endpoint.DomainPolicy},
	"failedPrecondition":              {reason: endpoint.DomainPolicy}, // Gmail is off for this account
	"accessNotConfigured":             {reason: endpoint.GmailDisabled},
	"SERVICE_DISABLED":                {reason: endpoint.GmailDisabled},
	"insufficientPermissions":         {reason: endpoint.MissingScope},
	"ACCESS_TOKEN_SCOPE_INSUFFICIENT": {reason: endpoint.MissingScope},
}

// classify says what the error of a call to Gmail means.
func classify(err error, now time.Time) failure {
	ge, ok := errors.AsType[*googleapi.Error](err)
	if !ok {
		return failure{reason: endpoint.UpstreamUnavailable, retry: true, cause: tokenstore.TransportCause(err)}
	}
	names := errorReasons(ge)
	f := meaning(ge.Code, names)
	f.status = ge.Code
	f.retryAfter = waitAsked(ge, now)
	f.cause = fmt.Errorf("answer %d of Gmail, %s", ge.Code, strings.Join(names, ","))
	return f
}

func meaning(status int, names []string) failure {
	if status == http.StatusUnauthorized {
		return failure{reason: endpoint.Revoked, unauthorized: true}
	}
	if status >= 400 && status < 500 {
		for _, name := range names {
			if f, ok := reasonMeanings[name]; ok {
				return f
			}
		}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return failure{reason: endpoint.RateLimited, retry: true}
	case status == http.StatusBadRequest || status == http.StatusNotFound:
		return failure{reason: endpoint.InvalidRequest}
	case status == http.StatusRequestTimeout || status >= 500:
		return failure{reason: endpoint.UpstreamUnavailable, retry: true}
	case status < 400: // a redirect, which is not followed
		return failure{reason: endpoint.UpstreamUnavailable}
	}
	return failure{reason: endpoint.Misconfigured}
}

// errorReasons collects the machine-readable reasons of a Google error, in both
// of its formats.
func errorReasons(ge *googleapi.Error) []string {
	var names []string
	for _, item := range ge.Errors {
		names = append(names, item.Reason)
	}
	for _, detail := range ge.Details {
		if info, ok := detail.(map[string]any); ok {
			name, _ := info["reason"].(string)
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !endpoint.ConsistsOf(name, 64, endpoint.Letters+"_") })
}

// retryText is how Gmail says in words until when a user is throttled.
var retryText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))`)
})

// waitAsked is how long Gmail wants us to wait: by its Retry-After header, or by
// the text of its message.
func waitAsked(ge *googleapi.Error, now time.Time) time.Duration {
	if d := tokenstore.ParseRetryAfter(ge.Header.Get("Retry-After"), now); d > 0 {
		return d
	}
	if m := retryText().FindStringSubmatch(ge.Message); m != nil {
		if at, err := time.Parse(time.RFC3339, m[1]); err == nil {
			return min(max(0, at.Sub(now)), tokenstore.MaxRetryAfter)
		}
	}
	return 0
}

// final reports whether Gmail does not accept what was asked for, for no reason
// that concerns the whole mailbox.
func (f failure) final() bool {
	return f.reason == endpoint.InvalidRequest || f.reason == endpoint.Misconfigured
}

// throttled reports whether Gmail asks to slow down.
func (f failure) throttled() bool { return f.reason == endpoint.RateLimited }
