package fakecloud

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Number is the number of every project.
const Number = "407408718192"

// DefaultBuilder is the service account that builds functions by default.
const DefaultBuilder = Number + "-compute@developer.gserviceaccount.com"

// apis are the APIs that are served, each below a path of its name, and the
// services that have to be enabled for them.
var apis = map[string]string{
	"cloudbuild":           "cloudbuild.googleapis.com",
	"cloudfunctions":       "cloudfunctions.googleapis.com",
	"cloudresourcemanager": "cloudresourcemanager.googleapis.com",
	"firestore":            "firestore.googleapis.com",
	"iam":                  "iam.googleapis.com",
	"logging":              "logging.googleapis.com",
	"run":                  "run.googleapis.com",
	"secretmanager":        "secretmanager.googleapis.com",
	"serviceusage":         "serviceusage.googleapis.com",
}

// Options says what a project starts with. Project is needed.
type Options struct {
	Project string
	// Deploy serves a function that was created or updated; its error is that
	// of the deployment. nil: nothing is served.
	Deploy func(*Function) error
	// Remove stops serving a function. nil: nothing to do.
	Remove func(*Function)
	// Log are the lines that a service wrote, each JSON, oldest first. nil: none.
	Log func(service string) [][]byte
	// Secret is told of every new version of a secret. nil: nobody is.
	Secret func(name string, payload []byte)
}

// Cloud is a running project. Its methods are safe for concurrent use.
type Cloud struct {
	options  Options
	listener net.Listener
	http     *http.Server

	mu         sync.Mutex
	services   map[string]bool
	accounts   map[string]string // display names by e-mail address
	policies   map[string]*policy
	secrets    map[string][]*version // oldest first
	databases  map[string]*database
	functions  map[string]*Function // by full name
	uploads    map[string][]byte    // archives by object
	operations map[string]*operation
	serial     int

	requests  []Request
	strangers []string
	faults    []*fault
}

// A Request is one that gcloud sent.
type Request struct {
	Method string
	Path   string // below the address of the stand-in: API, version, resource
	Query  string
	Body   []byte
}

func (r Request) String() string { return r.Method + " " + r.Path }

// Changes reports whether the request was meant to change something.
func (r Request) Changes() bool {
	return r.Method != http.MethodGet && !strings.HasSuffix(r.Path, ":getIamPolicy")
}

// fault is an answer that takes the place of the usual one.
type fault struct {
	request string
	err     *apiError
	times   int
}

// Start serves an empty project until Close: only the two services are enabled
// that a new one needs to enable others, and the default builder is an editor, as
// in projects that were made before 2024.
func Start(o Options) (*Cloud, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fakecloud: %w", err)
	}
	c := &Cloud{
		options:    o,
		listener:   listener,
		services:   map[string]bool{"serviceusage.googleapis.com": true, "storage.googleapis.com": true},
		accounts:   map[string]string{DefaultBuilder: "Compute Engine default service account"},
		policies:   make(map[string]*policy),
		secrets:    make(map[string][]*version),
		databases:  make(map[string]*database),
		functions:  make(map[string]*Function),
		uploads:    make(map[string][]byte),
		operations: make(map[string]*operation),
	}
	c.SetBindings("projects/"+o.Project,
		Binding{Role: "roles/owner", Members: []string{"user:owner@example.com"}},
		Binding{Role: "roles/editor", Members: []string{"serviceAccount:" + DefaultBuilder}})
	c.http = &http.Server{Handler: c.handler()}
	go c.http.Serve(listener) // ends with http.ErrServerClosed, at Close
	return c, nil
}

// Close stops serving.
func (c *Cloud) Close() error { return c.http.Close() }

// Addr is host:port.
func (c *Cloud) Addr() string { return c.listener.Addr().String() }

// Env makes gcloud talk to this project and to nothing else.
func (c *Cloud) Env() []string {
	host, port, _ := net.SplitHostPort(c.Addr())
	env := []string{"CLOUDSDK_PROXY_TYPE=http", "CLOUDSDK_PROXY_ADDRESS=" + host, "CLOUDSDK_PROXY_PORT=" + port}
	for api := range apis {
		env = append(env, "CLOUDSDK_API_ENDPOINT_OVERRIDES_"+strings.ToUpper(api)+"=http://"+c.Addr()+"/"+api+"/")
	}
	return env
}

// Requests are those that gcloud sent since the last ResetRequests.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// ResetRequests forgets them.
func (c *Cloud) ResetRequests() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
}

// Strangers are the addresses of requests to anywhere else, all refused.
func (c *Cloud) Strangers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.strangers)
}

// Refuse answers the next requests, as many as times, whose method and path
// contain the text, with an error. status is one of google.rpc.Code.
func (c *Cloud) Refuse(request string, code int, status, message string, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &fault{request, &apiError{code: code, status: status, message: message}, times})
}

// Services are those enabled, sorted.
func (c *Cloud) Services() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.services))
}

// Enable enables the services of all APIs that are served.
func (c *Cloud) Enable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, service := range apis {
		c.services[service] = true
	}
}

func (c *Cloud) handler() http.Handler {
	mux := http.NewServeMux()
	c.routeProject(mux)
	c.routeAccounts(mux)
	c.routeSecrets(mux)
	c.routeFirestore(mux)
	c.routeFunctions(mux)
	c.routeLogging(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{http.StatusNotImplemented, "UNIMPLEMENTED", "fakecloud does not know " + r.Method + " " + r.URL.Path})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.ours(r) {
			http.Error(w, "fakecloud: not here", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // gcloud left
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := c.admit(Request{r.Method, strings.TrimPrefix(r.URL.Path, "/"), r.URL.RawQuery, body}); err != nil {
			writeError(w, err)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ours reports whether a request is for the stand-in itself. gcloud puts the
// region before the host of Cloud Run.
func (c *Cloud) ours(r *http.Request) bool {
	if r.Method != http.MethodConnect && (r.Host == c.Addr() || strings.HasSuffix(r.Host, "-"+c.Addr())) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strangers = append(c.strangers, r.Method+" "+r.Host)
	return false
}

// admit notes a request, and refuses it when told to or when its API is not
// enabled.
func (c *Cloud) admit(r Request) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	for _, f := range c.faults {
		if f.times > 0 && strings.Contains(r.String(), f.request) {
			f.times--
			return f.err
		}
	}
	api, _, _ := strings.Cut(r.Path, "/")
	if service, ok := apis[api]; ok && !c.services[service] {
		return &apiError{http.StatusForbidden, "PERMISSION_DENIED", fmt.Sprintf(
			"%s has not been used in project %s before or it is disabled. Enable it, then retry.", service, c.options.Project)}
	}
	return nil
}

// next numbers what is made. c.mu is held.
func (c *Cloud) next() int {
	c.serial++
	return c.serial
}
