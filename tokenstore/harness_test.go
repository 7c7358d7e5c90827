package tokenstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/tokenstore"
)

const (
	clientSecret = "gmailgrant-client"
	sealKey      = "gmailgrant-seal-key"
	redirectURI  = "http://localhost:8080/callback"
	readonly     = "https://www.googleapis.com/auth/gmail.readonly"
	baseURL      = "http://localhost:8080"
)

var (
	ada = fakegoogle.DefaultAccounts()[0]
	ben = fakegoogle.DefaultAccounts()[1]
)

// A world is the stand-in for Google, or that with Google's own Firestore
// emulator, and what the test needs to look behind the store's back.
type world struct {
	t       *testing.T
	google  *fakegoogle.Server
	project string
	proxy   *proxy // in front of Firestore
	db      *firestore.Client

	mu  sync.Mutex
	now time.Time
}

// eachFirestore runs a test against the stand-in, and against the emulator when
// FIRESTORE_EMULATOR_HOST names one: both must behave the same.
func eachFirestore(t *testing.T, test func(w *world)) {
	t.Helper()
	emulator := os.Getenv("FIRESTORE_EMULATOR_HOST")
	t.Run("stand-in", func(t *testing.T) { test(newStandIn(t)) })
	if emulator != "" {
		t.Run("emulator", func(t *testing.T) { test(newWorld(t, emulator)) })
	}
}

// newStandIn is a world for what can be shown with the stand-in only.
func newStandIn(t *testing.T) *world {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // which Google's library would obey by itself
	return newWorld(t, "")
}

func newWorld(t *testing.T, emulator string) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().Truncate(time.Second), project: "p-" + strings.ToLower(rand.Text())}
	google, err := fakegoogle.Start(fakegoogle.Options{Now: w.clock, RedirectURIs: []string{redirectURI}})
	if err != nil {
		t.Fatal(err)
	}
	w.google = google
	t.Cleanup(func() { _ = google.Close() })
	google.AddSecretVersion(clientSecret, google.ClientJSON())
	google.AddSecretVersion(sealKey, newSealKey())

	target := google.Addr()
	if emulator != "" {
		target = emulator
	}
	w.proxy = startProxy(t, target)
	if emulator != "" {
		t.Setenv("FIRESTORE_EMULATOR_HOST", w.proxy.address)
	}
	w.db = w.rawClient(target)
	return w
}

func newSealKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return []byte(base64.StdEncoding.EncodeToString(key))
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) setClock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

func (w *world) advance(d time.Duration) { w.setClock(w.clock().Add(d)) }

// rawClient reaches Firestore past the proxy and the store.
func (w *world) rawClient(target string) *firestore.Client {
	w.t.Helper()
	c, err := firestore.NewClient(context.Background(), w.project, option.WithEndpoint(target), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// store is a new instance: cold, with no memory of its own. hooks see each HTTP
// request before it is sent.
func (w *world) store(hooks ...func(*http.Request)) *tokenstore.Store {
	return w.storeOf(tokenstore.Config{}, hooks...)
}

// storeOf is a new instance with some settings changed.
func (w *world) storeOf(cfg tokenstore.Config, hooks ...func(*http.Request)) *tokenstore.Store {
	w.t.Helper()
	if cfg.ClientSecretName == "" {
		cfg.ClientSecretName = clientSecret
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = baseURL
	}
	cfg.Project, cfg.SealKeyName, cfg.Database, cfg.Now = w.project, sealKey, "(default)", w.clock
	cfg.FirestoreEmulator, cfg.SecretManagerEmulator = w.proxy.address, w.google.Addr()
	cfg.HTTPClient = &http.Client{Transport: &transport{t: w.t, hooks: hooks}}
	cfg.DialOptions = append(cfg.DialOptions,
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			wantDeadline(w.t, ctx, method, 5*time.Second)
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			wantDeadline(w.t, ctx, method, 5*time.Second)
			return stream(ctx, desc, cc, method, opts...)
		}),
	)
	s := tokenstore.New(cfg)
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// wantDeadline: every call that leaves the process has a deadline that is not far.
// Firestore's library sets none by itself.
func wantDeadline(t *testing.T, ctx context.Context, call string, most time.Duration) {
	at, ok := ctx.Deadline()
	if !ok {
		t.Errorf("%s without a deadline", call)
	} else if left := time.Until(at); left > most {
		t.Errorf("%s has %s", call, left)
	}
}

// A transport runs its hooks before each request.
type transport struct {
	t     *testing.T
	hooks []func(*http.Request)
}

func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	wantDeadline(tr.t, r.Context(), r.URL.Path, 10*time.Second)
	for _, hook := range tr.hooks {
		hook(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// onRefresh is a hook for requests that refresh a token.
func onRefresh(do func()) func(*http.Request) {
	return func(r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err) // it is in memory
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.Contains(string(body), "grant_type=refresh_token") {
			do()
		}
	}
}

// onCommit is a dial option that acts before each write to Firestore.
func onCommit(do func()) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if strings.HasSuffix(method, "/Commit") {
			do()
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	})
}

