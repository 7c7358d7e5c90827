package fakegoogle

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// client is the one registered OAuth client.
type client struct {
	id      string
	origins []string

	mu     sync.Mutex
	secret string
	uris   []string
}

func newClient(o Options) *client {
	return &client{
		id:      o.ClientID,
		origins: slices.Clone(o.JavaScriptOrigins),
		secret:  o.ClientSecret,
		uris:    slices.Clone(o.RedirectURIs),
	}
}

func (c *client) setSecret(secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = secret
}

func (c *client) currentSecret() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secret
}

func (c *client) setURIs(uris []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uris = slices.Clone(uris)
}

func (c *client) registeredURIs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.uris)
}

// authenticate checks the client's credentials in a token request: in the body
// or as Basic, exactly one of them (RFC 6749, section 2.3). Both values are
// percent-encoded in a Basic header (section 2.3.1).
func (c *client) authenticate(r *http.Request, form url.Values) (secret string, err *oauthError) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		if secret != "" || (id != "" && id != user) {
			return secret, invalidRequest("More than one way of client authentication.")
		}
		var errID, errSecret error
		id, errID = url.QueryUnescape(user)
		secret, errSecret = url.QueryUnescape(password)
		if errID != nil || errSecret != nil {
			return "", invalidRequest("Malformed Authorization header.")
		}
	}
	switch {
	case id == "":
		return secret, invalidRequest("Could not determine client ID from request.")
	case id != c.id:
		return secret, &oauthError{http.StatusUnauthorized, "invalid_client", "The OAuth client was not found."}
	case secret == "":
		return secret, invalidRequest("client_secret is missing.")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(c.currentSecret())) == 0:
		return secret, &oauthError{http.StatusUnauthorized, "invalid_client", "The provided client secret is invalid."}
	}
	return secret, nil
}
