package callback

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/authurl"
	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/tokenstore"
)

// maxBodyBytes bounds the body of a POST.
const maxBodyBytes = 16 << 10

// maxHandOffBytes bounds a hand-off code, which is far shorter.
const maxHandOffBytes = 4096

// Post trades a code for a Bearer session: the hand-off's, or that of Google's
// popup. It never sets a cookie.
func (h *Handler) Post(w http.ResponseWriter, r *http.Request) error {
	if _, err := endpoint.Query(r, nil, nil); err != nil {
		return err
	}
	members, err := readMembers(w, r)
	if err != nil {
		return err
	}
	switch {
	case has(members, "code", "code_verifier"):
		return h.tradeHandOff(w, r, members["code"], members["code_verifier"])
	case has(members, "code", "redirect_uri") && h.popup:
		return h.tradePopup(w, r, members["code"], members["redirect_uri"])
	}
	if h.popup {
		return endpoint.Invalid("The body must have exactly the members code and code_verifier, or code and redirect_uri, all strings.")
	}
	return endpoint.Invalid("The body must have exactly the members code and code_verifier, both strings.")
}

func has(members map[string]string, names ...string) bool {
	for _, name := range names {
		if _, ok := members[name]; !ok {
			return false
		}
	}
	return len(members) == len(names)
}

// readMembers reads a JSON object of strings, strictly: no duplicate members,
// nothing after the object.
func readMembers(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, &endpoint.Problem{Reason: endpoint.UnsupportedMediaType}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &endpoint.Problem{Reason: endpoint.RequestTooLarge}
	}
	if err != nil {
		return nil, endpoint.Invalid("The body could not be read.")
	}
	members, err := parseMembers(body)
	if err != nil {
		return nil, endpoint.Invalid("The body must be one JSON object of strings, without duplicate members.")
	}
	return members, nil
}

var errMembers = errors.New("not an object of strings")

func parseMembers(body []byte) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errMembers
	}
	members := make(map[string]string)
	for dec.More() {
		name, err1 := dec.Token()
		value, err2 := dec.Token()
		key, ok1 := name.(string)
		text, ok2 := value.(string)
		if err1 != nil || err2 != nil || !ok1 || !ok2 {
			return nil, errMembers
		}
		if _, ok := members[key]; ok {
			return nil, errMembers
		}
		members[key] = text
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, errMembers
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errMembers
	}
	return members, nil
}

// validVerifier checks the form of a code_verifier (RFC 7636, section 4.1).
func validVerifier(v string) bool {
	return len(v) >= 43 && endpoint.ConsistsOf(v, 128, endpoint.Letters+endpoint.Digits+"-._~")
}

// tradeHandOff gives a Bearer session for a code of ours to who has the
// verifier of the challenge that the flow began with. No record is kept: within
// its minute a code may be traded again, by whom it was meant for.
func (h *Handler) tradeHandOff(w http.ResponseWriter, r *http.Request, code, verifier string) error {
	if !validVerifier(verifier) {
		return endpoint.Invalid("The code_verifier must be 43 to 128 unreserved characters.")
	}
	ho, err := h.openHandOff(r, code)
	if err != nil {
		return err
	}
	challenge := oauth2.S256ChallengeFromVerifier(verifier)
	if subtle.ConstantTimeCompare([]byte(challenge), []byte(ho.Challenge)) != 1 {
		return h.codeExchangeError(errors.New("wrong code_verifier"))
	}
	origin := r.Header.Get("Origin")
	if !h.site.Allowed(ho.Origin) || (origin != "" && origin != ho.Origin) {
		return h.codeExchangeError(errors.New("made for another origin"))
	}
	g, err := h.grantOf(r.Context(), ho.User, ho.GrantID)
	if err != nil {
		return err
	}
	return h.answerSession(w, r, ho.Session, g)
}

func (h *Handler) openHandOff(r *http.Request, code string) (handOff, error) {
	if len(code) > maxHandOffBytes {
		return handOff{}, h.codeExchangeError(errors.New("too long to be ours"))
	}
	opened, err := h.store.Ring().Open(r.Context(), seal.HandOff, code)
	if errors.Is(err, seal.ErrNotOpened) || errors.Is(err, seal.ErrExpired) {
		return handOff{}, h.codeExchangeError(err)
	}
	if err != nil {
		return handOff{}, err
	}
	var ho handOff
	if err := json.Unmarshal(opened.Payload, &ho); err != nil {
		return handOff{}, h.codeExchangeError(err)
	}
	return ho, nil
}

// tradePopup takes a code that Google's popup gave to the front end. There is
// no PKCE and no state in that way, so that an allowed Origin and a JSON body,
// which no foreign form can send, have to do.
// https://developers.google.com/identity/oauth2/web/guides/use-code-model
func (h *Handler) tradePopup(w http.ResponseWriter, r *http.Request, code, redirectURI string) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return &endpoint.Problem{Reason: endpoint.OriginNotAllowed}
	}
	if redirectURI != "postmessage" && redirectURI != origin {
		return endpoint.Invalid(`The redirect_uri must be "postmessage" or the page's origin.`)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTimeout)
	defer cancel()
	g, err := h.connect(ctx, code, "", redirectURI)
	if err != nil {
		return err
	}
	flow := authurl.NewFlow()
	return h.answerSession(w, r, session.Session{User: g.User, GrantID: g.ID, Origin: origin, Flow: flow.ID}, g)
}

func (h *Handler) answerSession(w http.ResponseWriter, r *http.Request, s session.Session, g *tokenstore.Grant) error {
	value, err := h.sessions.Bearer(r.Context(), s)
	if err != nil {
		return err
	}
	endpoint.RecordOf(r.Context()).User = g.User
	return endpoint.WriteJSON(w, struct {
		Session   string `json:"session"`
		TokenType string `json:"token_type"`
		account
	}{value, "Bearer", h.account(g, h.sessions.BearerTTL)})
}
