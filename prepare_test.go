package gmailgrant

import (
	"bytes"
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// A gateway is another address of the stand-in, which counts connections.
type gateway struct {
	*httptest.Server
	connections atomic.Int64
}

func startGateway(t *testing.T, google *fakegoogle.Server) *gateway {
	to := &url.URL{Scheme: "http", Host: google.Addr()}
	g := &gateway{Server: httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
	})}
	g.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			g.connections.Add(1)
		}
	}
	g.Start()
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) addr() string { return g.Listener.Addr().String() }

// TestPrepare: what a function needs is there before the first request, which then
// calls only what depends on it; and what a function does not need is left alone.
func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		name          string
		prepared      calls
		gmail, oauth  int64 // connections
		address       string
		first         calls
		expiredAccess bool
	}{
		{
			name:     "authurl",
			prepared: calls{"secretmanager.access": 2},
			address:  "/authurl?return_to=http://localhost:5173/",
		},
		{
			name:     "callback",
			prepared: calls{"secretmanager.access": 2, "firestore.get": 1},
			oauth:    1,
			address:  "/callback",
			first:    calls{"firestore.get": 1},
		},
		{
			name:     "listmessages",
			prepared: calls{"secretmanager.access": 2, "firestore.get": 1},
			gmail:    1, oauth: 1,
			address: "/listmessages",
			first:   calls{"firestore.get": 1, "gmail.list": 1},
		},
		{
			name:     "listmessages",
			prepared: calls{"secretmanager.access": 2, "firestore.get": 1},
			gmail:    1, oauth: 1,
			address:       "/listmessages",
			first:         calls{"firestore.get": 1, "token.refresh": 1, "firestore.write": 1, "gmail.list": 1},
			expiredAccess: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1, nil)
			gmail, oauth := startGateway(t, w.google), startGateway(t, w.google)
			token := []byte("http://" + w.google.Addr() + "/token")
			client := bytes.Replace(w.google.ClientJSON(), token, []byte(oauth.URL+"/token"), 1)
			w.google.AddSecretVersion("gmailgrant-client", client)
			b := w.newBrowser(t)
			b.signIn(choice{account: ben.Sub})
			if tt.expiredAccess {
				w.clock.Advance(61 * time.Minute)
			}
			w.restart(map[string]string{"GMAIL_EMULATOR_HOST": gmail.addr()})

			w.google.ResetCalls()
			oauth.connections.Store(0) // the sign-in's
			w.instance().prepare(t.Context(), tt.name)
			w.wantCalls(t, tt.prepared)
			w.google.ResetCalls()
			a := b.fetch(http.MethodGet, tt.address)
			a.wantStatus(t, http.StatusOK)
			w.wantCalls(t, tt.first)
			if n := gmail.connections.Load(); n != tt.gmail {
				t.Errorf("%d connections to Gmail, want %d", n, tt.gmail)
			}
			if n := oauth.connections.Load(); n != tt.oauth {
				t.Errorf("%d connections to the OAuth endpoints, want %d", n, tt.oauth)
			}
			for _, line := range w.logLines(t) {
				if line["message"] == "tokenstore" {
					t.Errorf("%v", line)
				}
			}
		})
	}
}

// TestPrepareDuringFault: what can't be had before the first request is had by it.
func TestPrepareDuringFault(t *testing.T) {
	w := newWorld(t, 1, nil)
	b := w.newBrowser(t)
	b.signIn(choice{account: ben.Sub})
	for _, op := range []string{"secretmanager.access", "firestore.get"} {
		w.restart(nil)
		remove := w.google.Inject(fakegoogle.Fault{Op: op, Code: codes.PermissionDenied})
		w.instance().prepare(t.Context(), "listmessages")
		remove()
		b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.restart(nil)
	w.instance().prepare(gone, "listmessages")
	b.fetch(http.MethodGet, "/listmessages").wantStatus(t, http.StatusOK)
}

// TestProcessPrepares: a process begins by itself, before any request.
func TestProcessPrepares(t *testing.T) {
	const base = "http://localhost:1"
	google := startGoogle(t, base, time.Now, fakegoogle.Options{Accounts: people})
	address := startProcess(t, "listmessages", environ(base, google), &logBuffer{})
	want := calls{"secretmanager.access": 2, "firestore.get": 1}
	got := calls{}
	for deadline := time.Now().Add(time.Minute); !maps.Equal(got, want) && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for op := range want {
			got[op] = google.Calls(op)
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("calls before the first request: %v, want %v", got, want)
	}
	b := newBrowser(t, address.String(), google.URL(), &hearing{})
	b.fetch(http.MethodGet, "/").wantProblem(t, endpoint.NoSession)
	for op, n := range want {
		if got := google.Calls(op); got != n {
			t.Errorf("%s: %d calls after a request, want %d", op, got, n)
		}
	}
}
