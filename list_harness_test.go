package gmailgrant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
)

// everything lists spam and trash too, so that a mailbox lists as many messages
// as it was given.
const everything = "includeSpamTrash=true"

// An inbox is a front end whose user has signed in and lists messages.
type inbox struct {
	*browser
	w   *world
	sub string
}

// openInbox signs a user in who has n messages.
func (w *world) openInbox(t testing.TB, who fakegoogle.Account, n int) *inbox {
	t.Helper()
	w.google.SetMessages(who.Sub, n)
	in := &inbox{w.newBrowser(t), w, who.Sub}
	in.signIn(choice{account: who.Sub})
	w.google.ResetCalls()
	return in
}

// newInbox is a deployment of one instance with an inbox of n messages.
func newInbox(t testing.TB, n int) *inbox {
	t.Helper()
	return newWorld(t, 1, nil).openInbox(t, ada, n)
}

// patientInbox has time for large answers, even on a slow machine.
func patientInbox(t testing.TB, n int) *inbox {
	t.Helper()
	return newWorld(t, 1, map[string]string{"LIST_DEADLINE": "10m"}).openInbox(t, ada, n)
}

// ids are the IDs of the whole mailbox, newest first.
func (in *inbox) ids(want int) []string {
	in.t.Helper()
	all := in.get(everything).messages(in.t)
	if len(all) != want {
		in.t.Fatalf("%d messages listed, want %d", len(all), want)
	}
	for i := 1; i < len(all); i++ {
		if all[i] >= all[i-1] { // IDs begin with the time
			in.t.Fatalf("message %d, %s, follows %s", i, all[i], all[i-1])
		}
	}
	in.w.google.ResetCalls()
	return all
}

// next is a query that goes on at a cursor.
func next(query, cursor string) string { return query + "&pageToken=" + url.QueryEscape(cursor) }

// rest follows the cursors from an answer that may be the problem of having
// delivered nothing, and returns all IDs.
func (in *inbox) rest(query string, first *answer) []string {
	in.t.Helper()
	if first.StatusCode != http.StatusOK {
		first = in.get(query)
	}
	l := first.list(in.t)
	got := l.ids()
	for range 1000 {
		if l.NextPageToken == "" {
			if l.Incomplete != nil {
				in.t.Errorf("incomplete without a cursor: %+v", l.Incomplete)
			}
			return got
		}
		l = in.get(next(query, l.NextPageToken)).list(in.t)
		got = append(got, l.ids()...)
	}
	in.t.Fatal("the list does not end")
	return nil
}

// wantEnd checks how an answer ends: "" for a complete list; otherwise the
// reason, and a problem of that name if nothing was delivered.
func wantEnd(t testing.TB, a *answer, reason string) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		if got := a.json(t)["reason"]; got != reason {
			t.Errorf("problem %v, want %s", got, reason)
		}
		return
	}
	got := ""
	l := a.list(t)
	if l.Incomplete != nil {
		got = l.Incomplete.Reason
	}
	if got != reason || (reason != "") && (l.NextPageToken == "" || len(l.Messages) == 0) {
		t.Errorf("%d messages, incomplete %q, cursor %q; want %q", len(l.Messages), got, l.NextPageToken, reason)
	}
}

// wantSame compares lists of IDs.
func wantSame(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%d messages, want %d; they differ from number %d on", len(got), len(want), i)
}

// without leaves out the messages at these places.
func without(ids []string, places ...int) []string {
	var kept []string
	for i, id := range ids {
		if !slices.Contains(places, i) {
			kept = append(kept, id)
		}
	}
	return kept
}

// span is the numbers from a up to b, without b.
func span(a, b int) []int {
	var numbers []int
	for i := a; i < b; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// asksFor matches the batches that ask for a message, and the part that does.
func asksFor(id string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.Method == http.MethodGet {
			return strings.HasSuffix(r.URL.Path, "/"+id)
		}
		return strings.Contains(peek(r), "/messages/"+id+"?")
	}
}

// peek reads the body of a request and puts it back.
func peek(r *http.Request) string {
	body, _ := io.ReadAll(r.Body) // the stand-in has it in memory
	r.Body = io.NopCloser(bytes.NewReader(body))
	return string(body)
}

// batchSize is how many messages a batch asks for.
func batchSize(r *http.Request) int { return strings.Count(peek(r), "GET /gmail/v1/") }

// gmailError is an error document of Gmail's.
func gmailError(code int, reason, message string) string {
	b, err := json.Marshal(map[string]any{"error": map[string]any{
		"code":    code,
		"message": message,
		"errors":  []any{map[string]string{"domain": "global", "reason": reason, "message": message}},
	}})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return string(b)
}

// seconds is a header that asks to wait.
func seconds(n int) http.Header { return http.Header{"Retry-After": {strconv.Itoa(n)}} }

// A details is what a message is listed as.
type details struct {
	ID           string   `json:"id"`
	ThreadID     string   `json:"threadId"`
	LabelIDs     []string `json:"labelIds"`
	Snippet      string   `json:"snippet"`
	SizeEstimate int      `json:"sizeEstimate"`
	Raw          string   `json:"raw"`
	Payload      *struct {
		MimeType string                         `json:"mimeType"`
		Headers  []struct{ Name, Value string } `json:"headers"`
		Body     *struct{ Data string }         `json:"body"`
		Parts    []json.RawMessage              `json:"parts"`
	} `json:"payload"`
	TooLarge    bool `json:"too_large"`
	Unavailable bool `json:"unavailable"`
}

func (a *answer) details(t testing.TB) []details {
	t.Helper()
	a.wantStatus(t, http.StatusOK)
	var l struct{ Messages []details }
	if err := json.Unmarshal(a.body, &l); err != nil {
		t.Fatalf("%v in %.200s", err, a.body)
	}
	return l.Messages
}

// marked are the IDs of messages that are listed without content.
func marked(messages []details, is func(details) bool) []string {
	var ids []string
	for _, m := range messages {
		if is(m) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// waited runs do and returns how long its retries slept, by the world's clock.
func (w *world) waited(do func()) time.Duration {
	before := w.clock.Now()
	do()
	return w.clock.Now().Sub(before)
}

// lastLine is the line that listmessages logged last.
func (w *world) lastLine(t testing.TB) map[string]any {
	t.Helper()
	lines := w.logLines(t)
	for _, line := range slices.Backward(lines) {
		if line["function"] == "listmessages" {
			return line
		}
	}
	t.Fatal("listmessages has logged nothing")
	return nil
}

// idQuery asks for messages by ID.
func idQuery(format string, ids ...string) string {
	return fmt.Sprintf("format=%s&id=%s", format, strings.Join(ids, "&id="))
}

// delivered are the IDs in an answer, none if it is a problem.
func (a *answer) delivered(t testing.TB) []string {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		return nil
	}
	return a.list(t).ids()
}
