package tokenstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/internal/site"
)

// A Client is the OAuth client of this deployment, as read from the client
// secret. It does not change once read.
type Client struct {
	ID           string
	secret       Secret
	authURL      string
	tokenURL     string
	revokeURL    string
	issuer       string   // iss of ID tokens
	RedirectURIs []string // as registered when the JSON was downloaded
	Origins      []string // JavaScript origins, the same
}

// AuthURL is the authorization endpoint, without a query.
func (c *Client) AuthURL() string { return c.authURL }

// TokenURL is the token endpoint.
func (c *Client) TokenURL() string { return c.tokenURL }

// config is the client as x/oauth2 wants it. The auth style is set: left to
// detection, x/oauth2 posts a refused code twice.
func (c *Client) config(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     c.ID,
		ClientSecret: string(c.secret),
		RedirectURL:  redirectURI,
		Endpoint: oauth2.Endpoint{
			AuthURL:   c.authURL,
			TokenURL:  c.tokenURL,
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// Google's current endpoints: https://developers.google.com/identity/protocols/oauth2/web-server
const (
	googleAuthURL   = "https://accounts.google.com/o/oauth2/v2/auth"
	googleTokenURL  = "https://oauth2.googleapis.com/token"
	googleRevokeURL = "https://oauth2.googleapis.com/revoke"
	googleIssuer    = "https://accounts.google.com"
)

var googleHosts = []string{"accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com"}

// ParseClient reads a client secret as downloaded from Google: {"web": {…}}.
// Its errors name what is wrong and never hold a value of it.
func ParseClient(data []byte) (*Client, error) {
	var file struct {
		Web *struct {
			ClientID     string   `json:"client_id"`
			ClientSecret string   `json:"client_secret"`
			AuthURI      string   `json:"auth_uri"`
			TokenURI     string   `json:"token_uri"`
			RedirectURIs []string `json:"redirect_uris"`
			Origins      []string `json:"javascript_origins"`
		} `json:"web"`
		Installed json.RawMessage `json:"installed"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(data), &file); err != nil {
		return nil, errors.New("the client secret is not the JSON file that Google offers for download")
	}
	if file.Web == nil && file.Installed != nil {
		return nil, errors.New(`the client secret is of type "installed": create an OAuth client of type Web application`)
	}
	if file.Web == nil {
		return nil, errors.New(`the client secret has no member "web"`)
	}
	web := file.Web
	for _, m := range []struct{ name, value string }{
		{"client_id", web.ClientID},
		{"client_secret", web.ClientSecret},
		{"auth_uri", web.AuthURI},
		{"token_uri", web.TokenURI},
	} {
		if m.value == "" {
			return nil, fmt.Errorf("the client secret has no %s", m.name)
		}
	}
	c := &Client{ID: web.ClientID, secret: Secret(web.ClientSecret), RedirectURIs: web.RedirectURIs, Origins: web.Origins}
	if err := c.setEndpoints(web.AuthURI, web.TokenURI); err != nil {
		return nil, err
	}
	return c, nil
}

// setEndpoints takes Google's current endpoints if the secret names Google's,
// and otherwise the secret's own if they are on loopback.
func (c *Client) setEndpoints(authURI, tokenURI string) error {
	auth, err1 := url.Parse(authURI)
	token, err2 := url.Parse(tokenURI)
	if err := errors.Join(err1, err2); err != nil {
		return errors.New("auth_uri or token_uri of the client secret is not a URL")
	}
	if isGoogle(auth) && isGoogle(token) {
		c.authURL, c.tokenURL, c.revokeURL, c.issuer = googleAuthURL, googleTokenURL, googleRevokeURL, googleIssuer
		return nil
	}
	if !isLoopback(auth) || !isLoopback(token) {
		return errors.New("auth_uri and token_uri of the client secret must both be Google's, or both on loopback")
	}
	c.authURL, c.tokenURL = authURI, tokenURI
	c.revokeURL = token.ResolveReference(&url.URL{Path: "revoke"}).String()
	c.issuer = auth.Scheme + "://" + auth.Host
	return nil
}

func isGoogle(u *url.URL) bool {
	return u.Scheme == "https" && u.User == nil && slices.Contains(googleHosts, u.Host)
}

func isLoopback(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && site.IsLoopback(u.Hostname())
}
