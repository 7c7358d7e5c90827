package listmessages

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// parts reads a batch as Gmail does: the request in each part.
func parts(t *testing.T, body []byte, contentType string) []*http.Request {
	t.Helper()
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/mixed" {
		t.Fatalf("Content-Type %q: %v", contentType, err)
	}
	var requests []*http.Request
	for reader := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return requests
		}
		if err != nil {
			t.Fatal(err)
		}
		if id := part.Header.Get("Content-Id"); id != fmt.Sprintf("<%d>", len(requests)) || len(part.Header) != 2 {
			t.Fatalf("part %d: headers %v", len(requests), part.Header)
		}
		requests = append(requests, onlyRequest(t, part))
	}
}

// onlyRequest reads a request with neither headers nor a body, and nothing
// after it.
func onlyRequest(t *testing.T, part io.Reader) *http.Request {
	t.Helper()
	text, err := io.ReadAll(part)
	if err != nil {
		t.Fatal(err)
	}
	line, rest, _ := strings.Cut(string(text), "\r\n")
	if rest != "\r\n" || strings.ContainsAny(line, "\r\n") || strings.Count(line, " ") != 2 {
		t.Fatalf("part %q is more than a request line", text)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatalf("part %q: %v", text, err)
	}
	return req
}

// checkBatch makes a batch and expects exactly the gets that were meant.
func checkBatch(t *testing.T, ids []string, q Query) {
	t.Helper()
	body, contentType, err := batchBody(ids, getQuery(q))
	if err != nil {
		t.Fatal(err)
	}
	requests := parts(t, body, contentType)
	if len(requests) != len(ids) {
		t.Fatalf("%d parts for %d messages", len(requests), len(ids))
	}
	for i, r := range requests {
		if want := "/gmail/v1/users/me/messages/" + ids[i]; r.Method != http.MethodGet || r.URL.Path != want || len(strings.Split(r.URL.EscapedPath(), "/")) != 7 {
			t.Errorf("part %d: %s %q, want GET %q", i, r.Method, r.URL.Path, want)
		}
		if got := r.URL.Query()["metadataHeaders"]; !slices.Equal(got, q.MetadataHeaders) {
			t.Errorf("part %d: metadataHeaders %q, want %q", i, got, q.MetadataHeaders)
		}
		if got := r.URL.Query()["format"]; !slices.Equal(got, []string{q.Format}) {
			t.Errorf("part %d: format %q", i, got)
		}
	}
}

func TestBatchBody(t *testing.T) {
	const smuggled = " HTTP/1.1\r\n\r\n--b\r\nContent-Type: application/http\r\n\r\nDELETE /gmail/v1/users/me/messages/1"
	for _, s := range []string{"18c0", smuggled, "a/../b", "?x=1", "#", "%2F", "%0d%0a", "a&format=raw", " ", "é🙂", "\x00\xff", "\r", "\n", "--"} {
		checkBatch(t, []string{"1", s, "2"}, Query{Format: Metadata, MetadataHeaders: []string{"Subject", s}})
	}
}

// FuzzBatchBody: nothing that a caller could send ends a part or begins
// another, even past the grammar of the parameters.
func FuzzBatchBody(f *testing.F) {
	f.Add("18c0", "Subject", "minimal")
	f.Add("1 HTTP/1.1\r\nHost: x\r\n\r\n", "a\r\n--", "full&fields=*")
	f.Add("../../labels?", "X-\x00#%", "metadata HTTP/1.1")
	f.Fuzz(func(t *testing.T, id, header, format string) {
		if id == "" { // which no listing has, and no caller may send
			return
		}
		checkBatch(t, []string{id, "1"}, Query{Format: Metadata, MetadataHeaders: []string{header, "To"}})
		if query, err := url.ParseQuery(getQuery(Query{Format: format})); err != nil || query.Get("format") != format {
			t.Errorf("format %q becomes %v, %v", format, query, err)
		}
	})
}

