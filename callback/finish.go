package callback

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/gmailgrant/authurl"
	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// finishTimeout bounds what happens between Google's redirect and the code being
// spent. It goes on when the browser leaves.
const finishTimeout = 20 * time.Second

// errInvalidState is for the browser that can't be sent anywhere.
var errInvalidState = &endpoint.Problem{Reason: endpoint.InvalidState}

// finish takes Google's answer. The state is opened before anything else is
// read or spent.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTimeout)
	defer cancel()
	r = r.WithContext(ctx)

	query, err := endpoint.AnyQuery(r)
	if err != nil || len(query["state"]) != 1 {
		return errInvalidState
	}
	flow, stateErr := h.authorizer.Open(ctx, query.Get("state"))
	if stateErr != nil && endpoint.AsProblem(stateErr).Reason != endpoint.StateExpired {
		return stateErr
	}
	if !h.mayReturn(flow) {
		return errInvalidState
	}
	if stateErr != nil {
		return h.fail(w, r, flow, stateErr)
	}
	if !flow.HandOff() {
		if done, err := h.checkBrowser(w, r, flow); done || err != nil {
			return err
		}
	}
	g, err := h.accept(ctx, query, flow)
	if again, hints, ok := secondTry(flow, err); ok {
		return h.restart(w, r, again, hints)
	}
	if err == nil {
		err = h.succeed(w, r, flow, g)
	}
	if err != nil {
		return h.fail(w, r, flow, err)
	}
	return nil
}

// mayReturn checks the return URL against today's settings.
func (h *Handler) mayReturn(flow authurl.Flow) bool {
	if flow.ReturnTo == "" {
		return !flow.HandOff()
	}
	returnTo, err := h.authorizer.ReturnTo(flow.ReturnTo, flow.HandOff())
	return err == nil && returnTo == flow.ReturnTo
}

// checkBrowser makes sure that a flow of the cookie way ends in the browser in
// which it began. It answers itself, and says so, when the flow is finished
// already (reload, double click), and when two first-ever tabs gave the browser
// another ID: that flow spends nothing and starts again, once.
func (h *Handler) checkBrowser(w http.ResponseWriter, r *http.Request, flow authurl.Flow) (done bool, err error) {
	browser, err := h.sessions.Browser(r)
	if errors.Is(err, session.ErrNoBrowser) {
		return false, errInvalidState
	}
	if err != nil {
		return false, err
	}
	if browser.ID == flow.Browser {
		if s := browser.Session; s != nil && s.Flow == flow.ID && h.now().Before(s.Expires) {
			h.sendBack(w, flow, nil)
			return true, nil
		}
		return false, nil
	}
	if flow.Rebound {
		return false, errInvalidState
	}
	flow.Rebound = true
	flow.Browser = browser.ID
	return true, h.restart(w, r, flow, authurl.Hints{})
}

// restart sends the browser to Google again with the same flow.
func (h *Handler) restart(w http.ResponseWriter, r *http.Request, flow authurl.Flow, hints authurl.Hints) error {
	address, err := h.authorizer.URL(r.Context(), flow, hints)
	if err != nil {
		return h.fail(w, r, flow, err)
	}
	endpoint.Redirect(w, http.StatusSeeOther, address)
	return nil
}

// secondTry says which failures are worth one more trip to Google: a code that
// was not accepted (a double click had spent it), and a missing refresh token,
// which comes once consent is given again.
func secondTry(flow authurl.Flow, err error) (authurl.Flow, authurl.Hints, bool) {
	if _, ok := errors.AsType[*CodeExchangeError](err); ok && !flow.Retried {
		flow.Retried = true
		return flow, authurl.Hints{}, true
	}
	if e, ok := errors.AsType[*NoRefreshTokenError](err); ok && !flow.Consented {
		flow.Consented = true
		return flow, authurl.Hints{LoginHint: e.problem.User, Prompt: "consent"}, true
	}
	return flow, authurl.Hints{}, false
}

