package main

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strings"
)

// devServers are the origins at which front-end tools serve by default: allowed,
// so that an app can be pointed at the functions as they are.
var devServers = []string{"http://localhost:5173", "http://localhost:3000"}

// place is where everything is found.
type place struct {
	baseURL    string // prefix of the functions
	pageOrigin string // of the demo page
}

func newPlace(getenv func(string) string, port, pagePort string) place {
	return place{
		baseURL:    cmp.Or(getenv("BASE_URL"), "http://"+net.JoinHostPort(host, port)),
		pageOrigin: "http://" + net.JoinHostPort(host, pagePort),
	}
}

// function is the address of one function: BASE_URL is a prefix, or a pattern
// that holds {function}.
func (p place) function(name string) string {
	if strings.Contains(p.baseURL, "{function}") {
		return strings.ReplaceAll(p.baseURL, "{function}", name)
	}
	return strings.TrimSuffix(p.baseURL, "/") + "/" + name
}

// page is the address of the demo page.
func (p place) page() string { return p.pageOrigin + "/" }

// functionOrigins are those the page calls.
func (p place) functionOrigins() []string {
	var origins []string
	for _, name := range []string{"authurl", "callback", "listmessages"} {
		u, err := url.Parse(p.function(name))
		if err != nil {
			continue // the functions will say that BASE_URL is wrong
		}
		origins = append(origins, u.Scheme+"://"+u.Host)
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// setting is one variable of the functions' environment.
type setting struct{ name, value string }

// settings are the variables to set for the functions: those the user has not
// set himself, and the allowed origins and return URLs, to which the page and the
// usual development servers are added.
func settings(p place, g *google, getenv func(string) string) []setting {
	origins := allowedOrigins(p, getenv("ALLOWED_ORIGINS"))
	defaults := []setting{
		{"BASE_URL", p.baseURL},
		{"GOOGLE_CLOUD_PROJECT", "local"},
		{"SECRET_MANAGER_EMULATOR_HOST", g.Addr()},
		{"FIRESTORE_EMULATOR_HOST", g.Addr()},
	}
	if !g.real {
		defaults = append(defaults, setting{"GMAIL_EMULATOR_HOST", g.Addr()})
	}
	chosen := func(s setting) bool { return getenv(s.name) != "" }
	return append(slices.DeleteFunc(defaults, chosen),
		setting{"ALLOWED_ORIGINS", strings.Join(origins, ",")},
		setting{"RETURN_URLS", strings.Join(returnURLs(p, origins, getenv("RETURN_URLS")), ",")})
}

func allowedOrigins(p place, chosen string) []string {
	return distinct(strings.Split(chosen, ","), []string{p.pageOrigin}, devServers)
}

// returnURLs has the user's own first, then the page: that is where a sign-in
// ends that names no place.
func returnURLs(p place, origins []string, chosen string) []string {
	var roots []string
	for _, origin := range origins {
		roots = append(roots, origin+"/")
	}
	return distinct(strings.Split(chosen, ","), []string{p.page()}, roots)
}

// distinct joins lists, without what is empty or there already.
func distinct(lists ...[]string) []string {
	var all []string
	for _, s := range slices.Concat(lists...) {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