// answered reads the answer to a batch for these messages.
func answered(contentType string, body []byte, ids []string, maxMessage int) []result {
	d := &details{lister: &Lister{}, maxMessage: maxMessage}
	return d.readBatch(&http.Response{
		Header: http.Header{"Content-Type": {contentType}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}, ids)
}

// A fakePart is a part of an answer: what it answers, and its text.
type fakePart struct{ contentID, text string }

func batchAnswer(parts ...fakePart) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		part, _ := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {p.contentID}})
		_, _ = io.WriteString(part, p.text) // into a buffer
	}
	_ = w.Close()
	return "multipart/mixed; boundary=" + w.Boundary(), b.Bytes()
}

func ok(json string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s", len(json), json)
}

// TestReadBatch asks for the messages a and b; a part for a is strange.
func TestReadBatch(t *testing.T) {
	const goodA, goodB = `{"id":"a"}`, `{"id":"b"}`
	b := fakePart{"<response-1>", ok(goodB)}
	const missing, gone, large = "?", "gone", "large"
	tests := []struct {
		name  string
		parts []fakePart
		want  []string // of a and b
	}{
		{"both", []fakePart{{"<response-0>", ok(goodA)}, b}, []string{goodA, goodB}},
		{"the other order", []fakePart{b, {"<response-0>", ok(goodA)}}, []string{goodA, goodB}},
		{"no angle brackets", []fakePart{{"response-0", ok(goodA)}, b}, []string{goodA, goodB}},
		{"line breaks", []fakePart{{"<response-0>", ok("{\n \"id\": \"a\"\n}\n")}, b}, []string{goodA, goodB}},
		{"none", nil, []string{missing, missing}},
		{"a missing", []fakePart{b}, []string{missing, goodB}},
		{"no Content-ID", []fakePart{{"", ok(goodA)}, b}, []string{missing, goodB}},
		{"Content-ID of the request", []fakePart{{"<0>", ok(goodA)}, b}, []string{missing, goodB}},
		{"Content-ID past the end", []fakePart{{"<response-2>", ok(goodA)}, b}, []string{missing, goodB}},
		{"negative Content-ID", []fakePart{{"<response--1>", ok(goodA)}, b}, []string{missing, goodB}},
		{"Content-IDs exchanged", []fakePart{{"<response-1>", ok(goodA)}, {"<response-0>", ok(goodB)}}, []string{missing, missing}},
		{"gone", []fakePart{{"<response-0>", "HTTP/1.1 404 Not Found\r\n\r\n{}"}, b}, []string{gone, goodB}},
		{"gone for good", []fakePart{{"<response-0>", "HTTP/1.1 410 Gone\r\n\r\n"}, b}, []string{gone, goodB}},
		{"throttled", []fakePart{{"<response-0>", "HTTP/1.1 429 Too Many Requests\r\n\r\n{}"}, b}, []string{missing, goodB}},
		{"too large", []fakePart{{"<response-0>", ok(`{"id":"a","raw":"` + strings.Repeat("x", 1000) + `"}`)}, b}, []string{large, goodB}},
		{"no id", []fakePart{{"<response-0>", ok(`{}`)}, b}, []string{missing, goodB}},
		{"two ids", []fakePart{{"<response-0>", ok(`{"id":"a","id":"b"}`)}, b}, []string{missing, goodB}},
		{"an array", []fakePart{{"<response-0>", ok(`["a"]`)}, b}, []string{missing, goodB}},
		{"two values", []fakePart{{"<response-0>", ok(goodA + goodA)}, b}, []string{missing, goodB}},
		{"cut", []fakePart{{"<response-0>", ok(goodA)[:70]}, b}, []string{missing, goodB}},
		{"cut, without a length", []fakePart{{"<response-0>", "HTTP/1.1 200 OK\r\n\r\n" + goodA[:8]}, b}, []string{missing, goodB}},
		{"longer than announced", []fakePart{{"<response-0>", ok(goodA) + "}}"}, b}, []string{goodA, goodB}},
		{"no HTTP", []fakePart{{"<response-0>", goodA}, b}, []string{missing, goodB}},
		{"first garbage, then whole", []fakePart{{"<response-0>", "x"}, {"<response-0>", ok(goodA)}, b}, []string{goodA, goodB}},
		{"first whole, then gone", []fakePart{{"<response-0>", ok(goodA)}, {"<response-0>", "HTTP/1.1 404 Not Found\r\n\r\n"}, b}, []string{goodA, goodB}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := batchAnswer(tt.parts...)
			for i, r := range answered(contentType, body, []string{"a", "b"}, 500) {
				got := string(r.message)
				switch {
				case r.failure != nil:
					got = missing
				case r.tooLarge:
					got = large
				case r.message == nil:
					got = gone
				}
				if got != tt.want[i] {
					t.Errorf("message %d: %q, want %q", i, got, tt.want[i])
				}
			}
		})
	}
}

