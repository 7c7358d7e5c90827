package fakegoogle_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/oauth2"
	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

// gmailService is the official client, signed in.
func gmailService(t testing.TB, s *fakegoogle.Server, who fakegoogle.Account, scopes ...string) *gmail.Service {
	t.Helper()
	tok := connect(t, s, who, scopes...)
	g, err := gmail.NewService(context.Background(),
		option.WithEndpoint(s.URL()+"/"),
		option.WithHTTPClient(oauth2.NewClient(context.Background(), oauth2.StaticTokenSource(tok))))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// listAll follows every page of a list.
func listAll(t testing.TB, call *gmail.UsersMessagesListCall) []*gmail.Message {
	t.Helper()
	var all []*gmail.Message
	err := call.Pages(context.Background(), func(page *gmail.ListMessagesResponse) error {
		all = append(all, page.Messages...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ids(messages []*gmail.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Id
	}
	return out
}

// wantError checks an error of the Gmail API.
func wantError(t testing.TB, err error, status int, reason string) {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want status %d", err, status)
	}
	if e.Code != status || len(e.Errors) != 1 || e.Errors[0].Reason != reason {
		t.Errorf("error %d %v, want %d %s", e.Code, e.Errors, status, reason)
	}
}

func TestListIsTheSameInPagesOfAnySize(t *testing.T) {
	s := start(t, fakegoogle.Options{Now: newClock().now})
	g := gmailService(t, s, large, readonly)
	want := ids(listAll(t, g.Users.Messages.List("me").IncludeSpamTrash(true).MaxResults(500)))
	if len(want) != large.Messages {
		t.Fatalf("%d messages, want %d", len(want), large.Messages)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(want)))); n != large.Messages {
		t.Fatalf("%d different messages, want %d", n, large.Messages)
	}
	visible := listAll(t, g.Users.Messages.List("me"))
	for _, size := range []int64{7, 499, 9999} {
		if got := ids(listAll(t, g.Users.Messages.List("me").MaxResults(size))); !slices.Equal(got, ids(visible)) {
			t.Errorf("pages of %d: %d messages, want %d", size, len(got), len(visible))
		}
	}
	page, err := g.Users.Messages.List("me").MaxResults(9999).Do()
	if err != nil || len(page.Messages) != 500 {
		t.Errorf("a page of %d (%v), want 500", len(page.Messages), err)
	}
}

func TestListHidesSpamAndTrash(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, large, readonly)
	count := func(call *gmail.UsersMessagesListCall) int { return len(listAll(t, call.MaxResults(500))) }
	spam := count(g.Users.Messages.List("me").LabelIds("SPAM"))
	trash := count(g.Users.Messages.List("me").LabelIds("TRASH"))
	visible := count(g.Users.Messages.List("me"))
	if spam == 0 || trash == 0 || visible+spam+trash != large.Messages {
		t.Errorf("%d in spam, %d in the trash, %d visible", spam, trash, visible)
	}
	for q, want := range map[string]int{"in:spam": spam, "label:trash": trash, "in:anywhere": large.Messages, "-in:spam": visible} {
		if got := count(g.Users.Messages.List("me").Q(q)); got != want {
			t.Errorf("%s: %d, want %d", q, got, want)
		}
	}
}

func TestListAnswersLikeGmail(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	none := gmailService(t, s, empty, readonly)
	few := gmailService(t, s, small, readonly)
	many := gmailService(t, s, large, readonly)
	body := rawGet(t, s, connect(t, s, empty, readonly).AccessToken, "messages?prettyPrint=false")
	if want := `{"resultSizeEstimate":0}`; body != want {
		t.Errorf("empty mailbox: %s, want %s", body, want)
	}
	if page, err := none.Users.Messages.List("me").Do(); err != nil || page.Messages != nil || page.NextPageToken != "" {
		t.Errorf("empty mailbox: %v, %v", page, err)
	}
	page, err := few.Users.Messages.List("me").IncludeSpamTrash(true).MaxResults(3).Do()
	if err != nil || page.ResultSizeEstimate != int64(small.Messages) {
		t.Errorf("few: %+v, %v", page, err)
	}
	if page, err = many.Users.Messages.List("me").Do(); err != nil || page.ResultSizeEstimate != 201 || len(page.Messages) != 100 {
		t.Errorf("many: %+v, %v", page, err)
	}
	if page, err = many.Users.Messages.List("me").PageToken(page.NextPageToken).Do(); err != nil || page.ResultSizeEstimate != 201 {
		t.Errorf("many, second page: %+v, %v", page, err)
	}
}

// rawGet returns the body of a successful Gmail call.
func rawGet(t testing.TB, s *fakegoogle.Server, accessToken, path string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.URL()+"/gmail/v1/users/me/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", path, resp.StatusCode, err, b)
	}
	return strings.TrimSpace(string(b))
}

