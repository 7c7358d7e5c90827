package tokenstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/firestore"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.com/gmailgrant/internal/flight"
	"example.com/gmailgrant/internal/seal"
)

// Config says where a [Store] finds things. All fields but those with a default
// are needed.
type Config struct {
	Project          string           // Google Cloud project ID; empty: asked of the metadata server
	ClientSecretName string           // secret ID or full resource name
	SealKeyName      string           // the same
	Database         string           // Firestore database ID
	BaseURL          string           // the environment that sealed values belong to
	Now              func() time.Time // default time.Now
	HTTPClient       *http.Client     // for Google's OAuth endpoints; it must not follow redirects
	Log              *slog.Logger     // for failures that no caller is told of; default slog.Default

	FirestoreEmulator     string // host:port without TLS, instead of Google's
	SecretManagerEmulator string // the same

	// DialOptions are added to both gRPC connections.
	DialOptions []grpc.DialOption
}

// A Store reads the client secret, keeps grants and hands out access tokens. It
// is safe for concurrent use.
type Store struct {
	cfg   Config
	ring  *seal.Ring
	now   func() time.Time
	cache grantCache

	projectID lazy[string]
	secrets   lazy[*secretmanager.Client]
	documents lazy[*firestore.Client]

	clientMu     sync.Mutex
	client       *Client
	clientAt     time.Time // when it was fetched, or fetching it was last tried
	clientFlight flight.Group[*Client]
	tokenFlight  flight.Group[*Token]
}

// New returns a store. It does no I/O.
func New(cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Store{cfg: cfg, now: cfg.Now}
	s.ring = seal.NewRing(s.fetchSealKey, cfg.BaseURL, cfg.Now, func(err error) { s.warn("seal key", err) })
	return s
}

// warn logs a failure that no caller is told of, since there was a way around it.
func (s *Store) warn(what string, err error) {
	flight.Warn(s.cfg.Log, "tokenstore", err, slog.String("what", what))
}

// Ring returns the seal keys, for what other packages seal.
func (s *Store) Ring() *seal.Ring { return s.ring }

// Close closes the connections that were opened. The store can't be used
// afterwards.
func (s *Store) Close() error {
	var errs []error
	if c, ok := s.secrets.peek(); ok {
		errs = append(errs, c.Close())
	}
	if c, ok := s.documents.peek(); ok {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// lazy makes a value at its first use. A failure is not kept: the next use
// tries again. Callers wait for one making, each as long as its context says.
type lazy[T any] struct {
	making flight.Group[*T]
	value  atomic.Pointer[T]
}

func (l *lazy[T]) get(ctx context.Context, create func() (T, error)) (T, error) {
	if v := l.value.Load(); v != nil {
		return *v, nil
	}
	v, err := l.making.Do(ctx, "", func(context.Context) (*T, error) {
		if v := l.value.Load(); v != nil {
			return v, nil // another making ended just before this one began
		}
		v, err := create()
		if err == nil {
			l.value.Store(&v)
		}
		return &v, err
	})
	if err != nil {
		var none T
		return none, waitError("start", err)
	}
	return *v, nil
}

// waitError is the error of a call that others wait for, too: its own, or that
// this caller's time was over.
func waitError(op string, err error) error {
	if err == context.Canceled || err == context.DeadlineExceeded {
		return unavailable(op, err)
	}
	return err
}

func (l *lazy[T]) peek() (v T, made bool) {
	if p := l.value.Load(); p != nil {
		return *p, true
	}
	return v, false
}

// Project is the Google Cloud project ID, or empty while it is not known yet.
func (s *Store) Project() string {
	if s.cfg.Project != "" {
		return s.cfg.Project
	}
	id, _ := s.projectID.peek()
	return id
}

const metadataTimeout = 3 * time.Second

func (s *Store) project(ctx context.Context) (string, error) {
	if s.cfg.Project != "" {
		return s.cfg.Project, nil
	}
	return s.projectID.get(ctx, func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), metadataTimeout)
		defer cancel()
		id, err := metadata.ProjectIDWithContext(ctx)
		if err != nil {
			return "", unavailable("metadata server", errors.New("no project ID; GOOGLE_CLOUD_PROJECT can name it"))
		}
		return id, nil
	})
}

// secretClient and firestoreClient never get a request's context: a client
// keeps the one it is made with.

func (s *Store) secretClient(ctx context.Context) (*secretmanager.Client, error) {
	return s.secrets.get(ctx, func() (*secretmanager.Client, error) {
		c, err := secretmanager.NewClient(context.Background(), s.clientOptions(s.cfg.SecretManagerEmulator)...)
		if err != nil {
			return nil, misconfigured("Secret Manager client", err)
		}
		return c, nil
	})
}

func (s *Store) firestoreClient(ctx context.Context) (*firestore.Client, error) {
	project, err := s.project(ctx)
	if err != nil {
		return nil, err
	}
	return s.documents.get(ctx, func() (*firestore.Client, error) {
		c, err := firestore.NewClientWithDatabase(context.Background(), project, s.cfg.Database, s.clientOptions(s.cfg.FirestoreEmulator)...)
		if err != nil {
			return nil, misconfigured("Firestore client", err)
		}
		return c, nil
	})
}

