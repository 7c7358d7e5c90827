package listmessages

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const usualList = `{"messages":[{"id":"18c2f0a1b2c3d4e5","threadId":"18c2f0a1b2c3d4e4"},{"id":"A","threadId":"0"}],"nextPageToken":"0987~ 65","resultSizeEstimate":201}`

// TestScanList: what Gmail sends is not decoded; what may be written in another way is.
func TestScanList(t *testing.T) {
	for text, want := range map[string]bool{
		usualList:                  true,
		usualList + "\n":           true,
		"{}":                       false,
		`{"messages":[]}`:          true,
		`{"resultSizeEstimate":0}`: true,
		`{"nextPageToken":"x","resultSizeEstimate":1,"messages":[{"id":"a","threadId":"b"}]}`: true,
		strings.Replace(usualList, `:[`, `: [`, 1):                                            false,
		strings.Replace(usualList, `},{`, `},null,{`, 1):                                      false,
		strings.Replace(usualList, `"A"`, `"\u0041"`, 1):                                      false,
		strings.Replace(usualList, `"A"`, `""`, 1):                                            false,
		strings.Replace(usualList, `"A"`, `"a-b"`, 1):                                         false,
		strings.Replace(usualList, `,"threadId":"0"`, ``, 1):                                  false,
		strings.Replace(usualList, `201`, `-1`, 1):                                            false,
		strings.Replace(usualList, `201`, `01`, 1):                                            false,
		strings.Replace(usualList, `201`, `1.5`, 1):                                           false,
		strings.Replace(usualList, `~`, `\u007e`, 1):                                          false,
		strings.Replace(usualList, `"next`, `"etag":"x","next`, 1):                            false,
		usualList + "x":              false,
		usualList[:len(usualList)-1]: false,
		usualList[:len(usualList)/2]: false,
		"":                           false,
	} {
		if _, ok := scanList([]byte(text), 500); ok != want {
			t.Errorf("%s: scanned %t", text, ok)
		}
	}
}

// TestReadListOtherwise: what is not written as usual is read all the same.
func TestReadListOtherwise(t *testing.T) {
	const text = `{ "messages": [ {"threadId": "t", "id": "a\"b"}, null, {}, {"id": "c"} ], "resultSizeEstimate": 3, "nextPageToken": "\u0041", "more": 1 }`
	a, err := readList([]byte(text), 500)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range a.messages {
		got = append(got, string(m.id), string(m.threadID), string(m.json))
	}
	want := []string{`a"b`, "t", `{"id":"a\"b","threadId":"t"}`, "c", "", `{"id":"c"}`}
	if !reflect.DeepEqual(got, want) || a.nextPageToken != "A" || a.estimate != 3 {
		t.Errorf("%q, %+v", got, a)
	}
	for _, cut := range []string{"", "{", text[:len(text)-1], "[]", `{"messages":{}}`} {
		if _, err := readList([]byte(cut), 500); err == nil {
			t.Errorf("%q is no list", cut)
		}
	}
}

// FuzzScanList: what is scanned is what encoding/json reads.
func FuzzScanList(f *testing.F) {
	f.Add([]byte(usualList))
	f.Add([]byte(`{"messages":[]}` + "\v"))
	f.Add([]byte(`{"messages":[]}` + "\u00a0"))
	f.Add([]byte(`{"resultSizeEstimate":0,"messages":[],"messages":[{"id":"a","threadId":"b"}],"nextPageToken":"a","nextPageToken":"b"}`))
	f.Add([]byte(`{"messages":[{"id":"","threadId":"b"}],"resultSizeEstimate":9223372036854775808}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := scanList(b, 1)
		if !ok {
			return
		}
		want, err := decodeList(b)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if len(want.messages) == 0 {
			want.messages = got.messages[:0:0]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", b, got, want)
		}
	})
}

// TestListCapacity: a full page is read without its buffer being made anew.
func TestListCapacity(t *testing.T) {
	for _, size := range []int{1, 100, maxPage} {
		answer := usualPage(size)
		body := bytes.NewBuffer(make([]byte, 0, listCapacity(size)))
		if _, err := body.ReadFrom(bytes.NewReader(answer)); err != nil || body.Cap() != listCapacity(size) || body.Len() != len(answer) {
			t.Errorf("%d messages, %d bytes: room for %d became %d, %v", size, len(answer), listCapacity(size), body.Cap(), err)
		}
	}
}

// usualPage is a page of a longer list, as Gmail usually writes it.
func usualPage(size int) []byte {
	answer := []byte(`{"messages":[`)
	for i := range size {
		answer = fmt.Appendf(answer, `{"id":"18c2f0a1b2c3%04x","threadId":"18c2f0a1b2c3%04x"},`, i, i)
	}
	return append(bytes.TrimSuffix(answer, []byte(",")), `],"nextPageToken":"09876543210987654321","resultSizeEstimate":201}`...)
}

// A body knows whether it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

// TestErrorBodyIsClosed, also when there is more of it than is read.
func TestErrorBodyIsClosed(t *testing.T) {
	answer := &body{Reader: bytes.NewReader(make([]byte, 2*maxErrorBytes))}
	l := &Lister{client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: answer, Request: r}, nil
	})}}
	_, err := l.list(t.Context(), Query{}, cursor{}, 1, "Bearer x")
	if f := l.failed(err); f.status != http.StatusServiceUnavailable || !answer.closed {
		t.Errorf("%+v, closed %t", f, answer.closed)
	}
}