// TestReadCutBatch cuts an answer at every byte: what is kept is whole, and
// what had arrived whole is kept.
func TestReadCutBatch(t *testing.T) {
	ids := []string{"a", "b", "c"}
	var all []fakePart
	for i, id := range ids {
		all = append(all, fakePart{fmt.Sprintf("<response-%d>", i), ok(`{"id":"` + id + `","snippet":"text"}`)})
	}
	contentType, body := batchAnswer(all...)
	most := 0
	for cut := range len(body) + 1 {
		kept := 0
		for i, r := range answered(contentType, body[:cut], ids, 500) {
			if r.failure == nil {
				kept++
				checkMessage(t, r.message, ids[i])
			}
		}
		if kept < most {
			t.Errorf("%d messages of %d bytes, and %d of fewer", kept, cut, most)
		}
		most = kept
	}
	if most != len(ids) {
		t.Errorf("%d messages of the whole", most)
	}
}

func checkMessage(t *testing.T, message []byte, id string) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(message, &m); err != nil || bytes.ContainsAny(message, "\r\n") {
		t.Fatalf("%q is no message on a line: %v", message, err)
	}
	var s stub
	if err := json.Unmarshal(message, &s); err != nil || s.ID != id {
		t.Fatalf("%s is given as message %q", message, id)
	}
}

// FuzzReadBatch: whatever Gmail, or who sits in between, answers, nothing
// panics and no message is given under another ID.
func FuzzReadBatch(f *testing.F) {
	ids := []string{"a", "b", "c"}
	for _, parts := range [][]fakePart{
		{{"<response-0>", ok(`{"id":"a"}`)}, {"<response-2>", ok(`{"id":"c"}`)}, {"<response-1>", ok(`{"id":"b"}`)}},
		{{"<response-0>", ok(`{"id":"b","ID":"a"}`)}, {"<response-1>", "HTTP/1.1 404 Not Found\r\n\r\n"}},
		{{"<response-0>", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"id\":\"a\"}\r\n0\r\n\r\n"}, {"response-1", "HTTP/1.0 429\r\nRetry-After: 3\r\n\r\n{}"}},
	} {
		contentType, body := batchAnswer(parts...)
		boundary := strings.TrimPrefix(contentType, "multipart/mixed; boundary=")
		f.Add(bytes.ReplaceAll(body, []byte(boundary), []byte("b")), "multipart/mixed; boundary=b")
	}
	f.Add([]byte("--b\r\n\r\n--b--"), "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		results := answered(contentType, body, ids, 200)
		if len(results) != len(ids) {
			t.Fatalf("%d results", len(results))
		}
		for i, r := range results {
			if r.failure != nil && !bytes.Equal(r.message, nil) {
				t.Fatalf("message %d is both there and not", i)
			}
			if r.message != nil {
				checkMessage(t, r.message, ids[i])
			}
		}
	})
}