func TestPageTokenBelongsToItsQuery(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g, other := gmailService(t, s, large, readonly), gmailService(t, s, small, readonly)
	list := func(g *gmail.Service) *gmail.UsersMessagesListCall {
		return g.Users.Messages.List("me").Q("is:unread").LabelIds("INBOX").MaxResults(2)
	}
	page, err := list(g).Do()
	if err != nil {
		t.Fatal(err)
	}
	tok := page.NextPageToken
	tests := map[string]*gmail.UsersMessagesListCall{
		"other q":                g.Users.Messages.List("me").Q("is:read").LabelIds("INBOX").PageToken(tok),
		"no q":                   g.Users.Messages.List("me").LabelIds("INBOX").PageToken(tok),
		"other labels":           g.Users.Messages.List("me").Q("is:unread").LabelIds("SENT").PageToken(tok),
		"other includeSpamTrash": list(g).IncludeSpamTrash(true).PageToken(tok),
		"other user":             list(other).PageToken(tok),
		"changed":                list(g).PageToken("A" + tok),
		"garbage":                list(g).PageToken("123"),
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := call.Do()
			wantError(t, err, http.StatusBadRequest, "badRequest")
		})
	}
	if _, err := list(g).MaxResults(50).PageToken(tok).Do(); err != nil {
		t.Errorf("another page size: %v", err)
	}
}

func TestPagingWhileMailArrivesAndGoes(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, small, readonly)
	want := ids(listAll(t, g.Users.Messages.List("me")))
	page, err := g.Users.Messages.List("me").MaxResults(10).Do()
	if err != nil {
		t.Fatal(err)
	}
	s.AddMessages(small.Sub, 5)
	s.DeleteMessage(small.Sub, page.Messages[0].Id)
	s.DeleteMessage(small.Sub, want[20])
	rest := listAll(t, g.Users.Messages.List("me").PageToken(page.NextPageToken))
	if got := append(ids(page.Messages), ids(rest)...); !slices.Equal(got, slices.Delete(slices.Clone(want), 20, 21)) {
		t.Errorf("got %v\nwant all but the deleted one of %v", got, want)
	}
	_, err = g.Users.Messages.Get("me", want[20]).Do()
	wantError(t, err, http.StatusNotFound, "notFound")
	s.SetMessages(small.Sub, 3)
	if got := listAll(t, g.Users.Messages.List("me").IncludeSpamTrash(true)); len(got) != 3 {
		t.Errorf("%d messages after SetMessages(3)", len(got))
	}
}

func TestRequestsAreChecked(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	full := connect(t, s, small, readonly).AccessToken
	meta := connect(t, s, large, readonly, metadata).AccessToken
	signIn := connect(t, s, empty, "openid").AccessToken
	id := ids(listAll(t, gmailService(t, s, large, readonly).Users.Messages.List("me")))[0]
	tests := []struct {
		name, token, path string
		status            int
		message           string // part of it
	}{
		{"no token", "", "me/profile", 401, "invalid authentication"},
		{"unknown token", "ya29.unknown", "me/profile", 401, "invalid authentication"},
		{"no Gmail scope", signIn, "me/messages", 403, "insufficient authentication scopes"},
		{"own address", full, strings.ToUpper(small.Email) + "/profile", 200, ""},
		{"other user", full, large.Email + "/profile", 403, "Delegation denied"},
		{"unknown path", full, "me/drafts", 404, ""},
		{"maxResults 0", full, "me/messages?maxResults=0", 400, "max_results"},
		{"maxResults negative", full, "me/messages?maxResults=-1", 400, "max_results"},
		{"maxResults a word", full, "me/messages?maxResults=ten", 400, "max_results"},
		{"maxResults empty", full, "me/messages?maxResults=", 400, "max_results"},
		{"maxResults large", full, "me/messages?maxResults=501", 200, ""},
		{"includeSpamTrash", full, "me/messages?includeSpamTrash=maybe", 400, "include_spam_trash"},
		{"unknown label", full, "me/messages?labelIds=INBOX&labelIds=NOPE", 400, "Invalid label: NOPE"},
		{"unknown parameter", full, "me/messages?colour=red", 400, "colour"},
		{"repeated parameter", full, "me/messages?q=a&q=b", 400, "q"},
		{"unknown operator", full, "me/messages?q=rfc822msgid:x", 400, "not supported"},
		{"q, metadata", meta, "me/messages?q=a", 403, "Metadata scope does not support 'q' parameter"},
		{"empty q, metadata", meta, "me/messages?q=", 403, "Metadata scope does not support 'q' parameter"},
		{"no q, metadata", meta, "me/messages", 200, ""},
		{"default format, metadata", meta, "me/messages/" + id, 403, "format FULL"},
		{"raw, metadata", meta, "me/messages/" + id + "?format=raw", 403, "format RAW"},
		{"minimal, metadata", meta, "me/messages/" + id + "?format=minimal", 200, ""},
		{"unknown format", full, "me/messages/" + id + "?format=tiny", 400, "format"},
		{"malformed id", full, "me/messages/xyz", 400, "Invalid id value"},
		{"absent id", full, "me/messages/0123456789abcdef", 404, "not found"},
		{"other user's id", full, "me/messages/" + id, 404, "not found"},
		{"malformed mask", full, "me/messages?fields=messages(", 400, "fields"},
		{"unknown mask", full, "me/messages?fields=mails", 400, "no such field: mails"},
		{"alt", full, "me/messages?alt=media", 400, "alt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, s.URL()+"/gmail/v1/users/"+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			status, body := do(t, http.DefaultClient, r)
			if status != tt.status {
				t.Fatalf("status %d, want %d: %v", status, tt.status, body)
			}
			if e, _ := body["error"].(map[string]any); tt.status != 200 && !strings.Contains(fmt.Sprint(e["message"]), tt.message) {
				t.Errorf("message %v, want %q", e["message"], tt.message)
			}
		})
	}
}

