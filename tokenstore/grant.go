package tokenstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/gmailgrant/internal/seal"
)

const (
	collection = "grants"
	// unusedLimit is after how long without use Google ends a refresh token.
	unusedLimit = 6 // months
	// maxUserIDBytes is the longest sub (OpenID Connect Core, section 2).
	maxUserIDBytes = 255
)

// A Profile is what Google told of a user, for display only.
type Profile struct {
	Email   string `json:"email,omitempty"`
	Name    string `json:"name,omitempty"`
	Picture string `json:"picture,omitempty"`
}

// A Grant is what a user gave us. The caller must not modify it: it may be
// shared.
type Grant struct {
	User     string // Google's sub
	ID       string // random; sessions name it and die with it
	ClientID string // the OAuth client that it was given to
	Scopes   []string
	Profile  Profile

	refreshToken       Secret
	refreshTokenExpiry time.Time // as Google announced it; zero: not announced
	accessToken        Secret
	accessTokenExpiry  time.Time
	createdAt          time.Time
	expiresAt          time.Time
	readAt             time.Time // when Firestore held it so
	reading            uint64    // the number of that reading
}

// is reports whether the grant has this ID, or may have any.
func (g *Grant) is(id string) bool { return id == AnyGrant || g.ID == id }

// ValidUserID reports whether a sub can name a document: printable ASCII
// without "/", at most 255 bytes, and none of the names Firestore keeps for
// itself.
func ValidUserID(sub string) bool {
	if sub == "" || len(sub) > maxUserIDBytes || sub == "." || sub == ".." || strings.HasPrefix(sub, "__") {
		return false
	}
	return !strings.ContainsFunc(sub, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' })
}

// document is a grant as Firestore keeps it. Nothing but the document's name
// identifies the user in clear.
type document struct {
	Sealed     string    `firestore:"sealed"`
	GrantID    string    `firestore:"grant_id"`
	ClientID   string    `firestore:"client_id"`
	KeyVersion int64     `firestore:"key_version"`
	CreatedAt  time.Time `firestore:"created_at"`
	UpdatedAt  time.Time `firestore:"updated_at"`
	ExpiresAt  time.Time `firestore:"expires_at"` // TTL field
}

// sealedFields is what the field "sealed" of a document holds.
type sealedFields struct {
	RefreshToken       string    `json:"refresh_token"`
	RefreshTokenExpiry time.Time `json:"refresh_token_expiry,omitzero"`
	AccessToken        string    `json:"access_token,omitempty"`
	AccessTokenExpiry  time.Time `json:"access_token_expiry,omitzero"`
	Scopes             []string  `json:"scopes"`
	Profile
}

// A record is one reading of a user's document.
type record struct {
	exists     bool
	grantID    string
	updateTime time.Time // Firestore's; the condition of the next write
	grant      *Grant    // nil if there is none, or it does not open, or its time is over
	sealedWith int64     // key version
	newestKey  int64
}

func (s *Store) ref(client *firestore.Client, user string) *firestore.DocumentRef {
	return client.Collection(collection).Doc(user)
}

// read fetches a user's document. A document that is absent or does not open is
// no error.
func (s *Store) read(ctx context.Context, user string) (record, error) {
	client, err := s.firestoreClient(ctx)
	if err != nil {
		return record{}, err
	}
	if !ValidUserID(user) {
		return record{}, nil // no document can have that name
	}
	readAt, reading := s.now(), s.cache.reading()
	ctx, cancel := context.WithTimeout(ctx, firestoreTimeout)
	defer cancel()
	snapshot, err := s.ref(client, user).Get(ctx)
	if status.Code(err) == codes.NotFound && snapshot != nil && !snapshot.Exists() {
		return record{}, nil
	}
	if err != nil {
		return record{}, firestoreError("read", err)
	}
	rec, err := s.open(ctx, user, snapshot, readAt)
	if rec.grant != nil {
		rec.grant.reading = reading
	}
	return rec, err
}

func (s *Store) open(ctx context.Context, user string, snapshot *firestore.DocumentSnapshot, readAt time.Time) (record, error) {
	rec := record{exists: true, updateTime: snapshot.UpdateTime}
	var d document
	if err := snapshot.DataTo(&d); err != nil {
		return rec, nil // not written by us: as good as unreadable
	}
	rec.grantID = d.GrantID
	opened, err := s.ring.Open(ctx, seal.Grant, d.Sealed, owner(user, d.GrantID, d.ClientID)...)
	if errors.Is(err, seal.ErrNotOpened) {
		return rec, nil
	}
	if err != nil {
		return rec, keyError(err)
	}
	var f sealedFields
	if err := json.Unmarshal(opened.Payload, &f); err != nil {
		return rec, nil
	}
	if !readAt.Before(d.ExpiresAt) {
		return rec, nil // the TTL policy lags behind by a day
	}
	rec.sealedWith, rec.newestKey = opened.Version, opened.Newest
	rec.grant = &Grant{
		User:               user,
		ID:                 d.GrantID,
		ClientID:           d.ClientID,
		Scopes:             f.Scopes,
		Profile:            f.Profile,
		refreshToken:       Secret(f.RefreshToken),
		refreshTokenExpiry: f.RefreshTokenExpiry,
		accessToken:        Secret(f.AccessToken),
		accessTokenExpiry:  f.AccessTokenExpiry,
		createdAt:          d.CreatedAt,
		expiresAt:          d.ExpiresAt,
		readAt:             readAt,
	}
	return rec, nil
}

// owner is the associated data of a sealed grant: a document copied over
// another user's, or with its IDs changed, does not open.
func owner(user, grantID, clientID string) []string {
	return []string{"sealed", user, grantID, clientID}
}

// keyError makes sure that a failure to get a key is one of the package's own.
func keyError(err error) error {
	if errors.Is(err, ErrMisconfigured) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return unavailable("seal key", err)
}

// errConflict says that a document was written meanwhile.
var errConflict = errors.New("tokenstore: the grant was changed meanwhile")

// write stores a grant on condition that the document is still as it was read,
// and brings rec up to date. Otherwise it returns errConflict.
func (s *Store) write(ctx context.Context, rec *record, g *Grant) error {
	client, err := s.firestoreClient(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, firestoreTimeout)
	defer cancel()
	d, err := s.sealDocument(ctx, g)
	if err != nil {
		return err
	}
	ref := s.ref(client, g.User)
	var result *firestore.WriteResult
	if rec.exists {
		result, err = ref.Update(ctx, d.updates(), firestore.LastUpdateTime(rec.updateTime))
	} else {
		result, err = ref.Create(ctx, d)
	}
	if err != nil {
		return writeError(err)
	}
	*rec = record{exists: true, grantID: g.ID, updateTime: result.UpdateTime, grant: g, sealedWith: d.KeyVersion, newestKey: d.KeyVersion}
	return nil
}

// remove deletes a user's document on condition that it is still as it was
// read. Otherwise it returns errConflict.
func (s *Store) remove(ctx context.Context, user string, rec record) error {
	client, err := s.firestoreClient(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, firestoreTimeout)
	defer cancel()
	if _, err = s.ref(client, user).Delete(ctx, firestore.LastUpdateTime(rec.updateTime)); err != nil {
		return writeError(err)
	}
	return nil
}

func (s *Store) sealDocument(ctx context.Context, g *Grant) (document, error) {
	payload, err := json.Marshal(sealedFields{
		RefreshToken:       string(g.refreshToken),
		RefreshTokenExpiry: g.refreshTokenExpiry,
		AccessToken:        string(g.accessToken),
		AccessTokenExpiry:  g.accessTokenExpiry,
		Scopes:             g.Scopes,
		Profile:            g.Profile,
	})
	if err != nil {
		return document{}, fmt.Errorf("tokenstore: sealing a grant: %w", err)
	}
	sealed, version, err := s.ring.Seal(ctx, seal.Grant, time.Time{}, payload, owner(g.User, g.ID, g.ClientID)...)
	if err != nil {
		return document{}, keyError(err)
	}
	return document{
		Sealed:     sealed,
		GrantID:    g.ID,
		ClientID:   g.ClientID,
		KeyVersion: version,
		CreatedAt:  g.createdAt,
		UpdatedAt:  s.now(),
		ExpiresAt:  g.expiresAt,
	}, nil
}

// updates sets every field, whatever the document held before.
func (d document) updates() []firestore.Update {
	return []firestore.Update{
		{Path: "sealed", Value: d.Sealed},
		{Path: "grant_id", Value: d.GrantID},
		{Path: "client_id", Value: d.ClientID},
		{Path: "key_version", Value: d.KeyVersion},
		{Path: "created_at", Value: d.CreatedAt},
		{Path: "updated_at", Value: d.UpdatedAt},
		{Path: "expires_at", Value: d.ExpiresAt},
	}
}

// writeError recognises a lost condition: the document is there already, gone,
// or of another update time.
func writeError(err error) error {
	switch status.Code(err) {
	case codes.AlreadyExists, codes.NotFound, codes.FailedPrecondition, codes.Aborted:
		return errConflict
	}
	return firestoreError("write", err)
}

// firestoreError keeps apart what an operator has to correct from what passes.
func firestoreError(op string, err error) error {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.NotFound, codes.Unauthenticated, codes.InvalidArgument, codes.FailedPrecondition:
		return misconfigured("Firestore "+op, grpcCause(err))
	}
	return unavailable("Firestore "+op, grpcCause(err))
}

