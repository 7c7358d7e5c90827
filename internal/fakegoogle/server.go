package fakegoogle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	defaultClientID = "407408718192-standin0000000000000000000000000.apps.googleusercontent.com"
	projectID       = "fakegoogle"

	// defaultAccessTokenTTL is what Google's token endpoint answers as expires_in.
	defaultAccessTokenTTL = 3599 * time.Second
)

// Options says how the stand-in starts. The zero value is usable.
type Options struct {
	Addr              string           // listen address, loopback only; default "127.0.0.1:0"
	ClientID          string           // of the one registered OAuth client; has a default
	ClientSecret      string           // default: random
	RedirectURIs      []string         // registered redirect URIs, compared byte for byte
	JavaScriptOrigins []string         // registered origins, of whose pages a popup may be opened
	Accounts          []Account        // default: DefaultAccounts()
	StateFile         string           // when set, secrets and documents are loaded from and kept in it
	Now               func() time.Time // default: time.Now
	AccessTokenTTL    time.Duration    // default: 3599 s
}

// Account is a Google account that can sign in, and the size of its mailbox.
type Account struct {
	Sub, Email, Name, Picture string
	Messages                  int // seeded messages, the same ones for the same Sub
}

// DefaultAccounts returns three people: one with a large mailbox, one with a
// small one, one with none.
func DefaultAccounts() []Account {
	return []Account{
		{Sub: "104857600000000000001", Email: "ada.brook@example.com", Name: "Ada Brook", Picture: "https://lh3.googleusercontent.com/a/standin-ada", Messages: 3000},
		{Sub: "104857600000000000002", Email: "ben.okafor@example.com", Name: "Ben Okafor", Picture: "https://lh3.googleusercontent.com/a/standin-ben", Messages: 40},
		{Sub: "104857600000000000003", Email: "cleo.marsh@example.com", Name: "Cleo Marsh", Picture: "https://lh3.googleusercontent.com/a/standin-cleo"},
	}
}

// Server is a running stand-in. Its methods are safe for concurrent use.
type Server struct {
	now      func() time.Time
	listener net.Listener
	http     *http.Server
	accounts []Account

	client *client
	grants *grantBook
	vault  *vault
	mail   map[string]*mailbox // by sub; the map itself never changes
	faults faultPlan
	leaks  secretLog

	parts   http.Handler // what a part of a batch may call
	mu      sync.Mutex
	shuffle bool

	partLimit    int            // parts of batches that a user may run at once; 0: any number
	partsRunning map[string]int // by Authorization header
}

// Start listens and serves until Close. An address that is not on loopback is
// an error, as is an unreadable state file.
func Start(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := checkLoopback(o.Addr); err != nil {
		return nil, err
	}
	s, err := newServer(o)
	if err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, fmt.Errorf("fakegoogle: %w", err)
	}
	if !s.listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return nil, errors.Join(notLoopback(o.Addr), s.listener.Close())
	}
	s.http = s.newHTTPServer()
	go s.http.Serve(s.listener) // ends with http.ErrServerClosed, at Close
	return s, nil
}

func (o Options) withDefaults() Options {
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	o.ClientID = cmp.Or(o.ClientID, defaultClientID)
	if o.ClientSecret == "" {
		o.ClientSecret = "GOCSPX-" + randomString(28)
	}
	if o.Accounts == nil {
		o.Accounts = DefaultAccounts()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.AccessTokenTTL = cmp.Or(o.AccessTokenTTL, defaultAccessTokenTTL)
	return o
}

func newServer(o Options) (*Server, error) {
	vault, err := openVault(o.StateFile, o.Now)
	if err != nil {
		return nil, err
	}
	s := &Server{
		now:      o.Now,
		accounts: slices.Clone(o.Accounts),
		client:   newClient(o),
		vault:    vault,
		mail:     make(map[string]*mailbox),
	}
	if s.grants, err = newGrantBook(o.Now, o.AccessTokenTTL, &s.leaks); err != nil {
		return nil, err
	}
	s.leaks.add(o.ClientSecret)
	for _, a := range s.accounts {
		if a.Sub == "" || a.Email == "" {
			return nil, fmt.Errorf("fakegoogle: account %+v needs Sub and Email", a)
		}
		s.mail[a.Sub] = newMailbox(a, o.Now)
	}
	return s, nil
}

// checkLoopback refuses host names other than localhost without resolving them.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("fakegoogle: listen address: %w", err)
	}
	if host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return notLoopback(addr)
}

