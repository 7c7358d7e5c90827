package gmailgrant

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// Whose fault it is that a message can't be had: its own, and the list goes on
// without it, or Gmail's, and the list waits.

const (
	minimal   = everything + "&format=minimal"
	oneByOne  = minimal + "&maxResults=1"
	batchPart = "gmail.batch.part"
)

// TestOutageIsNobodysFault: who lists message by message during an outage is
// told so, and loses none.
func TestOutageIsNobodysFault(t *testing.T) {
	in := newInbox(t, 5)
	cursor := in.get(oneByOne).list(t).NextPageToken
	for name, header := range map[string]http.Header{"for now": nil, "for an hour": seconds(3600)} {
		remove := in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Status: http.StatusServiceUnavailable, Header: header})
		in.get(oneByOne).wantProblem(t, endpoint.UpstreamUnavailable)
		a := in.get(next(oneByOne, cursor))
		a.wantProblem(t, endpoint.UpstreamUnavailable)
		if want := header.Get("Retry-After"); want != "" && a.Header.Get("Retry-After") != want {
			t.Errorf("%s: Retry-After %q", name, a.Header.Get("Retry-After"))
		}
		remove()
	}
	wantSame(t, in.rest(oneByOne, in.get(oneByOne)), in.ids(5))
}

// TestFirstMessageWaitsToo: Gmail's wish is handed on, and the message is asked
// for again by the next call.
func TestFirstMessageWaitsToo(t *testing.T) {
	in := newInbox(t, 5)
	all := in.ids(5)
	remove := in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor(all[0]), Status: http.StatusServiceUnavailable, Header: seconds(3600)})
	a := in.get(minimal)
	a.wantProblem(t, endpoint.UpstreamUnavailable)
	if a.Header.Get("Retry-After") != "3600" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	remove()
	wantSame(t, in.get(minimal).messages(t), all)
}

// TestLastMessagesFail: whoever fails with them, the list comes to its end.
func TestLastMessagesFail(t *testing.T) {
	tests := []struct {
		name             string
		messages, failed int
		query            string
	}{
		{"one", 26, 1, minimal},
		{"several", 27, 2, minimal},
		{"a whole chunk", 50, 25, minimal},
		{"more than a chunk", 60, 30, minimal},
		{"a page of them", 503, 3, minimal + "&maxResults=500"},
		{"one at a time", 4, 2, oneByOne},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := patientInbox(t, tt.messages)
			all := in.ids(tt.messages)
			bad := all[tt.messages-tt.failed:]
			in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Status: http.StatusInternalServerError, Match: func(r *http.Request) bool {
				return slices.ContainsFunc(bad, func(id string) bool { return asksFor(id)(r) })
			}})
			a := in.get(tt.query)
			var got []details
			for {
				got = append(got, a.details(t)...)
				l := a.list(t)
				if l.Incomplete != nil {
					t.Fatalf("incomplete: %+v", l.Incomplete)
				}
				if l.NextPageToken == "" {
					break
				}
				a = in.get(next(tt.query, l.NextPageToken))
			}
			if len(got) != len(all) {
				t.Errorf("%d messages, want %d", len(got), len(all))
			}
			wantSame(t, marked(got, func(d details) bool { return d.Unavailable }), bad)
		})
	}
}

// TestOneStrangeRefusal of a single message holds up nobody else's.
func TestOneStrangeRefusal(t *testing.T) {
	in := newInbox(t, 30)
	all := in.ids(30)
	defer in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor(all[3]), Status: http.StatusForbidden, Body: gmailError(403, "forbidden", "no")})()
	a := in.get(minimal)
	wantSame(t, a.messages(t), all)
	wantSame(t, marked(a.details(t), func(d details) bool { return d.Unavailable }), all[3:4])
	in.get(idQuery("minimal", all[3])).wantProblem(t, endpoint.Misconfigured)
}

