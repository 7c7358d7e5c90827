package tokenstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/gmailgrant/internal/flight"
)

const (
	// leeway is how long an access token must still live to be handed out.
	leeway = time.Minute
	// tokenTimeout bounds getting a token, all calls together.
	tokenTimeout = 20 * time.Second
	// maxAttempts bounds how often a lost condition is tried again.
	maxAttempts = 8
)

// A Token is an access token with the grant it belongs to. It may be shared by
// several callers; none may modify it.
type Token struct {
	AccessToken Secret
	Grant       *Grant
	stored      <-chan struct{} // closed when a new access token has been stored; nil: nothing to store
	rotated     bool            // a new refresh token is to be stored, too
}

// storeWait is how long an answer is held up for the sake of a new access token:
// one that is not stored costs a refresh.
const storeWait = time.Second

// Wait returns when a new access token has been stored with its grant, or could
// not be, or ctx ends, or, unless Google replaced the refresh token too, after a
// second. Call it before ending the answer to a request: the platform stops the
// CPU afterwards.
func (t *Token) Wait(ctx context.Context) {
	if t.stored == nil {
		return
	}
	if !t.rotated {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, storeWait)
		defer cancel()
	}
	select {
	case <-t.stored:
	case <-ctx.Done():
	}
}

// Refreshed reports whether the access token is new from Google, rather than one
// that was stored.
func (t *Token) Refreshed() bool { return t.stored != nil }

// Token returns an access token of the user's grant with this ID, or of whichever
// is stored if that is [AnyGrant]. It comes from memory if the grant was read
// within the last minute, otherwise from Firestore, and is refreshed only when it
// is about to expire. Callers of one grant wait for one refresh, each as long as its
// ctx lasts; the refresh then goes on by itself, which on Cloud Functions needs a
// request that has not ended. Pass as rejected the token that Gmail answered 401 to,
// if any: the one returned is another.
//
// Its errors are [ErrNotConnected], [ErrRevoked], [ErrDomainPolicy],
// [ErrMisconfigured] and [ErrUnavailable].
func (s *Store) Token(ctx context.Context, user, grantID string, rejected Secret) (*Token, error) {
	if t := s.rememberedToken(user, grantID, rejected); t != nil {
		return t, nil
	}
	for range 2 {
		t, err := s.sharedToken(ctx, user, grantID, rejected)
		if err != nil || t.AccessToken != rejected {
			return t, err
		}
	}
	return nil, unavailable("token endpoint", errors.New("gave the rejected access token again"))
}

// rememberedToken is the access token at hand, if it can be handed out.
func (s *Store) rememberedToken(user, grantID string, rejected Secret) *Token {
	g := s.remembered(user)
	if g == nil || !g.is(grantID) || !s.fresh(g, rejected) {
		return nil
	}
	return &Token{AccessToken: g.accessToken, Grant: g}
}

// remembered is the user's grant if it was read within the last minute and was
// given to our client.
func (s *Store) remembered(user string) *Grant {
	client, age := s.knownClient()
	if client == nil || age >= clientRefreshEvery {
		return nil
	}
	g := s.cache.get(user, s.now())
	if g == nil || g.ClientID != client.ID {
		return nil
	}
	return g
}

// fresh reports whether the grant's access token can be handed out.
func (s *Store) fresh(g *Grant, rejected Secret) bool {
	return g.accessToken != "" && g.accessToken != rejected && s.now().Add(leeway).Before(g.accessTokenExpiry)
}

func (s *Store) sharedToken(ctx context.Context, user, grantID string, rejected Secret) (*Token, error) {
	t, err := s.tokenFlight.Do(ctx, user+"/"+grantID, func(ctx context.Context) (*Token, error) {
		if t := s.rememberedToken(user, grantID, rejected); t != nil {
			return t, nil // another caller's trip ended just before this one began
		}
		ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
		defer cancel()
		return s.newToken(ctx, user, grantID, rejected)
	})
	return t, waitError("access token", err)
}