func TestErrorDocuments(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	_, err := gmailService(t, s, small, "openid").Users.Messages.List("me").Do()
	wantError(t, err, http.StatusForbidden, "insufficientPermissions")
	if !strings.Contains(err.Error(), "ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
		t.Errorf("no details in %v", err)
	}
	g := gmailService(t, s, large, readonly)
	s.ExpireAccessTokens(large.Sub)
	_, err = g.Users.Messages.List("me").Do()
	wantError(t, err, http.StatusUnauthorized, "authError")
	var e *googleapi.Error
	if errors.As(err, &e) && !strings.Contains(e.Body, `"UNAUTHENTICATED"`) {
		t.Errorf("body %s", e.Body)
	}
}

func TestMessagesAreBelievable(t *testing.T) {
	ticker := newClock()
	s := start(t, fakegoogle.Options{Now: ticker.now})
	s.AddMessages(small.Sub, 20)
	g := gmailService(t, s, small, readonly)
	list := listAll(t, g.Users.Messages.List("me").IncludeSpamTrash(true))
	shape := regexp.MustCompile(`^[0-9a-f]{16}$`)
	last := ticker.now().UnixMilli() + 1
	if newest, err := g.Users.Messages.Get("me", list[0].Id).Do(); err != nil || last-newest.InternalDate > time.Minute.Milliseconds() {
		t.Errorf("the newest message is not new: %v", err)
	}
	for _, m := range list {
		got, err := g.Users.Messages.Get("me", m.Id).Do()
		if err != nil {
			t.Fatal(err)
		}
		if !shape.MatchString(got.Id) || got.ThreadId != m.ThreadId || got.InternalDate >= last || len(got.LabelIds) == 0 || got.Snippet == "" || got.SizeEstimate < 300 {
			t.Fatalf("message %+v, listed as %+v", got, m)
		}
		last = got.InternalDate
		checkRaw(t, g, got)
	}
}

// checkRaw compares the formats of a message with each other.
func checkRaw(t *testing.T, g *gmail.Service, full *gmail.Message) {
	t.Helper()
	m, err := g.Users.Messages.Get("me", full.Id).Format("raw").Do()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.URLEncoding.DecodeString(m.Raw)
	if err != nil || int64(len(raw)) != full.SizeEstimate {
		t.Fatalf("raw: %v, %d bytes, estimated %d", err, len(raw), full.SizeEstimate)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := parsed.Header.AddressList("From")
	if err != nil {
		t.Fatal(err)
	}
	date, err := parsed.Header.Date()
	if err != nil || date.Unix() != full.InternalDate/1000 {
		t.Errorf("Date %v (%v), internal date %d", date, err, full.InternalDate)
	}
	if got, want := headerOf(full, "From"), from[0].Name+" <"+from[0].Address+">"; got != want {
		t.Errorf("From %q, in raw %q", got, want)
	}
	text := firstText(full.Payload)
	if text == "" || !strings.Contains(text, strings.Fields(full.Snippet)[0]) {
		t.Errorf("no text in message %s", full.Id)
	}
}

func headerOf(m *gmail.Message, name string) string {
	for _, h := range m.Payload.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// firstText is the content of the first text/plain part.
func firstText(p *gmail.MessagePart) string {
	if p.MimeType == "text/plain" {
		b, _ := base64.URLEncoding.DecodeString(p.Body.Data)
		return string(b)
	}
	for _, inner := range p.Parts {
		if text := firstText(inner); text != "" {
			return text
		}
	}
	return ""
}

func TestMailboxHasVariety(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, large, readonly)
	queries := []string{
		"is:unread", "is:read", "is:starred", "is:important", "in:inbox", "in:sent", "has:attachment", "label:Receipts",
		"label:Travel", "label:work", "label:CATEGORY_SOCIAL", "label:category_forums", "from:harbourbooks", "to:" + large.Email,
		"subject:invoice", "newer_than:1m", "older_than:1y", "café",
	}
	for _, q := range queries {
		page, err := g.Users.Messages.List("me").Q(q).Do()
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Messages) == 0 {
			t.Errorf("%s finds nothing", q)
		}
	}
	threads := make(map[string]int)
	for _, m := range listAll(t, g.Users.Messages.List("me").IncludeSpamTrash(true)) {
		threads[m.ThreadId]++
	}
	profile, err := g.Users.GetProfile("me").Do()
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) >= large.Messages*9/10 || int(profile.ThreadsTotal) != len(threads) || int(profile.MessagesTotal) != large.Messages {
		t.Errorf("%d messages in %d threads, profile %+v", large.Messages, len(threads), profile)
	}
}

