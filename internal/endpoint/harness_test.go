package endpoint_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/site"
)

const (
	base     = "https://api.example.com/fn"
	frontEnd = "https://app.example.net"
)

func newSite(t testing.TB) *site.Site {
	t.Helper()
	s, err := site.New(base, []string{frontEnd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A buffer keeps what was logged.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote chan struct{} // closed with the first line
}

func newBuffer() *buffer { return &buffer{wrote: make(chan struct{})} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.b.Len() == 0 {
		close(b.wrote)
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A server is an endpoint behind a real connection.
type server struct {
	*httptest.Server
	endpoint *endpoint.Endpoint
	logs     *buffer
}

// serve answers GET and DELETE with handle.
func serve(t *testing.T, handle endpoint.HandlerFunc) *server {
	t.Helper()
	logs := newBuffer()
	e := endpoint.New("authurl", newSite(t), map[string]endpoint.HandlerFunc{http.MethodGet: handle, http.MethodDelete: handle}, endpoint.NewLogger(logs), time.Now)
	s := &server{httptest.NewUnstartedServer(e), e, logs}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func failing(err error) endpoint.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func fine(w http.ResponseWriter, _ *http.Request) error {
	return endpoint.WriteJSON(w, map[string]string{"x": "a&b"})
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (s *server) do(t *testing.T, method, path string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (s *server) get(t *testing.T, header http.Header) answer {
	t.Helper()
	return s.do(t, http.MethodGet, "/", header)
}

type problem struct {
	Type             string `json:"type"`
	Title            string `json:"title"`
	Status           int    `json:"status"`
	Detail           string `json:"detail"`
	Reason           string `json:"reason"`
	AuthorizationURL string `json:"authorization_url"`
	RequestID        string `json:"request_id"`
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return p
}

func (a answer) wantProblem(t *testing.T, reason endpoint.Reason) {
	t.Helper()
	if p := a.problem(t); p.Reason != string(reason) || a.status != reason.Status() {
		t.Errorf("%d %s, want %s", a.status, a.body, reason)
	}
}

// line is the one line that the request logged. It may come after the answer.
func (s *server) line(t *testing.T) map[string]any {
	t.Helper()
	<-s.logs.wrote
	s.Close()
	var line map[string]any
	if err := json.Unmarshal([]byte(s.logs.String()), &line); err != nil { // fails on a second line
		t.Fatalf("%v in %s", err, s.logs)
	}
	return line
}
