package gmailgrant

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

const ndjson = "application/x-ndjson"

// open begins a request and leaves the body to be read.
func (in *inbox) open(ctx context.Context, query, accept string) *http.Response {
	in.t.Helper()
	req := in.request(http.MethodGet, "/listmessages?"+query, "", http.Header{"Origin": {frontEnd}, "Accept": {accept}})
	resp, err := in.client.Do(req.WithContext(ctx))
	if err != nil {
		in.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != accept {
		in.t.Fatalf("%d with Content-Type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return resp
}

// readMessages reads until n messages have arrived.
func readMessages(body io.Reader, n int) error {
	var got []byte
	buf := make([]byte, 4096)
	for bytes.Count(got, threadID) < n {
		k, err := body.Read(buf)
		got = append(got, buf[:k]...)
		if err != nil {
			return fmt.Errorf("%d messages, then %w", bytes.Count(got, threadID), err)
		}
	}
	return nil
}

// threadID is what each message has once, in either form.
var threadID = []byte(`"threadId":`)

// TestFirstPageAtOnce: while the second list call of forty is not answered, the
// first page is.
func TestFirstPageAtOnce(t *testing.T) {
	for _, accept := range []string{"application/json", ndjson} {
		t.Run(accept, func(t *testing.T) {
			in := newInbox(t, 20_000)
			goOn := make(chan struct{})
			in.w.google.Inject(fakegoogle.Fault{Op: "gmail.list", After: 1, Hold: func(r *http.Request) { untilClosed(r, goOn) }})
			resp := in.open(t.Context(), everything, accept)
			defer resp.Body.Close()
			if err := readMessages(resp.Body, 500); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			rest, err := io.ReadAll(resp.Body)
			if got := bytes.Count(rest, threadID); err != nil || got != 19_500 {
				t.Errorf("%d messages follow, %v", got, err)
			}
			in.w.wantCalls(t, calls{"gmail.list": 40})
		})
	}
}

// TestLength: an answer that is complete at once says how long it is, so that one that
// is cut can be told; one that grows does not.
func TestLength(t *testing.T) {
	in := newInbox(t, 600)
	for query, want := range map[string]bool{
		everything + "&maxResults=500": true,
		everything:                     false,
		everything + "&format=minimal&maxResults=60": false,
		"q=subject:doesnotoccur":                     true,
	} {
		for _, accept := range []string{"application/json", ndjson} {
			resp := in.open(t.Context(), query, accept)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || (resp.ContentLength == int64(len(body))) != want {
				t.Errorf("%s as %s: %d bytes, Content-Length %d, %v", query, accept, len(body), resp.ContentLength, err)
			}
		}
	}
}

// TestFirstChunkAtOnce is the same for details.
func TestFirstChunkAtOnce(t *testing.T) {
	for _, accept := range []string{"application/json", ndjson} {
		t.Run(accept, func(t *testing.T) {
			in := newInbox(t, 100)
			all := in.ids(100)
			goOn := make(chan struct{})
			in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Match: asksFor(all[25]), Hold: func(r *http.Request) { untilClosed(r, goOn) }})
			resp := in.open(t.Context(), everything+"&format=minimal", accept)
			defer resp.Body.Close()
			if err := readMessages(resp.Body, 25); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			rest, err := io.ReadAll(resp.Body)
			if got := bytes.Count(rest, threadID); err != nil || got != 75 {
				t.Errorf("%d messages follow, %v", got, err)
			}
		})
	}
}

// TestClientLeaves: the calls in flight end, no further one is made, and
// nothing of the listing goes on running.
func TestClientLeaves(t *testing.T) {
	const n = 2000
	const metadata = everything + "&format=metadata&maxResults=2000"
	tests := []struct {
		name, query, op string
		read            int // messages read before
		passed, held    int // calls of op answered, and in flight when the client leaves
	}{
		{"IDs", everything, "gmail.list", 500, 1, 1},
		{"IDs, nothing yet", everything, "gmail.list", 0, 0, 1},
		{"details", metadata, "gmail.batch", 25, 1, 2},
		{"details, nothing yet", metadata, "gmail.batch", 0, 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := newInbox(t, n)
			beginning := in.beginning(tt.op, in.ids(n)[0])
			var arrived, ended sync.WaitGroup
			arrived.Add(tt.held)
			ended.Add(tt.held)
			in.w.google.Inject(fakegoogle.Fault{
				Op:    tt.op,
				Match: func(r *http.Request) bool { return tt.passed == 0 || !beginning(r) },
				Hold: func(r *http.Request) {
					arrived.Done() // panics if there are more
					<-r.Context().Done()
					ended.Done()
				},
			})
			ctx, leave := context.WithCancel(t.Context())
			read, left := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(left)
				in.readOn(ctx, tt.query, tt.read, read)
			}()
			<-read
			arrived.Wait()
			leave()
			<-left
			ended.Wait()
			in.w.running.Wait()
			if got, want := in.w.google.Calls(tt.op), tt.passed+tt.held; got != want {
				t.Errorf("%d calls of %s, want %d", got, tt.op, want)
			}
			if still := running("example.com/gmailgrant/listmessages."); still != "" {
				t.Errorf("still running:\n%s", still)
			}
		})
	}
}

