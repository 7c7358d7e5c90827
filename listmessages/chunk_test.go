package listmessages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/tokenstore"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// batchesOf answers batches: each message by its ID.
func batchesOf(give func(id string) string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		var parts []fakePart
		for i, line := range strings.Split(string(body), "GET /gmail/v1/users/me/messages/")[1:] {
			id, _, _ := strings.Cut(line, "?")
			parts = append(parts, fakePart{fmt.Sprintf("<response-%d>", i), give(id)})
		}
		contentType, answer := batchAnswer(parts...)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(answer)), Request: r}, nil
	}
}

// TestChunkIsBounded: while its first message is asked for again and again, what
// arrived of the others is no more than an answer can hold.
func TestChunkIsBounded(t *testing.T) {
	const n, most = 25, 10_000
	padding := strings.Repeat("x", most*2/5)
	for name, bad := range map[string]string{"the first never comes": "m00", "all come": ""} {
		client := &http.Client{Transport: batchesOf(func(id string) string {
			if id == bad {
				return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
			}
			return ok(fmt.Sprintf(`{"id":%q,"raw":%q}`, id, padding))
		})}
		l, err := NewLister(nil, client, "http://localhost:1/", nil, time.Minute, Clock{Sleep: func(context.Context, time.Duration) {}})
		if err != nil {
			t.Fatal(err)
		}
		a := &access{lister: l, deadline: time.Now().Add(time.Hour), token: &tokenstore.Token{AccessToken: "x"}}
		d := newDetails(l, a, Query{Format: Full}, cursor{}, most+1, nil)
		c := &chunk{results: make([]result, n), done: make(chan struct{})}
		for i := range n {
			c.entries = append(c.entries, entry{id: fmt.Sprintf("m%02d", i)})
		}
		d.fill(t.Context(), c)
		held := 0
		for _, r := range c.results {
			held += len(r.message)
		}
		if held > most || held == 0 || len(c.results) == n {
			t.Errorf("%s: %d bytes in %d results, for an answer of %d", name, held, len(c.results), most)
		}
		if missing := c.results[0].failure != nil; missing != (bad != "") {
			t.Errorf("%s: the first is missing: %t", name, missing)
		}
	}
}

// TestErrorsAreBounded: no more of an error is read than it takes to classify it.
func TestErrorsAreBounded(t *testing.T) {
	read := &counter{}
	d := &details{lister: &Lister{}, maxMessage: 1000}
	d.readPart(io.MultiReader(strings.NewReader("HTTP/1.1 500 Internal Server Error\r\n\r\n"), io.LimitReader(read, 10<<20)), "id")
	if read.n == 0 || read.n > 4*maxErrorBytes {
		t.Errorf("%d bytes of an error were read", read.n)
	}
}

// counter counts what is read of it.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}
