package fakegoogle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
)

const (
	batchPath = "/batch/gmail/v1"

	// maxBatchParts is from https://developers.google.com/workspace/gmail/api/guides/batch.
	maxBatchParts = 100
)

// batchPart is one call of a batch.
type batchPart struct {
	contentID string
	request   *http.Request
}

// serveBatch answers many calls at once. The parts run at the same time, as
// Google's do; what fails, fails in its part.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request) {
	parts, err := parseBatch(r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		badRequest("Failed to parse batch request, error: %s", err).write(w)
		return
	}
	free, done := s.takeParts(r.Header.Get("Authorization"), len(parts))
	defer done()
	answers := make([]*partAnswer, len(parts))
	var group sync.WaitGroup
	for i, p := range parts {
		request := p.request.WithContext(r.Context())
		if request.Header.Get("Authorization") == "" {
			request.Header.Set("Authorization", r.Header.Get("Authorization"))
		}
		fault, hit := s.faults.meet(opGmailBatchPart, request) // here, so that parts are counted in their order
		if i >= free {
			fault, hit = Fault{Status: http.StatusTooManyRequests}, true
		}
		group.Go(func() { answers[i] = s.answerPart(request, fault, hit) })
	}
	group.Wait()
	s.writeBatch(w, parts, answers)
}

// takeParts says how many of n parts the user may run beside those that are
// running; done gives them back.
func (s *Server) takeParts(user string, n int) (free int, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partLimit == 0 {
		return n, func() {}
	}
	running := s.partsRunning // of this limit: another one begins with none
	free = min(n, s.partLimit-running[user])
	running[user] += free
	return free, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		running[user] -= free
	}
}

// answerPart runs one part. It returns nil when a fault drops the part.
func (s *Server) answerPart(r *http.Request, fault Fault, hit bool) *partAnswer {
	answer := &partAnswer{status: http.StatusOK, header: make(http.Header)}
	if !hit {
		s.parts.ServeHTTP(answer, r)
		return answer
	}
	if sleep(r.Context(), fault.Delay) != nil || fault.Drop {
		return nil
	}
	fault.hold(r)
	answer.rewrite, answer.copied = fault.Rewrite, fault.Copy
	if fault.Status != 0 {
		fault.answer(opGmailBatchPart, answer)
		return answer
	}
	s.parts.ServeHTTP(answer, r)
	if fault.Truncate > 0 && fault.Truncate < answer.body.Len() {
		answer.body.Truncate(fault.Truncate)
	}
	return answer
}

// writeBatch writes the answers; each names its part as "response-" and the
// part's own Content-ID.
func (s *Server) writeBatch(w http.ResponseWriter, parts []batchPart, answers []*partAnswer) {
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	for _, i := range s.batchOrder(len(parts)) {
		if answers[i] == nil {
			continue
		}
		head := textproto.MIMEHeader{"Content-Type": {"application/http"}}
		if id := parts[i].contentID; id != "" {
			head.Set("Content-ID", "<response-"+strings.Trim(id, "<>")+">")
		}
		for _, message := range answers[i].messages() {
			part, err := mw.CreatePart(head)
			if err != nil {
				newAPIError(http.StatusInternalServerError, err.Error()).write(w)
				return
			}
			part.Write(message)
		}
	}
	mw.Close() // into a bytes.Buffer, as all before: can't fail
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+mw.Boundary())
	w.Write(body.Bytes())
}

func (s *Server) batchOrder(n int) []int {
	if s.batchShuffle() {
		return rand.Perm(n)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// partAnswer collects the response to one part.
type partAnswer struct {
	status int
	header http.Header
	body   bytes.Buffer

	rewrite, copied func([]byte) []byte // as in Fault; may be nil
}

func (a *partAnswer) Header() http.Header         { return a.header }
func (a *partAnswer) WriteHeader(status int)      { a.status = status }
func (a *partAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// message is the response as an HTTP/1.1 message.
func (a *partAnswer) message() []byte {
	var b bytes.Buffer
	a.header.Set("Content-Length", fmt.Sprint(a.body.Len()))
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Write(&b)
	b.WriteString("\r\n")
	b.Write(a.body.Bytes())
	return b.Bytes()
}

// messages are what is sent of the response: one message unless a fault makes
// another of it.
func (a *partAnswer) messages() [][]byte {
	sent := [][]byte{a.message()}
	if a.copied != nil {
		sent = append(sent, a.copied(a.message()))
	}
	if a.rewrite != nil {
		sent[0] = a.rewrite(sent[0])
	}
	return sent
}

// parseBatch reads a multipart/mixed body of application/http parts.
func parseBatch(contentType string, body io.Reader) ([]batchPart, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/mixed" || params["boundary"] == "" {
		return nil, errors.New("Content-Type must be multipart/mixed with a boundary")
	}
	var parts []batchPart
	for mr := multipart.NewReader(body, params["boundary"]); ; {
		p, err := mr.NextRawPart()
		if err == io.EOF && len(parts) > 0 {
			return parts, nil
		}
		if err == io.EOF {
			return nil, errors.New("no parts")
		}
		if err != nil {
			return nil, err
		}
		if len(parts) == maxBatchParts {
			return nil, fmt.Errorf("more than %d calls", maxBatchParts)
		}
		part, err := parseBatchPart(p)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(parts)+1, err)
		}
		parts = append(parts, part)
	}
}

func parseBatchPart(p *multipart.Part) (batchPart, error) {
	mediaType, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/http" {
		return batchPart{}, errors.New("Content-Type must be application/http")
	}
	request, err := parsePartRequest(p)
	if err != nil {
		return batchPart{}, err
	}
	return batchPart{contentID: p.Header.Get("Content-ID"), request: request}, nil
}

// parsePartRequest reads a request line, headers and an empty line. The version
// may be missing, as in Google's examples; the target is a path. No call that
// is served here has a body.
func parsePartRequest(r io.Reader) (*http.Request, error) {
	tp := textproto.NewReader(bufio.NewReader(r))
	line, err := tp.ReadLine()
	if err != nil {
		return nil, errors.New("no request line")
	}
	words := strings.Split(line, " ")
	if len(words) != 2 && (len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.")) {
		return nil, errors.New("malformed request line")
	}
	if !strings.HasPrefix(words[1], "/") {
		return nil, errors.New("the target must be a path")
	}
	target, err := url.ParseRequestURI(words[1])
	if err != nil {
		return nil, errors.New("malformed target")
	}
	header, err := tp.ReadMIMEHeader()
	if err != nil && err != io.EOF {
		return nil, errors.New("malformed headers")
	}
	if header == nil {
		header = make(textproto.MIMEHeader)
	}
	return &http.Request{
		Method:     words[0],
		URL:        target,
		Host:       "gmail.googleapis.com",
		RequestURI: words[1],
		Header:     http.Header(header),
		Body:       http.NoBody,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}, nil
}
