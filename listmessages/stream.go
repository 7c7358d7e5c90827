package listmessages

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"example.com/gmailgrant/internal/endpoint"
)

// incomplete says why a list ends before its end.
type incomplete struct {
	Reason     string `json:"reason"`
	RetryAfter int    `json:"retry_after,omitempty"` // seconds, if Gmail said so
}

// ending is what an answer says after its messages.
type ending struct {
	NextPageToken      string      `json:"nextPageToken,omitempty"`
	ResultSizeEstimate int64       `json:"resultSizeEstimate"`
	Incomplete         *incomplete `json:"incomplete,omitempty"`
}

// A stream writes an answer as it grows: one JSON object, or a message a line.
// Nothing is written before the first messages or the end.
type stream struct {
	w        http.ResponseWriter
	lines    bool // application/x-ndjson
	begun    bool // there is something to write
	sent     bool // something was written
	messages int
	buf      []byte
}

const (
	ndjson = "application/x-ndjson"
	// writeTimeout is how long a client may take to read what is flushed.
	writeTimeout = 30 * time.Second
)

// part writes messages, and flushes them unless the end follows at once. An error
// means that the client left.
func (s *stream) part(messages [][]byte, flush bool) error {
	s.begin()
	size := 0
	for _, m := range messages {
		size += len(m) + 1
	}
	s.buf = slices.Grow(s.buf, size)
	for _, m := range messages {
		s.message(m)
	}
	if !flush {
		return nil
	}
	return s.flush()
}

func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	if s.lines {
		s.w.Header().Set("Content-Type", ndjson)
		return
	}
	s.w.Header().Set("Content-Type", "application/json")
	s.buf = append(s.buf, `{"messages":[`...)
}

func (s *stream) message(m []byte) {
	if !s.lines && s.messages > 0 {
		s.buf = append(s.buf, ',')
	}
	s.messages++
	s.buf = append(s.buf, m...)
	if s.lines {
		s.buf = append(s.buf, '\n')
	}
}

// end writes what follows the messages.
func (s *stream) end(e ending) error {
	s.begin()
	tail, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if !s.lines {
		s.buf = append(s.buf, "],"...)
		tail = tail[1:] // the brace was opened before the messages
	}
	s.buf = append(append(s.buf, tail...), '\n')
	if !s.sent {
		s.w.Header().Set("Content-Length", strconv.Itoa(len(s.buf)))
	}
	return s.write() // the server flushes what is complete
}

func (s *stream) flush() error {
	if err := s.write(); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

func (s *stream) write() error {
	s.sent = true
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server has one
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// wantsLines reports whether the client asks for a message a line.
func wantsLines(r *http.Request) bool {
	return endpoint.Prefers(r, ndjson, "application/json")
}
