package gmailgrant

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

// TestFormats asks for each format: what Gmail gives with it, and no more.
func TestFormats(t *testing.T) {
	in := newInbox(t, 30)
	tests := []struct {
		query                   string
		payload, bodies, anyRaw bool
		headers                 []string
	}{
		{"format=minimal", false, false, false, nil},
		{"format=metadata", true, false, false, []string{"Date", "From", "Subject", "To"}},
		{"format=metadata&metadataHeaders=Subject&metadataHeaders=message-id", true, false, false, []string{"Message-ID", "Subject"}},
		{"format=full", true, true, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			for _, m := range in.get(everything + "&" + tt.query).details(t) {
				if m.ID == "" || m.ThreadID == "" || len(m.LabelIDs) == 0 || m.Snippet == "" || m.SizeEstimate == 0 {
					t.Fatalf("incomplete message %+v", m)
				}
				bodies := m.Payload != nil && (m.Payload.Body != nil || len(m.Payload.Parts) > 0)
				if (m.Payload != nil) != tt.payload || bodies != tt.bodies {
					t.Fatalf("message %+v", m)
				}
				if tt.headers != nil && !slices.Equal(headerNames(m), tt.headers) {
					t.Fatalf("headers %q, want %q", headerNames(m), tt.headers)
				}
			}
		})
	}
}

func headerNames(m details) []string {
	var names []string
	for _, h := range m.Payload.Headers {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	return names
}

// TestHowManyDetails: 100 unless the caller says, in as few calls as that takes.
func TestHowManyDetails(t *testing.T) {
	in := newInbox(t, 650)
	want := in.ids(650)
	tests := []struct {
		query                 string
		messages, lists, gets int
	}{
		{"format=minimal", 100, 1, 4},
		{"format=minimal&maxResults=1", 1, 1, 1},
		{"format=minimal&maxResults=26", 26, 1, 2},
		{"format=minimal&maxResults=600", 600, 2, 24},
		{"format=minimal&maxResults=9999", 650, 2, 26},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			in.w.google.ResetCalls()
			query := everything + "&" + tt.query
			a := in.get(query)
			wantSame(t, a.messages(t), want[:tt.messages])
			in.w.wantCalls(t, calls{"gmail.list": tt.lists, "gmail.batch": tt.gets, "gmail.batch.part": tt.messages})
			wantSame(t, in.rest(query, a), want)
		})
	}
}

// TestMetadata250 counts the calls and how many of them are made one after the
// other: each batch is held until a second one is in flight.
func TestMetadata250(t *testing.T) {
	const n = 250
	in := newInbox(t, n)
	want := in.ids(n)
	pairs := &meeting{size: 2}
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Hold: pairs.join})
	wantSame(t, in.get(everything+"&format=metadata&maxResults=250").messages(t), want)
	in.w.wantCalls(t, calls{"gmail.list": 1, "gmail.batch": 10, "gmail.batch.part": n})
	if rounds := 1 + pairs.held; rounds != 6 {
		t.Errorf("%d rounds of calls one after the other, want 6: the list, then batches two by two", rounds)
	}
	if got := in.w.lastLine(t)["upstream_calls"]; got != 11.0 {
		t.Errorf("the log tells of %v upstream calls, want 11", got)
	}
}

// A meeting lets calls go on in groups of a size.
type meeting struct {
	size int

	mu      sync.Mutex
	waiting []chan struct{}
	held    int // groups so far
}

func (m *meeting) join(r *http.Request) {
	select {
	case <-m.wait():
	case <-r.Context().Done():
	}
}

func (m *meeting) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	here := make(chan struct{})
	m.waiting = append(m.waiting, here)
	if len(m.waiting) == m.size {
		for _, c := range m.waiting {
			close(c)
		}
		m.waiting = nil
		m.held++
	}
	return here
}

// TestDetailsWhilePagesArrive: the second list call is answered only once
// details of the first page have been asked for.
func TestDetailsWhilePagesArrive(t *testing.T) {
	const n = 1000
	in := newInbox(t, n)
	want := in.ids(n)
	asked := make(chan struct{})
	var once sync.Once
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Hold: func(*http.Request) { once.Do(func() { close(asked) }) }})
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.list", After: 1, Hold: func(r *http.Request) { untilClosed(r, asked) }})
	wantSame(t, in.get(everything+"&format=minimal&maxResults=1000").messages(t), want)
}

