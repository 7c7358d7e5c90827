package fakegoogle

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	codeTTL = 10 * time.Minute

	// maxRefreshTokens is how many live refresh tokens an account may have per
	// client: https://developers.google.com/identity/protocols/oauth2#expiration.
	maxRefreshTokens = 100
)

// authCode is what an authorization code stands for.
type authCode struct {
	sub          string
	redirectURIs []string // any of them goes with the exchange
	challenge    string
	nonce        string
	scopes       []string
	offline      bool // access_type=offline
	forced       bool // the user was asked because of prompt=consent
	expires      time.Time
}

// token is a live access or refresh token.
type token struct {
	sub     string
	scopes  []string
	serial  int       // order of issue
	expires time.Time // of access tokens; zero for refresh tokens
}

// consent is what a user has granted the client so far.
type consent struct {
	scopes  []string
	offline bool // a refresh token was issued for it
}

// grantBook keeps codes, tokens and consents. One client, so none is named.
type grantBook struct {
	now       func() time.Time
	accessTTL time.Duration
	signer    *rsa.PrivateKey
	leaks     *secretLog

	mu       sync.Mutex
	serial   int
	codes    map[string]authCode
	access   map[string]token
	refresh  map[string]token
	consents map[string]*consent // by sub
}

// signingKey is made once per process: tests start many servers.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, 2048)
})

func newGrantBook(now func() time.Time, accessTTL time.Duration, leaks *secretLog) (*grantBook, error) {
	signer, err := signingKey()
	if err != nil {
		return nil, fmt.Errorf("fakegoogle: signing key: %w", err)
	}
	return &grantBook{
		now:       now,
		accessTTL: accessTTL,
		signer:    signer,
		leaks:     leaks,
		codes:     make(map[string]authCode),
		access:    make(map[string]token),
		refresh:   make(map[string]token),
		consents:  make(map[string]*consent),
	}, nil
}

// scopes are those the user has granted so far.
func (g *grantBook) scopes(sub string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.consents[sub]; c != nil {
		return slices.Clone(c.scopes)
	}
	return nil
}

// issueCode records the consent and returns a code for it.
func (g *grantBook) issueCode(c authCode) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.consents[c.sub]
	if known == nil {
		known = &consent{}
		g.consents[c.sub] = known
	}
	known.scopes = union(known.scopes, c.scopes)
	c.expires = g.now().Add(codeTTL)
	code := "4/0A" + randomString(64)
	g.codes[code] = c
	g.leaks.add(code)
	return code
}

// tokens is what one successful token request produces.
type tokens struct {
	sub     string
	scopes  []string
	nonce   string
	access  string
	refresh string // empty when none is issued
}

// exchange trades a code for tokens. A code is spent by the first request that
// proves to be its owner's; a second one fails without revoking anything, which
// is how Google differs from the SHOULD of RFC 6749, section 4.1.2.
func (g *grantBook) exchange(code, redirectURI, verifier string) (tokens, *oauthError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.codes[code]
	if !ok || !g.now().Before(c.expires) {
		return tokens{}, invalidGrant("Malformed auth code.")
	}
	if err := c.check(redirectURI, verifier); err != nil {
		return tokens{}, err
	}
	delete(g.codes, code)
	t := tokens{sub: c.sub, scopes: c.scopes, nonce: c.nonce}
	t.access = g.issueAccessLocked(c.sub, c.scopes)
	if known := g.consents[c.sub]; c.offline && (c.forced || !known.offline) {
		known.offline = true
		t.refresh = g.issueRefreshLocked(c)
	}
	return t, nil
}

// check compares the request that redeems a code with the one that asked for it
// (RFC 6749, section 4.1.3; RFC 7636, section 4.6).
func (c authCode) check(redirectURI, verifier string) *oauthError {
	if !slices.Contains(c.redirectURIs, redirectURI) {
		return invalidGrant("The redirect URI is not that of the authorization request.")
	}
	switch {
	case c.challenge == "" && verifier != "":
		return invalidGrant("code_verifier or verifier is not needed.")
	case c.challenge != "" && verifier == "":
		return invalidGrant("Missing code verifier.")
	case c.challenge != "" && challengeOf(verifier) != c.challenge:
		return invalidGrant("Invalid code verifier.")
	}
	return nil
}

// challengeOf is the S256 transformation of RFC 7636, section 4.2.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// redeemRefresh issues an access token for a live refresh token.
func (g *grantBook) redeemRefresh(refresh string) (tokens, *oauthError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.refresh[refresh]
	if !ok {
		return tokens{}, invalidGrant("Token has been expired or revoked.")
	}
	return tokens{sub: t.sub, scopes: t.scopes, access: g.issueAccessLocked(t.sub, t.scopes)}, nil
}

func (g *grantBook) issueAccessLocked(sub string, scopes []string) string {
	value := "ya29.a0" + randomString(120)
	g.serial++
	g.access[value] = token{sub: sub, scopes: scopes, serial: g.serial, expires: g.now().Add(g.accessTTL)}
	g.leaks.add(value)
	return value
}

// issueRefreshLocked lets the user's oldest refresh token die when there are too many.
func (g *grantBook) issueRefreshLocked(c authCode) string {
	var live []string
	for value, t := range g.refresh {
		if t.sub == c.sub {
			live = append(live, value)
		}
	}
	if len(live) >= maxRefreshTokens {
		oldest := slices.MinFunc(live, func(a, b string) int { return cmp.Compare(g.refresh[a].serial, g.refresh[b].serial) })
		delete(g.refresh, oldest)
	}
	value := "1//0" + randomString(96)
	g.serial++
	g.refresh[value] = token{sub: c.sub, scopes: c.scopes, serial: g.serial}
	g.leaks.add(value)
	return value
}

// bearer finds a live access token.
func (g *grantBook) bearer(value string) (token, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.access[value]
	return t, ok && g.now().Before(t.expires)
}

// ownerOf finds whose token it is, access or refresh.
func (g *grantBook) ownerOf(value string) (sub string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t, ok := g.refresh[value]; ok {
		return t.sub, true
	}
	t, ok := g.access[value]
	return t.sub, ok && g.now().Before(t.expires)
}

// revoke ends everything the user has granted the client.
func (g *grantBook) revoke(sub string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	deleteOwned(g.access, sub)
	deleteOwned(g.refresh, sub)
	delete(g.consents, sub)
	for code, c := range g.codes {
		if c.sub == sub {
			delete(g.codes, code)
		}
	}
}

func (g *grantBook) expireAccess(sub string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	deleteOwned(g.access, sub)
}

func deleteOwned(tokens map[string]token, sub string) {
	for value, t := range tokens {
		if t.sub == sub {
			delete(tokens, value)
		}
	}
}

// RevokeAccess does what the user can do on myaccount.google.com: all refresh
// and access tokens die, and the consent is forgotten.
func (s *Server) RevokeAccess(sub string) { s.grants.revoke(sub) }

// ExpireAccessTokens ends the user's access tokens; refresh tokens live on.
func (s *Server) ExpireAccessTokens(sub string) { s.grants.expireAccess(sub) }

// UserOf returns whose access or refresh token a request carries, for the Match
// of a [Fault]: the sub, or empty if Google does not accept the token.
func (s *Server) UserOf(r *http.Request) string {
	value := r.PostForm.Get("refresh_token")
	if value == "" {
		_, value, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	}
	sub, _ := s.grants.ownerOf(value)
	return sub
}

// randomString returns n random characters of base64url.
func randomString(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}
