package gmailgrant

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// What may be answered while something that is needed misbehaves.
var duringFaults = []endpoint.Reason{endpoint.UpstreamUnavailable, endpoint.RateLimited, endpoint.Misconfigured, endpoint.DomainPolicy}

// TestFaults: each thing that is needed, misbehaving in each way, at the start
// of an instance and in the middle. Every answer is the contract's and comes
// while the client still waits; when the fault is over the next request works,
// so nothing wrong was remembered.
func TestFaults(t *testing.T) {
	t.Parallel()
	ops := []string{"secretmanager.access", "firestore.get", "firestore.write", "token.code", "token.refresh", "gmail.list", "gmail.batch"}
	faults := map[string]fakegoogle.Fault{
		"down":      {Drop: true},
		"failing":   {Status: http.StatusInternalServerError, Code: codes.Internal},
		"throttled": {Status: http.StatusTooManyRequests, Code: codes.ResourceExhausted},
		"slow":      {Delay: 700 * time.Millisecond},
		"hanging":   {Delay: time.Minute},
		"flapping":  {Drop: true, After: 1, Times: 1},
	}
	var group errgroup.Group
	group.SetLimit(24) // most of their time is waiting
	defer group.Wait()
	for _, op := range ops {
		for name, fault := range faults {
			fault.Op = op
			for start, cold := range map[string]bool{"cold": true, "warm": false} {
				group.Go(func() error {
					t.Run(op+" "+name+" "+start, func(t *testing.T) {
						meetFault(t, fault, cold)
					})
					return nil
				})
			}
		}
	}
}

func meetFault(t *testing.T, fault fakegoogle.Fault, cold bool) {
	w := newWorld(t, 1, map[string]string{"LIST_DEADLINE": "8s"})
	b := w.newBrowser(t)
	b.client.Timeout = time.Minute // longer than any function takes
	b.signIn(choice{account: ben.Sub})
	mail := b.fetch(http.MethodGet, "/listmessages").messages(t)
	w.clock.Advance(61 * time.Minute) // what is remembered is too old, the access token as well
	if cold {
		w.restart(nil)
	}
	remove := w.google.Inject(fault)
	for _, address := range []string{"/listmessages", "/listmessages?format=minimal", "/callback"} {
		wantAnswerDuring(t, b.fetch(http.MethodGet, address))
	}
	if a := b.navigate("/authurl"); a.StatusCode == http.StatusFound {
		if end, last := b.follow(a, choice{}); end == nil || !wantEndDuring(end.Query().Get("error")) {
			t.Errorf("a sign-in ended at %v, %d %s", end, last.StatusCode, last.body)
		}
	} else if a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("authurl: %d %s", a.StatusCode, a.body)
	}
	remove()
	if got := b.fetch(http.MethodGet, "/listmessages").messages(t); !slices.Equal(got, mail) {
		t.Errorf("%d messages after the fault, want %d", len(got), len(mail))
	}
	b.fetch(http.MethodGet, "/listmessages?format=minimal").wantStatus(t, http.StatusOK)
	b.fetch(http.MethodGet, "/callback").wantStatus(t, http.StatusOK)
	b.signIn(choice{})
}

func wantAnswerDuring(t *testing.T, a *answer) {
	t.Helper()
	if a.StatusCode == http.StatusOK {
		if l := a.list(t); l.Incomplete != nil && l.Incomplete.Reason == "" {
			t.Errorf("%s", a.body)
		}
		return
	}
	var p struct{ Reason endpoint.Reason }
	a.decode(t, &p)
	if !slices.Contains(duringFaults, p.Reason) {
		t.Errorf("%s", a.body)
	}
	a.wantProblem(t, p.Reason)
}

func wantEndDuring(reason string) bool {
	return reason == "" || slices.Contains(duringFaults, endpoint.Reason(reason))
}
