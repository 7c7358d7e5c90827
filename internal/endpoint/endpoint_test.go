package endpoint_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"google.golang.org/grpc"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/flight"
)

// Every answer has these, whatever it is.
func TestHeadersOnAllAnswers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		switch r.URL.Path {
		case "/panic":
			panic("x")
		case "/problem":
			return endpoint.Invalid("x.")
		case "/redirect":
			endpoint.Redirect(w, http.StatusSeeOther, base)
			return nil
		}
		return fine(w, r)
	})
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := http.Header{"Sec-Fetch-Mode": {"navigate"}}
	for _, row := range []struct {
		method, path string
		header       http.Header
		status       int
	}{
		{"GET", "/", nil, 200},
		{"GET", "/problem", nil, 400},
		{"GET", "/problem", page, 400},
		{"GET", "/panic", nil, 500},
		{"GET", "/redirect", nil, 303},
		{"GET", "/favicon.ico", nil, 404},
		{"GET", "/authurl/robots.txt", nil, 404},
		{"GET", "/", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"POST", "/", nil, 405},
		{"HEAD", "/", nil, 405},
		{"OPTIONS", "/", http.Header{"Origin": {frontEnd}, "Access-Control-Request-Method": {"GET"}}, 204},
		{"OPTIONS", "/", http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"GET"}}, 403},
	} {
		a := s.do(t, row.method, row.path, row.header)
		if a.status != row.status {
			t.Errorf("%s %s: %d, want %d", row.method, row.path, a.status, row.status)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %s: %s: %q, want %q", row.method, row.path, name, got, want)
			}
		}
	}
}

func TestFaviconAndRobotsAreQuiet(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) error { t.Error("the handler was called"); return nil })
	for _, path := range []string{"/favicon.ico", "/robots.txt"} {
		if a := s.do(t, http.MethodGet, path, nil); a.status != http.StatusNotFound || a.body != "" {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	s.Close()
	if s.logs.String() != "" {
		t.Errorf("logged %s", s.logs)
	}
}

func TestCORS(t *testing.T) {
	for _, row := range []struct {
		name    string
		origins []string
		allowed bool
	}{
		{"none", nil, true},
		{"the front end", []string{frontEnd}, true},
		{"our own", []string{"https://api.example.com"}, true},
		{"foreign", []string{"https://evil.example"}, false},
		{"null", []string{"null"}, false},
		{"empty", []string{""}, false},
		{"with a slash", []string{frontEnd + "/"}, false},
		{"another port", []string{frontEnd + ":8443"}, false},
		{"a suffix", []string{frontEnd + ".evil.example"}, false},
		{"two", []string{frontEnd, "https://evil.example"}, false},
		{"the same twice", []string{frontEnd, frontEnd}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			called := false
			s := serve(t, func(w http.ResponseWriter, r *http.Request) error { called = true; return fine(w, r) })
			header := http.Header{}
			if row.origins != nil {
				header["Origin"] = row.origins
			}
			a := s.get(t, header)
			if called != row.allowed {
				t.Errorf("handler called: %t", called)
			}
			allow, credentials := a.header.Get("Access-Control-Allow-Origin"), a.header.Get("Access-Control-Allow-Credentials")
			if !row.allowed {
				a.wantProblem(t, endpoint.OriginNotAllowed)
			}
			if !row.allowed || row.origins == nil {
				if allow != "" || credentials != "" {
					t.Errorf("Allow-Origin %q, Allow-Credentials %q", allow, credentials)
				}
				return
			}
			if allow != row.origins[0] || credentials != "true" || a.header.Get("Access-Control-Expose-Headers") != "Retry-After, WWW-Authenticate" {
				t.Errorf("%v", a.header)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) error { t.Error("the handler was called"); return nil })
	a := s.do(t, http.MethodOptions, "/", http.Header{"Origin": {frontEnd}, "Access-Control-Request-Method": {"DELETE"}, "Access-Control-Request-Headers": {"authorization,content-type"}})
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": frontEnd, "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "7200",
		"Access-Control-Allow-Methods": "DELETE, GET", "Access-Control-Allow-Headers": "Authorization, Content-Type",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestMethodNotAllowed(t *testing.T) {
	s := serve(t, fine)
	for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "OPTIONS", "TRACE", "get"} {
		a := s.do(t, method, "/", nil)
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "DELETE, GET" {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
		if method != http.MethodHead {
			a.wantProblem(t, endpoint.MethodNotAllowed)
		}
	}
}

// What changes something passes http.CrossOriginProtection, with the allowed
// origins trusted.
func TestCrossOriginProtection(t *testing.T) {
	s := serve(t, fine)
	for _, row := range []struct {
		site, origin string
		ok           bool
	}{
		{"", "", true},
		{"same-origin", "", true},
		{"none", "", true},
		{"same-site", frontEnd, true},
		{"cross-site", frontEnd, true},
		{"", frontEnd, true},
		{"cross-site", "", false},
		{"same-site", "", false},
		{"same-origin", "https://evil.example", false},
	} {
		header := http.Header{}
		if row.site != "" {
			header.Set("Sec-Fetch-Site", row.site)
		}
		if row.origin != "" {
			header.Set("Origin", row.origin)
		}
		a := s.do(t, http.MethodDelete, "/", header)
		if row.ok != (a.status == http.StatusOK) {
			t.Errorf("%+v: %d", row, a.status)
		}
		if !row.ok {
			a.wantProblem(t, endpoint.OriginNotAllowed)
		}
	}
}

const secretText = "1//0refreshtoken-in-a-panic"

type carrier struct{ Token string }

func (c carrier) Error() string  { return "carrying " + c.Token }
func (c carrier) String() string { return "carrying " + c.Token }

// A panic is answered with a fixed text. Its value is told to nobody: it could
// hold a secret.
func TestPanic(t *testing.T) {
	for name, value := range map[string]any{
		"string": secretText, "error": errors.New(secretText), "carrier": carrier{secretText}, "pointer": &carrier{secretText},
		"map": map[string]string{secretText: secretText}, "wrapped": fmt.Errorf("%w", carrier{secretText}), "abort": http.ErrAbortHandler,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(http.ResponseWriter, *http.Request) error { panic(value) })
			a := s.get(t, http.Header{"Origin": {frontEnd}})
			a.wantProblem(t, endpoint.Internal)
			if a.header.Get("Access-Control-Allow-Origin") != frontEnd {
				t.Error("without CORS headers")
			}
			line := s.line(t)
			if line["severity"] != "ERROR" || line["reason"] != "internal" || !strings.Contains(fmt.Sprint(line["stack"]), "endpoint_test.go") {
				t.Errorf("logged %v", line)
			}
			if strings.Contains(a.body+s.logs.String(), secretText) {
				t.Error("the value of the panic is told")
			}
			if p := a.problem(t); p.Detail != "Something went wrong here; the log has it under request_id." {
				t.Errorf("not the fixed text: %s", a.body)
			}
		})
	}
}

