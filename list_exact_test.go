package gmailgrant

import (
	"fmt"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

// The ways in which a call to Gmail can fail for as long as it is tried.
var lastingFailures = []struct {
	name   string
	fault  fakegoogle.Fault
	reason string
}{
	{"unavailable", fakegoogle.Fault{Status: 503}, "upstream_unavailable"},
	{"dropped", fakegoogle.Fault{Drop: true}, "upstream_unavailable"},
	{"cut", fakegoogle.Fault{Truncate: 100}, "upstream_unavailable"},
	{"throttled beyond the deadline", fakegoogle.Fault{Status: 429, Header: seconds(3600)}, "rate_limited"},
}

// TestNoIDIsLost makes each page fail in turn, for good.
func TestNoIDIsLost(t *testing.T) {
	const n, pages = 12_345, 25
	in := newInbox(t, n)
	want := in.ids(n)
	for k := range pages {
		f := lastingFailures[k%len(lastingFailures)]
		t.Run(fmt.Sprintf("page %d %s", k+1, f.name), func(t *testing.T) {
			fault := f.fault
			fault.Op, fault.After = "gmail.list", k
			remove := in.w.google.Inject(fault)
			a := in.get(everything)
			remove()
			wantEnd(t, a, f.reason)
			if got := len(a.delivered(t)); got != k*500 {
				t.Errorf("%d messages before the failure, want %d", got, k*500)
			}
			wantSame(t, in.rest(everything, a), want)
		})
	}
}

// TestEachPageFailsOnce and is asked for again; no caller notices.
func TestEachPageFailsOnce(t *testing.T) {
	const n, pages = 12_345, 25
	in := newInbox(t, n)
	want := in.ids(n)
	for k := range pages {
		f := lastingFailures[k%3].fault // the last would be beyond the deadline
		f.Op, f.After, f.Times = "gmail.list", 2*k, 1
		in.w.google.Inject(f)
	}
	wantSame(t, in.get(everything).messages(t), want)
	in.w.wantCalls(t, calls{"gmail.list": 2 * pages})
}

// TestNoDetailsAreLost makes each chunk fail in turn, in every way.
func TestNoDetailsAreLost(t *testing.T) {
	const n, chunk = 500, 25
	in := newInbox(t, n)
	want := in.ids(n)
	const query = everything + "&format=minimal&maxResults=500"
	for k := 0; k < n; k += chunk {
		for _, f := range lastingFailures {
			t.Run(fmt.Sprintf("chunk %d %s", k/chunk+1, f.name), func(t *testing.T) {
				fault := f.fault
				fault.Op, fault.Match = "gmail.batch", asksFor(want[k])
				remove := in.w.google.Inject(fault)
				a := in.get(query)
				remove()
				wantEnd(t, a, f.reason)
				if got := len(a.delivered(t)); got != k {
					t.Errorf("%d messages before the failure, want %d", got, k)
				}
				wantSame(t, in.rest(query, a), want)
			})
		}
	}
}

// TestFailuresThatPass makes each chunk fail once; no caller notices.
func TestFailuresThatPass(t *testing.T) {
	const n, chunk = 500, 25
	in := newInbox(t, n)
	want := in.ids(n)
	faults := []fakegoogle.Fault{
		{Op: "gmail.batch", Times: 1, Status: 429},
		{Op: "gmail.batch", Times: 1, Truncate: 4000},
		{Op: "gmail.batch.part", Times: 3, Status: 503},
		{Op: "gmail.batch.part", Times: 2, Drop: true},
	}
	for i := range n / chunk {
		fault := faults[i%len(faults)]
		fault.Match = asksFor(want[i*chunk])
		in.w.google.Inject(fault)
	}
	wantSame(t, in.get(everything+"&format=minimal&maxResults=500").messages(t), want)
}