// untilClosed waits for c, or until the caller leaves.
func untilClosed(r *http.Request, c <-chan struct{}) {
	select {
	case <-c:
	case <-r.Context().Done():
	}
}

// TestGoneMessages deletes messages between the list and the details: they are
// left out, and the list goes on behind them.
func TestGoneMessages(t *testing.T) {
	const n = 75
	tests := []struct {
		name   string
		gone   []int
		query  string
		answer int // messages in the first answer
	}{
		{"first", []int{0}, "maxResults=75", 74},
		{"first of a chunk", []int{25}, "maxResults=75", 74},
		{"last of a chunk", []int{24}, "maxResults=75", 74},
		{"a whole chunk", span(25, 50), "maxResults=75", 50},
		{"the first chunk", span(0, 25), "maxResults=75", 50},
		{"last", []int{74}, "maxResults=75", 74},
		{"all", span(0, 75), "maxResults=75", 0},
		{"last of what was asked for", []int{29}, "maxResults=30", 29},
		{"first of what was asked for", []int{0}, "maxResults=30", 29},
		{"all of what was asked for", span(0, 30), "maxResults=30", 0},
		{"all but the first of what was asked for", span(1, 30), "maxResults=30", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := newInbox(t, n)
			all := in.ids(n)
			in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Times: 2, Hold: func(*http.Request) { // both batches in flight: each finds them gone
				for _, i := range tt.gone {
					in.w.google.DeleteMessage(in.sub, all[i])
				}
			}})
			query := everything + "&format=minimal&" + tt.query
			a := in.get(query)
			if got := len(a.messages(t)); got != tt.answer {
				t.Errorf("%d messages in the first answer, want %d", got, tt.answer)
			}
			wantSame(t, in.rest(query, a), without(all, tt.gone...))
		})
	}
}

// TestGoneThenFailure: the cursor after a chunk whose end is gone.
func TestGoneThenFailure(t *testing.T) {
	const n = 100
	for _, gone := range [][]int{{24}, span(20, 30), span(0, 25), span(25, 50)} {
		t.Run(fmt.Sprint(gone), func(t *testing.T) {
			in := newInbox(t, n)
			all := in.ids(n)
			fails := asksFor(all[60])
			first := func(r *http.Request) bool { return !fails(r) }
			in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Times: 2, Match: first, Hold: func(*http.Request) { // both batches in flight: each finds them gone
				for _, i := range gone {
					in.w.google.DeleteMessage(in.sub, all[i])
				}
			}})
			remove := in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Match: fails, Status: 503})
			query := everything + "&format=minimal"
			a := in.get(query)
			remove()
			wantEnd(t, a, "upstream_unavailable")
			wantSame(t, in.rest(query, a), without(all, gone...))
		})
	}
}

// TestStrangeParts: whatever a part of an answer is once, each message comes
// once, in order, as itself; and only what failed is asked for again.
func TestStrangeParts(t *testing.T) {
	const n = 60
	in := newInbox(t, n)
	all := in.ids(n)
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(from), []byte(to)) }
	}
	as := func(status string) func([]byte) []byte { return swap("200 OK", status) }
	whole := func(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }
	tests := []struct {
		name  string
		fault fakegoogle.Fault
		again int // messages asked for twice
	}{
		{"missing", fakegoogle.Fault{Drop: true}, 1},
		{"cut", fakegoogle.Fault{Truncate: 20}, 1},
		{"empty", fakegoogle.Fault{Rewrite: whole("")}, 1},
		{"no HTTP", fakegoogle.Fault{Rewrite: whole("\x00\xff garbage")}, 1},
		{"no JSON", fakegoogle.Fault{Rewrite: whole("HTTP/1.1 200 OK\r\n\r\n<html>")}, 1},
		{"cut JSON", fakegoogle.Fault{Rewrite: func(b []byte) []byte { return b[:len(b)-3] }}, 1},
		{"another message's", fakegoogle.Fault{Rewrite: swap(all[30], all[31])}, 1},
		{"a number for an ID", fakegoogle.Fault{Rewrite: swap(`"`+all[30]+`"`, "300000000000000000")}, 1},
		{"twice", fakegoogle.Fault{Copy: bytes.Clone}, 0},
		{"again as gone", fakegoogle.Fault{Copy: as("404 Not Found")}, 0},
		{"again as another's", fakegoogle.Fault{Copy: swap(all[30], all[31])}, 0},
		{"again as garbage", fakegoogle.Fault{Copy: whole("garbage")}, 0},
		{"throttled", fakegoogle.Fault{Status: 429}, 1},
		{"throttled by 403", fakegoogle.Fault{Status: 403, Body: gmailError(403, "userRateLimitExceeded", "User-rate limit exceeded.")}, 1},
		{"unavailable", fakegoogle.Fault{Status: 503}, 1},
		{"token refused", fakegoogle.Fault{Status: 401}, 1},
	}
	for _, shuffled := range []bool{false, true} {
		in.w.google.SetBatchShuffle(shuffled)
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s %t", tt.name, shuffled), func(t *testing.T) {
				in.w.google.ResetCalls()
				tt.fault.Op, tt.fault.Times, tt.fault.Match = "gmail.batch.part", 1, asksFor(all[30])
				defer in.w.google.Inject(tt.fault)()
				a := in.get(everything + "&format=minimal")
				wantSame(t, a.messages(t), all)
				for _, m := range a.details(t) {
					if m.Snippet == "" {
						t.Errorf("message without content: %+v", m)
					}
				}
				if got := in.w.google.Calls("gmail.batch.part"); got != n+tt.again {
					t.Errorf("%d messages asked for, want %d and %d again", got, n, tt.again)
				}
			})
		}
	}
}

