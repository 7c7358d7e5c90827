//go:build linux

// Command stub is Google as the benchmark sees it: the stand-in of
// internal/fakegoogle under Google's own names, over TLS and HTTP/2, as far away and
// as slow as told.
//
// It serves port 443 of 127.0.0.1, so it needs a network of its own.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"example.com/gmailgrant/bench/internal/machine"
	"example.com/gmailgrant/bench/internal/network"
	"example.com/gmailgrant/internal/fakegoogle"
)

var (
	roundTrip = flag.Duration("rtt", 0, "round-trip time to Google")
	callTime  = flag.Duration("call", 0, "time that a call takes at Google")
	tokenTime = flag.Duration("token", time.Hour, "life of an access token")
	messages  = flag.Int("messages", 20_000, "size of the mailbox")
	callback  = flag.String("callback", "", "redirect URI")
	certFile  = flag.String("cert", "", "certificate")
	keyFile   = flag.String("key", "", "its key")
)

// Place is where the stub is found, besides port 443. It goes to the standard output
// once the stub serves.
type Place struct {
	Direct   string          // host:port of the stand-in itself: no TLS, no distance, no delay
	Metadata string          // host:port of the metadata server
	Client   json.RawMessage // the client secret, with addresses at Direct
}

func main() {
	flag.Parse()
	place, err := start()
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(place); err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark closes it, or ends
}

func start() (Place, error) {
	google, err := fakegoogle.Start(fakegoogle.Options{
		Accounts:       []fakegoogle.Account{{Sub: "100000000000000000001", Email: "bench@example.com", Name: "Bench", Messages: *messages}},
		RedirectURIs:   []string{*callback},
		AccessTokenTTL: *tokenTime,
	})
	if err != nil {
		return Place{}, err
	}
	addSecrets(google)
	if err := serveGoogle(google.Handler()); err != nil {
		return Place{}, err
	}
	metadata, err := serveMetadata()
	return Place{Direct: google.Addr(), Metadata: metadata, Client: google.ClientJSON()}, err
}

// addSecrets adds the client secret twice: as Google's console offers it, and with
// the stand-in's own addresses, for signing in.
func addSecrets(google *fakegoogle.Server) {
	direct := google.ClientJSON()
	public := strings.NewReplacer(
		google.URL()+"/o/oauth2/", "https://accounts.google.com/o/oauth2/",
		google.URL()+"/token", "https://oauth2.googleapis.com/token",
	).Replace(string(direct))
	google.AddSecretVersion("gmailgrant-client", []byte(public))
	google.AddSecretVersion("gmailgrant-client-direct", direct)
	google.AddSecretVersion("gmailgrant-seal-key", []byte("YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtISE="))
}

func serveGoogle(google http.Handler) error {
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           slow(newReplay(google), *callTime),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		ReadHeaderTimeout: time.Minute,
	}
	go func() { log.Fatal(server.ServeTLS(network.Far(l, *roundTrip, machine.Sleep), "", "")) }()
	return nil
}

// slow makes every call take some time at Google.
func slow(google http.Handler, callTime time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		machine.Sleep(callTime)
		google.ServeHTTP(w, r)
	})
}

// serveMetadata is the metadata server of Google Cloud, which is on the same machine
// as the function: no distance, no delay.
func serveMetadata() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	answer := func(path, contentType, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Metadata-Flavor", "Google")
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		})
	}
	const account = "/computeMetadata/v1/instance/service-accounts/default/"
	answer("/{$}", "application/text", "computeMetadata/\n")
	answer("/computeMetadata/v1/instance", "application/json", "{}")
	answer("/computeMetadata/v1/project/project-id", "application/text", "bench")
	answer("/computeMetadata/v1/universe/universe-domain", "application/text", "googleapis.com")
	answer(account+"email", "application/text", "bench@bench.iam.gserviceaccount.com")
	answer(account+"token", "application/json", `{"access_token":"ya29.service","expires_in":3599,"token_type":"Bearer"}`)
	go func() { log.Fatal((&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(l)) }()
	return l.Addr().String(), nil
}