// newToken reads the grant and refreshes its access token if need be. A grant that
// was replaced while its refresh token failed is tried again. Who takes any grant
// waits with those who name it: there is one refresh of it at a time.
func (s *Store) newToken(ctx context.Context, user, grantID string, rejected Secret) (*Token, error) {
	for range maxAttempts {
		client, rec, err := s.readWithClient(ctx, user)
		if err != nil {
			return nil, err
		}
		g := rec.grant
		if !g.is(grantID) {
			return nil, ErrNotConnected
		}
		if s.fresh(g, rejected) {
			return &Token{AccessToken: g.accessToken, Grant: g}, nil
		}
		if grantID == AnyGrant {
			t, err := s.sharedToken(ctx, user, g.ID, rejected)
			if errors.Is(err, ErrNotConnected) {
				continue // replaced meanwhile
			}
			return t, err
		}
		a, err := s.refresh(ctx, client, g.refreshToken)
		if err == nil {
			return s.refreshed(ctx, rec, a), nil
		}
		if !errors.Is(err, errRefreshRefused) {
			return nil, err
		}
		if err := s.bury(ctx, user, g.refreshToken); err != nil {
			return nil, err
		}
	}
	return nil, unavailable("grant", errConflict)
}

// readWithClient reads the client secret and the grant at the same time. The
// record's grant can be used.
func (s *Store) readWithClient(ctx context.Context, user string) (client *Client, rec *record, err error) {
	var read record
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return flight.Catch(func() (err error) { client, err = s.Client(gctx); return err })
	})
	group.Go(func() error {
		return flight.Catch(func() (err error) { read, err = s.read(gctx, user); return err })
	})
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	if err := s.use(ctx, &read, client); err != nil {
		return nil, nil, err
	}
	return client, &read, nil
}

// refreshed makes a new grant of a refresh answer and stores it beside what the
// caller does next.
func (s *Store) refreshed(ctx context.Context, rec *record, a *Authorization) *Token {
	g := *rec.grant
	s.renew(&g, a)
	s.cache.renew(&g)

	stored, rotated := make(chan struct{}), a.RefreshToken != ""
	go func() {
		defer close(stored)
		ctx, cancel := detached(ctx, tokenTimeout)
		defer cancel()
		err := flight.Catch(func() error { s.storeRefreshed(ctx, rec, &g, rotated); return nil })
		if err != nil {
			s.warn("storing an access token", err)
		}
	}()
	return &Token{AccessToken: g.accessToken, Grant: &g, stored: stored, rotated: rotated}
}

// renew takes into a grant what a refresh or an exchange brought.
func (s *Store) renew(g *Grant, a *Authorization) {
	g.accessToken, g.accessTokenExpiry = a.AccessToken, a.AccessTokenExpiry
	if a.RefreshToken != "" {
		g.refreshToken, g.refreshTokenExpiry = a.RefreshToken, time.Time{}
	}
	if !a.RefreshTokenExpiry.IsZero() {
		g.refreshTokenExpiry = a.RefreshTokenExpiry
	}
	if len(a.Scopes) > 0 {
		g.Scopes = a.Scopes
	}
	s.usedNow(g)
}

// storeRefreshed writes a refreshed grant. Losing the condition costs another
// instance a refresh, no more. Only a new refresh token is worth trying again:
// the one it replaces may be dead, and is still the stored one.
func (s *Store) storeRefreshed(ctx context.Context, rec *record, g *Grant, rotated bool) {
	replaced := rec.grant.refreshToken
	for n := range maxAttempts {
		err := s.write(ctx, rec, g)
		if err != nil && !errors.Is(err, errConflict) {
			s.warn("storing an access token", err)
		}
		if err == nil || !rotated {
			return
		}
		pause(ctx, n)
		now, err := s.read(ctx, g.User)
		if err != nil {
			continue
		}
		if now.grant == nil || now.grant.ID != g.ID || now.grant.refreshToken != replaced {
			return
		}
		*rec = now
	}
}

// firstPause is the longest pause after a first lost condition.
const firstPause = 20 * time.Millisecond

// pause waits a random while before try number n+2: the longer the more writers
// have come first.
func pause(ctx context.Context, n int) {
	select {
	case <-time.After(rand.N(firstPause << n)):
	case <-ctx.Done():
	}
}

// bury deletes a grant whose refresh token Google refused, if that token is
// still the stored one, and returns ErrRevoked. It returns nil if another one
// is stored: the grant is to be read again.
func (s *Store) bury(ctx context.Context, user string, dead Secret) error {
	s.cache.drop(user)
	for range maxAttempts {
		rec, err := s.read(ctx, user)
		if err != nil {
			return err
		}
		if rec.grant == nil {
			return ErrRevoked
		}
		if rec.grant.refreshToken != dead {
			return nil
		}
		err = s.remove(ctx, user, rec)
		if err == nil {
			return ErrRevoked
		}
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return unavailable("grant", errConflict)
}
