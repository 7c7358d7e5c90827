// Package authurl begins a sign-in: it builds the URL of Google's consent page,
// or sends the browser there.
package authurl

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
)

// A Handler answers GET authurl. It is safe for concurrent use.
type Handler struct {
	Authorizer *Authorizer
	Sessions   *session.Keeper
}

// Bounds of the parameters, in bytes.
const (
	maxState     = 512
	maxLoginHint = 320
	challengeLen = 43 // base64url of a SHA-256 (RFC 7636, section 4.2)
)

// Get answers with the authorization URL, or, for a navigation, goes there.
func (h *Handler) Get(w http.ResponseWriter, r *http.Request) error {
	query, err := endpoint.Query(r, []string{"return_to", "state", "code_challenge", "code_challenge_method", "login_hint", "prompt"}, nil)
	if err != nil {
		return err
	}
	flow, hints, err := h.parse(query)
	if err != nil {
		return err
	}
	var fresh *session.Browser // to be given to the browser
	if !flow.HandOff() {
		if fresh, err = h.bind(r, &flow); err != nil {
			return err
		}
	}
	address, err := h.Authorizer.URL(r.Context(), flow, hints)
	if err != nil {
		return err
	}
	if fresh != nil {
		if err := h.Sessions.SetCookie(r.Context(), w, *fresh); err != nil {
			return err
		}
	}
	if endpoint.Navigation(r) {
		endpoint.Redirect(w, http.StatusFound, address)
		return nil
	}
	return endpoint.WriteJSON(w, struct {
		AuthorizationURL string `json:"authorization_url"`
	}{address})
}

func (h *Handler) parse(query url.Values) (Flow, Hints, error) {
	flow := NewFlow()
	flow.State = query.Get("state")
	if len(flow.State) > maxState || !utf8.ValidString(flow.State) {
		return Flow{}, Hints{}, endpoint.Invalid("The parameter state must be UTF-8 of at most 512 bytes.")
	}
	hints := Hints{LoginHint: query.Get("login_hint"), Prompt: query.Get("prompt")}
	if query.Has("login_hint") && !validLoginHint(hints.LoginHint) {
		return Flow{}, Hints{}, endpoint.Invalid("The parameter login_hint must be an e-mail address or a user ID.")
	}
	if query.Has("prompt") && !validPrompt(hints.Prompt) {
		return Flow{}, Hints{}, endpoint.Invalid("The parameter prompt must be consent, select_account, or both.")
	}
	var err error
	if flow.Challenge, err = challenge(query); err != nil {
		return Flow{}, Hints{}, err
	}
	flow.ReturnTo, err = h.returnTo(query, flow.HandOff())
	return flow, hints, err
}

// validLoginHint accepts an e-mail address or a sub: no spaces, no controls.
func validLoginHint(s string) bool {
	notAllowed := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return s != "" && len(s) <= maxLoginHint && utf8.ValidString(s) && !strings.ContainsFunc(s, notAllowed)
}

func validPrompt(s string) bool {
	switch s {
	case "consent", "select_account", "consent select_account", "select_account consent":
		return true
	}
	return false
}

// challenge returns the front end's code_challenge; empty when the hand-off is
// not asked for.
func challenge(query url.Values) (string, error) {
	if !query.Has("code_challenge") && !query.Has("code_challenge_method") {
		return "", nil
	}
	if query.Get("code_challenge_method") != "S256" {
		return "", endpoint.Invalid("The parameter code_challenge_method must be S256, beside a code_challenge.")
	}
	value := query.Get("code_challenge")
	if _, err := base64.RawURLEncoding.Strict().DecodeString(value); err != nil || len(value) != challengeLen || strings.ContainsAny(value, "\r\n") {
		return "", endpoint.Invalid("The parameter code_challenge must be 43 characters of base64url.")
	}
	return value, nil
}

// returnTo decides where the browser ends up. With nothing asked for and
// nothing configured the cookie way ends on a plain page of ours.
func (h *Handler) returnTo(query url.Values, handOff bool) (string, error) {
	raw := query.Get("return_to")
	if !query.Has("return_to") {
		raw = h.Authorizer.Site.DefaultReturnURL()
		if raw == "" && !handOff && h.Authorizer.Site.CookieWay() {
			return "", nil
		}
	}
	returnTo, err := h.Authorizer.ReturnTo(raw, handOff)
	if err != nil {
		return "", &endpoint.Problem{Reason: endpoint.InvalidReturnTo, Detail: err.Error()}
	}
	return returnTo, nil
}

// bind ties a flow of the cookie way to the browser that begins it, and returns
// what that has to be given, unless it had a valid cookie. A link on another site
// must not begin a flow: it could swap the account under the user.
func (h *Handler) bind(r *http.Request, flow *Flow) (fresh *session.Browser, err error) {
	if endpoint.Navigation(r) && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return nil, &endpoint.Problem{Reason: endpoint.OriginNotAllowed, Detail: "A sign-in can't be started from another site; start it from the app."}
	}
	browser, err := h.Sessions.Browser(r)
	if errors.Is(err, session.ErrNoBrowser) {
		browser, err = session.NewBrowser(), nil
		fresh = &browser
	}
	flow.Browser = browser.ID
	return fresh, err
}