// touch changes a document's update time, as an access token written by another
// instance does.
func (w *world) touch(user string) {
	d := w.document(user)
	d["updated_at"] = d["updated_at"].(time.Time).Add(time.Second)
	w.setDocument(user, d)
}

// once makes a hook act at its first call only.
func once(do func()) func() {
	var o sync.Once
	return func() { o.Do(do) }
}

// document is the user's document as it lies in Firestore; nil if there is none.
func (w *world) document(user string) map[string]any {
	w.t.Helper()
	snapshot, err := w.db.Doc("grants/" + user).Get(context.Background())
	if snapshot != nil && !snapshot.Exists() {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return snapshot.Data()
}

func (w *world) setDocument(user string, fields map[string]any) {
	w.t.Helper()
	if _, err := w.db.Doc("grants/"+user).Set(context.Background(), fields); err != nil {
		w.t.Fatal(err)
	}
}

// madeUp is an authorization with tokens that Google does not know.
func (w *world) madeUp(s *tokenstore.Store) *tokenstore.Authorization {
	w.t.Helper()
	client, err := s.Client(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return &tokenstore.Authorization{
		RefreshToken:      tokenstore.Secret("1//0refresh-" + rand.Text()),
		AccessToken:       tokenstore.Secret("ya29.access-" + rand.Text()),
		AccessTokenExpiry: w.clock().Add(time.Hour),
		Scopes:            []string{"openid", readonly},
		ClientID:          client.ID,
	}
}

// authorize sends a user through Google's consent page and exchanges the code.
func (w *world) authorize(s *tokenstore.Store, who fakegoogle.Account, prompt string) *tokenstore.Authorization {
	w.t.Helper()
	a, err := s.Exchange(w.t.Context(), w.code(s, who, prompt), "", redirectURI)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) code(s *tokenstore.Store, who fakegoogle.Account, prompt string) string {
	w.t.Helper()
	client, err := s.Client(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	form := url.Values{
		"client_id": {client.ID}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "access_type": {"offline"},
		"requested_scope": {"openid email profile " + readonly}, "scope": {readonly}, "account": {who.Sub}, "action": {"allow"},
	}
	if prompt != "" {
		form.Set("prompt", prompt)
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(client.AuthURL(), form)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	location, err := resp.Location()
	if err != nil || location.Query().Get("code") == "" {
		w.t.Fatalf("no code: %d, %v", resp.StatusCode, location)
	}
	return location.Query().Get("code")
}

// connect signs a user in and stores the grant.
func (w *world) connect(s *tokenstore.Store, who fakegoogle.Account, prompt string) *tokenstore.Grant {
	w.t.Helper()
	return w.mustConnect(s, who.Sub, w.authorize(s, who, prompt))
}

func (w *world) mustConnect(s *tokenstore.Store, user string, a *tokenstore.Authorization) *tokenstore.Grant {
	w.t.Helper()
	g, err := s.Connect(w.t.Context(), user, a, tokenstore.Profile{Email: user + "@example.com", Name: "Ada", Picture: "https://example.com/ada"})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) wantGrant(s *tokenstore.Store, user, id string) *tokenstore.Grant {
	w.t.Helper()
	g, err := s.Grant(w.t.Context(), user)
	if err != nil {
		w.t.Fatalf("grant of %s: %v", user, err)
	}
	if g.ID != id || g.User != user {
		w.t.Fatalf("grant %s of %s, want %s of %s", g.ID, g.User, id, user)
	}
	return g
}

func (w *world) wantNoGrant(s *tokenstore.Store, user, id string) {
	w.t.Helper()
	if g, err := s.Grant(w.t.Context(), user); !errors.Is(err, tokenstore.ErrNotConnected) {
		w.t.Errorf("Grant: %+v, %v, want ErrNotConnected", g, err)
	}
	if _, err := s.Token(w.t.Context(), user, id, ""); !errors.Is(err, tokenstore.ErrNotConnected) {
		w.t.Errorf("Token: %v, want ErrNotConnected", err)
	}
}

func (w *world) mustToken(s *tokenstore.Store, user, id string, rejected tokenstore.Secret) *tokenstore.Token {
	w.t.Helper()
	tok, err := s.Token(w.t.Context(), user, id, rejected)
	if err != nil {
		w.t.Fatal(err)
	}
	tok.Wait(w.t.Context())
	return tok
}

// A proxy stands in front of Firestore. It can go down, which breaks the
// connections, or hang, which leaves them open without an answer.
type proxy struct {
	address, target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	hung     bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{target: target, address: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	p.up(t)
	t.Cleanup(p.down)
	return p
}

func (p *proxy) up(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address, p.hung = l, l.Addr().String(), false
	go p.accept(l)
}

func (p *proxy) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// hang lets nothing more through.
func (p *proxy) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hung = true
}

func (p *proxy) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near], p.conns[far] = true, true
		p.mu.Unlock()
		go p.copy(near, far)
		go p.copy(far, near)
	}
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		hung := p.hung
		p.mu.Unlock()
		if !hung && n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