// What the runtime itself says of a bug is safe to log, and needed.
func TestRuntimePanicIsLogged(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) error {
		var none []int
		_ = none[len(secretText)]
		return nil
	})
	s.get(t, nil).wantProblem(t, endpoint.Internal)
	if text := fmt.Sprint(s.line(t)["error"]); !strings.Contains(text, "index out of range") {
		t.Errorf("logged %q", text)
	}
}

// After the answer has begun the connection is cut: what was sent must not look
// whole.
func TestPanicMidStream(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, `{"messages":[`)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic(secretText)
	})
	a := s.get(t, nil)
	if a.status != http.StatusOK || a.body != `{"messages":[` || !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("%d %q, read with %v", a.status, a.body, a.err)
	}
	if line := s.line(t); line["severity"] != "ERROR" || line["status"] != 200.0 || strings.Contains(s.logs.String(), secretText) {
		t.Errorf("logged %v", line)
	}
}

// A bug shows in the log even when nobody waits for the answer, in the goroutine of
// the request or beside it.
func TestPanicAfterTheClientLeft(t *testing.T) {
	bug := func() error { panic(secretText) }
	for name, handle := range map[string]func() error{
		"in it":     bug,
		"beside it": func() error { return flight.Catch(bug) },
	} {
		t.Run(name, func(t *testing.T) {
			logs := newBuffer()
			ctx, leave := context.WithCancel(t.Context())
			e := endpoint.New("authurl", newSite(t), map[string]endpoint.HandlerFunc{http.MethodGet: func(http.ResponseWriter, *http.Request) error {
				leave()
				return handle()
			}}, endpoint.NewLogger(logs), time.Now)
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, base+"/authurl", nil))
			var line map[string]any
			if err := json.Unmarshal([]byte(logs.String()), &line); err != nil {
				t.Fatal(err)
			}
			if line["severity"] != "ERROR" || line["reason"] != "internal" || !strings.Contains(fmt.Sprint(line["stack"]), "endpoint_test.go") {
				t.Errorf("logged %v", line)
			}
		})
	}
}

