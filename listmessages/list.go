package listmessages

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"time"

	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

// A Lister lists messages of any user. It does not change once made and is safe
// for concurrent use.
type Lister struct {
	Store *tokenstore.Store
	Clock Clock
	Gmail *gmail.Service

	client   *http.Client // what Gmail uses
	listURL  string
	batchURL string
	scopes   []string      // asked for at sign-in
	timeout  time.Duration // LIST_DEADLINE
}

// NewLister returns a lister that reaches Gmail by client, for all users: each
// user's token goes on the requests, below the library. address is that of a
// stand-in, or empty for Google's; scopes are those asked for at sign-in; timeout
// is how long a listing may take that has no other limit.
func NewLister(store *tokenstore.Store, client *http.Client, address string, scopes []string, timeout time.Duration, clock Clock) (*Lister, error) {
	opts := []option.ClientOption{option.WithHTTPClient(client)}
	if address != "" {
		opts = append(opts, option.WithEndpoint(address))
	}
	service, err := gmail.NewService(context.Background(), opts...)
	if err != nil {
		return nil, err
	}
	return &Lister{
		Store:    store,
		Clock:    clock,
		Gmail:    service,
		client:   client,
		listURL:  googleapi.ResolveRelative(service.BasePath, listPath),
		batchURL: googleapi.ResolveRelative(service.BasePath, batchPath),
		scopes:   scopes,
		timeout:  timeout,
	}, nil
}

// Limits bound a listing. The zero value has those of GET listmessages.
type Limits struct {
	Deadline time.Time // zero: the lister's timeout, or shortly before that of ctx
	Bytes    int       // of all messages together, and a page more of IDs; 0: what an answer holds
}

func (l Limits) orDefault(deadline time.Time) Limits {
	if l.Deadline.IsZero() {
		l.Deadline = deadline
	}
	if l.Bytes == 0 {
		l.Bytes = maxAnswer
	}
	return l
}

const (
	// margin is what is left of the platform's time-out to end an answer.
	margin = time.Second
	// maxAnswer is how many bytes of messages an answer holds, less than the
	// 10 MB that the platform allows a streamed one by more than a page.
	maxAnswer = 9_000_000
)

// deadline is when work ends that has no other limit: after the timeout, or
// before the platform's time-out if that comes first.
func (l *Lister) deadline(ctx context.Context) time.Time {
	deadline := l.Clock.now().Add(l.timeout)
	if platform, ok := ctx.Deadline(); ok && platform.Add(-margin).Before(deadline) {
		return platform.Add(-margin)
	}
	return deadline
}

// A Part is what a listing delivers at once.
type Part struct {
	Messages           [][]byte // each the JSON of a message, as Gmail gives it, without line breaks
	ResultSizeEstimate int64    // of the whole list, by Gmail
	NextPageToken      string   // where the list goes on after this part; empty at its end

	last bool // the end follows at once
}

// What ends a listing before its end, besides failures.
var (
	// ErrDeadline: the time of [Limits] is over.
	ErrDeadline error = &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("the deadline of the listing is reached")}
	// ErrBytes: the bytes of [Limits] are used up.
	ErrBytes = errors.New("listmessages: the limit of bytes is reached")
)

// List lists messages in the mailbox of a user's grant, which may be
// [tokenstore.AnyGrant], within limits. Each part is yielded as it arrives; none
// is kept.
//
// An error is yielded once, at the end, with the NextPageToken at which the list
// goes on: what was yielded before stays good. It is [ErrDeadline], [ErrBytes], or
// an [endpoint.Problem] in which the errors of tokenstore can be matched.
func (l *Lister) List(ctx context.Context, user, grantID string, q Query, limits Limits) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		if err := check(q.values()); err != nil {
			yield(Part{NextPageToken: q.PageToken}, err)
			return
		}
		l.listChecked(ctx, user, grantID, q, limits)(yield)
	}
}