// beginning matches the call that the first messages of the list come with.
func (in *inbox) beginning(op, first string) func(*http.Request) bool {
	if op == "gmail.batch" {
		return asksFor(first)
	}
	return func(r *http.Request) bool { return !r.URL.Query().Has("pageToken") }
}

// readOn lists until ctx ends. It closes read once so many messages arrived, or
// can't arrive any more.
func (in *inbox) readOn(ctx context.Context, query string, want int, read chan<- struct{}) {
	hasRead := sync.OnceFunc(func() { close(read) })
	defer hasRead()
	if want == 0 {
		hasRead()
	}
	req := in.request(http.MethodGet, "/listmessages?"+query, "", http.Header{"Origin": {frontEnd}})
	resp, err := in.client.Do(req.WithContext(ctx))
	if err == nil {
		defer resp.Body.Close()
		if err = readMessages(resp.Body, want); err == nil {
			hasRead()
			_, err = io.Copy(io.Discard, resp.Body)
		}
	}
	if !errors.Is(err, context.Canceled) {
		in.t.Errorf("the listing ended by itself: %v", err)
	}
}

// running are the stacks of goroutines that run code of a package.
func running(pkg string) string {
	buf := make([]byte, 1<<20)
	var found []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for line := range strings.Lines(stack) {
			if strings.HasPrefix(line, pkg) {
				found = append(found, stack)
				break
			}
		}
	}
	return strings.Join(found, "\n\n")
}

// An end is how an answer can end, and what makes it end so.
type end struct {
	reason string
	fault  fakegoogle.Fault
}

var ends = []end{
	{"", fakegoogle.Fault{Op: "none"}},
	{"upstream_unavailable", fakegoogle.Fault{Status: 503}},
	{"rate_limited", fakegoogle.Fault{Status: 429, Header: seconds(90)}},
	{"rate_limited", fakegoogle.Fault{Status: 403, Body: gmailError(403, "dailyLimitExceeded", "Daily Limit Exceeded")}},
	{"revoked", fakegoogle.Fault{Status: 401}},
	{"upstream_unavailable", fakegoogle.Fault{Status: 403, Body: gmailError(403, "domainPolicy", "…")}},
}

// TestEveryEnd reads both forms of every ending, of IDs and of details, as a
// strict client does.
func TestEveryEnd(t *testing.T) {
	const n = 1000
	in := newInbox(t, n)
	all := in.ids(n)
	for _, e := range ends {
		for query, op := range map[string]string{everything: "gmail.list", everything + "&format=minimal": "gmail.batch"} {
			for _, accept := range []string{"application/json", ndjson} {
				t.Run(strings.Join([]string{e.reason, op, accept, strconv.Itoa(e.fault.Status)}, " "), func(t *testing.T) {
					fault := e.fault
					if fault.Op == "" {
						fault.Op, fault.After = op, 1
					}
					if op == "gmail.batch" {
						fault.After, fault.Match = 0, asksFor(all[25])
					}
					remove := in.w.google.Inject(fault)
					resp := in.open(t.Context(), query, accept)
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					remove()
					if err != nil {
						t.Fatal(err)
					}
					l := parseList(t, accept, body)
					if got := l.reason(); got != e.reason {
						t.Errorf("incomplete %q, want %q", got, e.reason)
					}
					if l.Incomplete != nil && e.fault.Header != nil && l.Incomplete.RetryAfter != 90 {
						t.Errorf("retry_after %d, want 90", l.Incomplete.RetryAfter)
					}
					if got := l.ids(); len(got) == 0 || !slices.Equal(got, all[:len(got)]) {
						t.Errorf("%d messages, not those of the list", len(got))
					}
					if l.ResultSizeEstimate == 0 {
						t.Error("no resultSizeEstimate")
					}
				})
			}
		}
	}
}

func (l list) reason() string {
	if l.Incomplete == nil {
		return ""
	}
	return l.Incomplete.Reason
}

