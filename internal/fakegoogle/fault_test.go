package fakegoogle_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// statuses makes n profile calls and returns how they were answered; 0 is a
// broken connection.
func statuses(t testing.TB, s *fakegoogle.Server, accessToken string, n int) []int {
	t.Helper()
	var got []int
	for range n {
		r, err := http.NewRequest(http.MethodGet, s.URL()+"/gmail/v1/users/me/profile", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+accessToken)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			got = append(got, 0)
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			got = append(got, -resp.StatusCode) // cut short
			continue
		}
		got = append(got, resp.StatusCode)
	}
	return got
}

func TestWhichCallsAFaultHits(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	tok := connect(t, s, small, readonly).AccessToken
	never := func(*http.Request) bool { return false }
	asHTTP1 := func(r *http.Request) bool { return r.ProtoMajor == 1 }
	tests := []struct {
		name   string
		faults []fakegoogle.Fault
		want   []int
	}{
		{"none", nil, []int{200, 200}},
		{"always", []fakegoogle.Fault{{Op: "gmail.profile", Status: 503}}, []int{503, 503}},
		{"every operation", []fakegoogle.Fault{{Status: 500}}, []int{500, 500}},
		{"another operation", []fakegoogle.Fault{{Op: "gmail.list", Status: 503}}, []int{200, 200}},
		{"after and times", []fakegoogle.Fault{{Op: "gmail.profile", After: 1, Times: 2, Status: 429}}, []int{200, 429, 429, 200}},
		{"one after the other", []fakegoogle.Fault{{Times: 1, Status: 500}, {Times: 1, Status: 429}}, []int{500, 429, 200}},
		{"drop", []fakegoogle.Fault{{Op: "gmail.profile", Times: 1, Drop: true}}, []int{0, 200}},
		{"truncate", []fakegoogle.Fault{{Op: "gmail.profile", Times: 1, Truncate: 5}}, []int{-200, 200}},
		{"match", []fakegoogle.Fault{{Match: asHTTP1, Status: 500}}, []int{500}},
		{"no match", []fakegoogle.Fault{{Match: never, Status: 500}}, []int{200}},
		{"nothing to do", []fakegoogle.Fault{{Op: "gmail.profile"}}, []int{200}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.ResetCalls()
			for _, f := range tt.faults {
				remove := s.Inject(f)
				defer remove()
			}
			if got := statuses(t, s, tok, len(tt.want)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := s.Calls("gmail.profile"); got != len(tt.want) {
				t.Errorf("counted %d calls, want %d", got, len(tt.want))
			}
		})
	}
	if got := statuses(t, s, tok, 1); got[0] != 200 {
		t.Error("a removed fault still hits")
	}
}

func TestFaultAnswer(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	g := gmailService(t, s, small, readonly)
	remove := s.Inject(fakegoogle.Fault{Op: "gmail.labels", Status: 429, Header: http.Header{"Retry-After": {"7"}}})
	_, err := g.Users.Labels.List("me").Do()
	wantError(t, err, 429, "rateLimitExceeded")
	var e *googleapi.Error
	if errors.As(err, &e) && e.Header.Get("Retry-After") != "7" {
		t.Errorf("header %v", e.Header)
	}
	remove()
	defer s.Inject(fakegoogle.Fault{Op: "token.refresh", Status: 503, Body: "down for lunch"})()
	tok := connect(t, s, large, readonly) // an exchange, which the fault is not for
	_, err = refresh(t, s, tok.RefreshToken)
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) || string(retrieve.Body) != "down for lunch" {
		t.Errorf("refresh: %v", err)
	}
}

func TestTokenCallsAreCountedOnce(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	tok := connect(t, s, small, readonly)
	if _, err := refresh(t, s, tok.RefreshToken); err != nil {
		t.Fatal(err)
	}
	for op, want := range map[string]int{"token.code": 1, "token.refresh": 1, "auth": 2, "revoke": 0} {
		if got := s.Calls(op); got != want {
			t.Errorf("%s: %d calls, want %d", op, got, want)
		}
	}
}

