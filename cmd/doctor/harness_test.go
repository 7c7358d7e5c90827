package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"google.golang.org/api/cloudfunctions/v2"
	"google.golang.org/api/firestore/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/secretmanager/v1"
	"google.golang.org/api/serviceusage/v1"

	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/internal/site"
)

// servePort makes the test binary serve the functions at that port.
const servePort = "GMAILGRANT_TEST_SERVE_PORT"

func TestMain(m *testing.M) {
	if port := os.Getenv(servePort); port != "" {
		fmt.Fprintln(os.Stderr, funcframework.StartHostPort("127.0.0.1", port))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	baseURL = "https://api.example.com"
	sibling = "https://app.example.com" // of the same site as the functions
	foreign = "https://app.example.net"
	project = "my-project"
	region  = "europe-west1"
)

// wellSet are settings with which nothing is wrong.
func wellSet() map[string]string {
	return map[string]string{
		"BASE_URL":             baseURL,
		"GOOGLE_CLOUD_PROJECT": project,
		"FIRESTORE_DATABASE":   "gmailgrant",
		"ALLOWED_ORIGINS":      sibling + "," + foreign,
		"SSL_CERT_DIR":         "/nonexistent",
		"GOGC":                 "200",
	}
}

// startGoogle starts the stand-in with the two secrets.
func startGoogle(t *testing.T) *fakegoogle.Server {
	t.Helper()
	google, err := fakegoogle.Start(fakegoogle.Options{
		RedirectURIs:      []string{"https://old.example.com/callback", baseURL + "/callback"},
		JavaScriptOrigins: []string{sibling, foreign},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = google.Close() })
	google.AddSecretVersion("gmailgrant-client", google.ClientJSON())
	google.AddSecretVersion("gmailgrant-seal-key", sealKey)
	return google
}

// sealKey is that of every deployment here: the functions open what the doctor
// seals.
var sealKey = newSealKey()

func newSealKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return []byte(base64.StdEncoding.EncodeToString(key))
}

// startFunctions serves the functions in a process of their own, with some
// settings changed, and returns their address.
func startFunctions(t *testing.T, changed map[string]string) *url.URL {
	t.Helper()
	return startFunctionsOf(t, startGoogle(t), changed)
}

