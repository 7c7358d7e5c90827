package gmailgrant

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// signedIn is a world of one instance with a user signed in the cookie way.
func signedIn(t *testing.T, who fakegoogle.Account) (*world, *browser) {
	t.Helper()
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: who.Sub})
	return w, b
}

// get lists messages of the signed-in user.
func (b *browser) get(query string) *answer {
	b.t.Helper()
	return b.fetch(http.MethodGet, "/listmessages?"+query)
}

// gmailFails makes every call to Gmail's list but the first ones fail.
func (w *world) gmailFails(after int, fault fakegoogle.Fault) (remove func()) {
	fault.Op, fault.After = "gmail.list", after
	return w.google.Inject(fault)
}

// googleError is an error of the Gmail API in its own format.
func googleError(status int, reason string) fakegoogle.Fault {
	body := fmt.Sprintf(`{"error":{"code":%d,"message":"words of Gmail's","errors":[{"message":"words of Gmail's","domain":"usageLimits","reason":%q}]}}`, status, reason)
	return fakegoogle.Fault{Status: status, Body: body}
}

func TestListEverything(t *testing.T) {
	w, b := signedIn(t, ada)
	w.google.ResetCalls()
	ids := b.get("includeSpamTrash=true").messages(t)
	w.wantCalls(t, calls{"gmail.list": 6})
	if len(ids) != ada.Messages {
		t.Errorf("%d messages, want %d", len(ids), ada.Messages)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != ada.Messages {
		t.Error("a message was listed twice")
	}
	l := b.get("includeSpamTrash=true").list(t)
	if l.NextPageToken != "" || l.ResultSizeEstimate == 0 {
		t.Errorf("after the messages: %q, estimate %d", l.NextPageToken, l.ResultSizeEstimate)
	}
}

// TestWarmListIsOneCall: of one page, and of all operations together.
func TestWarmListIsOneCall(t *testing.T) {
	w, b := signedIn(t, ben)
	b.get("").wantStatus(t, http.StatusOK)
	for _, query := range []string{"", "maxResults=500", "q=is:unread", "labelIds=INBOX"} {
		w.google.ResetCalls()
		b.get(query).wantStatus(t, http.StatusOK)
		w.wantCalls(t, calls{"gmail.list": 1})
	}
}

// TestColdList: the secret, the grant, Gmail; no refresh while the stored access
// token lives.
func TestColdList(t *testing.T) {
	w, b := signedIn(t, ben)
	w.restart(nil)
	w.google.ResetCalls()
	b.get("").wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"secretmanager.access": 2, "firestore.get": 1, "gmail.list": 1})
}

// TestAccessTokenIsShared: one instance refreshes, the others use what it
// stored.
func TestAccessTokenIsShared(t *testing.T) {
	w := newWorld(t, 3, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	w.clock.Advance(time.Hour)
	w.google.ResetCalls()
	for i := range 3 {
		w.answerFrom(i)
		b.get("").wantStatus(t, http.StatusOK)
	}
	if n := w.google.Calls("token.refresh"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// TestAccessTokenRejected: Gmail says 401 to a token that looks alive.
func TestAccessTokenRejected(t *testing.T) {
	w, b := signedIn(t, ben)
	b.get("").wantStatus(t, http.StatusOK)
	w.google.ExpireAccessTokens(ben.Sub)
	w.google.ResetCalls()
	b.get("").wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"gmail.list": 2, "firestore.get": 1, "token.refresh": 1, "firestore.write": 1})

	defer w.gmailFails(0, fakegoogle.Fault{Status: http.StatusUnauthorized})()
	w.google.ResetCalls()
	a := b.get("")
	a.wantProblem(t, endpoint.Revoked)
	a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "prompt": {"consent"}, "return_to": {page}})
	w.wantCalls(t, calls{"gmail.list": 2, "firestore.get": 1, "token.refresh": 1, "firestore.write": 1})
	if w.grant(ben.Sub) == nil {
		t.Error("the grant was deleted without an invalid_grant")
	}
}

