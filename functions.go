// Package gmailgrant gives web apps offline access to a user's Gmail: three
// HTTP-triggered Google Cloud Functions that share this module.
//
//	authurl        builds the authorization URL
//	callback       exchanges the code, stores the grant, gives a session
//	listmessages   lists the messages that match a query
//
// The map of the program:
//
//	functions.go        registers the functions and wires them up
//	prepare.go          begins what the first request needs while the server comes up
//	config.go           the settings, all from the environment
//	authurl/            to Google: return URL, state, PKCE
//	callback/           back from Google; also: who is signed in, sign out, disconnect
//	listmessages/       Gmail: pages, retries, cursor, streaming
//	tokenstore/         client secret and seal key (Secret Manager), grants (Firestore), access tokens
//	internal/endpoint/  the frame of every function: CORS, headers, problems, log
//	internal/session/   cookie and Bearer sessions
//	internal/site/      public addresses, allowed origins, return URLs
//	internal/flight/    calls that many wait for; a panic in one is an error
//	internal/seal/      encryption of all that others keep for us
//	internal/fakegoogle/  the stand-in for Google, for tests and cmd/local
//	cmd/local/          everything on one machine, with a page to click through
//	cmd/doctor/         what is wrong with a deployment, and what to do about it
//	bench/              how fast it is, beside other programs that do the job
package gmailgrant

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"google.golang.org/grpc"

	"example.com/gmailgrant/authurl"
	"example.com/gmailgrant/callback"
	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/listmessages"
	"example.com/gmailgrant/tokenstore"
)

func init() {
	for _, name := range site.Functions {
		functions.HTTP(name, func(w http.ResponseWriter, r *http.Request) {
			deployed.app().endpoints[name].ServeHTTP(w, r)
		})
	}
	if target := os.Getenv("FUNCTION_TARGET"); target != "" && os.Getenv("K_SERVICE") != "" {
		go deployed.prepare(target)
	}
}

// deployed is the app of this process. On Cloud Functions it is made at once, in
// the background; otherwise at the first request.
var deployed = process{getenv: os.Getenv, log: os.Stderr}

// A process makes the app once it is needed. With faults in the settings it
// keeps answering, and every answer is a problem.
type process struct {
	getenv func(string) string
	log    io.Writer

	once sync.Once
	made *app
}

func (p *process) app() *app {
	p.once.Do(func() { p.made = loadApp(p.getenv, endpoint.NewLogger(p.log)) })
	return p.made
}

func loadApp(getenv func(string) string, log *slog.Logger) *app {
	cfg, err := LoadConfig(getenv)
	if err == nil {
		var a *app
		if a, err = newApp(cfg, log, listmessages.Clock{}); err == nil {
			return a
		}
	}
	log.Error("settings", slog.String("error", err.Error()))
	addresses, _ := loadSite(getenv) // what is wrong with them is in err
	broken := &app{endpoints: make(map[string]*endpoint.Endpoint)}
	for _, name := range site.Functions {
		e := endpoint.Broken(name, addresses, &endpoint.Problem{Reason: endpoint.Misconfigured, Err: err}, log)
		e.Project = func() string { return getenv("GOOGLE_CLOUD_PROJECT") }
		broken.endpoints[name] = e
	}
	return broken
}

// An app is the functions, wired up. With faults in the settings it has endpoints
// only.
type app struct {
	cfg       *Config
	log       *slog.Logger
	now       func() time.Time
	client    *http.Client
	store     *tokenstore.Store
	sessions  *session.Keeper
	lister    *listmessages.Lister
	endpoints map[string]*endpoint.Endpoint
}

// newApp does no I/O.
func newApp(cfg *Config, log *slog.Logger, clock listmessages.Clock) (*app, error) {
	a := &app{cfg: cfg, log: log, now: time.Now, client: newHTTPClient(), endpoints: make(map[string]*endpoint.Endpoint)}
	if clock.Now != nil {
		a.now = clock.Now
	}
	a.store = tokenstore.New(tokenstore.Config{
		Project:               cfg.Project,
		ClientSecretName:      cfg.ClientSecretName,
		SealKeyName:           cfg.SealKeyName,
		Database:              cfg.Database,
		BaseURL:               cfg.site.BaseURL(),
		Now:                   a.now,
		HTTPClient:            a.client,
		Log:                   log,
		FirestoreEmulator:     cfg.FirestoreEmulator,
		SecretManagerEmulator: cfg.SecretManagerEmulator,
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(endpoint.CountUnary),
			grpc.WithChainStreamInterceptor(endpoint.CountStream),
		},
	})
	a.sessions = &session.Keeper{
		Ring:       a.store.Ring(),
		Site:       cfg.site,
		Now:        a.now,
		CookieName: cfg.SessionCookie,
		CookieTTL:  cfg.SessionTTL,
		BearerTTL:  cfg.BearerTTL,
	}
	lister, err := listmessages.NewLister(a.store, a.client, gmailAddress(cfg), cfg.Scopes, cfg.ListDeadline, clock)
	if err != nil {
		return nil, err
	}
	a.lister = lister
	a.addFunctions()
	return a, nil
}

// addFunctions says what answers each function of site.Functions.
func (a *app) addFunctions() {
	authorizer := &authurl.Authorizer{Store: a.store, Site: a.cfg.site, Scopes: a.cfg.Scopes, Now: a.now}
	begin := &authurl.Handler{Authorizer: authorizer, Sessions: a.sessions}
	a.add("authurl", methods{http.MethodGet: begin.Get})
	end := callback.New(authorizer, a.sessions, a.cfg.PopupFlow)
	a.add("callback", methods{http.MethodGet: end.Get, http.MethodPost: end.Post, http.MethodDelete: end.Delete}).Page = callback.ShowsPage
	list := &listmessages.Handler{Lister: a.lister, Sessions: a.sessions}
	a.add("listmessages", methods{http.MethodGet: list.Get})
}

// methods are the handlers of a function.
type methods = map[string]endpoint.HandlerFunc

func (a *app) add(name string, m methods) *endpoint.Endpoint {
	e := endpoint.New(name, a.cfg.site, m, a.log, a.now)
	e.Project = a.store.Project
	a.endpoints[name] = e
	return e
}

func gmailAddress(cfg *Config) string {
	if cfg.GmailEmulator == "" {
		return ""
	}
	return "http://" + cfg.GmailEmulator + "/"
}

// newHTTPClient returns the one client for Google's OAuth endpoints and Gmail.
// It carries no user's token: that goes on each request. It follows no
// redirects, which would take secrets elsewhere. Deadlines come with each call.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport:     endpoint.CountingTransport(newTransport()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newTransport returns a transport that shares one HTTP/2 connection to a host
// among all calls: for many gets HTTP/1.1 takes more than twice the CPU.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A connection that died while the instance was frozen is noticed by a ping.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 3 * time.Second},
		MaxIdleConnsPerHost: 100, // for a stand-in, which has no HTTP/2
		IdleConnTimeout:     90 * time.Second,
	}
}
