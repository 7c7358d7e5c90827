package listmessages

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func BenchmarkCursor(b *testing.B) {
	c := cursor{pageToken: strings.Repeat("7", 20), after: "18c2f0a1b2c3d4e5"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeCursor(user, query.at(c.encode(user, query))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream writes a page of 500 IDs and the end of an answer.
func BenchmarkStream(b *testing.B) {
	var messages [][]byte
	for i := range 500 {
		messages = append(messages, fmt.Appendf(nil, `{"id":"18c2f0a1b2c3%04x","threadId":"18c2f0a1b2c3%04x"}`, i, i))
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		s := &stream{w: w}
		if err := s.part(messages, true); err != nil {
			b.Fatal(err)
		}
		if err := s.end(ending{ResultSizeEstimate: 201}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBatch reads the answer to a batch of 25 messages with the usual
// headers.
func BenchmarkReadBatch(b *testing.B) {
	const message = `{"id":"%d","threadId":"%[1]d","labelIds":["INBOX","UNREAD"],"snippet":"%s","sizeEstimate":4711,"historyId":"1763715600","internalDate":"1763715600000",` +
		`"payload":{"mimeType":"multipart/alternative","headers":[{"name":"From","value":"Ada Brook \u003cada.brook@example.com\u003e"},{"name":"To","value":"ben.okafor@example.com"},{"name":"Subject","value":"Lunch on Thursday?"},{"name":"Date","value":"Fri, 21 Nov 2025 09:00:00 +0000"}]}}`
	var ids []string
	var parts []fakePart
	for i := range 25 {
		ids = append(ids, fmt.Sprint(i))
		parts = append(parts, fakePart{fmt.Sprintf("<response-%d>", i), ok(fmt.Sprintf(message, i, strings.Repeat("word ", 30)))})
	}
	contentType, body := batchAnswer(parts...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		for i, r := range answered(contentType, body, ids, maxAnswer) {
			if r.message == nil {
				b.Fatalf("message %d: %+v", i, r)
			}
		}
	}
}

// BenchmarkReadList reads a page of 500 as Gmail usually writes it, and as
// encoding/json does.
func BenchmarkReadList(b *testing.B) {
	answer := usualPage(500)
	for name, read := range map[string]func() (listAnswer, error){
		"scan":   func() (listAnswer, error) { return readList(answer, 500) },
		"decode": func() (listAnswer, error) { return decodeList(answer) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			for b.Loop() {
				if a, err := read(); err != nil || len(a.messages) != 500 {
					b.Fatal(len(a.messages), err)
				}
			}
		})
	}
}