// TestRefusedIDAnywhere: what is said of an ID that Gmail does not accept does
// not depend on its place.
func TestRefusedIDAnywhere(t *testing.T) {
	in := newInbox(t, 5)
	all := in.ids(5)
	defer in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor("zz"), Status: http.StatusBadRequest})()
	for _, ids := range [][]string{{"zz", all[0], all[1]}, {all[0], "zz", all[1]}, {all[0], all[1], "zz"}} {
		a := in.get(idQuery("minimal", ids...))
		wantSame(t, a.messages(t), ids)
		wantSame(t, marked(a.details(t), func(d details) bool { return d.Unavailable }), []string{"zz"})
	}
	in.get(idQuery("minimal", "zz")).wantProblem(t, endpoint.InvalidRequest)
}

// TestGoneButStillListed: Gmail's index may name a message for a while that is
// gone. The cursor moves past it all the same.
func TestGoneButStillListed(t *testing.T) {
	in := newInbox(t, 6)
	all := in.ids(6)
	throttle := in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor(all[1]), Status: http.StatusTooManyRequests, Header: seconds(3600)})
	cursor := in.get(minimal).list(t).NextPageToken // in the middle of a page
	throttle()
	for _, id := range all[1:3] {
		in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor(id), Status: http.StatusNotFound})
	}
	var got []string
	for range 5 {
		l := in.get(next(oneByOne, cursor)).list(t)
		got = append(got, l.ids()...)
		if cursor = l.NextPageToken; cursor == "" {
			break
		}
	}
	wantSame(t, got, all[3:])

	// And when the index has caught up in between.
	throttle = in.w.google.Inject(fakegoogle.Fault{Op: batchPart, Match: asksFor(all[3]), Status: http.StatusTooManyRequests, Header: seconds(3600)})
	cursor = in.get(minimal).list(t).NextPageToken
	throttle()
	in.w.google.DeleteMessage(in.sub, all[2])
	wantSame(t, in.get(next(minimal, cursor)).messages(t), all[3:])
}

// TestHalfClosedConnection: a client that has no more to send may still listen,
// and must not take a failure for an empty success.
func TestHalfClosedConnection(t *testing.T) {
	w, b := signedIn(t, ben)
	arrived := make(chan struct{})
	w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Status: http.StatusForbidden, Hold: func(r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /listmessages HTTP/1.1\r\nHost: localhost\r\nCookie: gmailgrant=%s\r\nConnection: close\r\n\r\n", b.cookie())
	<-arrived
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
}

// TestListsOtherwise: a list that Gmail writes in another way than usual is the same
// list, and one that can't be read is asked for again.
func TestListsOtherwise(t *testing.T) {
	in := patientInbox(t, 1100)
	all := in.ids(1100)
	ids := in.get(everything).body
	indent := func(b []byte) []byte {
		var out bytes.Buffer
		if err := json.Indent(&out, b, "", " "); err != nil {
			t.Error(err)
		}
		return out.Bytes()
	}
	tooLong := func(b []byte) []byte { return append(bytes.Repeat([]byte(" "), 1<<20), b...) }
	for name, tt := range map[string]struct {
		rewrite func([]byte) []byte
		times   int
	}{
		"pretty": {indent, 0},
		"escaped": {func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"threadId":"1`), []byte(`"threadId":"\u0031`))
		}, 0},
		"with null": {func(b []byte) []byte { return bytes.Replace(b, []byte(`[`), []byte(`[null,{},`), 1) }, 0},
		"cut":       {func(b []byte) []byte { return b[:len(b)/2] }, 2},
		"too long":  {tooLong, 2},
		"no JSON":   {func([]byte) []byte { return []byte("<html>") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			defer in.w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Rewrite: tt.rewrite, Times: tt.times})()
			if a := in.get(everything); !bytes.Equal(a.body, ids) {
				t.Errorf("%d messages: %.200s", len(a.messages(t)), a.body)
			}
			wantSame(t, in.get(minimal+"&maxResults=500").messages(t), all[:500])
		})
	}
	for _, rewrite := range []func([]byte) []byte{func([]byte) []byte { return nil }, tooLong} {
		remove := in.w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Rewrite: rewrite})
		in.get(everything).wantProblem(t, endpoint.UpstreamUnavailable)
		remove()
	}
}
