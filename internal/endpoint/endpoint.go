// Package endpoint is the frame around each function: it answers preflights,
// refuses foreign origins and wrong methods, sets the headers every answer has,
// turns a returned error into a problem document or a plain page, keeps a panic
// from telling anything, and writes one log line a request.
package endpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"example.com/gmailgrant/internal/flight"
	"example.com/gmailgrant/internal/site"
)

// A HandlerFunc answers a request, or returns the error to answer with. It must
// not return an error after it has begun to write.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// An Endpoint is one function of the contract. It is safe for concurrent use once
// its fields are set.
type Endpoint struct {
	Name     string     // as in site.Functions
	Site     *site.Site // nil: the settings do not tell
	Methods  map[string]HandlerFunc
	Log      *slog.Logger
	Now      func() time.Time
	Page     func(*http.Request) bool // whether a failure is shown as a page; nil: Navigation
	Project  func() string            // Google Cloud project, for the trace in the log; nil or empty: none
	crossing http.CrossOriginProtection
}

// New returns the endpoint of a function with these methods.
func New(name string, s *site.Site, methods map[string]HandlerFunc, log *slog.Logger, now func() time.Time) *Endpoint {
	e := &Endpoint{Name: name, Site: s, Methods: methods, Log: log, Now: now}
	if s == nil {
		return e
	}
	for _, origin := range s.Origins() {
		if err := e.crossing.AddTrustedOrigin(origin); err != nil {
			panic(err) // site.New let only origins in
		}
	}
	return e
}

// Broken returns an endpoint that answers everything with err: the settings
// are at fault, and the process keeps answering. s is nil if they do not tell
// the addresses.
func Broken(name string, s *site.Site, err error, log *slog.Logger) *Endpoint {
	methods := make(map[string]HandlerFunc)
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		methods[m] = func(http.ResponseWriter, *http.Request) error { return err }
	}
	return New(name, s, methods, log, time.Now)
}

func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), commonHeaders)
	if name := path.Base(r.URL.Path); name == "favicon.ico" || name == "robots.txt" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	start := e.Now()
	rec := &Record{RequestID: rand.Text()}
	out := &statusWriter{ResponseWriter: w}
	r = r.WithContext(withRecord(r.Context(), rec))
	defer func() {
		if v := recover(); v != nil {
			e.recovered(out, r, rec, v)
		}
		e.logLine(r, rec, out.status, e.Now().Sub(start))
	}()
	if err := e.serve(out, r); err != nil {
		e.fail(out, r, rec, AsProblem(err))
	}
}

// commonHeaders are on every answer.
var commonHeaders = http.Header{
	"Cache-Control":                {"no-store"},
	"Referrer-Policy":              {"no-referrer"},
	"X-Content-Type-Options":       {"nosniff"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Vary":                         {"Origin"},
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) error {
	if err := e.cors(w, r); err != nil {
		return err
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" && r.Header.Get("Origin") != "" {
		e.preflight(w)
		return nil
	}
	handle, ok := e.Methods[r.Method]
	if !ok {
		w.Header().Set("Allow", e.allow())
		return &Problem{Reason: MethodNotAllowed}
	}
	if err := e.crossing.Check(r); err != nil && e.Site != nil { // without settings there is nothing to protect
		return &Problem{Reason: OriginNotAllowed, Err: err}
	}
	return handle(w, r)
}

// cors lets an allowed origin read the answer, whatever it will be, and refuses
// every other before anything is done for it.
func (e *Endpoint) cors(w http.ResponseWriter, r *http.Request) error {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 || e.Site == nil {
		return nil
	}
	if len(origins) > 1 || !e.Site.Allowed(origins[0]) {
		return &Problem{Reason: OriginNotAllowed}
	}
	maps.Copy(w.Header(), readable)
	w.Header().Set("Access-Control-Allow-Origin", origins[0])
	return nil
}

// readable is what an answer says to an allowed origin besides its name.
var readable = http.Header{
	"Access-Control-Allow-Credentials": {"true"},
	"Access-Control-Expose-Headers":    {"Retry-After, WWW-Authenticate"},
}

func (e *Endpoint) preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", e.allow())
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

func (e *Endpoint) allow() string {
	return strings.Join(slices.Sorted(maps.Keys(e.Methods)), ", ")
}

func (e *Endpoint) wantsPage(r *http.Request) bool {
	if e.Page != nil {
		return e.Page(r)
	}
	return Navigation(r)
}

// errClientLeft is logged of a request that nobody waits for any more.
var errClientLeft = errors.New("the client left")

func (e *Endpoint) fail(w *statusWriter, r *http.Request, rec *Record, p *Problem) {
	_, bug := errors.AsType[*flight.Panic](p.Err)
	if r.Context().Err() == context.Canceled && !bug {
		rec.Err = errClientLeft // or it has said all it wants to say, and listens still
	} else {
		rec.Failed(p)
	}
	if w.status != 0 {
		return // too late to say anything
	}
	e.writeProblem(w, r, p, rec.RequestID)
}

// recovered answers a panic with the fixed text of "internal", or, when the
// answer has begun, cuts the connection: a cut answer must not look whole.
func (e *Endpoint) recovered(w *statusWriter, r *http.Request, rec *Record, v any) {
	begun := w.status != 0
	e.fail(w, r, rec, &Problem{Reason: Internal, Err: flight.NewPanic(v)})
	if !begun {
		return
	}
	if conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack(); err == nil {
		_ = conn.Close() // it is being thrown away
	}
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int // 0: nothing written yet
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach Flush and the deadlines.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteJSON answers 200 with v as JSON.
func WriteJSON(w http.ResponseWriter, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that left is no failure
	return nil
}

// marshal leaves "&" as it is, so that a URL can be copied out of an answer.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// Redirect sends the browser to an address, without a body.
func Redirect(w http.ResponseWriter, status int, address string) {
	w.Header().Set("Location", address)
	w.WriteHeader(status)
}