// startFunctionsOf serves them with a Google that is seen from outside.
func startFunctionsOf(t *testing.T, google *fakegoogle.Server, changed map[string]string) *url.URL {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	env := wellSet()
	maps.Copy(env, map[string]string{servePort: port, "SECRET_MANAGER_EMULATOR_HOST": google.Addr(), "FIRESTORE_EMULATOR_HOST": google.Addr()})
	maps.Copy(env, changed)
	cmd := exec.Command(os.Args[0])
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
	waitForListener(t, address, exited)
	return &url.URL{Scheme: "http", Host: address}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitForListener asks until somebody listens: the framework does not say when.
func waitForListener(t *testing.T, address string, exited <-chan struct{}) {
	t.Helper()
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
			t.Fatal("the functions ended")
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// A place is a deployment and the Google that knows of it.
type place struct {
	t      *testing.T
	google *fakegoogle.Server // secrets and grants
	cloud  *cloud             // what else is there
	env    map[string]string  // of the doctor
	now    func() time.Time
	args   []string

	functions *url.URL
	// front is what is in front of the functions: it may change their answers,
	// or answer itself and say so.
	answers func(*http.Response) error
	itself  func(http.ResponseWriter, *http.Request) bool
	// perFunction: each function has a host of its own.
	perFunction bool
}

func newPlace(t *testing.T, functions *url.URL) *place {
	t.Helper()
	p := &place{
		t: t, google: startGoogle(t), cloud: newCloud(), now: time.Now, functions: functions,
		args:    []string{"-project", project, "-region", region},
		answers: func(*http.Response) error { return nil },
		itself:  func(http.ResponseWriter, *http.Request) bool { return false },
	}
	p.env = map[string]string{"SECRET_MANAGER_EMULATOR_HOST": p.google.Addr(), "FIRESTORE_EMULATOR_HOST": p.google.Addr()}
	return p
}

// examine runs the doctor, and returns its lines and its exit status.
func (p *place) examine() (lines []string, code int) {
	p.t.Helper()
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(p.functions) },
		ModifyResponse: func(r *http.Response) error { return p.answers(r) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, _, _ := strings.Cut(r.Host, "-123."); p.perFunction {
			r.URL.Path = "/" + name + strings.TrimSuffix(r.URL.Path, "/")
		}
		if !p.itself(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	api := httptest.NewServer(p.cloud)
	defer api.Close()
	var out bytes.Buffer
	code = run(p.t.Context(), p.args, surroundings{
		getenv: func(name string) string { return p.env[name] },
		now:    p.now,
		transport: redirected{front.Listener.Addr().String(), []string{
			"api.example.com", "authurl-123.europe-west1.run.app", "callback-123.europe-west1.run.app", "listmessages-123.europe-west1.run.app",
		}},
		google: []option.ClientOption{option.WithHTTPClient(&http.Client{Transport: redirected{api.Listener.Addr().String(), []string{
			"cloudfunctions.googleapis.com", "firestore.googleapis.com", "secretmanager.googleapis.com", "serviceusage.googleapis.com",
		}}})},
	}, &out)
	return strings.Split(strings.TrimSpace(out.String()), "\n"), code
}

// redirected is the network of the tests: some hosts are found at an address on
// loopback, and there are no others.
type redirected struct {
	address string
	hosts   []string
}

func (n redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, host := range n.hosts {
		if r.URL.Host == host {
			there := r.Clone(r.Context())
			there.Host, there.URL.Scheme, there.URL.Host = host, "http", n.address
			return http.DefaultTransport.RoundTrip(there)
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}
}

// cloud answers the few requests to Google's APIs that the doctor makes.
type cloud struct {
	functions map[string]*cloudfunctions.Function
	databases map[string]*firestore.GoogleFirestoreAdminV1Database
	ttl       *firestore.GoogleFirestoreAdminV1TtlConfig
	gmail     string                         // state of the API
	versions  []*secretmanager.SecretVersion // of the seal key
	refused   string                         // host that answers 403
	refusal   string                         // what it says
}

func newCloud() *cloud {
	c := &cloud{
		functions: make(map[string]*cloudfunctions.Function),
		databases: map[string]*firestore.GoogleFirestoreAdminV1Database{"gmailgrant": {Type: "FIRESTORE_NATIVE"}},
		ttl:       &firestore.GoogleFirestoreAdminV1TtlConfig{State: "ACTIVE"},
		gmail:     "ENABLED",
		refusal:   "The caller does not have permission",
	}
	for _, name := range site.Functions {
		c.functions[name] = &cloudfunctions.Function{
			State:       "ACTIVE",
			BuildConfig: &cloudfunctions.BuildConfig{EntryPoint: name},
			ServiceConfig: &cloudfunctions.ServiceConfig{
				EnvironmentVariables: wellSet(),
				IngressSettings:      "ALLOW_ALL",
				ServiceAccountEmail:  "gmailgrant-" + name + "@my-project.iam.gserviceaccount.com",
				TimeoutSeconds:       60,
			},
		}
	}
	c.addVersion(time.Now().Add(-30 * 24 * time.Hour))
	return c
}

// set changes a setting of all functions.
func (c *cloud) set(name, value string) {
	for _, f := range c.functions {
		f.ServiceConfig.EnvironmentVariables[name] = value
	}
}

// addVersion adds an enabled version of the seal key.
func (c *cloud) addVersion(created time.Time) {
	c.versions = append(c.versions, &secretmanager.SecretVersion{
		Name:       "projects/1/secrets/gmailgrant-seal-key/versions/" + strconv.Itoa(len(c.versions)+1),
		CreateTime: created.UTC().Format(time.RFC3339Nano),
		State:      "ENABLED",
	})
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := c.answer(r)
	switch {
	case r.Method != http.MethodGet:
		c.fail(w, http.StatusMethodNotAllowed, "nothing may be changed")
	case r.Host == c.refused:
		c.fail(w, http.StatusForbidden, c.refusal)
	case answer == nil:
		c.fail(w, http.StatusNotFound, "Resource not found")
	default:
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (c *cloud) fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, status, message)
}

// answer is nil for what is not there.
func (c *cloud) answer(r *http.Request) any {
	const database = "firestore.googleapis.com/v1/projects/my-project/databases/"
	path := r.Host + r.URL.Path
	if name, ok := strings.CutPrefix(path, "cloudfunctions.googleapis.com/v2/projects/my-project/locations/europe-west1/functions/"); ok {
		if f := c.functions[name]; f != nil {
			return f
		}
		return nil
	}
	if id, ok := strings.CutPrefix(path, database); ok && c.databases[id] != nil {
		return c.databases[id]
	}
	switch path {
	case database + "gmailgrant/collectionGroups/grants/fields/expires_at":
		return firestore.GoogleFirestoreAdminV1Field{TtlConfig: c.ttl}
	case "serviceusage.googleapis.com/v1/projects/407408718192/services/gmail.googleapis.com": // the client's own
		return serviceusage.GoogleApiServiceusageV1Service{State: c.gmail}
	case "secretmanager.googleapis.com/v1/projects/my-project/secrets/gmailgrant-seal-key/versions":
		return secretmanager.ListSecretVersionsResponse{Versions: c.versions}
	}
	return nil
}
