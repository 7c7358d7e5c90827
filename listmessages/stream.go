package listmessages

import (
	"encoding/json"
	"net/http"
	"time"

	"google.golang.org/api/gmail/v1"

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
// Nothing is written before the first page.
type stream struct {
	w        http.ResponseWriter
	lines    bool // application/x-ndjson
	begun    bool
	messages int
	bytes    int
}

const (
	ndjson = "application/x-ndjson"
	// writeTimeout is how long a client may take to read what is flushed.
	writeTimeout = 30 * time.Second
)

// page writes a page and flushes it. An error means that the client left.
func (s *stream) page(messages []*gmail.Message) error {
	b := s.begin(make([]byte, 0, 64*(len(messages)+1)))
	for _, m := range messages {
		line, err := json.Marshal(struct {
			ID       string `json:"id"`
			ThreadID string `json:"threadId"`
		}{m.Id, m.ThreadId})
		if err != nil {
			return err
		}
		b = s.append(b, line)
	}
	return s.flush(b)
}

func (s *stream) begin(b []byte) []byte {
	if s.begun {
		return b
	}
	s.begun = true
	if s.lines {
		s.w.Header().Set("Content-Type", ndjson)
		return b
	}
	s.w.Header().Set("Content-Type", "application/json")
	return append(b, `{"messages":[`...)
}

func (s *stream) append(b, message []byte) []byte {
	s.messages++
	if s.lines {
		return append(append(b, message...), '\n')
	}
	if s.messages > 1 {
		b = append(b, ',')
	}
	return append(b, message...)
}

// end writes what follows the messages.
func (s *stream) end(e ending) error {
	tail, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b := s.begin(nil)
	if s.lines {
		return s.flush(append(append(b, tail...), '\n'))
	}
	b = append(b, "],"...)
	return s.flush(append(b, tail[1:]...)) // without its opening brace
}

func (s *stream) flush(b []byte) error {
	rc := http.NewResponseController(s.w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server has one
	n, err := s.w.Write(b)
	s.bytes += n
	if err != nil {
		return err
	}
	return rc.Flush()
}

// wantsLines reports whether the client asks for a message a line.
func wantsLines(r *http.Request) bool {
	return endpoint.Prefers(r, ndjson, "application/json")
}
