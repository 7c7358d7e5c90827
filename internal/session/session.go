// Package session keeps what a front end holds to prove who it is: the cookie
// of the cookie way, the Bearer session of the hand-off and the popup way.
//
// Nothing is kept on the server. Both are sealed; a cookie never opens as a
// Bearer session, nor the other way round.
package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/seal"
	"example.com/gmailgrant/internal/site"
)

// A Session says who a front end acts for. It dies with the grant it names.
type Session struct {
	User    string    `json:"user"`  // Google's sub
	GrantID string    `json:"grant"` // of the grant that it was made for
	Origin  string    `json:"origin"`
	Flow    string    `json:"flow"` // ID of the flow it came from
	Expires time.Time `json:"expires"`
}

// A Browser is what the cookie holds: an ID that binds a flow to the browser
// that began it, and at most one session.
type Browser struct {
	ID      string   `json:"id"`
	Session *Session `json:"session,omitempty"`
}

// A Keeper makes and reads sessions. It does not change once made and is safe
// for concurrent use.
type Keeper struct {
	Ring       *seal.Ring
	Site       *site.Site
	Now        func() time.Time
	CookieName string
	CookieTTL  time.Duration // of a session in the cookie
	BearerTTL  time.Duration // of a Bearer session
}

// Owners under which the two forms are sealed.
const (
	asCookie = "cookie"
	asBearer = "bearer"
)

// cookieMaxAge keeps the cookie as long as browsers do, so that a session whose
// time is over is recognised as such. What it holds ends by itself.
const cookieMaxAge = 400 * 24 * 60 * 60

// ErrNoBrowser says that no cookie of ours came with the request.
var ErrNoBrowser = errors.New("session: no browser ID")

// NewBrowser returns a browser with a new ID of 128 random bits and no session.
func NewBrowser() Browser { return Browser{ID: rand.Text()} }

// Browser reads the cookie, whatever its session's state. Its errors are
// ErrNoBrowser and those of getting a key.
func (k *Keeper) Browser(r *http.Request) (Browser, error) {
	value, ok := k.cookie(r)
	if !ok {
		return Browser{}, ErrNoBrowser
	}
	opened, err := k.Ring.Open(r.Context(), seal.Session, value, asCookie)
	if errors.Is(err, seal.ErrNotOpened) {
		return Browser{}, ErrNoBrowser
	}
	if err != nil {
		return Browser{}, err
	}
	var b Browser
	if err := json.Unmarshal(opened.Payload, &b); err != nil {
		return Browser{}, ErrNoBrowser
	}
	return b, nil
}

// maxValueBytes bounds what is opened: a sealed session is far shorter.
const maxValueBytes = 4096

// cookie returns our cookie. Two of the same name, which only another host of
// our site could have planted, count as none.
func (k *Keeper) cookie(r *http.Request) (string, bool) {
	cookies := r.CookiesNamed(k.CookieName)
	if len(cookies) != 1 || len(cookies[0].Value) > maxValueBytes {
		return "", false
	}
	return cookies[0].Value, true
}

// SetCookie gives the browser b to keep.
func (k *Keeper) SetCookie(ctx context.Context, w http.ResponseWriter, b Browser) error {
	payload, err := json.Marshal(b)
	if err != nil {
		return err
	}
	value, _, err := k.Ring.Seal(ctx, seal.Session, time.Time{}, payload, asCookie)
	if err != nil {
		return err
	}
	k.setCookie(w, value, cookieMaxAge)
	return nil
}

// DropCookie takes the cookie away.
func (k *Keeper) DropCookie(w http.ResponseWriter) { k.setCookie(w, "", -1) }

func (k *Keeper) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name:     k.CookieName,
		Value:    value,
		Path:     "/",
		MaxAge:   maxAge,
		Secure:   !k.Site.PlainLoopback(),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}

// ForCookie completes a session that goes into the cookie.
func (k *Keeper) ForCookie(s Session) *Session {
	s.Expires = k.Now().Add(k.CookieTTL)
	return &s
}

// Bearer seals a session that travels as "Authorization: Bearer".
func (k *Keeper) Bearer(ctx context.Context, s Session) (string, error) {
	s.Expires = k.Now().Add(k.BearerTTL)
	payload, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	value, _, err := k.Ring.Seal(ctx, seal.Session, time.Time{}, payload, asBearer)
	return value, err
}

// Of returns the session that the request proves. An Authorization header
// decides alone; without one the cookie counts, if the request comes from where
// a session may be used.
//
// Its problems are no_session, session_expired and origin_not_allowed.
func (k *Keeper) Of(r *http.Request) (*Session, error) {
	s, err := k.read(r)
	if err != nil {
		return nil, err
	}
	endpoint.RecordOf(r.Context()).User = s.User
	if err := k.checkOrigin(s, r); err != nil {
		return nil, err
	}
	if !k.Now().Before(s.Expires) {
		return nil, &endpoint.Problem{Reason: endpoint.SessionExpired, User: s.User}
	}
	return s, nil
}

func (k *Keeper) read(r *http.Request) (*Session, error) {
	if values, ok := r.Header["Authorization"]; ok {
		return k.readBearer(r.Context(), values)
	}
	if _, ok := k.cookie(r); !ok {
		return nil, &endpoint.Problem{Reason: endpoint.NoSession}
	}
	if !k.mayUseCookie(r) {
		return nil, &endpoint.Problem{Reason: endpoint.OriginNotAllowed}
	}
	b, err := k.Browser(r)
	if err != nil && !errors.Is(err, ErrNoBrowser) {
		return nil, err
	}
	if b.Session == nil {
		return nil, &endpoint.Problem{Reason: endpoint.NoSession}
	}
	return b.Session, nil
}

func (k *Keeper) readBearer(ctx context.Context, values []string) (*Session, error) {
	noSession := &endpoint.Problem{Reason: endpoint.NoSession}
	if len(values) != 1 || len(values[0]) > maxValueBytes {
		return nil, noSession
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, noSession
	}
	opened, err := k.Ring.Open(ctx, seal.Session, strings.TrimSpace(value), asBearer)
	if errors.Is(err, seal.ErrNotOpened) {
		return nil, noSession
	}
	if err != nil {
		return nil, err
	}
	var s Session
	if err := json.Unmarshal(opened.Payload, &s); err != nil {
		return nil, noSession
	}
	return &s, nil
}

// mayUseCookie keeps other sites, and other hosts of our own site, from making
// a browser act with its cookie: even a GET would burn the user's quota.
func (k *Keeper) mayUseCookie(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return true // not a browser, or one whose Origin the endpoint has checked
	}
	return k.Site.Allowed(r.Header.Get("Origin"))
}

// checkOrigin refuses a session in the hands of another origin than it was made
// for, or of one that is no longer allowed.
func (k *Keeper) checkOrigin(s *Session, r *http.Request) error {
	origin := r.Header.Get("Origin")
	if k.Site.Allowed(s.Origin) && (origin == "" || origin == s.Origin) {
		return nil
	}
	return &endpoint.Problem{Reason: endpoint.NoSession}
}
