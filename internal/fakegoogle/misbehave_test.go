package fakegoogle_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

// mailOf is the IDs of a small mailbox and a token to get its messages with.
func mailOf(t *testing.T, s *fakegoogle.Server) (all []string, accessToken string) {
	t.Helper()
	all = ids(listAll(t, gmailService(t, s, small, readonly).Users.Messages.List("me")))
	return all, connect(t, s, small, readonly).AccessToken
}

func statusesOf(answers []batchAnswer) []int {
	got := make([]int, len(answers))
	for i, a := range answers {
		got[i] = a.status
	}
	return got
}

func TestRewrite(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all, tok := mailOf(t, s)
	other := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(all[0]), []byte(all[1])) }
	remove := s.Inject(fakegoogle.Fault{Op: "gmail.get", Rewrite: other})
	if got := rawGet(t, s, tok, "messages/"+all[0]+"?fields=id&prettyPrint=false"); got != `{"id":"`+all[1]+`"}` {
		t.Errorf("got %s", got)
	}
	remove()
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Times: 1, Rewrite: other})
	for i, a := range sendBatch(t, s, tok, all[0], all[2]) {
		if want := all[1+i]; a.status != http.StatusOK || !strings.Contains(a.body, want) {
			t.Errorf("part %d: %+v, want message %s", i, a, want)
		}
	}
}

func TestCopy(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all, tok := mailOf(t, s)
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Times: 1, Copy: func(b []byte) []byte {
		return bytes.Replace(b, []byte("200 OK"), []byte("503 Service Unavailable"), 1)
	}})
	answers := sendBatch(t, s, tok, all[0], all[1])
	if got := statusesOf(answers); !slices.Equal(got, []int{200, 503, 200}) || answers[0].contentID != answers[1].contentID {
		t.Errorf("answers %+v", answers)
	}
}

func TestHold(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all, tok := mailOf(t, s)
	s.Inject(fakegoogle.Fault{Op: "gmail.batch", Times: 1, Hold: func(*http.Request) { s.DeleteMessage(small.Sub, all[0]) }})
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", After: 1, Times: 1, Hold: func(*http.Request) { s.DeleteMessage(small.Sub, all[1]) }})
	if got := statusesOf(sendBatch(t, s, tok, all[:3]...)); !slices.Equal(got, []int{404, 404, 200}) {
		t.Errorf("statuses %v: what Hold does comes before the answer", got)
	}
}

func TestBatchLimit(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all, tok := mailOf(t, s)
	s.SetBatchLimit(3)
	inside := make(chan []int, 1)
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Times: 1, Hold: func(*http.Request) {
		inside <- statusesOf(sendBatch(t, s, tok, all[:2]...))
	}})
	if got := statusesOf(sendBatch(t, s, tok, all[:2]...)); !slices.Equal(got, []int{200, 200}) {
		t.Errorf("statuses %v, want both parts answered", got)
	}
	if got := <-inside; !slices.Equal(got, []int{200, 429}) {
		t.Errorf("beside two running parts: statuses %v, want one more part answered", got)
	}
	if got := statusesOf(sendBatch(t, s, tok, all[:5]...)); !slices.Equal(got, []int{200, 200, 200, 429, 429}) {
		t.Errorf("alone: statuses %v, want three parts answered", got)
	}
	s.SetBatchLimit(0)
	if got := statusesOf(sendBatch(t, s, tok, all[:5]...)); slices.Contains(got, 429) {
		t.Errorf("without a limit: statuses %v", got)
	}
}

func TestPadMessage(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, small, readonly)
	id := ids(listAll(t, g.Users.Messages.List("me")))[0]
	get := func() int64 {
		m, err := g.Users.Messages.Get("me", id).Format("full").Do()
		if err != nil {
			t.Fatal(err)
		}
		checkRaw(t, g, m)
		return m.SizeEstimate
	}
	before := get()
	const n = 100_000
	s.PadMessage(small.Sub, id, n)
	if after := get(); after < before+n {
		t.Errorf("%d bytes, was %d", after, before)
	}
}