// TestDelayEndsWhenTheCallerLeaves would hang until the test binary's deadline
// if the delay did not end.
func TestDelayEndsWhenTheCallerLeaves(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	left := make(chan struct{})
	arrived := make(chan struct{})
	s.Inject(fakegoogle.Fault{Op: "revoke", Delay: time.Hour, Match: func(r *http.Request) bool {
		context.AfterFunc(r.Context(), func() { close(left) })
		close(arrived)
		return true
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/revoke", strings.NewReader("token=unknown-token"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-left
}

func TestGRPCFaults(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	ctx, c := firestoreClient(t, s.Addr(), "")
	doc := c.Doc("grants/1")
	s.Inject(fakegoogle.Fault{Op: "firestore.write", Times: 1, Code: codes.PermissionDenied})
	_, err := doc.Set(ctx, map[string]any{"a": 1})
	wantCode(t, "first write", err, codes.PermissionDenied)
	if len(s.Documents()) != 0 {
		t.Error("the refused write happened")
	}
	_, err = doc.Set(ctx, map[string]any{"a": 1})
	wantCode(t, "second write", err, codes.OK)
	s.Inject(fakegoogle.Fault{Op: "firestore.get", Times: 1, Drop: true})
	if _, err := doc.Get(ctx); err != nil {
		t.Errorf("get: %v: the client tries again after UNAVAILABLE", err)
	}
	if got := s.Calls("firestore.get"); got != 2 {
		t.Errorf("%d gets, want 2", got)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	s.Inject(fakegoogle.Fault{Op: "firestore.query", Delay: time.Hour})
	if _, err := c.Collection("grants").Documents(short).GetAll(); !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("delayed query: %v", err)
	}
	s.AddSecretVersion("key", []byte("payload"))
	s.Inject(fakegoogle.Fault{Op: "secretmanager.access", Code: codes.NotFound})
	_, err = accessSecret(t, s, "key", "latest")
	wantCode(t, "secret", err, codes.NotFound)
}

// batchAnswer is the response to one part.
type batchAnswer struct {
	contentID string
	status    int
	body      string
}

// sendBatch gets messages by ID in one batch.
func sendBatch(t testing.TB, s *fakegoogle.Server, accessToken string, ids ...string) []batchAnswer {
	t.Helper()
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	for i, id := range ids {
		p, err := mw.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-ID": {fmt.Sprintf("<item-%d>", i)}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(p, "GET /gmail/v1/users/me/messages/%s?format=minimal&fields=id HTTP/1.1\r\n\r\n", id)
	}
	mw.Close()
	r, err := http.NewRequest(http.MethodPost, s.URL()+"/batch/gmail/v1", &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Content-Type", "multipart/mixed; boundary="+mw.Boundary())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return readBatch(t, resp)
}

func readBatch(t testing.TB, resp *http.Response) []batchAnswer {
	t.Helper()
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	var answers []batchAnswer
	for mr := multipart.NewReader(resp.Body, params["boundary"]); ; {
		p, err := mr.NextPart()
		if err == io.EOF {
			return answers
		}
		if err != nil {
			t.Fatal(err)
		}
		inner, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(inner.Body)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, batchAnswer{p.Header.Get("Content-ID"), inner.StatusCode, string(b)})
	}
}

func TestBatch(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all := ids(listAll(t, gmailService(t, s, large, readonly).Users.Messages.List("me").MaxResults(50)))[:50]
	tok := connect(t, s, large, readonly).AccessToken
	if tok == "" {
		t.Fatal("no token")
	}
	s.DeleteMessage(large.Sub, all[3])
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", After: 5, Times: 1, Status: 429})
	s.ResetCalls()
	answers := sendBatch(t, s, tok, all...)
	if len(answers) != len(all) {
		t.Fatalf("%d answers to %d calls", len(answers), len(all))
	}
	for i, a := range answers {
		want := map[int]int{3: 404, 5: 429}[i]
		if want == 0 {
			want = 200
		}
		if a.contentID != fmt.Sprintf("<response-item-%d>", i) || a.status != want || want == 200 && !strings.Contains(a.body, all[i]) {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
	if got := []int{s.Calls("gmail.batch"), s.Calls("gmail.batch.part"), s.Calls("gmail.get")}; !slices.Equal(got, []int{1, len(all), 0}) {
		t.Errorf("calls of batch, part, get: %v", got)
	}
}

func TestBatchShuffled(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	all := ids(listAll(t, gmailService(t, s, small, readonly).Users.Messages.List("me")))
	tok := connect(t, s, small, readonly).AccessToken
	s.SetBatchShuffle(true)
	s.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Times: 1, Drop: true})
	answers := sendBatch(t, s, tok, all...)
	if len(answers) != len(all)-1 {
		t.Fatalf("%d answers to %d calls, one of them dropped", len(answers), len(all))
	}
	inOrder := true
	for i, a := range answers {
		var n int
		if _, err := fmt.Sscanf(a.contentID, "<response-item-%d>", &n); err != nil {
			t.Fatal(err)
		}
		if a.status != 200 || !strings.Contains(a.body, all[n]) {
			t.Errorf("answer %+v is not that of call %d", a, n)
		}
		inOrder = inOrder && n == i+1
	}
	if inOrder {
		t.Error("the answers come in order")
	}
}

func TestBatchPartsNeedAToken(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	for _, a := range sendBatch(t, s, "ya29.unknown", "0123456789abcdef") {
		if a.status != http.StatusUnauthorized {
			t.Errorf("status %d", a.status)
		}
	}
}
