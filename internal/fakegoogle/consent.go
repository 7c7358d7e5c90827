package fakegoogle

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// accountCookie remembers who is signed in at this stand-in for Google.
const accountCookie = "fakegoogle_account"

// Fields of the consent form that are not parameters of the request. The
// requested scopes travel under a name of their own because the boxes to tick
// are called scope.
const (
	fieldAccount   = "account"
	fieldAction    = "action"
	fieldScope     = "scope"
	fieldRequested = "requested_scope"
	actionAllow    = "allow"
	actionDeny     = "deny"
)

//go:embed consent.html
var consentHTML string

var consentPage = template.Must(template.New("consent").Parse(consentHTML))

// serveAuth is the authorization endpoint, reached by navigation.
func (s *Server) serveAuth(w http.ResponseWriter, r *http.Request) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeErrorPage(w, refuseOnPage(http.StatusBadRequest, "invalid_request", "Malformed query."))
		return
	}
	a, refusal := s.parseAuthRequest(params)
	if refusal != nil {
		a.refuse(w, r, refusal)
		return
	}
	account, known := s.presentAccount(r, a)
	granted := known && containsAll(s.grants.scopes(account.Sub), a.scopes)
	switch {
	case a.opener.inPopup():
		s.writeConsentPage(w, a, account) // every time
	case granted && !a.wants(promptConsent) && !a.wants(promptSelectAccount):
		s.sendCode(w, r, a, account, a.scopes, false)
	case a.wants(promptNone) && !known:
		a.refuse(w, r, refuseByRedirect("login_required", ""))
	case a.wants(promptNone):
		a.refuse(w, r, refuseByRedirect("interaction_required", ""))
	default:
		s.writeConsentPage(w, a, account)
	}
}

// presentAccount is who the request is about: the one hinted at, otherwise
// the one signed in.
func (s *Server) presentAccount(r *http.Request, a authRequest) (Account, bool) {
	if a.loginHint != "" {
		return s.account(a.loginHint)
	}
	c, err := r.Cookie(accountCookie)
	if err != nil {
		return Account{}, false
	}
	return s.account(c.Value)
}

type accountChoice struct {
	Account
	Checked bool
}

type scopeChoice struct{ Scope, Description string }

type hiddenInput struct{ Name, Value string }

func (s *Server) writeConsentPage(w http.ResponseWriter, a authRequest, preselected Account) {
	var page bytes.Buffer
	err := consentPage.Execute(&page, map[string]any{
		"Action":   authPath,
		"ClientID": s.client.id,
		"Hidden":   hiddenInputs(a.params),
		"Accounts": s.accountChoices(preselected.Sub),
		"Scopes":   scopeChoices(a.scopes),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writePageHeaders(w)
	w.Write(page.Bytes())
}

func (s *Server) accountChoices(preselected string) []accountChoice {
	choices := make([]accountChoice, len(s.accounts))
	for i, account := range s.accounts {
		first := preselected == "" && i == 0
		choices[i] = accountChoice{account, first || account.Sub == preselected}
	}
	return choices
}

// scopeChoices are the scopes that have a box: those beyond signing in.
func scopeChoices(scopes []string) []scopeChoice {
	var choices []scopeChoice
	for _, scope := range scopes {
		if !isSignInScope(scope) {
			choices = append(choices, scopeChoice{scope, knownScopes[scope]})
		}
	}
	return choices
}

func hiddenInputs(params url.Values) []hiddenInput {
	var inputs []hiddenInput
	for _, name := range slices.Sorted(maps.Keys(params)) {
		input := hiddenInput{name, params.Get(name)}
		if name == fieldScope {
			input.Name = fieldRequested
		}
		inputs = append(inputs, input)
	}
	return inputs
}

// writePageHeaders leaves form-action alone: browsers apply it to the redirects
// that follow a form too.
func writePageHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// serveConsent takes the consent form.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || !r.PostForm.Has(fieldRequested) {
		writeErrorPage(w, refuseOnPage(http.StatusBadRequest, "invalid_request", "This is not the consent form."))
		return
	}
	form := r.PostForm
	a, refusal := s.parseAuthRequest(originalParams(form))
	if refusal != nil {
		a.refuse(w, r, refusal)
		return
	}
	account, known := s.account(form.Get(fieldAccount))
	switch {
	case form.Get(fieldAction) == actionDeny:
		a.refuse(w, r, refuseByRedirect("access_denied", ""))
	case form.Get(fieldAction) != actionAllow || !known:
		writeErrorPage(w, refuseOnPage(http.StatusBadRequest, "invalid_request", "No account was chosen."))
	default:
		http.SetCookie(w, &http.Cookie{Name: accountCookie, Value: account.Sub, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		s.sendCode(w, r, a, account, tickedScopes(a.scopes, form[fieldScope]), true)
	}
}

// originalParams are the parameters of the authorization request that the form carries.
func originalParams(form url.Values) url.Values {
	params := maps.Clone(form)
	for _, name := range []string{fieldAccount, fieldAction, fieldScope, fieldRequested} {
		params.Del(name)
	}
	params[fieldScope] = form[fieldRequested]
	return params
}

// tickedScopes are the sign-in scopes, and of the others those ticked.
func tickedScopes(requested, ticked []string) []string {
	var scopes []string
	for _, scope := range requested {
		if isSignInScope(scope) || slices.Contains(ticked, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// sendCode grants the scopes and sends a code back.
func (s *Server) sendCode(w http.ResponseWriter, r *http.Request, a authRequest, account Account, scopes []string, asked bool) {
	if len(scopes) == 0 {
		a.refuse(w, r, refuseByRedirect("access_denied", ""))
		return
	}
	if a.incremental {
		scopes = union(scopes, s.grants.scopes(account.Sub))
	}
	code := s.grants.issueCode(authCode{
		sub:          account.Sub,
		redirectURIs: a.redirectURIs(),
		challenge:    a.challenge,
		nonce:        a.nonce,
		scopes:       scopes,
		offline:      a.offline,
		forced:       asked && a.wants(promptConsent),
	})
	shown := promptNone
	if asked {
		shown = promptConsent
	}
	a.sendBack(w, r, url.Values{
		"code":     {code},
		"scope":    {strings.Join(scopes, " ")},
		"authuser": {"0"},
		"prompt":   {shown},
	})
}
