package tokenstore

import (
	"context"
	"errors"
)

// Reseal seals the user's grant with the newest seal key, whichever client it was
// given to, and reports whether it was sealed with an older one before. The access
// tokens and times in it stay as they are.
//
// The error is [ErrNotConnected] if there is no grant that opens; else
// [ErrMisconfigured] or [ErrUnavailable].
func (s *Store) Reseal(ctx context.Context, user string) (older bool, err error) {
	for n := range maxAttempts {
		rec, err := s.read(ctx, user)
		if err != nil {
			return false, err
		}
		if rec.grant == nil {
			return false, ErrNotConnected
		}
		if rec.sealedWith >= rec.newestKey {
			return older, nil
		}
		older = true
		if err := s.write(ctx, &rec, rec.grant); !errors.Is(err, errConflict) {
			return older, err
		}
		pause(ctx, n)
	}
	return false, unavailable("grant", errConflict)
}