// TestMaxResults: that many, in as few pages as Gmail allows, and the rest
// without gap or repeat from the cursor on.
func TestMaxResults(t *testing.T) {
	w, b := signedIn(t, ada)
	all := b.get("").messages(t)
	for _, n := range []int{1, 7, 499, 500, 501, 600, 1000, len(all) - 1, len(all), len(all) + 1, 100_000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			w.google.ResetCalls()
			query := "maxResults=" + strconv.Itoa(n)
			l := b.get(query).list(t)
			want := min(n, len(all))
			if !slices.Equal(l.ids(), all[:want]) {
				t.Fatalf("%d messages, want the first %d", len(l.Messages), want)
			}
			if got := w.google.Calls("gmail.list"); got != (want+499)/500 {
				t.Errorf("%d calls", got)
			}
			if (l.NextPageToken == "") != (want == len(all)) {
				t.Fatalf("nextPageToken %q after %d of %d", l.NextPageToken, want, len(all))
			}
			if l.NextPageToken == "" {
				return
			}
			if rest := b.get("pageToken=" + l.NextPageToken).messages(t); !slices.Equal(rest, all[want:]) {
				t.Errorf("the rest has %d messages, want %d", len(rest), len(all)-want)
			}
		})
	}
}

// TestCursorSteps goes through a mailbox in steps of any size.
func TestCursorSteps(t *testing.T) {
	w, b := signedIn(t, ben)
	all := b.get("includeSpamTrash=true").messages(t)
	for size := 1; size <= len(all)+1; size++ {
		var got []string
		token := ""
		for {
			l := b.get("includeSpamTrash=true&maxResults=" + strconv.Itoa(size) + token).list(t)
			if got = append(got, l.ids()...); l.NextPageToken == "" {
				break
			}
			token = "&pageToken=" + l.NextPageToken
		}
		if !slices.Equal(got, all) {
			t.Errorf("in steps of %d: %d messages, want %d", size, len(got), len(all))
		}
	}
	if w.google.Calls("gmail.get") != 0 {
		t.Error("messages were fetched one by one")
	}
}

// TestParametersToGmail: what the caller said and what is needed, nothing else.
func TestParametersToGmail(t *testing.T) {
	w, b := signedIn(t, ben)
	sent := make(chan url.Values, 1)
	w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Match: func(r *http.Request) bool {
		sent <- r.URL.Query()
		return false
	}})
	const q = `from:"a & b" {is:unread OR subject:größe}+%0A?`
	tests := []struct {
		query string
		want  url.Values
	}{
		{"", url.Values{"maxResults": {"500"}}},
		{"maxResults=7", url.Values{"maxResults": {"7"}}},
		{"maxResults=1000", url.Values{"maxResults": {"500"}}},
		{"q=" + url.QueryEscape(q), url.Values{"maxResults": {"500"}, "q": {q}}},
		{"labelIds=INBOX&labelIds=Label_1", url.Values{"maxResults": {"500"}, "labelIds": {"INBOX", "Label_1"}}},
		{"includeSpamTrash=true", url.Values{"maxResults": {"500"}, "includeSpamTrash": {"true"}}},
		{"includeSpamTrash=false", url.Values{"maxResults": {"500"}}},
	}
	for _, tt := range tests {
		b.get(tt.query)
		got := <-sent
		if !strings.Contains(got.Get("fields"), "messages(id,threadId)") {
			t.Errorf("%s: fields %q", tt.query, got.Get("fields"))
		}
		for _, name := range []string{"fields", "alt", "prettyPrint"} {
			got.Del(name)
		}
		if got.Encode() != tt.want.Encode() {
			t.Errorf("%s: sent %s, want %s", tt.query, got.Encode(), tt.want.Encode())
		}
	}
}

func TestQueryIsAnswered(t *testing.T) {
	_, b := signedIn(t, ada)
	all := b.get("includeSpamTrash=true").messages(t)
	unread := b.get("q=is:unread").messages(t)
	spam := b.get("labelIds=SPAM").messages(t)
	if len(unread) == 0 || len(unread) >= len(all) || len(spam) == 0 || len(spam) >= len(all) {
		t.Errorf("%d unread and %d spam of %d", len(unread), len(spam), len(all))
	}
	if both := b.get("labelIds=INBOX&labelIds=SPAM").messages(t); len(both) != 0 {
		t.Errorf("%d messages in both INBOX and SPAM", len(both))
	}
}

