package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
)

const (
	// askTimeout bounds a question to a function, cold start and all.
	askTimeout = 30 * time.Second
	// maxReply bounds what is read of an answer.
	maxReply = 64 << 10
	// maxSkew is how far clocks may be apart before something ends too early.
	maxSkew = time.Minute
	// nobody is an origin that is allowed nowhere (RFC 2606).
	nobody = "https://gmailgrant-doctor.invalid"
)

// forged is well formed, so that a function has to look at its keys to refuse it.
var forged = "1." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))

// A reply is what a function answered.
type reply struct {
	*http.Response
	body []byte
}

// reason is that of a problem; empty if the answer is none.
func (r *reply) reason() string {
	var p struct{ Reason string }
	if r.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return p.Reason
}

func (d *doctor) ask(ctx context.Context, method, address string, header http.Header) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	return &reply{resp, body}, err
}

// script are the headers of a client that reads JSON.
func script() http.Header { return http.Header{"Accept": {"application/json"}} }

// checkFunctions asks the functions what a front end would.
func (d *doctor) checkFunctions(ctx context.Context) {
	authurl := d.checkAuthURL(ctx)
	header := script()
	if d.checkAnswer(ctx, "callback", "?state="+forged, header, http.StatusBadRequest, "invalid_state") {
		d.checkGrants(ctx, "callback")
	}
	header = script()
	header.Set("Authorization", "Bearer "+forged)
	if d.checkAnswer(ctx, "listmessages", "", header, http.StatusUnauthorized, "no_session") {
		d.checkGrants(ctx, "listmessages")
	}
	for _, origin := range d.config.AllowedOrigins {
		d.checkPreflight(ctx, origin)
	}
	d.checkForeign(ctx)
	if authurl != nil && d.site.CookieWay() {
		d.checkCookie(ctx, authurl)
	}
}

// signIn is the address at which a sign-in begins that any deployment allows, in
// the cookie way if it has one.
func (d *doctor) signIn() string {
	query := url.Values{"return_to": {d.site.Origin("authurl") + "/"}}
	if !d.site.CookieWay() {
		query = url.Values{"code_challenge": {oauth2.S256ChallengeFromVerifier(forged)}, "code_challenge_method": {"S256"}}
	}
	return site.AddQuery(d.site.FunctionURL("authurl"), query)
}

// checkAuthURL returns the answer of authurl, or nil if it is not as it should be.
func (d *doctor) checkAuthURL(ctx context.Context) *reply {
	r, err := d.ask(ctx, http.MethodGet, d.signIn(), script())
	if err != nil || r.StatusCode != http.StatusOK {
		d.fail("authurl", "%s", d.trouble("authurl", r, err))
		return nil
	}
	var answer struct {
		AuthorizationURL string `json:"authorization_url"`
	}
	_ = json.Unmarshal(r.body, &answer) // what is no JSON has no URL either
	u, err := url.Parse(answer.AuthorizationURL)
	if err != nil || u.Host == "" {
		d.fail("authurl", "%s", d.trouble("authurl", r, nil))
		return nil
	}
	query := u.Query()
	switch {
	case query.Get("redirect_uri") != d.site.FunctionURL("callback"):
		d.fail("authurl", "sends Google the redirect URI %s: what runs was deployed with another BASE_URL; deploy again", query.Get("redirect_uri"))
		return nil
	case d.client != nil && query.Get("client_id") != d.client.ID:
		d.fail("authurl", "sends Google the client %s: what runs has another client secret; if that was stored just now, try again in ten minutes", query.Get("client_id"))
		return nil
	}
	d.ok("authurl", "is public, and sends users to %s with the registered client", u.Host)
	d.checkHeaders(r)
	d.checkClock(r)
	return r
}