// parseList reads an answer of either form. A stream of lines must have a
// message on each but the last, which has no id.
func parseList(t *testing.T, form string, body []byte) (l list) {
	t.Helper()
	strict := func(data []byte, v any) {
		dec := json.NewDecoder(bytes.NewReader(data))
		if err := dec.Decode(v); err != nil || dec.More() {
			t.Fatalf("%v: not one JSON value: %.200q", err, data)
		}
	}
	if form != ndjson {
		strict(body, &l)
		return l
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		t.Fatalf("the last line does not end: %q", last)
	}
	lines = lines[:len(lines)-1]
	for i, line := range lines {
		var members map[string]json.RawMessage
		strict(line, &members)
		_, id := members["id"]
		if last := i == len(lines)-1; id == last {
			t.Fatalf("line %d of %d: %.200s", i+1, len(lines), line)
		}
	}
	strict(lines[len(lines)-1], &l)
	if len(l.Messages) > 0 {
		t.Fatalf("the last line has messages: %s", lines[len(lines)-1])
	}
	strict([]byte(`[`+string(bytes.Join(lines[:len(lines)-1], []byte(",")))+`]`), &l.Messages)
	return l
}

// TestNothingFound in both forms.
func TestNothingFound(t *testing.T) {
	in := newInbox(t, 40)
	for _, query := range []string{"q=subject:doesnotoccur", "q=subject:doesnotoccur&format=full"} {
		tests := map[string]string{
			"application/json": `{"messages":[],"resultSizeEstimate":0}` + "\n",
			ndjson:             `{"resultSizeEstimate":0}` + "\n",
		}
		for accept, want := range tests {
			resp := in.open(t.Context(), query, accept)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(body) != want {
				t.Errorf("%s as %s: %q, %v; want %q", query, accept, body, err, want)
			}
		}
	}
}

func TestNDJSONOnlyWhenAsked(t *testing.T) {
	in := newInbox(t, 40)
	for accept, want := range map[string]string{
		"":                       "application/json",
		"*/*":                    "application/json",
		"application/*":          "application/json",
		ndjson:                   ndjson,
		ndjson + ", */*;q=0.1":   ndjson,
		ndjson + ";q=0":          "application/json",
		"application/json, */*":  "application/json",
		"application/x-ndjson+x": "application/json",
	} {
		a := in.send(http.MethodGet, "/listmessages", http.Header{"Origin": {frontEnd}, "Accept": {accept}})
		if got := a.Header.Get("Content-Type"); got != want {
			t.Errorf("Accept %q: Content-Type %q, want %q", accept, got, want)
		}
	}
}

// A manualDeadline is a context whose deadline comes when the test says so.
type manualDeadline struct {
	context.Context
	at   time.Time
	done chan struct{}
}

func (c manualDeadline) Deadline() (time.Time, bool) { return c.at, true }
func (c manualDeadline) Done() <-chan struct{}       { return c.done }

func (c manualDeadline) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return c.Context.Err()
	}
}

// TestDeadline: the request's own deadline comes while details are on their
// way, at every chunk in turn.
func TestDeadline(t *testing.T) {
	const n = 250
	in := newInbox(t, n)
	all := in.ids(n)
	const query, chunk = everything + "&format=minimal&maxResults=250", 25
	for k := 2 * chunk; k < n; k += chunk {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			a := in.until(t, query, fakegoogle.Fault{Op: "gmail.batch", Match: asksFor(all[k])})
			wantEnd(t, a, "deadline")
			// The chunk before may have been on its way, too.
			if got := len(a.delivered(t)); got > k || got < k-chunk {
				t.Errorf("%d messages, want %d to %d", got, k-chunk, k)
			}
			wantSame(t, in.rest(query, a), all)
		})
	}
}

// until lists in a request whose deadline comes when the fault is met.
func (in *inbox) until(t *testing.T, query string, fault fakegoogle.Fault) *answer {
	t.Helper()
	done := make(chan struct{})
	var once sync.Once
	fault.Hold = func(r *http.Request) {
		once.Do(func() { close(done) })
		<-r.Context().Done()
	}
	defer in.w.google.Inject(fault)()
	platform := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx := manualDeadline{r.Context(), in.w.clock.Now().Add(time.Hour), done}
		in.w.ServeHTTP(rw, r.WithContext(ctx))
	}))
	defer platform.Close()
	header := http.Header{"Cookie": {"gmailgrant=" + in.cookie()}}
	return in.do(in.request(http.MethodGet, platform.URL+"/listmessages?"+query, "", header))
}