func TestLogLine(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		rec := endpoint.RecordOf(r.Context())
		rec.User, rec.Incomplete = "1234", "deadline"
		rec.QuotaUnits.Add(7)
		next := endpoint.CountingTransport(http.NewFileTransport(http.Dir(t.TempDir())))
		for range 2 {
			resp, err := next.RoundTrip(httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/x", nil))
			if err != nil {
				return err
			}
			resp.Body.Close()
		}
		unary := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil }
		stream := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
			return nil, nil
		}
		if err := endpoint.CountUnary(r.Context(), "m", nil, nil, nil, unary); err != nil {
			return err
		}
		if _, err := endpoint.CountStream(r.Context(), nil, nil, "m", stream); err != nil {
			return err
		}
		return fine(w, r)
	})
	s.do(t, http.MethodGet, "/?q=private", http.Header{"Authorization": {"Bearer private"}, "Cookie": {"private=private"}})
	line := s.line(t)
	for name, want := range map[string]any{
		"severity": "INFO", "message": "authurl", "function": "authurl", "method": "GET", "status": 200.0, "user": "1234",
		"incomplete": "deadline", "upstream_calls": 4.0, "quota_units": 7.0,
	} {
		if line[name] != want {
			t.Errorf("%s: %v, want %v", name, line[name], want)
		}
	}
	if ms, ok := line["duration_ms"].(float64); !ok || ms < 0 {
		t.Errorf("duration_ms: %v", line["duration_ms"])
	}
	if id, _ := line["request_id"].(string); id == "" {
		t.Error("no request_id")
	}
	if strings.Contains(s.logs.String(), "private") {
		t.Errorf("query, cookie or header logged: %s", s.logs)
	}
	for _, name := range []string{"level", "msg", "reason", "error", "stack", "logging.googleapis.com/trace"} {
		if v, ok := line[name]; ok {
			t.Errorf("%s: %v, want none", name, v)
		}
	}
}

func TestLogOfAFailure(t *testing.T) {
	for reason := range contract {
		want := "INFO"
		switch reason {
		case endpoint.Internal, endpoint.Misconfigured, endpoint.GmailDisabled:
			want = "ERROR"
		case endpoint.UpstreamUnavailable, endpoint.RateLimited, endpoint.NoUserID:
			want = "WARNING"
		}
		s := serve(t, failing(&endpoint.Problem{Reason: reason, User: "1234", Err: errors.New("the cause")}))
		id := s.get(t, nil).problem(t).RequestID
		line := s.line(t)
		if line["severity"] != want || line["reason"] != string(reason) || line["error"] != "the cause" || line["user"] != "1234" || line["request_id"] != id {
			t.Errorf("%s: %v, want severity %s", reason, line, want)
		}
	}
}

func TestLogHasTheDetailIfThereIsNoCause(t *testing.T) {
	s := serve(t, failing(endpoint.Invalid("The parameter x is malformed.")))
	s.get(t, nil)
	if line := s.line(t); line["error"] != "The parameter x is malformed." {
		t.Errorf("%v", line)
	}
}

// Outside a request there is nothing to record, and nothing breaks.
func TestRecordOutsideARequest(t *testing.T) {
	endpoint.RecordOf(t.Context()).UpstreamCalls.Add(1)
}

// The trace that Cloud Run sends reaches the log, through the framework that
// reads it.
func TestTrace(t *testing.T) {
	s := serve(t, fine)
	s.endpoint.Project = func() string { return "my-project" }
	path := "/" + rand.Text() // what is registered stays so
	if err := funcframework.RegisterHTTPFunctionContext(t.Context(), path, s.endpoint.ServeHTTP); err != nil {
		t.Fatal(err)
	}
	address := startFramework(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/1;o=1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil { // ends when the handler has returned
		t.Fatal(err)
	}
	if got, want := s.line(t)["logging.googleapis.com/trace"], "projects/my-project/traces/105445aa7843bc8bf206b12000100000"; got != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// startFramework serves what is registered until the process ends: the
// framework can't be stopped. It connects until somebody listens.
func startFramework(t *testing.T) (address string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(address)
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort(host, port) }()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	}
}