// TestCutBatch: of a batch answer that breaks off, what arrived is kept.
func TestCutBatch(t *testing.T) {
	const n = 25
	in := newInbox(t, n)
	all := in.ids(n)
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Times: 1, Truncate: 6000})
	wantSame(t, in.get(everything+"&format=minimal").messages(t), all)
	if got := in.w.google.Calls("gmail.batch.part"); got <= n || got >= 2*n {
		t.Errorf("%d messages asked for, want those that had not arrived again, and no others", got)
	}
}

// TestManyFailedParts: those that failed are asked for again together.
func TestManyFailedParts(t *testing.T) {
	const n = 25
	in := newInbox(t, n)
	all := in.ids(n)
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch.part", After: 10, Times: 10, Status: 500})
	wantSame(t, in.get(everything+"&format=minimal").messages(t), all)
	in.w.wantCalls(t, calls{"gmail.list": 1, "gmail.batch": 2, "gmail.batch.part": n + 10})
}

// TestPace: after a throttle, batches are smaller, and made one at a time.
func TestPace(t *testing.T) {
	tests := []struct {
		name  string
		fault fakegoogle.Fault
	}{
		{"a part", fakegoogle.Fault{Op: "gmail.batch.part", Status: 429}},
		{"a part, 403", fakegoogle.Fault{Op: "gmail.batch.part", Status: 403, Body: gmailError(403, "rateLimitExceeded", "Rate Limit Exceeded")}},
		{"a whole batch", fakegoogle.Fault{Op: "gmail.batch", Status: 429}},
		{"a whole batch, 403", fakegoogle.Fault{Op: "gmail.batch", Status: 403, Body: gmailError(403, "userRateLimitExceeded", "User-rate limit exceeded.")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const n = 200
			in := newInbox(t, n)
			all := in.ids(n)
			tt.fault.Times, tt.fault.Match = 1, asksFor(all[0])
			in.w.google.Inject(tt.fault)
			var batches flights
			in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Hold: batches.begin, Rewrite: batches.end})
			wantSame(t, in.get(everything+"&format=minimal&maxResults=200").messages(t), all)
			for _, f := range batches.seen {
				// The first two chunks set out before anything was known.
				if slices.Index(all, f.first) >= 50 && (f.size > 12 || f.together > 1) {
					t.Errorf("a batch after the throttle: %+v", f)
				}
			}
		})
	}
}

// TestPaceShrinksOn: every further throttle halves the batches, down to five,
// and the listing remembers.
func TestPaceShrinksOn(t *testing.T) {
	const n = 100
	in := newInbox(t, n)
	all := in.ids(n)
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Status: 429, Match: func(r *http.Request) bool { return batchSize(r) > 5 }})
	var batches flights
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Hold: batches.begin, Rewrite: batches.end})
	wantSame(t, in.get(everything+"&format=minimal").messages(t), all)
	if refused := in.w.google.Calls("gmail.batch") - len(batches.seen); refused > 4 {
		t.Errorf("%d batches were too large, want four at most: 25, 25, 12, 6", refused)
	}
}