// TestLogLine: units and calls of a listing, as the operator sees them.
func TestLogLine(t *testing.T) {
	in := newInbox(t, 1200)
	tests := []struct {
		query        string
		units, calls float64
	}{
		{everything, 3 * 5, 3},
		{everything + "&maxResults=10", 5, 1},
		{everything + "&format=metadata&maxResults=250", 5 + 250*20, 11},
		{everything + "&format=minimal&maxResults=1200", 3*5 + 1200*20, 3 + 48},
	}
	for _, tt := range tests {
		in.get(tt.query).messages(t)
		line := in.w.lastLine(t)
		if line["quota_units"] != tt.units || line["upstream_calls"] != tt.calls || line["user"] != in.sub {
			t.Errorf("%s: %v", tt.query, line)
		}
	}
	all := in.ids(1200)
	in.get(idQuery("full", all[:7]...)).messages(t)
	if line := in.w.lastLine(t); line["quota_units"] != 7*20.0 {
		t.Errorf("seven by ID: %v", line)
	}
	remove := in.w.google.Inject(fakegoogle.Fault{Op: "gmail.list", After: 1, Status: 429})
	in.get(everything).list(t)
	remove()
	line := in.w.lastLine(t)
	if line["incomplete"] != "rate_limited" || line["quota_units"] != 6*5.0 || line["error"] == nil {
		t.Errorf("throttled: %v", line)
	}
}

// TestMemory: eighty callers list 20,000 IDs at once, in a process of its own.
func TestMemory(t *testing.T) {
	callers, n, most := 80, 20_000, 64<<10 // kB
	if raceDetector() {                    // its memory is not ours
		callers, most = 8, 1<<20
	}
	w := newWorld(t, 1, map[string]string{"LIST_DEADLINE": "10m"})
	w.clock.Advance(time.Since(epoch)) // the process has the real one
	in := w.openInbox(t, ada, n)
	address := startProcess(t, "listmessages", w.env, w.logs)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			req := in.request(http.MethodGet, address.String()+"/?"+everything, "", http.Header{"Cookie": {"gmailgrant=" + in.cookie()}})
			if got, err := countMessages(req); err != nil || got != n {
				t.Errorf("%d messages, %v", got, err)
			}
		})
	}
	group.Wait()
	peak := peakMemory(t, address.Port())
	t.Logf("peak memory with %d callers: %d kB", callers, peak)
	if peak > most {
		t.Errorf("peak memory %d kB, want %d at most", peak, most)
	}
}

// countMessages reads a list as it arrives, without keeping it.
func countMessages(req *http.Request) (n int, err error) {
	req.Header.Set("Accept", ndjson)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), threadID) {
			n++
		}
	}
	return n, lines.Err()
}

// peakMemory is what the process that serves at a port has had resident at
// most, in kB; 0 where that is not known.
func peakMemory(t *testing.T, port string) int {
	t.Helper()
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range environs {
		env, _ := os.ReadFile(name) // not every process lets us
		if !bytes.Contains(env, []byte(servePort+"="+port+"\x00")) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		kB, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return kB
	}
	if runtime.GOOS == "linux" {
		t.Fatal("the process is not found")
	}
	return 0
}

// raceDetector says whether memory is that of the race detector, too.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestPlatformDeadline: the platform cuts a request after
// CLOUD_RUN_TIMEOUT_SECONDS; the answer ends a margin before.
func TestPlatformDeadline(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"platform": {"CLOUD_RUN_TIMEOUT_SECONDS": "8", "LIST_DEADLINE": "1h"},
		"setting":  {"CLOUD_RUN_TIMEOUT_SECONDS": "3600", "LIST_DEADLINE": "7s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, settings)
			w.clock.Advance(time.Since(epoch))
			in := w.openInbox(t, ada, 1500)
			all := in.ids(1500)
			remove := w.google.Inject(fakegoogle.Fault{Op: "gmail.list", After: 2, Hold: func(r *http.Request) { <-r.Context().Done() }})
			address := startProcess(t, "listmessages", w.env, w.logs)
			a := in.do(in.request(http.MethodGet, address.String()+"/listmessages?"+everything, "", http.Header{"Cookie": {"gmailgrant=" + in.cookie()}}))
			remove()
			wantEnd(t, a, "deadline")
			if got := len(a.delivered(t)); got != 1000 {
				t.Errorf("%d messages before the deadline, want two pages", got)
			}
			wantSame(t, in.rest(everything, a), all)
		})
	}
}

// TestNoTimeLeft: a deadline that comes before anything could be delivered
// must not look like an empty list, whoever notices it first.
func TestNoTimeLeft(t *testing.T) {
	in := newInbox(t, 40)
	for range 10 {
		for _, query := range []string{everything, everything + "&format=minimal"} {
			in.until(t, query, fakegoogle.Fault{Op: "gmail.list"}).wantProblem(t, endpoint.UpstreamUnavailable)
		}
	}
}
