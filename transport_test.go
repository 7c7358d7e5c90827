package gmailgrant

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// Google speaks HTTP/2: once connected, calls at the same time share one
// connection.
func TestOneConnection(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := newTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	defer transport.CloseIdleConnections()

	ask := func() {
		resp, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if proto, err := io.ReadAll(resp.Body); err != nil || string(proto) != "HTTP/2.0" {
			t.Errorf("%s, %v", proto, err)
		}
	}
	ask()
	var group sync.WaitGroup
	for range 50 {
		group.Go(ask)
	}
	group.Wait()
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