// googleErrors maps the error parameter of Google's redirect (RFC 6749, section
// 4.1.2.1, and Google's own).
var googleErrors = map[string]endpoint.Reason{
	"access_denied":           endpoint.AccessDenied,
	"admin_policy_enforced":   endpoint.DomainPolicy,
	"org_internal":            endpoint.DomainPolicy,
	"server_error":            endpoint.UpstreamUnavailable,
	"temporarily_unavailable": endpoint.UpstreamUnavailable,
	"invalid_scope":           endpoint.Misconfigured,
	"unauthorized_client":     endpoint.Misconfigured,
	"invalid_client":          endpoint.Misconfigured,
}

// accept turns Google's parameters into a grant. An error comes before a code.
func (h *Handler) accept(ctx context.Context, query url.Values, flow authurl.Flow) (*tokenstore.Grant, error) {
	if query.Has("error") {
		reason, ok := googleErrors[query.Get("error")]
		if !ok || len(query["error"]) > 1 {
			reason = endpoint.InvalidRequest
		}
		return nil, &endpoint.Problem{Reason: reason, Err: errors.New("error answer of the authorization endpoint")}
	}
	if len(query["code"]) != 1 {
		return nil, endpoint.Invalid("The code is missing or given more than once.")
	}
	return h.connect(ctx, query.Get("code"), flow.Verifier, h.authorizer.RedirectURI())
}

// succeed sends the browser back with a session in the cookie, or with a code
// that the front end trades for one.
func (h *Handler) succeed(w http.ResponseWriter, r *http.Request, flow authurl.Flow, g *tokenstore.Grant) error {
	result := url.Values{}
	if missing := tokenstore.Missing(g.Scopes, h.scopes); len(missing) > 0 {
		result.Set("missing_scopes", strings.Join(missing, " "))
	}
	s := session.Session{User: g.User, GrantID: g.ID, Origin: h.originOf(flow), Flow: flow.ID}
	if flow.HandOff() {
		code, err := h.handOffCode(r.Context(), flow, s)
		if err != nil {
			return err
		}
		result.Set("code", code)
		h.sendBack(w, flow, result)
		return nil
	}
	browser := session.Browser{ID: flow.Browser, Session: h.sessions.ForCookie(s)}
	if err := h.sessions.SetCookie(r.Context(), w, browser); err != nil {
		return err
	}
	h.sendBack(w, flow, result)
	return nil
}

// originOf is the origin that a flow's session is for.
func (h *Handler) originOf(flow authurl.Flow) string {
	if flow.ReturnTo == "" {
		return h.site.Origin("callback")
	}
	return site.OriginOf(flow.ReturnTo)
}

// fail sends the browser back with the reason; never with an upstream's words.
// Without a place to send it to, the error is shown as a page.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, flow authurl.Flow, err error) error {
	if flow.ReturnTo == "" {
		return err
	}
	p := endpoint.AsProblem(err)
	endpoint.RecordOf(r.Context()).Failed(p)
	result := url.Values{"error": {string(p.Reason)}}
	if len(p.MissingScopes) > 0 {
		result.Set("missing_scopes", strings.Join(p.MissingScopes, " "))
	}
	h.sendBack(w, flow, result)
	return nil
}

// sendBack ends a flow at its return URL, or on a page of our own.
func (h *Handler) sendBack(w http.ResponseWriter, flow authurl.Flow, result url.Values) {
	if flow.ReturnTo == "" {
		endpoint.WritePage(w, http.StatusOK, "Gmail is connected", "You can close this page.", "")
		return
	}
	if result == nil {
		result = url.Values{}
	}
	if flow.State != "" {
		result.Set("state", flow.State)
	}
	endpoint.Redirect(w, http.StatusSeeOther, site.AddQuery(flow.ReturnTo, result))
}

// handOffTTL is how long a front end may take to trade its code.
const handOffTTL = time.Minute

// A handOff is what a hand-off code holds.
type handOff struct {
	session.Session
	Challenge string `json:"challenge"`
}

func (h *Handler) handOffCode(ctx context.Context, flow authurl.Flow, s session.Session) (string, error) {
	payload, err := json.Marshal(handOff{Session: s, Challenge: flow.Challenge})
	if err != nil {
		return "", err
	}
	code, _, err := h.store.Ring().Seal(ctx, seal.HandOff, h.now().Add(handOffTTL), payload)
	return code, err
}