func TestNoMatch(t *testing.T) {
	_, b := signedIn(t, cleo)
	if got, want := strings.TrimSpace(string(b.get("").body)), `{"messages":[],"resultSizeEstimate":0}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	lines := b.send(http.MethodGet, "/listmessages", http.Header{"Accept": {"application/x-ndjson"}})
	if got, want := strings.TrimSpace(string(lines.body)), `{"resultSizeEstimate":0}`; got != want {
		t.Errorf("lines %s, want %s", got, want)
	}
}

// TestLines: a message a line, and last the only one without an id.
func TestLines(t *testing.T) {
	w, b := signedIn(t, ben)
	want := b.get("maxResults=5").list(t)
	read := func(query string) list {
		a := b.send(http.MethodGet, "/listmessages?"+query, http.Header{"Accept": {"application/x-ndjson"}})
		a.wantStatus(t, http.StatusOK)
		if ct := a.Header.Get("Content-Type"); ct != "application/x-ndjson" {
			t.Errorf("Content-Type %q", ct)
		}
		lines := strings.Split(strings.TrimSuffix(string(a.body), "\n"), "\n")
		last := len(lines) - 1
		whole := `{"messages":[` + strings.Join(lines[:last], ",") + `]`
		if tail := strings.TrimPrefix(lines[last], "{"); tail != "}" {
			whole += ","
		}
		l := (&answer{Response: a.Response, body: []byte(whole + lines[last][1:])}).list(t)
		if strings.Contains(lines[last], `"id"`) || slices.Contains(l.ids(), "") {
			t.Errorf("lines %q", lines)
		}
		return l
	}
	if got := read("maxResults=5"); !slices.Equal(got.ids(), want.ids()) || got.NextPageToken != want.NextPageToken || got.ResultSizeEstimate != want.ResultSizeEstimate {
		t.Errorf("lines %+v, want %+v", got, want)
	}
	w.google.SetMessages(ben.Sub, 1200)
	defer w.gmailFails(1, fakegoogle.Fault{Status: http.StatusServiceUnavailable})()
	got := read("includeSpamTrash=true")
	if got.Incomplete == nil || got.Incomplete.Reason != "upstream_unavailable" || got.NextPageToken == "" || len(got.Messages) != 500 {
		t.Errorf("%d messages, then %+v", len(got.Messages), got.Incomplete)
	}
}

// TestListRefuses names the parameter at fault; nothing is sent.
func TestListRefuses(t *testing.T) {
	w, b := signedIn(t, ben)
	tests := []struct{ query, named string }{
		{"foo=1", "foo"},
		{"maxresults=1", "maxresults"},
		{"userId=me", "userId"},
		{"access_token=x", "access_token"},
		{"fields=*", "fields"},
		{"q=%zz", "query"},
		{"q=a;maxResults=1", "query"},
		{"q=", "q"},
		{"q=+", "q"},
		{"q=a&q=b", "q"},
		{"q=a%00b", "q"},
		{"q=a%0d%0ab", "q"},
		{"q=%ff", "q"},
		{"q=" + strings.Repeat("a", 5000), "q"},
		{"labelIds=", "labelIds"},
		{"labelIds=INBOX&labelIds=", "labelIds"},
		{"labelIds=a/b", "labelIds"},
		{"labelIds=a,b", "labelIds"},
		{"labelIds=a%0d%0a", "labelIds"},
		{"labelIds=" + strings.Repeat("a", 300), "labelIds"},
		{strings.Repeat("labelIds=INBOX&", 101), "labelIds"},
		{"includeSpamTrash=", "includeSpamTrash"},
		{"includeSpamTrash=1", "includeSpamTrash"},
		{"includeSpamTrash=True", "includeSpamTrash"},
		{"includeSpamTrash=true&includeSpamTrash=true", "includeSpamTrash"},
		{"maxResults=", "maxResults"},
		{"maxResults=0", "maxResults"},
		{"maxResults=-1", "maxResults"},
		{"maxResults=%2B1", "maxResults"},
		{"maxResults=01", "maxResults"},
		{"maxResults=1.5", "maxResults"},
		{"maxResults=1e3", "maxResults"},
		{"maxResults=99999999999999999999", "maxResults"},
		{"maxResults=1&maxResults=1", "maxResults"},
		{"pageToken=", "pageToken"},
		{"pageToken=x&pageToken=y", "pageToken"},
		{"pageToken=" + strings.Repeat("A", 5000), "pageToken"},
		{"maxResults=1&" + strings.Repeat("a", 17<<10), "query"},
	}
	w.google.ResetCalls()
	for _, tt := range tests {
		a := b.get(tt.query)
		if a.StatusCode != http.StatusBadRequest {
			t.Errorf("%.60s was accepted with %d", tt.query, a.StatusCode)
			continue
		}
		p := a.wantProblem(t, endpoint.InvalidRequest)
		if detail, _ := p["detail"].(string); !strings.Contains(detail, tt.named) {
			t.Errorf("%.60s: detail %q does not name %s", tt.query, detail, tt.named)
		}
	}
	w.wantCalls(t, calls{})
}

// TestCursorBelongs to a user and a query: any other use is refused and nothing
// is sent.
func TestCursorBelongs(t *testing.T) {
	w, b := signedIn(t, ada)
	query := "q=is:unread&labelIds=INBOX&labelIds=CATEGORY_PERSONAL&includeSpamTrash=true"
	token := b.get(query + "&maxResults=3").list(t).NextPageToken
	if token == "" {
		t.Fatal("no cursor")
	}
	b.get(query+"&maxResults=3&pageToken="+token).wantStatus(t, http.StatusOK)

	other := w.newBrowser(t)
	other.signIn(choice{account: ben.Sub})
	w.google.ResetCalls()
	other.get(query+"&pageToken="+token).wantProblem(t, endpoint.InvalidRequest)
	for name, changed := range map[string]string{
		"q":                strings.Replace(query, "unread", "read", 1),
		"no q":             strings.Replace(query, "q=is:unread&", "", 1),
		"labelIds":         strings.Replace(query, "INBOX", "SENT", 1),
		"one label":        strings.Replace(query, "labelIds=INBOX&", "", 1),
		"includeSpamTrash": strings.Replace(query, "=true", "=false", 1),
	} {
		if a := b.get(changed + "&pageToken=" + token); a.StatusCode != http.StatusBadRequest {
			t.Errorf("with another %s: %d", name, a.StatusCode)
		}
	}
	for _, garbage := range []string{"x", "AAAA", token[1:], token[:30], flip(token)[:20], token + "=", token + "%0A", "%20" + token, strings.Repeat("A", 60)} {
		a := b.get(query + "&pageToken=" + garbage)
		if a.StatusCode != http.StatusBadRequest {
			t.Errorf("pageToken %.20q: %d", garbage, a.StatusCode)
			continue
		}
		a.wantProblem(t, endpoint.InvalidRequest)
	}
	if n := w.google.Calls("gmail.list"); n != 0 {
		t.Errorf("%d calls to Gmail", n)
	}
}

// TestGmailRefuses: what Gmail says to the first page becomes a problem.
func TestGmailRefuses(t *testing.T) {
	retry := func(f fakegoogle.Fault, value string) fakegoogle.Fault {
		f.Header = http.Header{"Retry-After": {value}}
		return f
	}
	until := epoch.Add(90 * time.Minute).Format("2006-01-02T15:04:05.000Z")
	asked := fakegoogle.Fault{Status: 429, Body: `{"error":{"code":429,"message":"User-rate limit exceeded.  Retry after ` + until + `","errors":[{"reason":"rateLimitExceeded"}]}}`}
	tests := []struct {
		name       string
		fault      fakegoogle.Fault
		reason     endpoint.Reason
		calls      int    // 0: several
		retryAfter string // empty: not checked
	}{
		{"domainPolicy", googleError(403, "domainPolicy"), endpoint.DomainPolicy, 1, ""},
		{"accessNotConfigured", googleError(403, "accessNotConfigured"), endpoint.GmailDisabled, 1, ""},
		{"insufficientPermissions", googleError(403, "insufficientPermissions"), endpoint.MissingScope, 1, ""},
		{"dailyLimitExceeded", googleError(403, "dailyLimitExceeded"), endpoint.RateLimited, 1, ""},
		{"rateLimitExceeded", googleError(403, "rateLimitExceeded"), endpoint.RateLimited, 0, ""},
		{"userRateLimitExceeded", googleError(403, "userRateLimitExceeded"), endpoint.RateLimited, 0, ""},
		{"429", googleError(429, "rateLimitExceeded"), endpoint.RateLimited, 0, ""},
		{"429 for an hour", retry(googleError(429, "rateLimitExceeded"), "3600"), endpoint.RateLimited, 1, "3600"},
		{"429 until a date", retry(googleError(429, "rateLimitExceeded"), epoch.Add(2*time.Hour).Format(http.TimeFormat)), endpoint.RateLimited, 1, "7200"},
		{"429 in words", asked, endpoint.RateLimited, 1, "5400"},
		{"503 for an hour", retry(googleError(503, "backendError"), "3600"), endpoint.UpstreamUnavailable, 1, "3600"},
		{"500", googleError(500, "backendError"), endpoint.UpstreamUnavailable, 0, ""},
		{"400", googleError(400, "badRequest"), endpoint.InvalidRequest, 1, ""},
		{"unknown 403", googleError(403, "somethingNew"), endpoint.Misconfigured, 1, ""},
		{"dropped", fakegoogle.Fault{Drop: true}, endpoint.UpstreamUnavailable, 0, ""},
		{"cut", fakegoogle.Fault{Truncate: 30}, endpoint.UpstreamUnavailable, 0, ""},
		{"no JSON", fakegoogle.Fault{Status: 200, Body: "words of Gmail's"}, endpoint.UpstreamUnavailable, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b := signedIn(t, ben)
			remove := w.gmailFails(0, tt.fault)
			w.google.ResetCalls()
			a := b.get("")
			p := a.wantProblem(t, tt.reason)
			if n := w.google.Calls("gmail.list"); (tt.calls != 0 && n != tt.calls) || (tt.calls == 0 && n < 2) {
				t.Errorf("%d calls", n)
			}
			if got := a.Header.Get("Retry-After"); tt.retryAfter != "" && got != tt.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, tt.retryAfter)
			}
			if tt.reason == endpoint.MissingScope {
				a.wantAuthURL(t, w.base, url.Values{"login_hint": {ben.Sub}, "prompt": {"consent"}, "return_to": {page}})
			} else if p["authorization_url"] != nil {
				t.Errorf("authorization_url %v", p["authorization_url"])
			}
			if strings.Contains(w.heard.String()+w.logs.String(), "words of Gmail's") {
				t.Error("words of the upstream were handed on")
			}
			remove()
			b.get("").wantStatus(t, http.StatusOK)
		})
	}
}

// TestGmailRecovers within the deadline: the caller never hears of it.
func TestGmailRecovers(t *testing.T) {
	w, b := signedIn(t, ben)
	want := b.get("").messages(t)
	fault := googleError(429, "rateLimitExceeded")
	fault.Times = 2
	fault.Header = http.Header{"Retry-After": {"3"}}
	w.gmailFails(0, fault)
	before := w.clock.Now()
	if got := b.get("").messages(t); !slices.Equal(got, want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	if waited := w.clock.Now().Sub(before); waited < 6*time.Second {
		t.Errorf("waited %s, and Gmail asked for two times 3 s", waited)
	}
}

// TestListEndsEarly: well-formed, with the reason and a cursor from which
// nothing is lost.
func TestListEndsEarly(t *testing.T) {
	throttled := googleError(429, "rateLimitExceeded")
	throttled.Header = http.Header{"Retry-After": {"3600"}}
	tests := []struct {
		name       string
		fault      fakegoogle.Fault
		reason     string
		retryAfter int
	}{
		{"throttled", throttled, "rate_limited", 3600},
		{"daily limit", googleError(403, "dailyLimitExceeded"), "rate_limited", 0},
		{"down", googleError(503, "backendError"), "upstream_unavailable", 0},
		{"dropped", fakegoogle.Fault{Drop: true}, "upstream_unavailable", 0},
		{"cut", fakegoogle.Fault{Truncate: 30}, "upstream_unavailable", 0},
		{"token refused", fakegoogle.Fault{Status: http.StatusUnauthorized}, "revoked", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b := signedIn(t, ada)
			all := b.get("").messages(t)
			remove := w.gmailFails(2, tt.fault)
			l := b.get("").list(t)
			remove()
			if l.Incomplete == nil || l.Incomplete.Reason != tt.reason || l.Incomplete.RetryAfter != tt.retryAfter {
				t.Fatalf("incomplete %+v", l.Incomplete)
			}
			if len(l.Messages) != 1000 {
				t.Errorf("%d messages, want two pages", len(l.Messages))
			}
			got := append(l.ids(), b.get("pageToken="+l.NextPageToken).messages(t)...)
			if !slices.Equal(got, all) {
				t.Errorf("%d messages with the rest, want %d", len(got), len(all))
			}
		})
	}
}

// TestListDeadline: Gmail hangs; the answer ends by itself.
func TestListDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.startInstance(map[string]string{"LIST_DEADLINE": "4s"})
	const patient, hurried = 0, 1
	w.answerFrom(patient)
	b := w.newBrowser(t)
	b.signIn(choice{})
	all := b.get("").messages(t)
	w.answerFrom(hurried)
	remove := w.gmailFails(1, fakegoogle.Fault{Delay: time.Hour})
	l := b.get("").list(t)
	remove()
	w.answerFrom(patient)
	if l.Incomplete == nil || l.Incomplete.Reason != "deadline" || len(l.Messages) != 500 {
		t.Fatalf("%d messages, then %+v", len(l.Messages), l.Incomplete)
	}
	if rest := b.get("pageToken=" + l.NextPageToken).messages(t); !slices.Equal(append(l.ids(), rest...), all) {
		t.Error("the cursor lost something")
	}
	w.answerFrom(hurried)
	defer w.gmailFails(0, fakegoogle.Fault{Delay: time.Hour})()
	b.get("").wantProblem(t, endpoint.UpstreamUnavailable)
}

// TestRevokedMidList: by the user, while the list is being answered.
func TestRevokedMidList(t *testing.T) {
	w, b := signedIn(t, ada)
	w.gmailFails(1, fakegoogle.Fault{Match: revokes(w, ada.Sub)})
	l := b.get("").list(t)
	if l.Incomplete == nil || l.Incomplete.Reason != "revoked" || len(l.Messages) != 500 || l.NextPageToken == "" {
		t.Errorf("%d messages, then %+v", len(l.Messages), l.Incomplete)
	}
	w.wantNothingStored(t)
}

// revokes is a condition that ends the user's grants when the second list call
// is on its way.
func revokes(w *world, sub string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.URL.Query().Has("pageToken") {
			w.google.RevokeAccess(sub)
		}
		return false
	}
}

// TestDeletedInBetween: a message deleted, and others arrived, between two
// pages. Gmail's own tokens stand that, and so do our cursors between pages.
func TestDeletedInBetween(t *testing.T) {
	w, b := signedIn(t, ada)
	all := b.get("").messages(t)
	l := b.get("maxResults=500").list(t)
	w.google.AddMessages(ada.Sub, 3)
	w.google.DeleteMessage(ada.Sub, all[700])
	rest := b.get("pageToken=" + l.NextPageToken).messages(t)
	want := slices.Delete(slices.Clone(all), 700, 701)
	if got := append(l.ids(), rest...); !slices.Equal(got, want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
}

// TestClientLeavesList: the work stops.
func TestClientLeavesList(t *testing.T) {
	w, b := signedIn(t, ada)
	arrived := make(chan struct{})
	w.gmailFails(1, fakegoogle.Fault{Delay: time.Hour, Match: func(r *http.Request) bool {
		if r.URL.Query().Has("pageToken") {
			close(arrived)
			return true
		}
		return false
	}})
	req := b.request(http.MethodGet, "/listmessages", "", nil)
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	resp.Body.Close()
	w.running.Wait() // would take an hour
}

// TestTwentyThousand: 40 calls, and memory does not grow with the mailbox: what
// is live when the last page is asked for is the same for a tenth of it.
func TestTwentyThousand(t *testing.T) {
	w, b := signedIn(t, ada)
	var live uint64
	w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Match: func(*http.Request) bool {
		live = liveBytes()
		return false
	}})
	liveAtEnd := func(messages int) uint64 {
		w.google.SetMessages(ada.Sub, messages)
		w.google.ResetCalls()
		if got := b.countLines("/listmessages?includeSpamTrash=true"); got != messages+1 {
			t.Errorf("%d lines for %d messages", got, messages)
		}
		w.wantCalls(t, calls{"gmail.list": messages / 500})
		return live
	}
	liveAtEnd(2000) // so that connections and buffers are there
	small := liveAtEnd(2000)
	large := liveAtEnd(20_000)
	if large > small+256<<10 { // a message kept takes 64 bytes at the least
		t.Errorf("%d bytes live at the end of 20,000 messages, %d at the end of 2,000", large, small)
	}
}

func liveBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// countLines reads an answer line by line and keeps nothing of it.
func (b *browser) countLines(address string) int {
	b.t.Helper()
	resp, err := b.client.Do(b.request(http.MethodGet, address, "", http.Header{"Accept": {"application/x-ndjson"}}))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	n := 0
	for r := bufio.NewReader(resp.Body); ; n++ {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			return n
		}
		if err != nil || !json.Valid(line) {
			b.t.Fatalf("%v in line %d: %q", err, n, line)
		}
	}
}
