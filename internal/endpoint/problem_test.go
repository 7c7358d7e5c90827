package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

// contract is the table of reasons, written down a second time: a front end
// relies on each line of it.
var contract = map[endpoint.Reason]struct {
	status  int
	url     bool
	consent bool
}{
	"invalid_request":        {400, false, false},
	"unsupported_media_type": {415, false, false},
	"request_too_large":      {413, false, false},
	"invalid_return_to":      {400, false, false},
	"invalid_state":          {400, true, false},
	"state_expired":          {400, true, false},
	"code_exchange_failed":   {400, true, false},
	"access_denied":          {403, true, false},
	"missing_scope":          {403, true, true},
	"no_user_id":             {502, true, false},
	"no_refresh_token":       {409, true, true},
	"no_session":             {401, true, false},
	"session_expired":        {401, true, false},
	"not_connected":          {401, true, false},
	"revoked":                {401, true, true},
	"origin_not_allowed":     {403, false, false},
	"rate_limited":           {429, false, false},
	"upstream_unavailable":   {503, false, false},
	"domain_policy":          {403, false, false},
	"gmail_disabled":         {503, false, false},
	"misconfigured":          {500, false, false},
	"method_not_allowed":     {405, false, false},
	"internal":               {500, false, false},
}

func TestEveryReasonIsInTheContract(t *testing.T) {
	for _, r := range endpoint.Reasons() {
		if _, ok := contract[r]; !ok {
			t.Errorf("%s is not in the contract", r)
		}
	}
	if got := len(endpoint.Reasons()); got != len(contract) {
		t.Errorf("%d reasons, the contract has %d", got, len(contract))
	}
}

func TestProblems(t *testing.T) {
	titles := make(map[string]bool)
	for reason, want := range contract {
		t.Run(string(reason), func(t *testing.T) {
			s := serve(t, failing(&endpoint.Problem{Reason: reason, User: "1234", Err: errors.New("private cause")}))
			a := s.get(t, http.Header{"Origin": {frontEnd}})
			if a.status != want.status || reason.Status() != want.status || a.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%d %s: %s", a.status, a.header.Get("Content-Type"), a.body)
			}
			p := a.problem(t)
			if p.Type != "urn:gmailgrant:problem:"+string(reason) || p.Reason != string(reason) || p.Status != want.status || p.RequestID == "" {
				t.Errorf("%s", a.body)
			}
			if p.Title == "" || titles[p.Title] || !strings.HasSuffix(p.Detail, ".") {
				t.Errorf("title %q, detail %q", p.Title, p.Detail)
			}
			titles[p.Title] = true
			wantAuthorizationURL(t, p.AuthorizationURL, want.url, want.consent)
			wantProblemHeaders(t, a, want.status, reason)
			if strings.Contains(a.body, "private") {
				t.Errorf("the cause is told: %s", a.body)
			}
		})
	}
}

func wantAuthorizationURL(t *testing.T, got string, some, consent bool) {
	t.Helper()
	if !some {
		if got != "" {
			t.Errorf("authorization_url %q, want none", got)
		}
		return
	}
	want := url.Values{"login_hint": {"1234"}, "return_to": {frontEnd + "/"}}
	if consent {
		want.Set("prompt", "consent")
	}
	u, err := url.Parse(got)
	if err != nil || !strings.HasPrefix(got, base+"/authurl?") || !reflect.DeepEqual(u.Query(), want) {
		t.Errorf("authorization_url %q, want our authurl with %v", got, want)
	}
}

func wantProblemHeaders(t *testing.T, a answer, status int, reason endpoint.Reason) {
	t.Helper()
	for name, want := range map[string]bool{
		"WWW-Authenticate": status == http.StatusUnauthorized,
		"Retry-After":      reason == endpoint.RateLimited || reason == endpoint.UpstreamUnavailable,
	} {
		if got := a.header.Get(name); want != (got != "") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("WWW-Authenticate: %q", a.header.Get("WWW-Authenticate"))
	}
	if a.header.Get("Access-Control-Allow-Origin") != frontEnd {
		t.Error("an allowed origin can't read the problem")
	}
}

// The members of a problem, exactly.
func TestProblemMembers(t *testing.T) {
	s := serve(t, failing(&endpoint.Problem{Reason: endpoint.MissingScope, Detail: "A & B.", MissingScopes: []string{"a", "b"}}))
	a := s.get(t, nil)
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "request_id")
	want := map[string]any{
		"type": "urn:gmailgrant:problem:missing_scope", "title": "Permission missing", "status": 403.0, "detail": "A & B.",
		"reason": "missing_scope", "missing_scopes": []any{"a", "b"}, "authorization_url": base + "/authurl?prompt=consent",
	}
	if !reflect.DeepEqual(members, want) {
		t.Errorf("%v, want %v", members, want)
	}
	if !strings.Contains(a.body, "A & B.") {
		t.Errorf("escaped as for HTML: %s", a.body)
	}
}

