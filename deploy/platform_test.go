//go:build gcloud

package deploy

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gmailgrant/deploy/internal/fakecloud"
	"example.com/gmailgrant/internal/fakegoogle"
)

// host is where the functions are reached without anybody's doing, custom a
// domain that may be routed to them.
const (
	host   = region + "-" + project + ".cloudfunctions.net"
	custom = "api.example.net"
)

// A platform serves deployed functions as cloudfunctions.net does: each built
// from the archive that was uploaded, in a process of its own, below its name on
// one host, and for anybody only if the policy says so.
type platform struct {
	server *httptest.Server
	google *fakegoogle.Server
	cloud  *fakecloud.Cloud
	logs   logBuffer

	mu      sync.Mutex
	running map[string]*instance         // by function ID
	spoilt  map[string]map[string]string // settings, by function ID, in place of those deployed
	inFront http.HandlerFunc             // what it does not answer goes to the functions; nil: nothing
}

type instance struct {
	cmd    *exec.Cmd
	exited chan struct{}
	proxy  *httputil.ReverseProxy
	logs   *logBuffer
}

func newPlatform(t *testing.T) *platform {
	p := &platform{running: make(map[string]*instance), spoilt: make(map[string]map[string]string)}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.server.TLS = &tls.Config{Certificates: []tls.Certificate{newCertificate(t)}}
	p.server.StartTLS()
	t.Cleanup(func() {
		p.server.Close()
		for _, i := range p.running {
			i.stop()
		}
	})
	return p
}

// newCertificate is one of the two hosts, for a day, signed by itself.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host, custom}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certificate is that of both hosts in PEM.
func (p *platform) certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
}

// base is the public prefix of the functions.
func (p *platform) base() string { return "https://" + host }

// front puts something before the functions, and returns what takes it away.
func (p *platform) front(h http.HandlerFunc) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFront = h
	return func() { p.front(nil) }
}

// An unanswered request is one whose handler in front wrote nothing.
type unanswered struct {
	http.ResponseWriter
	wrote bool
}

func (u *unanswered) WriteHeader(status int) {
	u.wrote = true
	u.ResponseWriter.WriteHeader(status)
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	p.mu.Lock()
	i, front := p.running[name], p.inFront
	p.mu.Unlock()
	if front != nil {
		u := &unanswered{ResponseWriter: w}
		if front(u, r); u.wrote {
			return
		}
	}
	switch {
	case i == nil:
		http.NotFound(w, r)
	case !p.cloud.Public(name):
		http.Error(w, "Your client does not have permission to get this URL from this server.", http.StatusForbidden)
	default:
		r.URL.Path, r.URL.RawPath = "/"+rest, ""
		i.proxy.ServeHTTP(w, r)
	}
}

// log are the lines that the instance of a function that runs has written.
func (p *platform) log(name string) [][]byte {
	p.mu.Lock()
	i := p.running[name]
	p.mu.Unlock()
	if i == nil {
		return nil
	}
	return bytes.Split(bytes.TrimSpace([]byte(i.logs.String())), []byte("\n"))
}

// deploy builds a function and replaces the instance that runs.
func (p *platform) deploy(f *fakecloud.Function) error {
	program, err := build(f)
	if err != nil {
		return fmt.Errorf("Build failed: %w", err)
	}
	i, err := p.start(program, f)
	if err != nil {
		return err
	}
	p.remove(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[f.ID()] = i
	return nil
}

// spoil runs a function with some settings other than those deployed, until undo.
func (p *platform) spoil(name string, settings map[string]string) (undo func()) {
	p.mu.Lock()
	p.spoilt[name] = settings
	p.mu.Unlock()
	for _, f := range p.cloud.Functions() {
		if f.ID() != name {
			continue
		}
		if err := p.deploy(f); err != nil {
			panic(err) // it was deployed before
		}
	}
	return func() {
		if settings != nil {
			p.spoil(name, nil)
		}
	}
}

func (p *platform) remove(f *fakecloud.Function) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.running[f.ID()]; i != nil {
		i.stop()
		delete(p.running, f.ID())
	}
}

