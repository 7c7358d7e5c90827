package tokenstore

import (
	"context"
	"errors"
)

// Connect stores what an authorization brought and returns the user's grant.
//
// A refresh token that is stored already is tried once: what it was good for
// counts only if it still is, or a session stolen before a revocation would
// revive. If it works, the grant keeps its ID, with the new refresh token if one
// came; otherwise the grant gets a new ID, and without a new refresh token the
// error is [ErrNoRefreshToken]. Other errors are [ErrMisconfigured],
// [ErrDomainPolicy] and [ErrUnavailable].
func (s *Store) Connect(ctx context.Context, user string, a *Authorization, profile Profile) (*Grant, error) {
	tried := make(map[Secret]*Authorization) // by refresh token, what it brought; nil: it is dead
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
func (s *Store) connected(ctx context.Context, user string, rec *record, a *Authorization, tried map[Secret]*Authorization) (*Grant, error) {
	stored, refreshed, err := s.alive(ctx, rec.grant, a.ClientID, tried)
	if err != nil && a.RefreshToken == "" {
		return nil, err
	}
	if stored == nil && a.RefreshToken == "" {
		return nil, ErrNoRefreshToken
	}
	g := &Grant{User: user, ID: newGrantID(), ClientID: a.ClientID, createdAt: s.now()}
	if stored != nil {
		*g = *stored
		s.renew(g, refreshed)
	}
	s.renew(g, a)
	return g, nil
}

// alive returns the stored grant if it was given to this client and its refresh
// token works, with what that brought. It is tried once.
func (s *Store) alive(ctx context.Context, stored *Grant, clientID string, tried map[Secret]*Authorization) (*Grant, *Authorization, error) {
	if stored == nil || stored.ClientID != clientID {
		return nil, nil, nil
	}
	refreshed, done := tried[stored.refreshToken]
	if !done {
		var err error
		if refreshed, err = s.tryRefresh(ctx, stored); err != nil {
			return nil, nil, err
		}
		tried[stored.refreshToken] = refreshed
	}
	if refreshed == nil {
		return nil, nil, nil
	}
	return stored, refreshed, nil
}

// tryRefresh returns nil if Google does not accept the refresh token.
func (s *Store) tryRefresh(ctx context.Context, stored *Grant) (*Authorization, error) {
	client, err := s.Client(ctx)
	if err != nil || client.ID != stored.ClientID {
		return nil, err
	}
	refreshed, err := s.refresh(ctx, client, stored.refreshToken)
	if errors.Is(err, errRefreshRefused) {
		return nil, nil
	}
	return refreshed, err
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
