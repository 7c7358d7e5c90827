package fakegoogle

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Paths of the OAuth endpoints.
const (
	authPath   = "/o/oauth2/v2/auth"
	tokenPath  = "/token"
	revokePath = "/revoke"
)

// Values of the prompt parameter.
const (
	promptNone          = "none"
	promptConsent       = "consent"
	promptSelectAccount = "select_account"
)

// challengeLength is that of a SHA-256 in base64url (RFC 7636, section 4.2).
const challengeLength = 43

// authParameters are those of
// https://developers.google.com/identity/protocols/oauth2/web-server#creatingclient
// and https://developers.google.com/identity/openid-connect/openid-connect#authenticationuriparameters.
var authParameters = []string{
	"client_id", "redirect_uri", "response_type", "scope", "access_type", "state",
	"include_granted_scopes", "enable_granular_consent", "login_hint", "prompt",
	"nonce", "hd", "hl", "display", "code_challenge", "code_challenge_method",
}

// authRequest is a checked authorization request (RFC 6749, section 4.1.1).
type authRequest struct {
	params      url.Values // as received, to be carried through the consent page
	redirectURI string
	opener      opener // in place of a redirect URI
	state       string
	scopes      []string // long names
	prompts     []string
	offline     bool
	incremental bool // include_granted_scopes
	loginHint   string
	challenge   string
	nonce       string
}

// authRefusal is why an authorization request is not served. With page the
// browser is not sent back: the redirect URI can't be trusted (RFC 6749,
// section 4.1.2.1).
type authRefusal struct {
	page        bool
	status      int
	name        string
	description string
}

func refuseOnPage(status int, name, description string) *authRefusal {
	return &authRefusal{page: true, status: status, name: name, description: description}
}

func refuseByRedirect(name, description string) *authRefusal {
	return &authRefusal{name: name, description: description}
}

// parseAuthRequest checks the parameters in the order in which Google does.
func (s *Server) parseAuthRequest(params url.Values) (authRequest, *authRefusal) {
	a := authRequest{
		params:      params,
		redirectURI: params.Get("redirect_uri"),
		opener:      openerOf(params.Get("redirect_uri")),
		state:       params.Get("state"),
		offline:     params.Get("access_type") == "offline",
		incremental: params.Get("include_granted_scopes") == "true",
		loginHint:   params.Get("login_hint"),
		challenge:   params.Get("code_challenge"),
		nonce:       params.Get("nonce"),
		prompts:     strings.Fields(params.Get("prompt")),
	}
	if refusal := s.checkClient(params, a.opener); refusal != nil {
		return a, refusal
	}
	if refusal := checkAuthParameters(params); refusal != nil {
		return a, refusal
	}
	if refusal := a.checkPrompts(); refusal != nil {
		return a, refusal
	}
	var ok bool
	if a.scopes, ok = parseScopes(params.Get("scope")); !ok {
		return a, refuseByRedirect("invalid_scope", "Some requested scopes were invalid.")
	}
	return a, nil
}

// checkClient refuses what must not be answered: nobody knows whom it would reach.
func (s *Server) checkClient(params url.Values, o opener) *authRefusal {
	if len(params["client_id"]) != 1 || params.Get("client_id") != s.client.id {
		return refuseOnPage(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	if refusal := s.checkRedirect(params["redirect_uri"], o); refusal != nil {
		return refusal
	}
	for _, name := range []string{"approval_prompt", "user_id"} {
		if params.Has(name) {
			return refuseOnPage(http.StatusBadRequest, "invalid_request", "Parameter not allowed for this message type: "+name)
		}
	}
	return nil
}

func (s *Server) checkRedirect(uris []string, o opener) *authRefusal {
	if len(uris) == 1 && o.inPopup() {
		return s.checkOpener(o)
	}
	if len(uris) != 1 || !slices.Contains(s.client.registeredURIs(), uris[0]) {
		return refuseOnPage(http.StatusBadRequest, "redirect_uri_mismatch", "The redirect URI in the request is not registered for this client.")
	}
	return nil
}

func checkAuthParameters(params url.Values) *authRefusal {
	for name, values := range params {
		if !slices.Contains(authParameters, name) {
			return refuseByRedirect("invalid_request", "Parameter not allowed for this message type: "+name)
		}
		if len(values) != 1 {
			return refuseByRedirect("invalid_request", "Parameter repeated: "+name)
		}
	}
	if params.Get("response_type") != "code" {
		return refuseByRedirect("unsupported_response_type", "This stand-in supports response_type=code only.")
	}
	if t := params.Get("access_type"); t != "" && t != "offline" && t != "online" {
		return refuseByRedirect("invalid_request", "Invalid access_type: "+t)
	}
	return checkChallenge(params)
}

// checkChallenge wants S256 with a challenge of its length, or neither
// (RFC 7636, section 4.3). Google knows "plain" too; nothing should use it.
func checkChallenge(params url.Values) *authRefusal {
	challenge, method := params.Get("code_challenge"), params.Get("code_challenge_method")
	if challenge == "" && method == "" {
		return nil
	}
	if method != "S256" {
		return refuseByRedirect("invalid_request", "code_challenge_method must be S256.")
	}
	if len(challenge) != challengeLength || !isBase64URL(challenge) {
		return refuseByRedirect("invalid_request", "code_challenge must be 43 characters of base64url.")
	}
	return nil
}

func isBase64URL(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// checkPrompts knows none, alone, and any mixture of consent and select_account
// (OpenID Connect Core 1.0, section 3.1.2.1).
func (a authRequest) checkPrompts() *authRefusal {
	for _, p := range a.prompts {
		if p != promptNone && p != promptConsent && p != promptSelectAccount {
			return refuseByRedirect("invalid_request", "Invalid parameter value for prompt: "+p)
		}
	}
	if a.wants(promptNone) && len(a.prompts) > 1 {
		return refuseByRedirect("invalid_request", "prompt=none can't be combined with another value.")
	}
	return nil
}

func (a authRequest) wants(prompt string) bool { return slices.Contains(a.prompts, prompt) }

// sendBack answers the client: by a redirect, or in the popup.
func (a authRequest) sendBack(w http.ResponseWriter, r *http.Request, answer url.Values) {
	if a.params.Has("state") {
		answer.Set("state", a.state)
	}
	if a.opener.inPopup() {
		answerOpener(w, a.opener, answer)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, a.redirectBack(answer), http.StatusFound)
}

// redirectBack is the redirect URI with the answer added to its query.
func (a authRequest) redirectBack(answer url.Values) string {
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		panic(err) // it equals a registered URI
	}
	query := u.Query()
	for name, values := range answer {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func (a authRequest) refuse(w http.ResponseWriter, r *http.Request, refusal *authRefusal) {
	if refusal.page {
		writeErrorPage(w, refusal)
		return
	}
	answer := url.Values{"error": {refusal.name}}
	if refusal.description != "" {
		answer.Set("error_description", refusal.description)
	}
	a.sendBack(w, r, answer)
}

var errorPage = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>Error {{.Status}}: {{.Name}}</title>
<h1>Error {{.Status}}: {{.Name}}</h1>
<p>{{.Description}}</p>
<p><strong>This is a local stand-in, NOT Google.</strong></p>
</html>
`))

func writeErrorPage(w http.ResponseWriter, refusal *authRefusal) {
	writePageHeaders(w)
	w.WriteHeader(refusal.status)
	errorPage.Execute(w, map[string]any{
		"Status":      refusal.status,
		"Name":        refusal.name,
		"Description": refusal.description,
	})
}
