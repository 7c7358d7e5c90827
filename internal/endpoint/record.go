package endpoint

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/gmailgrant/internal/flight"
)

// A Record collects what the log line of one request says. Handlers fill in the
// plain fields; the counters may be raised from any goroutine.
type Record struct {
	RequestID  string
	User       string // sub
	Reason     Reason
	Incomplete string // incomplete.reason of a listing
	Err        error  // private cause

	UpstreamCalls atomic.Int64 // calls that left the process
	QuotaUnits    atomic.Int64 // of the Gmail API

	upstreamStatus atomic.Pointer[string]
}

// UpstreamFailed notes how an upstream answered: its HTTP status, or the name of
// its gRPC code. Of several failures the last one counts, even if trying again
// helped.
func (rec *Record) UpstreamFailed(status string) { rec.upstreamStatus.Store(&status) }

// noAnswer is the status of an upstream that gave none.
const noAnswer = "no answer"

// Failed notes why a request failed.
func (rec *Record) Failed(p *Problem) {
	rec.Reason = p.Reason
	rec.Err = p.Err
	if p.Err == nil && p.Detail != "" {
		rec.Err = errors.New(p.Detail)
	}
	if rec.User == "" {
		rec.User = p.User
	}
}

type recordKey struct{}

func withRecord(ctx context.Context, rec *Record) context.Context {
	return context.WithValue(ctx, recordKey{}, rec)
}

// RecordOf returns the record of the request that ctx belongs to. Outside a
// request it returns one that nobody reads.
func RecordOf(ctx context.Context) *Record {
	if rec, ok := ctx.Value(recordKey{}).(*Record); ok {
		return rec
	}
	return new(Record)
}

// CountingTransport counts each request it passes on as an upstream call, and
// notes how those failed that did.
func CountingTransport(next http.RoundTripper) http.RoundTripper {
	return countingTransport{next}
}

type countingTransport struct{ next http.RoundTripper }

func (t countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := RecordOf(r.Context())
	rec.UpstreamCalls.Add(1)
	resp, err := t.next.RoundTrip(r)
	switch {
	case err != nil && r.Context().Err() != context.Canceled: // by us or the client
		rec.UpstreamFailed(noAnswer)
	case err == nil && resp.StatusCode >= 400:
		rec.UpstreamFailed(strconv.Itoa(resp.StatusCode))
	}
	return resp, err
}

// CountUnary counts a gRPC call as an upstream call, and notes how it failed if
// it did.
func CountUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	rec := RecordOf(ctx)
	rec.UpstreamCalls.Add(1)
	err := invoke(ctx, method, req, reply, cc, opts...)
	rec.noteCode(err)
	return err
}

// CountStream does the same for a streaming gRPC call.
func CountStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	rec := RecordOf(ctx)
	rec.UpstreamCalls.Add(1)
	stream, err := streamer(ctx, desc, cc, method, opts...)
	rec.noteCode(err)
	if err != nil {
		return nil, err
	}
	return countedStream{stream, rec}, nil
}

// A countedStream learns of a failure when it is read.
type countedStream struct {
	grpc.ClientStream
	rec *Record
}

func (s countedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != io.EOF {
		s.rec.noteCode(err)
	}
	return err
}

func (rec *Record) noteCode(err error) {
	if code := status.Code(err); code != codes.OK && code != codes.Canceled {
		rec.UpstreamFailed(code.String())
	}
}

// NewLogger returns a logger of JSON lines with the names that Cloud Logging
// gives a meaning: severity, message, and the trace set by the endpoint.
func NewLogger(w io.Writer) *slog.Logger {
	rename := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.LevelKey:
			return slog.String("severity", severity(a.Value.Any().(slog.Level)))
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: rename}))
}

func severity(l slog.Level) string {
	if l == slog.LevelWarn {
		return "WARNING"
	}
	return l.String()
}

func (e *Endpoint) logLine(r *http.Request, rec *Record, answered int, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("function", e.Name),
		slog.String("method", r.Method),
		slog.Int("status", answered),
		slog.String("request_id", rec.RequestID),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("upstream_calls", rec.UpstreamCalls.Load()),
	}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("user", rec.User)
	add("reason", string(rec.Reason))
	add("incomplete", rec.Incomplete)
	if units := rec.QuotaUnits.Load(); units > 0 {
		attrs = append(attrs, slog.Int64("quota_units", units))
	}
	if status := rec.upstreamStatus.Load(); status != nil {
		add("upstream_status", *status)
	}
	if rec.Err != nil {
		add("error", rec.Err.Error())
	}
	if p, ok := errors.AsType[*flight.Panic](rec.Err); ok {
		add("stack", p.Stack())
	}
	if trace := funcframework.TraceIDFromContext(r.Context()); trace != "" && e.project() != "" {
		add("logging.googleapis.com/trace", "projects/"+e.project()+"/traces/"+trace)
	}
	e.Log.LogAttrs(r.Context(), rec.level(), e.Name, attrs...)
}

func (e *Endpoint) project() string {
	if e.Project == nil {
		return ""
	}
	return e.Project()
}

// level is that of what the request ended with, or its list.
func (rec *Record) level() slog.Level {
	switch rec.Reason {
	case Internal, Misconfigured, GmailDisabled:
		return slog.LevelError
	case UpstreamUnavailable, RateLimited, NoUserID:
		return slog.LevelWarn
	}
	if _, ok := errors.AsType[*flight.Panic](rec.Err); ok {
		return slog.LevelError // of a list that had begun
	}
	if rec.Incomplete == string(UpstreamUnavailable) || rec.Incomplete == string(RateLimited) {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
