package fakegoogle

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	jsonType   = "application/json; charset=UTF-8"
	idTokenTTL = time.Hour

	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
)

// oauthError is an error answer of the token endpoint (RFC 6749, section 5.2).
type oauthError struct {
	status      int
	name        string
	description string
}

func invalidRequest(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

func invalidGrant(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_grant", description}
}

func (e *oauthError) write(w http.ResponseWriter) {
	writeJSON(w, e.status, map[string]string{"error": e.name, "error_description": e.description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// serveToken is the token endpoint. A refresh counts under token.refresh, any
// other request, even a malformed one, under token.code.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, malformed := s.parseTokenForm(w, r)
	op := opTokenCode
	if form.Get("grant_type") == grantRefresh {
		op = opTokenRefresh
	}
	s.withFaults(op, func(w http.ResponseWriter, r *http.Request) {
		if malformed != nil {
			malformed.write(w)
			return
		}
		answer, err := s.answerToken(r, form)
		if err != nil {
			err.write(w)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})(w, r)
}

// parseTokenForm reads the body, and only the body: credentials in the query
// are refused (RFC 6749, section 2.3.1).
func (s *Server) parseTokenForm(w http.ResponseWriter, r *http.Request) (url.Values, *oauthError) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("The request must be form-encoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
	if err := r.ParseForm(); err != nil {
		return nil, invalidRequest("Malformed form.")
	}
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("Parameters belong into the body.")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, invalidRequest("Parameter repeated: " + name)
		}
	}
	for _, name := range []string{"code", "code_verifier", "client_secret", "refresh_token"} {
		s.leaks.add(r.PostForm.Get(name))
	}
	return r.PostForm, nil
}

func (s *Server) answerToken(r *http.Request, form url.Values) (map[string]any, *oauthError) {
	secret, err := s.client.authenticate(r, form)
	s.leaks.add(secret)
	if err != nil {
		return nil, err
	}
	t, err := s.redeem(form)
	if err != nil {
		return nil, err
	}
	return s.tokenAnswer(t), nil
}

func (s *Server) redeem(form url.Values) (tokens, *oauthError) {
	switch grantType := form.Get("grant_type"); grantType {
	case grantCode:
		if err := require(form, "code", "redirect_uri"); err != nil {
			return tokens{}, err
		}
		return s.grants.exchange(form.Get("code"), form.Get("redirect_uri"), form.Get("code_verifier"))
	case grantRefresh:
		if err := require(form, "refresh_token"); err != nil {
			return tokens{}, err
		}
		return s.grants.redeemRefresh(form.Get("refresh_token"))
	case "":
		return tokens{}, invalidRequest("Required parameter is missing: grant_type")
	default:
		return tokens{}, &oauthError{http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: " + grantType}
	}
}

func require(form url.Values, names ...string) *oauthError {
	for _, name := range names {
		if form.Get(name) == "" {
			return invalidRequest("Missing required parameter: " + name)
		}
	}
	return nil
}

// tokenAnswer is a successful answer (RFC 6749, section 5.1).
func (s *Server) tokenAnswer(t tokens) map[string]any {
	answer := map[string]any{
		"access_token": t.access,
		"expires_in":   int(s.grants.accessTTL / time.Second),
		"scope":        strings.Join(t.scopes, " "),
		"token_type":   "Bearer",
	}
	if t.refresh != "" {
		answer["refresh_token"] = t.refresh
	}
	if account, ok := s.account(t.sub); ok && slices.Contains(t.scopes, scopeOpenID) {
		idToken := s.grants.sign(s.idClaims(account, t))
		s.leaks.add(idToken)
		answer["id_token"] = idToken
	}
	return answer
}

// idClaims are those of
// https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload.
func (s *Server) idClaims(a Account, t tokens) map[string]any {
	now := s.now()
	half := sha256.Sum256([]byte(t.access))
	claims := map[string]any{
		"iss":     s.URL(),
		"azp":     s.client.id,
		"aud":     s.client.id,
		"sub":     a.Sub,
		"at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
		"iat":     now.Unix(),
		"exp":     now.Add(idTokenTTL).Unix(),
	}
	if t.nonce != "" {
		claims["nonce"] = t.nonce
	}
	if slices.Contains(t.scopes, scopeEmail) {
		claims["email"], claims["email_verified"] = a.Email, true
	}
	if slices.Contains(t.scopes, scopeProfile) {
		claims["name"], claims["picture"] = a.Name, a.Picture
	}
	return claims
}

// sign makes a JWT with RS256 (RFC 7519, RFC 7518, section 3.3).
func (g *grantBook) sign(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings, numbers, booleans
	}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"standin","typ":"JWT"}`))
	signed := head + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, g.signer, crypto.SHA256, digest[:])
	if err != nil {
		panic(fmt.Sprintf("fakegoogle: signing an ID token: %v", err))
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// serveRevoke is the revocation endpoint. As at Google, one token is enough to
// end everything the user granted the client, and the client doesn't
// authenticate: https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke.
func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		invalidRequest("Malformed form.").write(w)
		return
	}
	value := r.PostForm.Get("token")
	s.leaks.add(value)
	if value == "" {
		invalidRequest("Missing required parameter: token").write(w)
		return
	}
	sub, ok := s.grants.ownerOf(value)
	if !ok {
		(&oauthError{http.StatusBadRequest, "invalid_token", "Token expired or revoked"}).write(w)
		return
	}
	s.grants.revoke(sub)
	writeJSON(w, http.StatusOK, struct{}{})
}
