package fakegoogle

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error answer of a Google API, as described on
// https://developers.google.com/workspace/gmail/api/guides/handle-errors and
// https://cloud.google.com/apis/design/errors.
type apiError struct {
	Code    int              `json:"code"`
	Message string           `json:"message"`
	Errors  []apiErrorItem   `json:"errors,omitempty"`
	Status  string           `json:"status,omitempty"`
	Details []map[string]any `json:"details,omitempty"`
}

type apiErrorItem struct {
	Message      string `json:"message"`
	Domain       string `json:"domain"`
	Reason       string `json:"reason"`
	Location     string `json:"location,omitempty"`
	LocationType string `json:"locationType,omitempty"`
}

// apiReasons holds the reason and the canonical status that go with an HTTP
// status when nothing more is known.
var apiReasons = map[int]struct{ reason, status, message string }{
	http.StatusBadRequest:          {"badRequest", "INVALID_ARGUMENT", "Bad Request"},
	http.StatusUnauthorized:        {"authError", "UNAUTHENTICATED", "Request had invalid authentication credentials."},
	http.StatusForbidden:           {"forbidden", "PERMISSION_DENIED", "The caller does not have permission"},
	http.StatusNotFound:            {"notFound", "NOT_FOUND", "Requested entity was not found."},
	http.StatusTooManyRequests:     {"rateLimitExceeded", "RESOURCE_EXHAUSTED", "Too many concurrent requests for user."},
	http.StatusInternalServerError: {"backendError", "INTERNAL", "Internal error encountered."},
	http.StatusBadGateway:          {"backendError", "UNAVAILABLE", messageUnavailable},
	http.StatusServiceUnavailable:  {"backendError", "UNAVAILABLE", messageUnavailable},
	http.StatusGatewayTimeout:      {"backendError", "DEADLINE_EXCEEDED", "Deadline exceeded."},
}

// newAPIError fills in what the HTTP status implies.
func newAPIError(code int, message string) *apiError {
	known, ok := apiReasons[code]
	if !ok {
		known.reason, known.message = "backendError", http.StatusText(code)
	}
	if message == "" {
		message = known.message
	}
	return &apiError{
		Code:    code,
		Message: message,
		Errors:  []apiErrorItem{{Message: message, Domain: "global", Reason: known.reason}},
		Status:  known.status,
	}
}

func badRequest(format string, args ...any) *apiError {
	return newAPIError(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

func forbidden(message string) *apiError {
	return newAPIError(http.StatusForbidden, message)
}

// unauthenticated is the answer to an access token that is missing, unknown,
// revoked or expired.
func unauthenticated() *apiError {
	e := newAPIError(http.StatusUnauthorized, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
	e.Errors[0].Location, e.Errors[0].LocationType = "Authorization", "header"
	return e
}

// scopeInsufficient is the answer to a token without any scope the method accepts.
func scopeInsufficient() *apiError {
	e := forbidden("Request had insufficient authentication scopes.")
	e.Errors[0].Reason = "insufficientPermissions"
	e.Details = []map[string]any{{
		"@type":    "type.googleapis.com/google.rpc.ErrorInfo",
		"reason":   "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
		"domain":   "googleapis.com",
		"metadata": map[string]string{"service": "gmail.googleapis.com"},
	}}
	return e
}

func (e *apiError) body() string {
	b, err := json.MarshalIndent(map[string]*apiError{"error": e}, "", "  ")
	if err != nil {
		panic(err) // only strings, numbers and maps of them
	}
	return string(b) + "\n"
}

func (e *apiError) write(w http.ResponseWriter) {
	if e.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(e.Code)
	fmt.Fprint(w, e.body())
}

// serveNoSuchMethod answers a path the API doesn't have.
func serveNoSuchMethod(w http.ResponseWriter, _ *http.Request) {
	newAPIError(http.StatusNotFound, "Method not found.").write(w)
}

// defaultError is what a Google service answers with the given status when
// something is wrong with it.
func defaultError(op string, code int) (contentType, body string) {
	switch {
	case strings.HasPrefix(op, "gmail."):
		return jsonType, newAPIError(code, "").body()
	case op == opAuth:
		return "text/html; charset=utf-8", fmt.Sprintf("<!doctype html><title>Error %d</title><p>%s", code, http.StatusText(code))
	default:
		return jsonType, defaultOAuthError(code)
	}
}

// defaultOAuthError is an error document of RFC 6749, section 5.2.
func defaultOAuthError(code int) string {
	name := "internal_failure"
	switch code {
	case http.StatusBadRequest:
		name = "invalid_grant"
	case http.StatusUnauthorized:
		name = "invalid_client"
	case http.StatusForbidden, http.StatusTooManyRequests:
		name = "rate_limit_exceeded"
	case http.StatusServiceUnavailable:
		name = "temporarily_unavailable"
	}
	return fmt.Sprintf("{\n  \"error\": %q,\n  \"error_description\": %q\n}\n", name, http.StatusText(code))
}
