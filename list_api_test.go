package gmailgrant

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/listmessages"
	"example.com/gmailgrant/tokenstore"
)

// The package, as the next function uses it.

// listing is what an iteration brought in all.
type listing struct {
	messages int
	next     string
	err      error
}

func drain(seq iter.Seq2[listmessages.Part, error]) (l listing) {
	for part, err := range seq {
		l.messages += len(part.Messages)
		l.next, l.err = part.NextPageToken, err
	}
	return l
}

// benOf is a world where Ben has 40 messages and has signed in, and how to list
// them without a session.
func benOf(t *testing.T) (w *world, list func(listmessages.Query, listmessages.Limits) iter.Seq2[listmessages.Part, error]) {
	t.Helper()
	w = newWorld(t, 1, nil)
	w.google.SetMessages(ben.Sub, 40)
	w.newBrowser(t).signIn(choice{account: ben.Sub})
	return w, func(q listmessages.Query, limits listmessages.Limits) iter.Seq2[listmessages.Part, error] {
		return w.instance().lister.List(t.Context(), ben.Sub, tokenstore.AnyGrant, q, limits)
	}
}

func TestListWithinBytes(t *testing.T) {
	_, list := benOf(t)
	whole := drain(list(listmessages.Query{Format: listmessages.Minimal}, listmessages.Limits{}))
	if whole.err != nil || whole.next != "" {
		t.Fatalf("%+v", whole)
	}
	got := drain(list(listmessages.Query{Format: listmessages.Minimal}, listmessages.Limits{Bytes: 2000}))
	if !errors.Is(got.err, listmessages.ErrBytes) || got.messages == 0 || got.messages >= whole.messages {
		t.Errorf("%+v", got)
	}
	rest := drain(list(listmessages.Query{Format: listmessages.Minimal, PageToken: got.next}, listmessages.Limits{}))
	if rest.err != nil || got.messages+rest.messages != whole.messages {
		t.Errorf("%d and %d messages of %d, %v", got.messages, rest.messages, whole.messages, rest.err)
	}
}

func TestListPastItsDeadline(t *testing.T) {
	w, list := benOf(t)
	past := listmessages.Limits{Deadline: w.clock.Now().Add(-time.Second)}
	if got := drain(list(listmessages.Query{MaxResults: 5}, past)); got.messages != 0 || !errors.Is(got.err, listmessages.ErrDeadline) {
		t.Errorf("%+v", got)
	}
	w.restart(nil) // the token is not at hand
	if got := drain(list(listmessages.Query{MaxResults: 5}, past)); got.messages != 0 || !errors.Is(got.err, listmessages.ErrDeadline) {
		t.Errorf("with no token: %+v", got)
	}
}

// TestListTwice: an iterator can be ranged over again, with time of its own.
func TestListTwice(t *testing.T) {
	w, list := benOf(t)
	seq := list(listmessages.Query{}, listmessages.Limits{})
	first := drain(seq)
	w.clock.Advance(30 * time.Second)
	if again := drain(seq); first.err != nil || again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// TestListFailsAtOnce: the place where it was to go on is not lost.
func TestListFailsAtOnce(t *testing.T) {
	w, list := benOf(t)
	five := drain(list(listmessages.Query{MaxResults: 5}, listmessages.Limits{}))
	w.clock.Advance(2 * time.Hour)
	remove := w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Status: http.StatusServiceUnavailable})
	got := drain(list(listmessages.Query{PageToken: five.next}, listmessages.Limits{}))
	remove()
	if !errors.Is(got.err, tokenstore.ErrUnavailable) || got.next != five.next {
		t.Errorf("%+v, want to go on at %q", got, five.next)
	}
}

// TestListRefusesQueries that GET listmessages refuses, before anything is asked of Gmail.
func TestListRefusesQueries(t *testing.T) {
	w, list := benOf(t)
	w.google.ResetCalls()
	for name, q := range map[string]listmessages.Query{
		"IDs without a format":   {IDs: []string{"a"}},
		"IDs beside a search":    {IDs: []string{"a"}, Format: listmessages.Minimal, Q: "b"},
		"an ID twice":            {IDs: []string{"a", "a"}, Format: listmessages.Minimal},
		"an ID that is a path":   {IDs: []string{".."}, Format: listmessages.Minimal},
		"an unknown format":      {Format: "everything"},
		"a raw list":             {Format: listmessages.Raw},
		"a negative number":      {MaxResults: -1},
		"a label that is none":   {LabelIDs: []string{"a&b"}},
		"a header that is none":  {Format: listmessages.Metadata, MetadataHeaders: []string{"a: b"}},
		"a search of many lines": {Q: "a\nb"},
		"a cursor that is none":  {PageToken: "12345"},
	} {
		if got := drain(list(q, listmessages.Limits{})); endpoint.AsProblem(got.err).Reason != endpoint.InvalidRequest {
			t.Errorf("%s: %+v", name, got)
		}
	}
	w.wantCalls(t, nil)
}

// TestClientLeavesDuringRefresh: once the handler has ended the CPU stops, so a new
// token is stored by then.
func TestClientLeavesDuringRefresh(t *testing.T) {
	w, b := signedIn(t, ben)
	w.clock.Advance(2 * time.Hour)
	before := w.grant(ben.Sub)["sealed"]
	ctx, leave := context.WithCancel(t.Context())
	w.google.Inject(fakegoogle.Fault{Op: "token.refresh", Delay: 300 * time.Millisecond, Match: func(*http.Request) bool {
		leave()
		return true
	}})
	r := b.request(http.MethodGet, "/listmessages", "", http.Header{"Origin": {frontEnd}, "Sec-Fetch-Site": {"same-site"}})
	if _, err := b.try(r.WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	w.running.Wait()
	if w.grant(ben.Sub)["sealed"] == before {
		t.Error("the handler ended before the new token was stored")
	}
}

// TestRefreshIsStored when the answer ends, of a list and of a call.
func TestRefreshIsStored(t *testing.T) {
	w := labelsWorld(t, 1)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	for _, address := range []string{"/listmessages", "/listmessages?format=minimal", "/labels"} {
		w.clock.Advance(2 * time.Hour)
		before := w.grant(ben.Sub)["sealed"]
		remove := w.google.Inject(fakegoogle.Fault{Op: "firestore.write", Delay: 300 * time.Millisecond})
		b.fetch(http.MethodGet, address).wantStatus(t, http.StatusOK)
		remove()
		if w.grant(ben.Sub)["sealed"] == before {
			t.Errorf("%s was answered before the new token was stored", address)
		}
	}
}
