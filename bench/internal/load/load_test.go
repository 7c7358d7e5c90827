package load_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/gmailgrant/bench/internal/load"
)

const text = "0123456789"

// startServer returns the address of a server that answers in each way that there
// is, by path.
func startServer(t *testing.T, requests *atomic.Int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		switch r.URL.Path {
		case "/length":
			_, _ = io.WriteString(w, text)
		case "/chunks":
			for range 5 {
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			}
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/later":
			if n > 3 {
				w.WriteHeader(http.StatusTeapot)
			}
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, text)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func request(path string) []byte { return []byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n") }

func TestDo(t *testing.T) {
	c, err := load.Dial(startServer(t, new(atomic.Int64)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // over one connection
		for path, want := range map[string]struct {
			status int
			body   string
		}{
			"/length": {http.StatusOK, text},
			"/chunks": {http.StatusOK, strings.Repeat(text, 5)},
			"/empty":  {http.StatusNoContent, ""},
		} {
			a, err := c.Do(request(path), time.Minute)
			if err != nil || a.Status != want.status || string(a.Body) != want.body || a.FirstByte <= 0 {
				t.Errorf("%s: %d %q after %s, %v", path, a.Status, a.Body, a.FirstByte, err)
			}
		}
	}
	if a, err := c.Do(request("/cut"), time.Minute); err == nil {
		t.Errorf("a body that is cut: %q", a.Body)
	}
}

func TestRun(t *testing.T) {
	var requests atomic.Int64
	plan := load.Plan{Address: startServer(t, &requests), Request: request("/chunks"), Connections: 7, Timeout: time.Minute}
	var checked atomic.Int64
	plan.Check = func(load.Answer) error { checked.Add(1); return nil }
	once, err := load.Run(plan)
	if err != nil || once.Requests != 7 || requests.Load() != 7 || checked.Load() != 7 {
		t.Errorf("each once: %d counted, %d answered, %d checked, %v", once.Requests, requests.Load(), checked.Load(), err)
	}
	plan.Duration = 50 * time.Millisecond
	many, err := load.Run(plan)
	if err != nil || int64(many.Requests) != requests.Load()-7 || many.PerSecond() <= 0 {
		t.Errorf("%d counted, %d answered, %v", many.Requests, requests.Load()-7, err)
	}
}

// A figure for wrong answers would be worth nothing.
func TestRunWantsRightAnswers(t *testing.T) {
	good := func(load.Answer) error { return nil }
	for name, plan := range map[string]load.Plan{
		"the first is wrong":     {Request: request("/length"), Check: func(load.Answer) error { return errors.New("wrong") }},
		"another status later":   {Request: request("/later"), Check: good, Duration: time.Minute},
		"an answer that is cut":  {Request: request("/cut"), Check: good},
		"a server that is not":   {Request: request("/length"), Check: good, Address: "127.0.0.1:1"},
		"a request that is none": {Request: []byte("\r\n\r\nnothing\r\n\r\n"), Check: func(a load.Answer) error { return wantOK(a) }},
	} {
		plan.Connections, plan.Timeout = 2, time.Minute
		if plan.Address == "" {
			plan.Address = startServer(t, new(atomic.Int64))
		}
		if r, err := load.Run(plan); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func wantOK(a load.Answer) error {
	if a.Status != http.StatusOK {
		return errors.New("not OK")
	}
	return nil
}