func (d *doctor) checkAnswer(ctx context.Context, function, query string, header http.Header, status int, reason string) bool {
	r, err := d.ask(ctx, http.MethodGet, d.site.FunctionURL(function)+query, header)
	if err != nil || r.StatusCode != status || r.reason() != reason {
		d.fail(function, "%s", d.trouble(function, r, err))
		return false
	}
	d.ok(function, "is public, reads the seal key, and refuses what is forged")
	return true
}

// checkGrants finds out whether a function may use the database: it comes with a
// session of a user who is nobody, whose grant the function has to look for. Only
// this shows whether both have the same seal key, too.
func (d *doctor) checkGrants(ctx context.Context, function string) {
	bearer, err := d.sessionOfNobody(ctx)
	if err != nil {
		return // said of the seal key
	}
	header := script()
	header.Set("Authorization", "Bearer "+bearer)
	check := function + " and database"
	r, err := d.ask(ctx, http.MethodGet, d.site.FunctionURL(function), header)
	if err != nil {
		d.fail(check, "%s", d.trouble(function, r, err))
		return
	}
	switch r.reason() {
	case "not_connected":
		d.ok(check, "it opens what is sealed with the seal key, and reads the grants")
	case "no_session":
		d.fail(check, "it does not open what is sealed with the newest seal key: what runs was deployed with another BASE_URL or SEAL_KEY_NAME, or something on the way takes the Authorization header; if the key was stored just now, try again in ten minutes")
	case "misconfigured":
		d.fail(check, "it may not use the database, or the client secret: its account needs roles/datastore.user on the condition %s, which deploy/deploy.sh sees to; its log names the cause",
			fmt.Sprintf(`resource.name=="projects/%s/databases/%s"`, d.owner(), d.config.Database))
	case "upstream_unavailable":
		d.fail(check, "Firestore does not answer it: try again, and look at https://status.cloud.google.com")
	default:
		d.fail(check, "%s", d.trouble(function, r, nil))
	}
}

// sessionOfNobody is a Bearer session as callback gives one.
func (d *doctor) sessionOfNobody(ctx context.Context) (string, error) {
	keeper := &session.Keeper{Ring: d.store.Ring(), Site: d.site, Now: d.now, BearerTTL: askTimeout + maxSkew}
	return keeper.Bearer(ctx, session.Session{User: "gmailgrant-doctor", GrantID: rand.Text(), Origin: d.site.Origin("authurl"), Flow: rand.Text()})
}

// trouble says what is behind an answer that is not the expected one.
func (d *doctor) trouble(function string, r *reply, err error) string {
	address := d.site.FunctionURL(function)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the rest is the address
		}
		return fmt.Sprintf("%s does not answer: %v. Is BASE_URL the address of the functions?", address, err)
	}
	switch reason := r.reason(); reason {
	case "":
	case "misconfigured", "internal", "upstream_unavailable", "gmail_disabled":
		return fmt.Sprintf("answers %s: its log says more; may its service account read both secrets (roles/secretmanager.secretAccessor)?", reason)
	default:
		return fmt.Sprintf("answers %d %s: is BASE_URL the address of these functions, and are these their settings?", r.StatusCode, reason)
	}
	switch {
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return "is not public, so that Google refuses even a preflight: " + d.publish(function)
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return fmt.Sprintf("%s is redirected to %s: correct BASE_URL, or what is in front of the functions", address, r.Header.Get("Location"))
	}
	return fmt.Sprintf("%s answers %d, and the answer is not ours: does BASE_URL lead to the functions?", address, r.StatusCode)
}

// publish is how to let everybody call a function, which checks callers itself.
func (d *doctor) publish(function string) string {
	if d.region == "" {
		return "let allUsers invoke it (roles/run.invoker)"
	}
	return fmt.Sprintf("gcloud run services add-iam-policy-binding %s --member=allUsers --role=roles/run.invoker --region=%s --project=%s", function, d.region, d.project)
}

// checkHeaders: what is in front of the functions must not change them.
func (d *doctor) checkHeaders(r *reply) {
	if kept := r.Header.Get("Cache-Control"); !strings.Contains(kept, "no-store") {
		d.fail("headers", "Cache-Control is %q instead of no-store: what is in front of the functions changes it, and could give one user's answer to another", kept)
		return
	}
	d.ok("headers", "nothing on the way may keep an answer")
}