func TestAuthorizationURL(t *testing.T) {
	s := newSite(t)
	for _, row := range []struct {
		user    string
		consent bool
		origin  string
		want    string
	}{
		{"", false, "", base + "/authurl"},
		{"a b&c", false, "", base + "/authurl?login_hint=a+b%26c"},
		{"", true, "", base + "/authurl?prompt=consent"},
		{"", false, frontEnd, base + "/authurl?return_to=" + url.QueryEscape(frontEnd+"/")},
		{"", false, "https://evil.example", base + "/authurl"},
		{"", false, "null", base + "/authurl"},
	} {
		if got := endpoint.AuthorizationURL(s, row.user, row.consent, row.origin); got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "10", -time.Second: "10", 1: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", 24 * time.Hour: "86400",
	} {
		for _, reason := range []endpoint.Reason{endpoint.RateLimited, endpoint.UpstreamUnavailable} {
			s := serve(t, failing(&endpoint.Problem{Reason: reason, RetryAfter: d}))
			if got := s.get(t, nil).header.Get("Retry-After"); got != want {
				t.Errorf("%s after %s: %q, want %q", reason, d, got, want)
			}
		}
	}
}

func TestAsProblem(t *testing.T) {
	custom := endpoint.Invalid("detail")
	for _, row := range []struct {
		err  error
		want endpoint.Reason
	}{
		{tokenstore.ErrNotConnected, endpoint.NotConnected},
		{tokenstore.ErrRevoked, endpoint.Revoked},
		{tokenstore.ErrNoRefreshToken, endpoint.NoRefreshToken},
		{tokenstore.ErrCodeRefused, endpoint.CodeExchangeFailed},
		{tokenstore.ErrDomainPolicy, endpoint.DomainPolicy},
		{tokenstore.ErrMisconfigured, endpoint.Misconfigured},
		{tokenstore.ErrUnavailable, endpoint.UpstreamUnavailable},
		{context.DeadlineExceeded, endpoint.UpstreamUnavailable},
		{context.Canceled, endpoint.UpstreamUnavailable},
		{errors.New("anything else"), endpoint.Internal},
		{custom, endpoint.InvalidRequest},
	} {
		for _, err := range []error{row.err, fmt.Errorf("wrapped: %w", row.err), errors.Join(errors.New("x"), row.err)} {
			p := endpoint.AsProblem(err)
			if p.Reason != row.want {
				t.Errorf("%v: %s, want %s", err, p.Reason, row.want)
			}
			if row.err != custom && p.Err == nil {
				t.Errorf("%v: the cause is lost for the log", err)
			}
		}
	}
	if p := endpoint.AsProblem(fmt.Errorf("x: %w", custom)); p != custom {
		t.Error("a wrapped problem is not the problem itself")
	}
}

func TestForUser(t *testing.T) {
	if endpoint.ForUser(nil, "1") != nil {
		t.Error("an error out of nothing")
	}
	shared := &endpoint.Problem{Reason: endpoint.Revoked}
	p := endpoint.AsProblem(endpoint.ForUser(shared, "1"))
	if p.User != "1" || p.Reason != endpoint.Revoked || shared.User != "" {
		t.Errorf("%+v of %+v", p, shared)
	}
	if p := endpoint.AsProblem(endpoint.ForUser(tokenstore.ErrNotConnected, "2")); p.User != "2" || p.Reason != endpoint.NotConnected || !errors.Is(p, tokenstore.ErrNotConnected) {
		t.Errorf("%+v", p)
	}
}

// A failure of a navigation is a small page: the same status, one sentence.
func TestFailurePage(t *testing.T) {
	for _, reason := range endpoint.Reasons() {
		s := serve(t, failing(&endpoint.Problem{Reason: reason, Detail: "<b>detail</b>.", Err: errors.New("private cause")}))
		a := s.get(t, http.Header{"Sec-Fetch-Mode": {"navigate"}})
		if a.status != reason.Status() || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", reason, a.status, a.header.Get("Content-Type"))
		}
		if strings.Contains(a.body, "private") || strings.Contains(a.body, "<b>") || !strings.Contains(a.body, "&lt;b&gt;detail") {
			t.Errorf("%s: %s", reason, a.body)
		}
		policy := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.HasSuffix(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", reason, policy)
		}
		if !strings.Contains(a.body, `href="`+frontEnd+`/"`) {
			t.Errorf("%s: no link to the first return URL in %s", reason, a.body)
		}
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	s := serve(t, failing(endpoint.Invalid("x.")))
	var ids []string
	for range 3 {
		id := s.get(t, http.Header{"X-Request-Id": {"theirs"}}).problem(t).RequestID
		if id == "theirs" || slices.Contains(ids, id) {
			t.Errorf("request ID %q after %q", id, ids)
		}
		ids = append(ids, id)
	}
}

// With faults in the settings the process keeps answering, and tells nothing.
func TestBroken(t *testing.T) {
	logs := newBuffer()
	e := endpoint.Broken("authurl", nil, &endpoint.Problem{Reason: endpoint.Misconfigured, Err: errors.New("BASE_URL: private")}, endpoint.NewLogger(logs))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/", nil)
		r.Header.Set("Origin", frontEnd)
		e.ServeHTTP(w, r)
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"misconfigured"`) || strings.Contains(w.Body.String(), "private") {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if !strings.Contains(logs.String(), "BASE_URL: private") {
		t.Errorf("the log does not name the fault: %s", logs)
	}
}
