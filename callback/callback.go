// Package callback ends a sign-in: it takes Google's answer, exchanges the code,
// stores the grant, and gives the front end a session. It also says who is
// signed in, signs out and disconnects.
package callback

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"example.com/gmailgrant/authurl"
	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/session"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// A Handler answers GET, POST and DELETE callback. It is safe for concurrent use.
type Handler struct {
	authorizer *authurl.Authorizer
	sessions   *session.Keeper
	store      *tokenstore.Store
	site       *site.Site
	scopes     []string // asked for
	popup      bool     // whether codes of Google's popup are taken
	now        func() time.Time
	exchanging chan struct{} // a place for each exchange in flight
}

// maxExchanges bounds the code exchanges in flight in an instance.
const maxExchanges = 64

// New returns a handler. popup switches the popup way on.
func New(a *authurl.Authorizer, sessions *session.Keeper, popup bool) *Handler {
	return &Handler{
		authorizer: a,
		sessions:   sessions,
		store:      a.Store,
		site:       a.Site,
		scopes:     a.Scopes,
		popup:      popup,
		now:        a.Now,
		exchanging: make(chan struct{}, maxExchanges),
	}
}

// Get is where Google sends the browser. Without Google's parameters it says
// who is signed in.
func (h *Handler) Get(w http.ResponseWriter, r *http.Request) error {
	if fromGoogle(r) {
		return h.finish(w, r)
	}
	return h.who(w, r)
}

func fromGoogle(r *http.Request) bool {
	query, _ := url.ParseQuery(r.URL.RawQuery)
	return query.Has("state") || query.Has("code") || query.Has("error")
}

// ShowsPage reports whether a failure is shown as a page: Google's answer comes
// with a browser, unless a script says that it is one.
func ShowsPage(r *http.Request) bool {
	if r.Method != http.MethodGet || !fromGoogle(r) {
		return endpoint.Navigation(r)
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return !endpoint.Prefers(r, "application/json", "text/html") && !endpoint.Prefers(r, "application/problem+json", "text/html")
}

// user is what a front end learns about who is signed in.
type user struct {
	Sub     string `json:"sub"`
	Email   string `json:"email,omitempty"`
	Name    string `json:"name,omitempty"`
	Picture string `json:"picture,omitempty"`
}

// account is the answer of GET, and a part of POST's.
type account struct {
	User          user     `json:"user"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missing_scopes"`
	ExpiresIn     int      `json:"expires_in"` // seconds
}

func (h *Handler) account(g *tokenstore.Grant, lifetime time.Duration) account {
	return account{
		User:          user{g.User, g.Profile.Email, g.Profile.Name, g.Profile.Picture},
		Scopes:        nonNil(g.Scopes),
		MissingScopes: nonNil(tokenstore.Missing(g.Scopes, h.scopes)),
		ExpiresIn:     int(lifetime / time.Second),
	}
}

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// who says who is signed in: one Firestore read, no call to Google.
func (h *Handler) who(w http.ResponseWriter, r *http.Request) error {
	if _, err := endpoint.Query(r, nil, nil); err != nil {
		return err
	}
	s, err := h.sessions.Of(r)
	if err != nil {
		return err
	}
	g, err := h.grantOf(r.Context(), s.User, s.GrantID)
	if err != nil {
		return err
	}
	return endpoint.WriteJSON(w, h.account(g, s.Expires.Sub(h.now())))
}

// grantOf reads the grant that a session or a hand-off code names.
func (h *Handler) grantOf(ctx context.Context, userID, grantID string) (*tokenstore.Grant, error) {
	g, err := h.store.Grant(ctx, userID)
	if err == nil && g.ID != grantID {
		err = tokenstore.ErrNotConnected
	}
	return g, endpoint.ForUser(err, userID)
}