func notLoopback(addr string) error {
	return fmt.Errorf("fakegoogle: %q is not a loopback address: this stand-in is not for production", addr)
}

func (s *Server) newHTTPServer() *http.Server {
	rpc := s.newGRPCServer()
	web := s.routes()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				rpc.ServeHTTP(w, r)
				return
			}
			web.ServeHTTP(w, r)
		}),
	}
}

func (s *Server) newGRPCServer() *grpc.Server {
	rpc := grpc.NewServer(
		grpc.UnaryInterceptor(s.unaryFaults),
		grpc.StreamInterceptor(s.streamFaults),
		grpc.MaxRecvMsgSize(maxRequestBytes),
	)
	registerSecretManager(rpc, s)
	registerFirestore(rpc, s)
	return rpc
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+authPath, s.withFaults(opAuth, s.serveAuth))
	mux.HandleFunc("POST "+authPath, s.withFaults(opAuth, s.serveConsent))
	mux.HandleFunc("GET "+codeClientPath, serveCodeClient)
	mux.HandleFunc("POST "+tokenPath, s.serveToken)
	mux.HandleFunc("POST "+revokePath, s.withFaults(opRevoke, s.serveRevoke))
	mux.HandleFunc("POST "+batchPath, s.withFaults(opGmailBatch, s.serveBatch))

	parts := http.NewServeMux()
	for _, e := range s.gmailEndpoints() {
		mux.HandleFunc(e.pattern, s.withFaults(e.op, e.handler))
		parts.HandleFunc(e.pattern, e.handler)
	}
	parts.HandleFunc("/", serveNoSuchMethod)
	mux.HandleFunc("/gmail/", serveNoSuchMethod)
	s.parts = parts
	return mux
}

// Close stops serving at once, cutting what is in flight. It also reports
// whether the state file could not be written at some point.
func (s *Server) Close() error {
	return errors.Join(s.http.Close(), s.vault.saveError())
}

// Handler serves everything that the stand-in's own address serves, for a server
// with TLS or of another address.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// URL is the base of every HTTP endpoint and the issuer of the ID tokens.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Addr is the host:port that serves everything, gRPC included.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// ClientJSON is the file that Google's console offers for download as the
// "client secret", naming this server's endpoints.
func (s *Server) ClientJSON() []byte {
	type web struct {
		ClientID          string   `json:"client_id"`
		ProjectID         string   `json:"project_id"`
		AuthURI           string   `json:"auth_uri"`
		TokenURI          string   `json:"token_uri"`
		ClientSecret      string   `json:"client_secret"`
		RedirectURIs      []string `json:"redirect_uris,omitempty"`
		JavaScriptOrigins []string `json:"javascript_origins,omitempty"`
	}
	c := s.client
	b, err := json.Marshal(map[string]web{"web": {
		ClientID:          c.id,
		ProjectID:         projectID,
		AuthURI:           s.URL() + authPath,
		TokenURI:          s.URL() + tokenPath,
		ClientSecret:      c.currentSecret(),
		RedirectURIs:      c.registeredURIs(),
		JavaScriptOrigins: c.origins,
	}})
	if err != nil {
		panic(err) // strings and slices of strings always marshal
	}
	return b
}

// ClientID is that of the one registered OAuth client.
func (s *Server) ClientID() string { return s.client.id }

// CodeClientURL is the address of the script that stands in for
// https://accounts.google.com/gsi/client.
func (s *Server) CodeClientURL() string { return s.URL() + codeClientPath }

// SetRedirectURIs replaces the registered redirect URIs.
func (s *Server) SetRedirectURIs(uris ...string) { s.client.setURIs(uris) }

// SetClientSecret rotates the client secret: from now on only this one
// authenticates.
func (s *Server) SetClientSecret(secret string) {
	s.leaks.add(secret)
	s.client.setSecret(secret)
}

// SetBatchShuffle makes batch answers come in random order, as Google's may.
func (s *Server) SetBatchShuffle(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shuffle = on
}

// SetBatchLimit lets each user run at most n parts of batches at once, 0 for
// any number. The others are answered as Gmail does: 429, too many concurrent
// requests, in the part.
func (s *Server) SetBatchLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partLimit, s.partsRunning = n, make(map[string]int)
}

func (s *Server) batchShuffle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shuffle
}

// account finds an account by sub or, ignoring case, by e-mail.
func (s *Server) account(hint string) (Account, bool) {
	for _, a := range s.accounts {
		if a.Sub == hint || strings.EqualFold(a.Email, hint) {
			return a, true
		}
	}
	return Account{}, false
}

// sleep waits, or returns early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