// start runs a function with its own settings and what the platform adds. Google
// is the stand-in.
func (p *platform) start(program string, f *fakecloud.Function) (*instance, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	i := &instance{cmd: exec.Command(program), exited: make(chan struct{}), logs: new(logBuffer)}
	i.cmd.Stdout = io.MultiWriter(&p.logs, i.logs)
	i.cmd.Stderr = i.cmd.Stdout
	settings := maps.Clone(f.ServiceConfig.EnvironmentVariables)
	p.mu.Lock()
	maps.Copy(settings, p.spoilt[f.ID()])
	p.mu.Unlock()
	for name, value := range settings {
		i.cmd.Env = append(i.cmd.Env, name+"="+value)
	}
	i.cmd.Env = append(i.cmd.Env,
		"PORT="+port, "FUNCTION_TARGET="+f.BuildConfig.EntryPoint, "K_SERVICE="+f.ID(),
		"CLOUD_RUN_TIMEOUT_SECONDS="+strconv.Itoa(f.ServiceConfig.TimeoutSeconds),
		"FIRESTORE_EMULATOR_HOST="+p.google.Addr(), "SECRET_MANAGER_EMULATOR_HOST="+p.google.Addr(), "GMAIL_EMULATOR_HOST="+p.google.Addr())
	if err := i.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = i.cmd.Wait() // it is killed
		close(i.exited)
	}()
	address := "127.0.0.1:" + port
	i.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: address}) },
		FlushInterval: -1,
	}
	return i, i.waitForListener(address)
}

func (i *instance) stop() {
	_ = i.cmd.Process.Kill()
	<-i.exited
}

// waitForListener returns when the instance takes connections: nothing tells but
// asking.
func (i *instance) waitForListener(address string) error {
	for range 6000 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-i.exited:
			return errors.New("the container failed to start")
		case <-time.After(10 * time.Millisecond):
		}
	}
	i.stop()
	return errors.New("the container does not listen")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// programs are what was built, by archive and flags: the three functions are one
// program.
var programs struct {
	mu   sync.Mutex
	dir  string
	list map[[32]byte]string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gmailgrant-programs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs.dir, programs.list = dir, make(map[[32]byte]string)
	code := m.Run()
	_ = os.RemoveAll(dir) // of temporary files
	os.Exit(code)
}

// build makes the program as Cloud Functions does from the archive.
func build(f *fakecloud.Function) (string, error) {
	files, err := unzip(f.Archive)
	if err != nil {
		return "", err
	}
	var flags []string
	for name, value := range f.BuildConfig.EnvironmentVariables {
		flags = append(flags, name+"="+value)
	}
	slices.Sort(flags)
	programs.mu.Lock()
	defer programs.mu.Unlock()
	key := sha256.Sum256(fmt.Append(nil, flags, files)) // fmt sorts maps
	if program := programs.list[key]; program != "" {
		return program, nil
	}
	source := filepath.Join(programs.dir, fmt.Sprintf("source-%x", key[:4]))
	if err := writeFiles(source, files); err != nil {
		return "", err
	}
	program := filepath.Join(programs.dir, fmt.Sprintf("program-%x", key[:4]))
	cmd := exec.Command("bash", "../.ci/buildpack", source, program)
	cmd.Env = append(os.Environ(), flags...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	programs.list[key] = program
	return program, nil
}

// unzip returns the content of each file.
func unzip(archive []byte) (map[string]string, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, file := range z.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		if !filepath.IsLocal(file.Name) {
			return nil, fmt.Errorf("%s is outside of the archive", file.Name)
		}
		r, err := file.Open()
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		files[file.Name] = string(content)
	}
	return files, nil
}

func writeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A logBuffer keeps what was written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