func TestMetadataFormat(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, small, metadata)
	id := listAll(t, g.Users.Messages.List("me"))[0].Id
	m, err := g.Users.Messages.Get("me", id).Format("metadata").MetadataHeaders("from", "SUBJECT", "X-None").Do()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range m.Payload.Headers {
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"From", "Subject"}) || m.Payload.Body != nil || m.Payload.Parts != nil || m.Payload.MimeType == "" {
		t.Errorf("headers %v, payload %+v", names, m.Payload)
	}
	if m, err = g.Users.Messages.Get("me", id).Format("metadata").Do(); err != nil || headerOf(m, "Message-ID") == "" {
		t.Errorf("without names not all headers come: %v", err)
	}
	if m, err = g.Users.Messages.Get("me", id).Format("minimal").Do(); err != nil || m.Payload != nil || m.Raw != "" || m.Snippet == "" {
		t.Errorf("minimal: %+v, %v", m, err)
	}
}

func TestLabels(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, small, "https://www.googleapis.com/auth/gmail.labels")
	labels, err := g.Users.Labels.List("me").Do()
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]int)
	for _, l := range labels.Labels {
		types[l.Type]++
	}
	if types["system"] < 10 || types["user"] != 3 {
		t.Errorf("labels: %v", types)
	}
}

func TestPartialResponse(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	s.SetMessages(small.Sub, 1)
	tok := connect(t, s, small, readonly).AccessToken
	m := listAll(t, gmailService(t, s, small, readonly).Users.Messages.List("me").IncludeSpamTrash(true))[0]
	tests := map[string]string{
		"messages?includeSpamTrash=true&fields=messages/id":                                       fmt.Sprintf(`{"messages":[{"id":%q}]}`, m.Id),
		"messages?includeSpamTrash=true&fields=messages(id,threadId),nextPageToken":               fmt.Sprintf(`{"messages":[{"id":%q,"threadId":%q}]}`, m.Id, m.ThreadId),
		"messages?includeSpamTrash=true&fields=resultSizeEstimate,messages(id)":                   fmt.Sprintf(`{"messages":[{"id":%q}],"resultSizeEstimate":1}`, m.Id),
		"messages/" + m.Id + "?fields=id,payload/headers&format=metadata&metadataHeaders=Nothing": fmt.Sprintf(`{"id":%q,"payload":{}}`, m.Id),
		"profile?fields=*": "",
	}
	for path, want := range tests {
		got := rawGet(t, s, tok, path+"&prettyPrint=false")
		if want != "" && got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", path, got, want)
		}
	}
	pretty := rawGet(t, s, tok, "profile?"+url.Values{"fields": {"emailAddress"}}.Encode())
	if want := "{\n  \"emailAddress\": \"" + small.Email + "\"\n}"; pretty != want {
		t.Errorf("pretty: %s", pretty)
	}
}

func BenchmarkList20000(b *testing.B) {
	s := start(b, fakegoogle.Options{})
	s.SetMessages(large.Sub, 20_000)
	g := gmailService(b, s, large, readonly)
	for _, q := range []string{"", "is:unread", "coffee"} {
		b.Run("q="+q, func(b *testing.B) {
			for b.Loop() {
				call := g.Users.Messages.List("me").MaxResults(500).Fields("messages(id,threadId),nextPageToken,resultSizeEstimate")
				if q != "" {
					call.Q(q)
				}
				listAll(b, call)
			}
		})
	}
}