// usedNow sets how long a grant lives that was used just now: six months, or
// less if Google announced an earlier end.
func (s *Store) usedNow(g *Grant) {
	g.expiresAt = s.now().AddDate(0, unusedLimit, 0)
	if !g.refreshTokenExpiry.IsZero() && g.refreshTokenExpiry.Before(g.expiresAt) {
		g.expiresAt = g.refreshTokenExpiry
	}
}

func newGrantID() string { return rand.Text() }

// Grant reads a user's grant from Firestore. Its errors are [ErrNotConnected],
// [ErrMisconfigured] and [ErrUnavailable].
func (s *Store) Grant(ctx context.Context, user string) (*Grant, error) {
	_, rec, err := s.readWithClient(ctx, user)
	if err != nil {
		return nil, err
	}
	return rec.grant, nil
}

// use remembers the grant of a reading if it can be used with our client. One
// sealed with an older key is sealed again.
func (s *Store) use(ctx context.Context, rec *record, client *Client) error {
	if rec.grant == nil || rec.grant.ClientID != client.ID {
		return ErrNotConnected
	}
	if rec.sealedWith < rec.newestKey {
		if err := s.write(ctx, rec, rec.grant); err != nil && !errors.Is(err, errConflict) {
			s.warn("sealing a grant again", err) // the next reading tries again
		}
	}
	s.cache.put(rec.grant)
	return nil
}