// listChecked is List for a query that obeys the rules.
func (l *Lister) listChecked(ctx context.Context, user, grantID string, q Query, limits Limits) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		limits := limits.orDefault(l.deadline(ctx))
		ctx, cancel := context.WithTimeout(ctx, limits.Deadline.Sub(l.Clock.now()))
		defer cancel()
		a, at, err := l.begin(ctx, user, grantID, q, limits.Deadline)
		if err != nil {
			yield(Part{NextPageToken: q.PageToken}, err)
			return
		}
		defer a.wait(ctx)
		if q.Format == "" {
			l.listIDs(ctx, a, q, at, limits.Bytes, yield)
			return
		}
		d := newDetails(l, a, q, at, limits.Bytes, yield)
		d.run(ctx)
	}
}

func (l *Lister) begin(ctx context.Context, user, grantID string, q Query, deadline time.Time) (*access, cursor, error) {
	at, err := decodeCursor(user, q)
	if err != nil {
		return nil, at, err
	}
	a, err := l.access(ctx, user, grantID, deadline)
	if err != nil {
		return nil, at, err
	}
	a.refused = "Gmail does not accept the request; check q, labelIds, pageToken and id."
	if err := checkScopes(q, a.token.Grant.Scopes); err != nil {
		a.wait(ctx)
		return nil, at, err
	}
	return a, at, nil
}

// missing are the scopes that a user has to grant if Gmail says that the granted
// ones do not suffice.
func (l *Lister) missing(granted []string) []string {
	if missing := tokenstore.Missing(granted, l.scopes); len(missing) > 0 {
		return missing
	}
	return slices.DeleteFunc(slices.Clone(l.scopes), func(scope string) bool {
		return !tokenstore.CanList([]string{scope})
	})
}

// checkScopes refuses what Gmail refuses to a token that holds gmail.metadata,
// even beside a broader scope.
func checkScopes(q Query, scopes []string) error {
	if !slices.Contains(scopes, tokenstore.MetadataScope) {
		return nil
	}
	if q.Q != "" {
		return endpoint.Invalid("The parameter q can't be used: the grant holds gmail.metadata, with which Gmail allows no query.")
	}
	if q.Format == Full || q.Format == Raw {
		return endpoint.Invalid("The parameter format can't be full or raw: the grant holds gmail.metadata, with which Gmail gives no content.")
	}
	return nil
}

// listIDs yields a part a page.
func (l *Lister) listIDs(ctx context.Context, a *access, q Query, at cursor, budget int, yield func(Part, error) bool) {
	for p, err := range l.pages(ctx, a, q, at) {
		if err != nil {
			yield(Part{NextPageToken: at.encode(a.user, q)}, err)
			return
		}
		part, size := idsOf(p)
		part.NextPageToken, part.last = p.next.encode(a.user, q), !p.more && !a.current().Refreshed()
		if !yield(part, nil) {
			return
		}
		if budget -= size; budget < 0 && p.more {
			yield(Part{NextPageToken: part.NextPageToken}, ErrBytes)
			return
		}
		at = p.next
	}
}

// idsOf is a page's messages as Gmail gives them in a list.
func idsOf(p page) (part Part, size int) {
	part.ResultSizeEstimate = p.estimate
	part.Messages = make([][]byte, 0, len(p.messages))
	for _, m := range p.messages {
		part.Messages = append(part.Messages, m.json)
		size += len(m.json) + 1
	}
	return part, size
}

// A stub is what is said of a message when its content is not: in a list of
// IDs, or because it can't be had.
type stub struct {
	ID           string `json:"id"`
	ThreadID     string `json:"threadId,omitempty"`
	SizeEstimate int64  `json:"sizeEstimate,omitempty"`
	TooLarge     bool   `json:"too_large,omitempty"`
	Unavailable  bool   `json:"unavailable,omitempty"`
}

func (s stub) json() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers and booleans always marshal
	}
	return b
}
