package main

import (
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"strings"

	"example.com/gmailgrant"
)

//go:embed page
var pageFiles embed.FS

// newPageHandler serves the demo page, the addresses it needs and, unless mail is
// real, what makes the stand-in misbehave.
func newPageHandler(p place, g *google, popup popup) http.Handler {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /{$}", serveIndex(files, g))
	mux.Handle("GET /gmailgrant.js", importable(http.FileServerFS(files)))
	mux.Handle("GET /config.json", serveConfig(p, g, popup))
	if !g.real {
		mux.HandleFunc("POST /stand-in/revoke", g.serveRevoke)
		mux.HandleFunc("POST /stand-in/fault", g.serveFault)
	}
	return withPageHeaders(contentSecurityPolicy(p, popup), onOrigin(p, http.NewCrossOriginProtection().Handler(mux)))
}

// serveIndex serves the page itself, which from the first says whether its data are
// made up.
func serveIndex(files fs.FS, g *google) http.HandlerFunc {
	index := template.Must(template.ParseFS(files, "index.html")) // it was there when this was compiled
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		index.Execute(w, map[string]any{"StandIn": !g.real})
	}
}

// importable lets pages of every origin import a module.
func importable(module http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		module.ServeHTTP(w, r)
	})
}

// onOrigin sends other spellings of the host, 127.0.0.1 say, to the one that the
// functions allow; it also keeps out names that somebody else points at loopback.
func onOrigin(p place, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if "http://"+r.Host != p.pageOrigin {
			http.Redirect(w, r, p.page(), http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func withPageHeaders(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func contentSecurityPolicy(p place, popup popup) string {
	return strings.Join([]string{
		"default-src 'none'",
		strings.TrimSpace("script-src 'self' " + popup.GSI),
		"style-src 'self'",
		"img-src 'self'",
		"connect-src 'self' " + strings.Join(p.functionOrigins(), " "),
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// popup is what a page needs to sign in by Google's popup. The zero value: that
// way is off, or signing in is Google's own.
type popup struct {
	GSI      string `json:"gsi,omitempty"` // address of the script with the code client
	ClientID string `json:"clientID,omitempty"`
	Scope    string `json:"scope,omitempty"`
}

func newPopup(g *google, config *gmailgrant.Config) popup {
	if g.real || !config.PopupFlow {
		return popup{}
	}
	return popup{g.CodeClientURL(), g.ClientID(), strings.Join(config.Scopes, " ")}
}

// pageConfig is what the page has to be told.
type pageConfig struct {
	AuthURL      string `json:"authurl"`
	Callback     string `json:"callback"`
	ListMessages string `json:"listmessages"`
	StandIn      bool   `json:"standIn"`
	popup
}

func serveConfig(p place, g *google, popup popup) http.HandlerFunc {
	body, err := json.Marshal(pageConfig{p.function("authurl"), p.function("callback"), p.function("listmessages"), !g.real, popup})
	if err != nil {
		panic(err) // strings and a bool always marshal
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
}
