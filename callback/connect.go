package callback

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/api/idtoken"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

const (
	// placeTimeout is how long an exchange waits for its turn: long before the
	// code is spent in vain.
	placeTimeout = 5 * time.Second
	// storeTimeout bounds storing what an exchange brought. It is counted from
	// there: the code is spent, and with it would go the refresh token.
	storeTimeout = 25 * time.Second
)

// maxCodeBytes bounds an authorization code; Google's have some 75 characters,
// and Google allows itself 256.
const maxCodeBytes = 512

func validCode(code string) bool {
	if code == "" || len(code) > maxCodeBytes {
		return false
	}
	return !slices.ContainsFunc([]byte(code), func(c byte) bool { return c <= ' ' || c >= 0x7f })
}

// connect exchanges a code and stores the grant: what both ways to a code have
// in common.
//
// Its errors are CodeExchangeError, NoUserIDError, NoRefreshTokenError, the
// problem missing_scope, and those of tokenstore.
func (h *Handler) connect(ctx context.Context, code, verifier, redirectURI string) (*tokenstore.Grant, error) {
	if !validCode(code) {
		return nil, endpoint.Invalid("The code is missing or malformed.")
	}
	auth, err := h.exchange(ctx, code, verifier, redirectURI)
	if err != nil {
		return nil, err
	}
	sub, profile, err := h.identify(auth)
	if err != nil {
		return nil, h.noUserIDError(err)
	}
	endpoint.RecordOf(ctx).User = sub
	if !tokenstore.CanList(auth.Scopes) {
		return nil, &endpoint.Problem{
			Reason:        endpoint.MissingScope,
			User:          sub,
			MissingScopes: tokenstore.Missing(auth.Scopes, h.scopes),
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	g, err := h.store.Connect(ctx, sub, auth, profile)
	if errors.Is(err, tokenstore.ErrNoRefreshToken) {
		return nil, h.noRefreshTokenError(sub, err)
	}
	return g, endpoint.ForUser(err, sub)
}

func (h *Handler) exchange(ctx context.Context, code, verifier, redirectURI string) (*tokenstore.Authorization, error) {
	select {
	case h.exchanging <- struct{}{}:
		defer func() { <-h.exchanging }()
	case <-time.After(placeTimeout):
		return nil, &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("too many code exchanges in flight")}
	}
	auth, err := h.store.Exchange(ctx, code, verifier, redirectURI)
	if errors.Is(err, tokenstore.ErrCodeRefused) {
		return nil, h.codeExchangeError(err)
	}
	return auth, err
}

// Google's iss has two forms.
// https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
const (
	googleIssuer      = "https://accounts.google.com"
	googleIssuerShort = "accounts.google.com"
)

// identify reads the ID token that came with an authorization. It came straight
// from the token endpoint, so its signature needs no check (OpenID Connect
// Core, section 3.1.3.7, item 6).
func (h *Handler) identify(auth *tokenstore.Authorization) (sub string, profile tokenstore.Profile, err error) {
	if auth.IDToken == "" {
		return "", profile, errors.New("no ID token")
	}
	claims, err := idtoken.ParsePayload(auth.IDToken)
	if err != nil {
		return "", profile, errors.New("malformed ID token")
	}
	switch {
	case claims.Issuer != auth.Issuer && !(auth.Issuer == googleIssuer && claims.Issuer == googleIssuerShort):
		return "", profile, errors.New("ID token of another issuer")
	case claims.Audience != auth.ClientID:
		return "", profile, errors.New("ID token for another audience")
	case h.now().Unix() >= claims.Expires:
		return "", profile, errors.New("ID token has expired")
	case !tokenstore.ValidUserID(claims.Subject):
		return "", profile, errors.New("ID token without a usable sub")
	}
	profile.Email, _ = claims.Claims["email"].(string)
	profile.Name, _ = claims.Claims["name"].(string)
	profile.Picture, _ = claims.Claims["picture"].(string)
	return claims.Subject, profile, nil
}
