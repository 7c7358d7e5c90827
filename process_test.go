package gmailgrant

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/site"
)

// servePort makes the test binary serve a function at that port, as the main
// package does that Cloud Functions generates.
const servePort = "GMAILGRANT_TEST_SERVE_PORT"

func TestMain(m *testing.M) {
	if port := os.Getenv(servePort); port != "" {
		fmt.Fprintln(os.Stderr, funcframework.StartHostPort("127.0.0.1", port))
		os.Exit(1)
	}
	os.Exit(runAll(m))
}

// startProcess runs one function in a process of its own, and returns its
// address once it listens.
func startProcess(t *testing.T, target string, env map[string]string, log *logBuffer) *url.URL {
	t.Helper()
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Stdout, cmd.Stderr = log, log
	env = maps.Clone(env)
	maps.Copy(env, map[string]string{servePort: port, "FUNCTION_TARGET": target, "K_SERVICE": target})
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	address := "127.0.0.1:" + port
	if err := waitForListener(address, exited); err != nil {
		t.Fatalf("%s: %v\n%s", target, err, log)
	}
	return &url.URL{Scheme: "http", Host: address}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// waitForListener returns when the address takes connections. The framework does not
// say when it listens, so that asking is the only way to know.
func waitForListener(address string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return fmt.Errorf("the process ended")
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// front is one host for the three functions, with several instances each, in
// turn. The functions see the path without their name, as on
// cloudfunctions.net.
type front map[string]*instances

type instances struct {
	proxies []*httputil.ReverseProxy
	next    atomic.Uint64
}

func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	of, ok := f[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.URL.Path, r.URL.RawPath = "/"+rest, ""
	of.proxies[of.next.Add(1)%uint64(len(of.proxies))].ServeHTTP(w, r)
}

func (f front) add(name string, address *url.URL) {
	if f[name] == nil {
		f[name] = &instances{}
	}
	f[name].proxies = append(f[name].proxies, &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(address) },
		FlushInterval: -1,
	})
}

// TestProcesses: each function in processes of its own, two of each. Every flow
// goes from one to another, since they answer in turn.
func TestProcesses(t *testing.T) {
	f := front{}
	server := httptest.NewUnstartedServer(f)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	base := "http://localhost:" + port
	google := startGoogle(t, base, time.Now, fakegoogle.Options{Accounts: people})
	logs, heard := &logBuffer{}, &hearing{}
	for _, name := range site.Functions {
		for range 2 {
			f.add(name, startProcess(t, name, environ(base, google), logs))
		}
	}
	server.Start()
	t.Cleanup(server.Close)

	for range 3 { // an odd number of requests in each round: every pair of instances meets
		b := newBrowser(t, base, google.URL(), heard)
		b.signIn(choice{account: ben.Sub})
		if sub := b.fetch(http.MethodGet, "/callback").sub(t); sub != ben.Sub {
			t.Errorf("signed in: %s", sub)
		}
		cookieList := b.fetch(http.MethodGet, "/listmessages").messages(t)
		other := newBrowser(t, base, google.URL(), heard)
		bearer := other.bearerSession(choice{account: ben.Sub})
		bearerList := other.bearer(http.MethodGet, "/listmessages", bearer).messages(t)
		if len(cookieList) == 0 || len(cookieList) != len(bearerList) {
			t.Errorf("%d messages by cookie, %d by Bearer session", len(cookieList), len(bearerList))
		}
		b.fetch(http.MethodDelete, "/callback").wantStatus(t, http.StatusNoContent)
		b.fetch(http.MethodGet, "/listmessages").wantProblem(t, endpoint.NoSession)
	}
	b := newBrowser(t, base, google.URL(), heard)
	b.signIn(choice{account: ben.Sub})
	if a := b.fetch(http.MethodDelete, "/callback?grant=revoke"); a.json(t)["revoked"] != true {
		t.Errorf("disconnect: %s", a.body)
	}
	b.navigate("/authurl/favicon.ico").wantStatus(t, http.StatusNotFound)
	heard.checkLeaks(t, google, people, logs.String(), google.Documents())
}

// TestBrokenSettings: all faults are logged at once, the client learns nothing,
// and the process keeps answering.
func TestBrokenSettings(t *testing.T) {
	const secret = "GOCSPX-0123456789abcdefghijklmnopqr"
	logs := &logBuffer{}
	address := startProcess(t, "callback", map[string]string{
		"GOOGLE_CLOUD_PROJECT": "test", "SCOPES": "openid", "SESSION_TTL": "soon", "CLIENT_SECRET_NAME": secret, "ALLOWED_ORIGINS": "https://app.example.com/, *", "BASE_URL": "https://api.example.com",
	}, logs)
	b := newBrowser(t, address.String()+"/callback", "http://google.invalid", &hearing{})
	traced := b.request(http.MethodGet, "/", "", nil)
	traced.Header.Set("X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/1;o=1")
	b.do(traced).wantProblem(t, endpoint.Misconfigured)
	for range 3 {
		a := b.fetch(http.MethodGet, "/")
		a.wantProblem(t, endpoint.Misconfigured)
		for _, name := range []string{"SCOPES", "SESSION_TTL", "CLIENT_SECRET_NAME", "openid", "example.com"} {
			if strings.Contains(string(a.body), name) {
				t.Errorf("the client is told of %s: %s", name, a.body)
			}
		}
	}
	b.navigate("/").wantStatus(t, http.StatusInternalServerError)
	b.do(b.request(http.MethodPost, "/", "{}", nil)).wantProblem(t, endpoint.Misconfigured)
	text := logs.String()
	if !strings.Contains(text, `"projects/test/traces/105445aa7843bc8bf206b12000100000"`) {
		t.Error("the log does not name the trace")
	}
	for _, name := range []string{"SCOPES", "SESSION_TTL", "CLIENT_SECRET_NAME", "ALLOWED_ORIGINS"} {
		if !strings.Contains(text, name) {
			t.Errorf("the log does not name %s", name)
		}
	}
	if strings.Contains(text, secret) {
		t.Error("the log holds the secret")
	}
}