// reconnect is how long to wait between attempts to connect. gRPC's own goes up
// to two minutes, for which every request would fail after an outage is over.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
	MinConnectTimeout: 5 * time.Second,
}

func (s *Store) clientOptions(emulator string) []option.ClientOption {
	opts := []option.ClientOption{option.WithGRPCDialOption(grpc.WithConnectParams(reconnect))}
	for _, d := range s.cfg.DialOptions {
		opts = append(opts, option.WithGRPCDialOption(d))
	}
	if emulator == "" {
		return opts
	}
	return append(opts,
		option.WithEndpoint(emulator),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	)
}

// accessSecret reads one version of a secret: a number or "latest".
func (s *Store) accessSecret(ctx context.Context, name, version string) (number int64, payload []byte, err error) {
	client, err := s.secretClient(ctx)
	if err != nil {
		return 0, nil, err
	}
	if !strings.HasPrefix(name, "projects/") {
		project, err := s.project(ctx)
		if err != nil {
			return 0, nil, err
		}
		name = "projects/" + project + "/secrets/" + name
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	answer, err := client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name + "/versions/" + version})
	if err != nil {
		return 0, nil, secretError(name, version, err)
	}
	number, err = strconv.ParseInt(answer.GetName()[strings.LastIndex(answer.GetName(), "/")+1:], 10, 64)
	if err != nil {
		return 0, nil, unavailable("Secret Manager", errors.New("answered with no version number"))
	}
	return number, answer.GetPayload().GetData(), nil
}

// refusals are the answers of Secret Manager that trying again won't change.
var refusals = []codes.Code{codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition, codes.InvalidArgument, codes.Unauthenticated}

func secretError(name, version string, err error) error {
	code := status.Code(err)
	op := "secret " + name + " version " + version
	if slices.Contains(refusals, code) {
		return misconfigured(op, fmt.Errorf("%w: %s", seal.ErrRefused, code))
	}
	return unavailable(op, grpcCause(err))
}

// grpcCause is what may be logged of a gRPC error: its code, and that the
// deadline was the cause if so.
func grpcCause(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return errors.New(status.Code(err).String())
}

// fetchSealKey is the ring's source.
func (s *Store) fetchSealKey(ctx context.Context, version string) (int64, []byte, error) {
	number, payload, err := s.accessSecret(ctx, s.cfg.SealKeyName, version)
	if err != nil {
		return 0, nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(payload)))
	if err != nil || len(key) < seal.MinKeyBytes {
		cause := fmt.Errorf("%w: it must hold %d bytes or more in base64", seal.ErrRefused, seal.MinKeyBytes)
		return number, nil, misconfigured("secret "+s.cfg.SealKeyName+" version "+strconv.FormatInt(number, 10), cause)
	}
	return number, key, nil
}

const (
	clientRefreshEvery = 10 * time.Minute
	clientRetryEvery   = 10 * time.Second
)

// warmWait is how long a caller waits for the client secret to be fetched again
// while the one fetched before is at hand. The trip goes on without it.
const warmWait = time.Second

// Client returns the OAuth client. It is fetched again every ten minutes; while
// that fails, the one that was fetched last stays.
func (s *Store) Client(ctx context.Context) (*Client, error) {
	client, age := s.knownClient()
	if client == nil {
		return s.fetchClient(ctx)
	}
	if age < clientRefreshEvery {
		return client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, warmWait)
	defer cancel()
	fresh, err := s.fetchClient(ctx)
	if err != nil {
		s.warn("client secret", err)
		return client, nil
	}
	return fresh, nil
}

// newerClient fetches the client again after Google refused it. It returns nil
// if it is still the same, or can't be fetched.
func (s *Store) newerClient(ctx context.Context, refused *Client) *Client {
	client, err := s.fetchClient(ctx)
	if err != nil || client.ID == refused.ID && client.secret == refused.secret {
		return nil
	}
	return client
}

func (s *Store) knownClient() (c *Client, age time.Duration) {
	s.clientMu.Lock()
	defer s.clientMu.Unlock()
	return s.client, s.now().Sub(s.clientAt)
}

func (s *Store) fetchClient(ctx context.Context) (*Client, error) {
	client, err := s.clientFlight.Do(ctx, "", func(ctx context.Context) (*Client, error) {
		_, payload, err := s.accessSecret(ctx, s.cfg.ClientSecretName, seal.Latest)
		var client *Client
		if err == nil {
			client, err = ParseClient(payload)
		}
		return s.keepClient(client, err)
	})
	return client, waitError("client secret", err)
}

// keepClient keeps what was fetched, or, after a failure, puts off the next try
// of a store that has a client already.
func (s *Store) keepClient(client *Client, err error) (*Client, error) {
	s.clientMu.Lock()
	defer s.clientMu.Unlock()
	if err != nil {
		s.clientAt = s.now().Add(clientRetryEvery - clientRefreshEvery)
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrMisconfigured) {
			err = misconfigured("secret "+s.cfg.ClientSecretName, err)
		}
		return nil, err
	}
	s.client, s.clientAt = client, s.now()
	return client, nil
}
