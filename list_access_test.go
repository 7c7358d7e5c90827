package gmailgrant

import (
	"net/http"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// TestTokenRefusedInParts: 401 in the parts of both batches that are in flight
// costs one refresh.
func TestTokenRefusedInParts(t *testing.T) {
	const n = 100
	in := newInbox(t, n)
	all := in.ids(n)
	both := &meeting{size: 2}
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Times: 2, Hold: func(r *http.Request) {
		both.join(r)
		in.w.google.ExpireAccessTokens(in.sub)
	}})
	wantSame(t, in.get(everything+"&format=minimal").messages(t), all)
	in.w.wantCalls(t, calls{
		"gmail.list": 1, "gmail.batch": 6, "gmail.batch.part": n + 50,
		"firestore.get": 1, "token.refresh": 1, "firestore.write": 1,
	})
}

// TestTokenRefusedElsewhere: another instance has refreshed; reading the grant
// again is enough.
func TestTokenRefusedElsewhere(t *testing.T) {
	w := newWorld(t, 2, nil)
	in := w.openInbox(t, ada, 30)
	for i := range 2 { // both know the token
		w.answerFrom(i)
		in.get("format=minimal").wantStatus(t, http.StatusOK)
	}
	w.google.ExpireAccessTokens(in.sub)
	in.get("format=minimal").wantStatus(t, http.StatusOK)
	w.answerFrom(0)
	w.google.ResetCalls()
	in.get("format=minimal&maxResults=1").wantStatus(t, http.StatusOK)
	w.wantCalls(t, calls{"gmail.list": 2, "gmail.batch": 1, "gmail.batch.part": 1, "firestore.get": 1})
}

// TestRevokedInDetails: the user withdraws while details arrive.
func TestRevokedInDetails(t *testing.T) {
	const n = 100
	in := newInbox(t, n)
	all := in.ids(n)
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Match: asksFor(all[75]), Hold: func(*http.Request) { in.w.google.RevokeAccess(in.sub) }})
	a := in.get(everything + "&format=minimal")
	wantEnd(t, a, "revoked")
	if got := len(a.delivered(t)); got > 75 || got < 50 { // the chunk before may be on its way, too
		t.Errorf("%d messages", got)
	}
	in.w.wantNothingStored(t)
	in.get(everything).wantProblem(t, endpoint.NotConnected)
}

// TestBatchRefused: what Gmail says to the first batch as a whole, or to a part
// of it, becomes a problem, at once where waiting would not help.
func TestBatchRefused(t *testing.T) {
	tests := []struct {
		name   string
		fault  fakegoogle.Fault
		reason endpoint.Reason
		calls  int
	}{
		{"domainPolicy", googleError(403, "domainPolicy"), endpoint.DomainPolicy, 1},
		{"accessNotConfigured", googleError(403, "accessNotConfigured"), endpoint.GmailDisabled, 1},
		{"insufficientPermissions", googleError(403, "insufficientPermissions"), endpoint.MissingScope, 1},
		{"dailyLimitExceeded", googleError(403, "dailyLimitExceeded"), endpoint.RateLimited, 1},
		{"beyond the deadline", fakegoogle.Fault{Status: 429, Header: seconds(20)}, endpoint.RateLimited, 1},
		{"429", fakegoogle.Fault{Status: 429}, endpoint.RateLimited, 5},
		{"503", fakegoogle.Fault{Status: 503}, endpoint.UpstreamUnavailable, 5},
		{"401", fakegoogle.Fault{Status: 401}, endpoint.Revoked, 2},
	}
	for _, op := range []string{"gmail.batch", "gmail.batch.part"} {
		for _, tt := range tests {
			t.Run(op+" "+tt.name, func(t *testing.T) {
				in := newInbox(t, 5)
				tt.fault.Op = op
				in.w.google.Inject(tt.fault)
				in.get(everything+"&format=minimal").wantProblem(t, tt.reason)
				if got := in.w.google.Calls("gmail.batch"); got != tt.calls {
					t.Errorf("%d batches, want %d", got, tt.calls)
				}
			})
		}
	}
}

// TestWaitAsGmailAsks: for the batch as a whole, and for parts that ask for
// different times.
func TestWaitAsGmailAsks(t *testing.T) {
	const n = 60
	in := newInbox(t, n)
	all := in.ids(n)
	tests := []struct {
		name   string
		faults []fakegoogle.Fault
		want   time.Duration
	}{
		{"batch", []fakegoogle.Fault{{Op: "gmail.batch", Status: 429, Header: seconds(7)}}, 7 * time.Second},
		{"unavailable", []fakegoogle.Fault{{Op: "gmail.batch", Status: 503, Header: seconds(5)}}, 5 * time.Second},
		{"part", []fakegoogle.Fault{{Op: "gmail.batch.part", Status: 429, Header: seconds(6)}}, 6 * time.Second},
		{"two parts", []fakegoogle.Fault{
			{Op: "gmail.batch.part", Status: 429, Header: seconds(3)},
			{Op: "gmail.batch.part", Status: 429, Header: seconds(9)},
		}, 9 * time.Second},
		{"list", []fakegoogle.Fault{{Op: "gmail.list", Status: 403, Header: seconds(4), Body: gmailError(403, "userRateLimitExceeded", "slow down")}}, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, f := range tt.faults {
				f.Times = 1
				if f.Op != "gmail.list" {
					f.Match = asksFor(all[i])
				}
				defer in.w.google.Inject(f)()
			}
			waited := in.w.waited(func() { wantSame(t, in.get(everything+"&format=minimal").messages(t), all) })
			if waited != tt.want {
				t.Errorf("waited %s, want %s", waited, tt.want)
			}
		})
	}
}

// TestProgressResets: of a chunk that arrives message by message, each is a
// reason to go on.
func TestProgressResets(t *testing.T) {
	const n = 25
	in := newInbox(t, n)
	all := in.ids(n)
	for i := range 20 { // each call, one message less is refused
		in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Times: 1 + i/2, Match: asksFor(all[i]), Status: 503})
	}
	a := in.get(everything + "&format=metadata")
	wantSame(t, a.messages(t), all)
	wantSame(t, marked(a.details(t), func(d details) bool { return d.Unavailable }), nil)
}

// TestFailureEndsCallsInFlight: a chunk fails for good while the next one is on
// its way. Its call is cut; the answer does not wait for it.
func TestFailureEndsCallsInFlight(t *testing.T) {
	const n = 100
	in := newInbox(t, n)
	all := in.ids(n)
	second := make(chan struct{})
	in.w.google.Inject(fakegoogle.Fault{Op: "gmail.batch", Match: asksFor(all[25]), Hold: func(r *http.Request) {
		close(second) // panics the second time
		<-r.Context().Done()
	}})
	fault := googleError(403, "dailyLimitExceeded")
	fault.Op, fault.Hold = "gmail.batch", func(r *http.Request) { untilClosed(r, second) }
	in.w.google.Inject(fault)
	in.get(everything+"&format=minimal").wantProblem(t, endpoint.RateLimited)
	if got := in.w.google.Calls("gmail.batch"); got != 2 {
		t.Errorf("%d batches, want no third one", got)
	}
}