// TestTooManyAtOnce: Gmail takes one batch of 25 of this user's, not two.
func TestTooManyAtOnce(t *testing.T) {
	const n = 100
	in := newInbox(t, n)
	all := in.ids(n)
	in.w.google.SetBatchLimit(30)
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Hold: (&meeting{size: 30}).join, Times: 30})
	wantSame(t, in.get(everything+"&format=minimal").messages(t), all)
	if got := in.w.google.Calls("gmail.batch.part"); got <= n {
		t.Errorf("%d messages asked for: none was refused", got)
	}
}

// A flights notes how large batches are and how many are in flight.
type flights struct {
	mu   sync.Mutex
	now  int
	seen []sentBatch
}

type sentBatch struct {
	first          string // ID
	size, together int
}

func (f *flights) begin(r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now++
	_, first, _ := strings.Cut(peek(r), "/messages/")
	first, _, _ = strings.Cut(first, "?")
	f.seen = append(f.seen, sentBatch{first, batchSize(r), f.now})
}

func (f *flights) end(body []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	return body
}

// TestUnavailableMessage: one that fails for good while others arrive is
// listed as such, and the list goes on.
func TestUnavailableMessage(t *testing.T) {
	const n = 60
	in := newInbox(t, n)
	all := in.ids(n)
	for _, bad := range [][]int{{0}, {24, 25}, {30}, {59}, {3, 4, 5, 40}} {
		for _, fault := range []fakegoogle.Fault{{Status: 500}, {Drop: true}, {Truncate: 10}} {
			t.Run(fmt.Sprint(bad, fault.Status, fault.Drop), func(t *testing.T) {
				var want []string
				for _, i := range bad {
					want = append(want, all[i])
					fault.Op, fault.Match = "gmail.batch.part", asksFor(all[i])
					defer in.w.google.Inject(fault)()
				}
				a := in.get(everything + "&format=metadata")
				wantSame(t, a.messages(t), all)
				messages := a.details(t)
				wantSame(t, marked(messages, func(d details) bool { return d.Unavailable }), want)
				wantSame(t, marked(messages, func(d details) bool { return d.Payload == nil }), want)
				wantSame(t, marked(messages, func(d details) bool { return d.ThreadID == "" }), nil)
			})
		}
	}
}

// TestTooLargeMessage: one that no answer can hold is listed with its size.
func TestTooLargeMessage(t *testing.T) {
	const n, size = 30, 7_000_000
	in := patientInbox(t, n)
	all := in.ids(n)
	large := []string{all[0], all[29]}
	for _, id := range large {
		in.w.google.PadMessage(in.sub, id, size)
	}
	a := in.get(everything + "&format=full")
	wantSame(t, a.messages(t), all)
	messages := a.details(t)
	wantSame(t, marked(messages, func(d details) bool { return d.TooLarge }), large)
	wantSame(t, marked(messages, func(d details) bool { return d.Payload == nil }), large)
	for _, m := range messages {
		if m.TooLarge && (m.SizeEstimate < size || m.ThreadID == "") {
			t.Errorf("%d bytes, thread %q", m.SizeEstimate, m.ThreadID)
		}
	}
	in.w.wantCalls(t, calls{"gmail.list": 1, "gmail.batch": 2, "gmail.batch.part": n, "gmail.get": 2})
}

// maxAnswerBytes is what the platform allows a streamed answer.
const maxAnswerBytes = 10_000_000

// TestLargeAnswers end before the platform's limit, and go on.
func TestLargeAnswers(t *testing.T) {
	tests := []struct {
		name, query string
		messages    int
		each        int // bytes
	}{
		{"IDs", everything, 180_000, 0},
		{"details", everything + "&format=full", 16, 600_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := patientInbox(t, tt.messages)
			if tt.each > 0 {
				for _, id := range in.ids(tt.messages) {
					in.w.google.PadMessage(in.sub, id, tt.each)
				}
			}
			a := in.get(tt.query)
			wantEnd(t, a, "response_size")
			if len(a.body) > maxAnswerBytes || len(a.body) < maxAnswerBytes*8/10 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
			got := in.rest(tt.query, a)
			if len(got) != tt.messages || !slices.IsSortedFunc(got, func(x, y string) int { return strings.Compare(y, x) }) || len(slices.Compact(got)) != tt.messages {
				t.Errorf("%d messages, want %d, each once", len(got), tt.messages)
			}
		})
	}
}
