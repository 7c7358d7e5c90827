package fakegoogle

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The operations that calls are counted under and faults are aimed at.
const (
	opAuth           = "auth"
	opTokenCode      = "token.code"
	opTokenRefresh   = "token.refresh"
	opRevoke         = "revoke"
	opGmailList      = "gmail.list"
	opGmailGet       = "gmail.get"
	opGmailLabels    = "gmail.labels"
	opGmailProfile   = "gmail.profile"
	opGmailBatch     = "gmail.batch"
	opGmailBatchPart = "gmail.batch.part"
	opSecretAccess   = "secretmanager.access"
	opFirestoreGet   = "firestore.get"
	opFirestoreWrite = "firestore.write"
	opFirestoreQuery = "firestore.query"
	opFirestoreList  = "firestore.list"
)

// maxRequestBytes is Firestore's limit on a request, the largest of those served here.
const maxRequestBytes = 10 << 20

// messageUnavailable is what Google's services say when they are down.
const messageUnavailable = "The service is currently unavailable."

// grpcOps names the operation of each gRPC method that is served.
var grpcOps = map[string]string{
	"/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion": opSecretAccess,
	"/google.firestore.v1.Firestore/BatchGetDocuments":                        opFirestoreGet,
	"/google.firestore.v1.Firestore/Commit":                                   opFirestoreWrite,
	"/google.firestore.v1.Firestore/RunQuery":                                 opFirestoreQuery,
	"/google.firestore.v1.Firestore/ListDocuments":                            opFirestoreList,
}

// Fault is a misbehaviour to order with [Server.Inject].
//
// The operations are auth (authorization endpoint, GET and POST), token.code,
// token.refresh, revoke, gmail.list, gmail.get, gmail.labels, gmail.profile,
// gmail.batch (the whole), gmail.batch.part (one part, which counts under no
// other operation), secretmanager.access, firestore.get, firestore.write,
// firestore.query and firestore.list.
type Fault struct {
	Op       string                   // which operation; "" = every one
	After    int                      // let so many matching calls pass first
	Times    int                      // then hit so many; 0 = until removed
	Delay    time.Duration            // wait first; ends early when the caller leaves
	Status   int                      // HTTP status to answer with; 0 = go on as normal after Delay
	Header   http.Header              // added to that answer
	Body     string                   // its body; default: a believable Google error for Status
	Code     codes.Code               // for gRPC operations; codes.OK = go on as normal after Delay
	Drop     bool                     // close the connection without an answer; gRPC: UNAVAILABLE; batch part: left out of the answer
	Truncate int                      // if > 0: answer normally, but cut the HTTP body after so many bytes and drop the connection
	Match    func(*http.Request) bool // additional condition, may be nil; a fault that has one never hits a gRPC call
	Hold     func(*http.Request)      // called after Delay, may block; it must return when the request's context ends
	Rewrite  func([]byte) []byte      // answer normally, but with this made of the body; batch part: of its whole HTTP message
	Copy     func([]byte) []byte      // batch part: what is made of its HTTP message comes too, after it, under the same Content-ID
}

// plannedFault is a Fault and how often it was met.
type plannedFault struct {
	Fault
	seen, hit int
}

// faultPlan counts the calls and decides which of them fail.
type faultPlan struct {
	mu      sync.Mutex
	calls   map[string]int
	planned []*plannedFault
}

// Inject orders a misbehaviour. Of several faults due for the same call the one
// injected first hits. Removing twice is harmless.
func (s *Server) Inject(f Fault) (remove func()) {
	p := &s.faults
	planned := &plannedFault{Fault: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planned = append(p.planned, planned)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.planned = slices.DeleteFunc(p.planned, func(q *plannedFault) bool { return q == planned })
	}
}

// Calls says how many calls of the operation arrived since Start or ResetCalls,
// those that a fault hit included.
func (s *Server) Calls(op string) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return s.faults.calls[op]
}

// ResetCalls starts the counting anew. Faults keep their own counts.
func (s *Server) ResetCalls() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.calls = nil
}

// meet counts a call and returns the fault that hits it, if any. r is nil for gRPC.
func (p *faultPlan) meet(op string, r *http.Request) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = make(map[string]int)
	}
	p.calls[op]++
	var due *plannedFault
	for _, f := range p.planned {
		if !f.matches(op, r) {
			continue
		}
		f.seen++
		if due == nil && f.seen > f.After && (f.Times == 0 || f.hit < f.Times) {
			due = f
		}
	}
	if due == nil {
		return Fault{}, false
	}
	due.hit++
	return due.Fault, true
}

func (f *plannedFault) matches(op string, r *http.Request) bool {
	if f.Op != "" && f.Op != op {
		return false
	}
	if f.Match == nil {
		return true
	}
	return r != nil && f.Match(r)
}

// withFaults counts the calls of an endpoint and applies the faults due.
func (s *Server) withFaults(op string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !bufferBody(w, r) {
			return
		}
		f, hit := s.faults.meet(op, r)
		if !hit {
			next(w, r)
			return
		}
		f.apply(op, w, r, next)
	}
}

// bufferBody reads the request's body ahead: until it has been read, net/http
// doesn't notice that the caller left, and a Delay would not end early.
func bufferBody(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		http.Error(w, "unreadable request body", http.StatusBadRequest)
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

func (f Fault) apply(op string, w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if sleep(r.Context(), f.Delay) != nil {
		panic(http.ErrAbortHandler)
	}
	f.hold(r)
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		f.answer(op, w)
	case f.Truncate > 0:
		next(&truncatingWriter{ResponseWriter: w, left: f.Truncate}, r)
	case f.Rewrite != nil:
		f.rewrite(w, r, next)
	default:
		next(w, r)
	}
}

func (f Fault) hold(r *http.Request) {
	if f.Hold != nil {
		f.Hold(r)
	}
}

func (f Fault) rewrite(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	answer := &partAnswer{status: http.StatusOK, header: w.Header()}
	next(answer, r)
	w.WriteHeader(answer.status)
	w.Write(f.Rewrite(answer.body.Bytes()))
}

func (f Fault) answer(op string, w http.ResponseWriter) {
	contentType, body := defaultError(op, f.Status)
	if f.Body != "" {
		body = f.Body
	}
	w.Header().Set("Content-Type", contentType)
	for name, values := range f.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(f.Status)
	io.WriteString(w, body)
}

// truncatingWriter passes so many bytes of the body, then drops the connection.
type truncatingWriter struct {
	http.ResponseWriter
	left int
}

func (t *truncatingWriter) Write(b []byte) (int, error) {
	if len(b) < t.left {
		t.left -= len(b)
		return t.ResponseWriter.Write(b)
	}
	t.ResponseWriter.Write(b[:t.left])
	http.NewResponseController(t.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (s *Server) unaryFaults(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.meetGRPC(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *Server) streamFaults(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.meetGRPC(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, stream)
}

func (s *Server) meetGRPC(ctx context.Context, method string) error {
	op, ok := grpcOps[method]
	if !ok {
		return nil // answered as Unimplemented
	}
	f, hit := s.faults.meet(op, nil)
	if !hit {
		return nil
	}
	if err := sleep(ctx, f.Delay); err != nil {
		return status.FromContextError(err).Err()
	}
	if f.Drop {
		return status.Error(codes.Unavailable, messageUnavailable)
	}
	return status.Error(f.Code, "injected fault") // nil when the code is OK
}
