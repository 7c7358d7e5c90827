package authurl

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// StateTTL is how long a user may take between leaving for Google and coming
// back.
const StateTTL = 30 * time.Minute

// A Flow is one way of a browser to Google and back. It travels sealed in the
// state parameter, so that any instance can finish it.
type Flow struct {
	ID        string `json:"id"`
	Verifier  string `json:"verifier"`            // ours, of RFC 7636
	Browser   string `json:"browser,omitempty"`   // browser ID it is bound to; cookie way
	Challenge string `json:"challenge,omitempty"` // the front end's; hand-off
	ReturnTo  string `json:"return_to,omitempty"` // empty: a plain page of our own
	State     string `json:"state,omitempty"`     // the front end's

	// What was done once already and must not be done again.
	Rebound   bool `json:"rebound,omitempty"`   // bound to another browser ID
	Retried   bool `json:"retried,omitempty"`   // sent again after a refused code
	Consented bool `json:"consented,omitempty"` // sent again for consent
}

// HandOff reports whether the flow ends with a code for the front end, rather
// than a session in the cookie.
func (f Flow) HandOff() bool { return f.Challenge != "" }

// Hints go to Google with an authorization request.
type Hints struct {
	LoginHint string // e-mail or sub
	Prompt    string // "consent", "select_account", or both
}

// An Authorizer builds authorization URLs and reads the states in them. It is safe
// for concurrent use and must not be copied.
type Authorizer struct {
	Store  *tokenstore.Store
	Site   *site.Site
	Scopes []string
	Now    func() time.Time

	begun atomic.Pointer[beginning] // of the client used last
}

// NewFlow returns a flow with a new ID.
func NewFlow() Flow { return Flow{ID: rand.Text()} }

// URL is Google's address for the flow, with a new PKCE pair.
// https://developers.google.com/identity/protocols/oauth2/web-server#creatingclient
func (a *Authorizer) URL(ctx context.Context, f Flow, hints Hints) (string, error) {
	client, err := a.Store.Client(ctx)
	if err != nil {
		return "", err
	}
	f.Verifier = oauth2.GenerateVerifier()
	payload, err := marshal(f)
	if err != nil {
		return "", err
	}
	state, _, err := a.Store.Ring().Seal(ctx, seal.State, a.Now().Add(StateTTL), payload)
	if err != nil {
		return "", err
	}
	address := a.beginning(client) + "&code_challenge=" + oauth2.S256ChallengeFromVerifier(f.Verifier) + "&state=" + state
	if hints.LoginHint != "" {
		address += "&login_hint=" + url.QueryEscape(hints.LoginHint)
	}
	if hints.Prompt != "" {
		address += "&prompt=" + url.QueryEscape(hints.Prompt)
	}
	return address, nil
}

// A beginning is what the addresses for a client have in common.
type beginning struct {
	client  *tokenstore.Client
	address string
}

// beginning is made once for a client: it is most of what has to be encoded.
func (a *Authorizer) beginning(client *tokenstore.Client) string {
	if b := a.begun.Load(); b != nil && b.client == client {
		return b.address
	}
	address := site.AddQuery(client.AuthURL(), url.Values{
		"response_type":         {"code"},
		"client_id":             {client.ID},
		"redirect_uri":          {a.RedirectURI()},
		"scope":                 {strings.Join(a.Scopes, " ")},
		"access_type":           {"offline"},
		"code_challenge_method": {"S256"},
	})
	a.begun.Store(&beginning{client, address})
	return address
}

// marshal does not escape for HTML, which would make a state up to six times as
// long.
func marshal(f Flow) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(f)
	return b.Bytes(), err
}

// RedirectURI is where Google sends the browser: our callback.
func (a *Authorizer) RedirectURI() string { return a.Site.FunctionURL("callback") }

// maxStateBytes bounds what is opened: return_to and the front end's state, at
// their longest, fit well.
const maxStateBytes = 8192

// Open reads the state of a flow. Its problems are invalid_state and
// state_expired; with the latter, and only with it, the flow is returned too.
func (a *Authorizer) Open(ctx context.Context, state string) (Flow, error) {
	if len(state) > maxStateBytes {
		return Flow{}, &endpoint.Problem{Reason: endpoint.InvalidState}
	}
	opened, err := a.Store.Ring().Open(ctx, seal.State, state)
	expired := errors.Is(err, seal.ErrExpired)
	if errors.Is(err, seal.ErrNotOpened) {
		return Flow{}, &endpoint.Problem{Reason: endpoint.InvalidState}
	}
	if err != nil && !expired {
		return Flow{}, err
	}
	var f Flow
	if err := json.Unmarshal(opened.Payload, &f); err != nil {
		return Flow{}, &endpoint.Problem{Reason: endpoint.InvalidState, Err: err}
	}
	if expired {
		return f, &endpoint.Problem{Reason: endpoint.StateExpired}
	}
	return f, nil
}

// ReturnTo checks where a flow may end, against today's settings.
func (a *Authorizer) ReturnTo(raw string, handOff bool) (string, error) {
	if handOff {
		return a.Site.ReturnToHandOff(raw)
	}
	return a.Site.ReturnToCookie(raw)
}
