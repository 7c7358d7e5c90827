package tokenstore

import (
	"context"
	"errors"
)

// Connect stores what an authorization brought and returns the user's grant.
//
// With a refresh token it becomes the stored one. A grant that is stored
// already keeps its ID only if its own refresh token, tried once, still works:
// otherwise a session stolen before a revocation would revive. Without a refresh
// token the stored grant is kept, and its access token and profile are updated;
// if none is stored the error is [ErrNoRefreshToken]. Other errors are
// [ErrMisconfigured] and [ErrUnavailable].
func (s *Store) Connect(ctx context.Context, user string, a *Authorization, profile Profile) (*Grant, error) {
	tried := make(map[Secret]bool) // refresh tokens tried, and whether they work
	for n := range maxAttempts {
		rec, err := s.read(ctx, user)
		if err != nil {
			return nil, err
		}
		g, err := s.connected(ctx, user, &rec, a, tried)
		if err != nil {
			return nil, err
		}
		g.Profile = profile
		g.readAt, g.reading = s.now(), s.cache.reading()
		err = s.write(ctx, &rec, g)
		if err == nil {
			s.cache.put(g)
			return g, nil
		}
		if !errors.Is(err, errConflict) {
			return nil, err
		}
		pause(ctx, n)
	}
	return nil, unavailable("grant", errConflict)
}

// connected decides what is to be stored.
func (s *Store) connected(ctx context.Context, user string, rec *record, a *Authorization, tried map[Secret]bool) (*Grant, error) {
	stored := rec.grant
	if stored != nil && stored.ClientID != a.ClientID {
		stored = nil
	}
	if stored == nil && a.RefreshToken == "" {
		return nil, ErrNoRefreshToken
	}
	g := &Grant{User: user, ID: newGrantID(), ClientID: a.ClientID, createdAt: s.now()}
	if stored != nil && (a.RefreshToken == "" || s.works(ctx, stored, tried)) {
		*g = *stored
	}
	s.renew(g, a)
	return g, nil
}

// works tries a stored refresh token, once.
func (s *Store) works(ctx context.Context, stored *Grant, tried map[Secret]bool) bool {
	if ok, done := tried[stored.refreshToken]; done {
		return ok
	}
	client, err := s.Client(ctx)
	if err != nil || client.ID != stored.ClientID {
		return false
	}
	_, err = s.refresh(ctx, client, stored.refreshToken)
	tried[stored.refreshToken] = err == nil
	return err == nil
}

// Disconnect revokes the user's grant with this ID at Google and deletes it,
// whatever Google answers; revoked says whether Google did. found is false if
// there was no grant. A grant with another ID stays untouched, with
// [ErrNotConnected]; one that does not open is deleted without a revocation.
// Other errors are [ErrMisconfigured] and [ErrUnavailable].
func (s *Store) Disconnect(ctx context.Context, user, grantID string) (found, revoked bool, err error) {
	defer s.cache.drop(user)
	var tried Secret // the refresh token that was given to Google to revoke
	for n := range maxAttempts {
		rec, err := s.read(ctx, user)
		if err != nil {
			return false, false, err
		}
		if !rec.exists {
			return found, revoked, nil
		}
		if rec.grantID != "" && rec.grantID != grantID { // without one it is no grant of ours
			if found {
				return found, revoked, nil // a newer grant came meanwhile
			}
			return false, false, ErrNotConnected
		}
		if g := rec.grant; g != nil && g.refreshToken != tried {
			tried = g.refreshToken
			revoked = s.tryRevoke(ctx, tried)
		}
		found = true
		if err = s.remove(ctx, user, rec); err == nil {
			return found, revoked, nil
		}
		if !errors.Is(err, errConflict) {
			return found, revoked, err
		}
		pause(ctx, n)
	}
	return found, revoked, unavailable("grant", errConflict)
}

// tryRevoke ends a grant at Google and reports whether Google did. That it did
// not stops nothing.
func (s *Store) tryRevoke(ctx context.Context, token Secret) bool {
	err := s.revoke(ctx, token)
	if err != nil {
		s.warn("revoking a grant", err)
	}
	return err == nil
}
