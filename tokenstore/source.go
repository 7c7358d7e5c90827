package tokenstore

import (
	"context"
	"sync"

	"golang.org/x/oauth2"
)

// AnyGrant stands for whichever grant of a user is stored, in work that no
// session asked for. A request that came with a session names the grant of that
// session instead, or the session would outlive it.
const AnyGrant = ""

// A TokenSource hands out access tokens of one user, to be used with any client
// library of Google's. It is safe for concurrent use.
type TokenSource struct {
	store   *Store
	ctx     context.Context // of the work it was made for: the interface has no other place for it
	user    string
	grantID string
	scopes  []string

	mu       sync.Mutex
	latest   Secret // handed out
	rejected Secret
}

var _ oauth2.TokenSource = (*TokenSource)(nil)

// TokenSource returns a source of access tokens of the user, for work that has
// no session: it takes [AnyGrant]. Its tokens are good for all of the scopes,
// each by itself or by a broader one. It does no I/O, and must not be used after
// ctx has ended.
func (s *Store) TokenSource(ctx context.Context, user string, scopes ...string) *TokenSource {
	return &TokenSource{store: s, ctx: ctx, user: user, grantID: AnyGrant, scopes: scopes}
}

// OfGrant returns a source of the same tokens as long as they belong to the
// grant with this ID, which a session names.
func (ts *TokenSource) OfGrant(id string) *TokenSource {
	return &TokenSource{store: ts.store, ctx: ts.ctx, user: ts.user, grantID: id, scopes: ts.scopes}
}

// Token returns an access token that lives a minute or more. It comes from
// memory or Firestore if possible; a refreshed one has been stored, for all
// instances, when Token returns, unless Firestore takes its time.
//
// Its errors are those of [Store.Token] and [*MissingScopeError].
func (ts *TokenSource) Token() (*oauth2.Token, error) {
	ts.mu.Lock()
	rejected := ts.rejected
	ts.mu.Unlock()
	t, err := ts.store.Token(ts.ctx, ts.user, ts.grantID, rejected)
	if err != nil {
		return nil, err
	}
	ts.mu.Lock()
	ts.latest = t.AccessToken
	ts.mu.Unlock()
	t.Wait(ts.ctx)
	if missing := Missing(t.Grant.Scopes, ts.scopes); len(missing) > 0 {
		return nil, &MissingScopeError{Scopes: missing}
	}
	return &oauth2.Token{AccessToken: string(t.AccessToken), TokenType: "Bearer", Expiry: t.Grant.accessTokenExpiry}, nil
}

// Reject says that Google answered 401 to an access token of this source: the next
// one is another, or the error says why there is none. Google ends access tokens
// together with their grant, an hour before we would notice. Of a token that was
// followed by another already it is news no more.
func (ts *TokenSource) Reject(accessToken string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.latest == Secret(accessToken) {
		ts.rejected = ts.latest
	}
}
