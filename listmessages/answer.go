package listmessages

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A listAnswer is what users.messages.list answers.
// https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
type listAnswer struct {
	messages      []message
	nextPageToken string
	estimate      int64
}

// A message is one of a list: what Gmail says of it there, and its JSON. All three
// are parts of the answer and hold it in memory.
type message struct{ id, threadID, json []byte }

// readList reads an answer for size messages. As Gmail usually writes it, nothing
// has to be decoded: that would be a third of all CPU of a listing.
func readList(b []byte, size int) (listAnswer, error) {
	if a, ok := scanList(b, size); ok {
		return a, nil
	}
	return decodeList(b)
}

// decodeList reads an answer, however it is written.
func decodeList(b []byte) (listAnswer, error) {
	var decoded struct {
		Messages           []*stub `json:"messages"`
		NextPageToken      string  `json:"nextPageToken"`
		ResultSizeEstimate int64   `json:"resultSizeEstimate"`
	}
	if err := json.Unmarshal(b, &decoded); err != nil {
		return listAnswer{}, err
	}
	a := listAnswer{nextPageToken: decoded.NextPageToken, estimate: decoded.ResultSizeEstimate}
	for _, m := range decoded.Messages {
		if m == nil || m.ID == "" {
			continue // no message
		}
		only := stub{ID: m.ID, ThreadID: m.ThreadID}
		a.messages = append(a.messages, message{[]byte(m.ID), []byte(m.ThreadID), only.json()})
	}
	return a, nil
}

// scanList reads an answer that is written without white space and without escapes,
// each message with its ID, which is alphanumeric, before that of its thread. What it
// reads it reads as decodeList does.
func scanList(b []byte, size int) (a listAnswer, ok bool) {
	s := scanner{b}
	if !s.skip("{") {
		return a, false
	}
	for {
		switch {
		case a.messages == nil && s.skip(`"messages":[`):
			a.messages, ok = s.messages(size)
		case s.skip(`"nextPageToken":"`):
			a.nextPageToken, ok = s.text()
		case s.skip(`"resultSizeEstimate":`):
			a.estimate, ok = s.number()
		default:
			ok = false
		}
		if !ok {
			return a, false
		}
		if !s.skip(",") {
			return a, s.skip("}") && len(bytes.TrimRight(s.rest, " \t\r\n")) == 0
		}
	}
}

// A scanner reads JSON of a known form.
type scanner struct{ rest []byte }

// skip moves past a text if it is the next.
func (s *scanner) skip(text string) bool {
	if len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		return false
	}
	s.rest = s.rest[len(text):]
	return true
}

// messages reads up to the end of a list of messages.
func (s *scanner) messages(size int) ([]message, bool) {
	if s.skip("]") {
		return nil, true
	}
	all := make([]message, 0, size)
	for {
		m, ok := s.message()
		if !ok {
			return nil, false
		}
		all = append(all, m)
		if !s.skip(",") {
			return all, s.skip("]")
		}
	}
}

func (s *scanner) message() (m message, ok bool) {
	begin := s.rest
	if !s.skip(`{"id":"`) {
		return m, false
	}
	m.id = s.alphanumeric()
	if !s.skip(`","threadId":"`) {
		return m, false
	}
	m.threadID = s.alphanumeric()
	if !s.skip(`"}`) {
		return m, false
	}
	length := len(begin) - len(s.rest)
	m.json = begin[:length:length]
	return m, len(m.id) > 0 && len(m.threadID) > 0
}

func (s *scanner) alphanumeric() []byte {
	n := 0
	for n < len(s.rest) && isAlphanumeric(s.rest[n]) {
		n++
	}
	return s.take(n)
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// text reads up to the end of a string of printable ASCII.
func (s *scanner) text() (string, bool) {
	n := 0
	for n < len(s.rest) && s.rest[n] >= ' ' && s.rest[n] <= '~' && s.rest[n] != '"' && s.rest[n] != '\\' {
		n++
	}
	text := string(s.take(n))
	return text, s.skip(`"`)
}

// number reads a number as JSON writes it, without sign, fraction and exponent.
func (s *scanner) number() (int64, bool) {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	digits := string(s.take(n))
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, err == nil && (digits == "0" || digits[0] != '0')
}

func (s *scanner) take(n int) []byte {
	taken := s.rest[:n:n]
	s.rest = s.rest[n:]
	return taken
}