func (d *doctor) checkClock(r *reply) {
	theirs, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		d.warn("clock", "the answer has no Date to compare with")
		return
	}
	if skew := d.now().Sub(theirs); skew.Abs() > maxSkew {
		d.warn("clock", "this machine and the functions are %s apart: one of the clocks is wrong, and sessions end at a wrong time", skew.Abs().Round(time.Second))
		return
	}
	d.ok("clock", "agrees with this machine's")
}

// preflight asks what a browser asks before a script's call with credentials.
func (d *doctor) preflight(ctx context.Context, origin string) (*reply, error) {
	return d.ask(ctx, http.MethodOptions, d.site.FunctionURL("listmessages"), http.Header{
		"Origin":                         {origin},
		"Access-Control-Request-Method":  {http.MethodGet},
		"Access-Control-Request-Headers": {"authorization"},
	})
}

func (d *doctor) checkPreflight(ctx context.Context, origin string) {
	r, err := d.preflight(ctx, origin)
	if err != nil {
		d.fail("CORS", "%s", d.trouble("listmessages", r, err))
		return
	}
	allowed := r.Header.Get("Access-Control-Allow-Origin") == origin && r.Header.Get("Access-Control-Allow-Credentials") == "true" &&
		strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	switch {
	case r.StatusCode != http.StatusNoContent && r.reason() == "":
		d.fail("CORS", "%s", d.trouble("listmessages", r, nil))
	case r.StatusCode != http.StatusNoContent || !allowed:
		d.fail("CORS", "a page of %s may not call the functions: what runs was deployed with other ALLOWED_ORIGINS, or what is in front of it changes the headers", origin)
	default:
		d.ok("CORS", "pages of %s may call the functions", origin)
	}
}

func (d *doctor) checkForeign(ctx context.Context) {
	r, err := d.preflight(ctx, nobody)
	switch {
	case err != nil:
		return // said before
	case r.Header.Get("Access-Control-Allow-Origin") != "":
		d.fail("CORS", "what is in front of the functions lets pages of any origin call them: take its CORS headers away, the functions have their own")
	case r.reason() == "origin_not_allowed":
		d.ok("CORS", "pages of other origins may not")
	}
}

// checkCookie: the cookie has to arrive at the browser as it was sent, and to
// come back.
func (d *doctor) checkCookie(ctx context.Context, first *reply) {
	cookies := first.Cookies()
	name := d.config.SessionCookie
	switch {
	case len(cookies) == 0:
		d.fail("cookie", "authurl does not set one: does something in front of the functions take it away?")
		return
	case len(cookies) > 1:
		d.fail("cookie", "authurl sets one, and %d arrive: what is in front of the functions adds its own", len(cookies))
		return
	case cookies[0].Name != name:
		d.fail("cookie", "it is named %s instead of %s: was another SESSION_COOKIE deployed?", cookies[0].Name, name)
		return
	}
	c := cookies[0]
	if !c.HttpOnly || !c.Secure && !d.site.PlainLoopback() || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		d.fail("cookie", "something in front of the functions changes it: it has to be HttpOnly, Secure, SameSite=Lax, with Path=/ and no Domain")
		return
	}
	header := script()
	header.Set("Cookie", c.Name+"="+c.Value)
	again, err := d.ask(ctx, http.MethodGet, d.signIn(), header)
	switch {
	case err != nil || again.StatusCode != http.StatusOK:
		d.fail("cookie", "%s", d.trouble("authurl", again, err))
	case len(again.Cookies()) > 0:
		d.fail("cookie", "it does not come back to the functions: what is in front of them keeps it; behind Firebase Hosting set SESSION_COOKIE=__session")
	default:
		d.ok("cookie", "%s is set as it should be, and comes back", name)
	}
}
