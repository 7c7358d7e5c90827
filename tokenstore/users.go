package tokenstore

import (
	"context"
	"iter"
	"time"

	"cloud.google.com/go/firestore"
)

// usersPage is how many grants are listed at once.
const usersPage = 300

// Users yields the ID of every user with a grant, in ascending order, each once.
// It reads Firestore a page at a time: memory does not grow with their number.
// Grants whose time is over are left out; that one can't be used any more is
// otherwise found out by using it.
//
// An error ends it. It is [ErrMisconfigured] or [ErrUnavailable].
func (s *Store) Users(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for last := ""; ; {
			page, err := s.grantsAfter(ctx, last)
			if err != nil {
				yield("", err)
				return
			}
			for _, snapshot := range page {
				if s.live(snapshot) && !yield(snapshot.Ref.ID, nil) {
					return
				}
			}
			if len(page) < usersPage {
				return
			}
			last = page[len(page)-1].Ref.ID
		}
	}
}

// grantsAfter reads a page of grants, without what is sealed.
func (s *Store) grantsAfter(ctx context.Context, user string) ([]*firestore.DocumentSnapshot, error) {
	client, err := s.firestoreClient(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, firestoreTimeout)
	defer cancel()
	query := client.Collection(collection).Select("expires_at").OrderBy(firestore.DocumentID, firestore.Asc).Limit(usersPage)
	if user != "" {
		query = query.StartAfter(user)
	}
	page, err := query.Documents(ctx).GetAll()
	if err != nil {
		return nil, firestoreError("list", err)
	}
	return page, nil
}

// live reports whether a grant's time is not over.
func (s *Store) live(snapshot *firestore.DocumentSnapshot) bool {
	end, ok := snapshot.Data()["expires_at"].(time.Time)
	return ok && s.now().Before(end)
}
