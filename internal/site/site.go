// Package site knows the public addresses: where the three functions are
// reached, which origins may call them, and where a browser may be sent.
package site

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Functions are the names of the three functions, as they stand in their URLs.
var Functions = []string{"authurl", "callback", "listmessages"}

const placeholder = "{function}"

// A Site is the public face of a deployment. It does not change once made and
// is safe for concurrent use.
type Site struct {
	base       string // BASE_URL without a trailing slash
	origins    []string
	own        []string // origins of the functions themselves
	returnURLs []string
}

// New checks the settings BASE_URL, ALLOWED_ORIGINS and RETURN_URLS. Its error
// joins every fault, each naming its variable. Without returnURLs every allowed
// origin's root is one.
func New(base string, origins, returnURLs []string) (*Site, error) {
	s := &Site{base: strings.TrimSuffix(base, "/")}
	var faults []error
	if err := s.checkBase(); err != nil {
		return nil, fmt.Errorf("BASE_URL: %w", err)
	}
	for _, o := range origins {
		if err := checkOrigin(o); err != nil {
			faults = append(faults, fmt.Errorf("ALLOWED_ORIGINS: %w", err))
			continue
		}
		s.origins = append(s.origins, o)
		if len(returnURLs) == 0 {
			s.returnURLs = append(s.returnURLs, o+"/")
		}
	}
	for _, raw := range returnURLs {
		if err := s.addReturnURL(raw); err != nil {
			faults = append(faults, fmt.Errorf("RETURN_URLS: %q: %w", raw, err))
		}
	}
	return s, errors.Join(faults...)
}

func (s *Site) checkBase() error {
	if s.base == "" {
		return errors.New("is needed: the public URL prefix of the functions")
	}
	if strings.Count(s.base, placeholder) > 1 {
		return fmt.Errorf("%q: has more than one %s", s.base, placeholder)
	}
	for _, name := range Functions {
		u, err := parseWeb(s.FunctionURL(name))
		if err != nil {
			return fmt.Errorf("%q: %w", s.base, err)
		}
		if u.RawQuery != "" || u.ForceQuery {
			return fmt.Errorf("%q: has a query", s.base)
		}
		if origin := originOf(u); !slices.Contains(s.own, origin) {
			s.own = append(s.own, origin)
		}
	}
	return nil
}

func (s *Site) addReturnURL(raw string) error {
	u, err := s.parseReturnTo(raw)
	if err != nil {
		return err
	}
	if u.String() != raw {
		return fmt.Errorf("must be written %q", u.String())
	}
	if !s.Allowed(originOf(u)) {
		return errors.New("its origin is not one of ALLOWED_ORIGINS")
	}
	s.returnURLs = append(s.returnURLs, raw)
	return nil
}

// checkOrigin accepts what a browser sends in an Origin header, nothing else.
func checkOrigin(o string) error {
	u, err := parseWeb(o)
	if err != nil {
		return fmt.Errorf("%q: %w", o, err)
	}
	if want := originOf(u); o != want {
		return fmt.Errorf("%q is not an origin, which is written like %q", o, want)
	}
	return nil
}

// BaseURL is BASE_URL without a trailing slash.
func (s *Site) BaseURL() string { return s.base }

// FunctionURL is the public address of a function.
func (s *Site) FunctionURL(name string) string {
	if s.perFunction() {
		return strings.Replace(s.base, placeholder, name, 1)
	}
	return s.base + "/" + name
}

// perFunction reports whether each function has a host of its own.
func (s *Site) perFunction() bool { return strings.Contains(s.base, placeholder) }

// Origin is the origin of the function's public address.
func (s *Site) Origin(name string) string {
	u, _ := url.Parse(s.FunctionURL(name)) // parsed before, by New
	return originOf(u)
}

// PlainLoopback reports whether the functions are reached by plain HTTP on this
// machine, where a browser would not keep a Secure cookie.
func (s *Site) PlainLoopback() bool { return strings.HasPrefix(s.base, "http://") }

// Allowed reports whether origin may call the functions: one of
// ALLOWED_ORIGINS, or the functions' own.
func (s *Site) Allowed(origin string) bool {
	return slices.Contains(s.origins, origin) || slices.Contains(s.own, origin)
}

// Origins are all allowed origins, the functions' own included.
func (s *Site) Origins() []string { return slices.Concat(s.origins, s.own) }

// DefaultReturnURL is the first entry of RETURN_URLS, or empty.
func (s *Site) DefaultReturnURL() string {
	if len(s.returnURLs) == 0 {
		return ""
	}
	return s.returnURLs[0]
}

const maxReturnTo = 1024

// ReturnToHandOff checks where a hand-off may end: at an entry of RETURN_URLS,
// byte for byte [an attacker's own challenge plus a page of the app that leaks
// its URL would give him the mailbox]. The error is a sentence for the caller.
func (s *Site) ReturnToHandOff(raw string) (string, error) {
	if !slices.Contains(s.returnURLs, raw) {
		return "", errors.New("return_to must be equal to an entry of RETURN_URLS; a place inside the app belongs into state")
	}
	return raw, nil
}

// ReturnToCookie checks where a flow of the cookie way may end: at an allowed
// origin that is same-site with the functions, since a browser would not send
// the cookie from any other. It returns the URL as re-serialised from its
// parsed form. The error is a sentence for the caller.
func (s *Site) ReturnToCookie(raw string) (string, error) {
	u, err := s.parseReturnTo(raw)
	if err != nil {
		return "", fmt.Errorf("return_to %w", err)
	}
	if !s.Allowed(originOf(u)) {
		return "", errors.New("the origin of return_to is not one of ALLOWED_ORIGINS")
	}
	if s.perFunction() || !sameSite(u, s.FunctionURL("callback")) {
		return "", errors.New("this front end is not on the same site as the functions and needs the hand-off: send code_challenge and code_challenge_method")
	}
	return u.String(), nil
}

// CookieWay reports whether the functions share one site, without which no
// cookie flow can work.
func (s *Site) CookieWay() bool { return !s.perFunction() }

func (s *Site) parseReturnTo(raw string) (*url.URL, error) {
	if len(raw) > maxReturnTo {
		return nil, fmt.Errorf("is longer than %d bytes", maxReturnTo)
	}
	u, err := parseWeb(raw)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("has a malformed query")
	}
	for _, name := range []string{"code", "state", "error", "missing_scopes"} {
		if query.Has(name) {
			return nil, fmt.Errorf("has a %s in its query", name)
		}
	}
	if s.isOwnAddress(u) {
		return nil, errors.New("is the address of a function")
	}
	return u, nil
}

func (s *Site) isOwnAddress(u *url.URL) bool {
	path := strings.ToLower(u.JoinPath().Path) + "/" // cleaned of dot segments
	for _, name := range Functions {
		own, _ := url.Parse(s.FunctionURL(name)) // parsed before, by New
		if originOf(u) == originOf(own) && strings.HasPrefix(path, strings.ToLower(strings.TrimSuffix(own.Path, "/"))+"/") {
			return true
		}
	}
	return false
}

// AddQuery appends values to the query of a return URL.
func AddQuery(returnTo string, values url.Values) string {
	if len(values) == 0 {
		return returnTo
	}
	sep := "?"
	if strings.HasSuffix(returnTo, "?") {
		sep = ""
	} else if strings.Contains(returnTo, "?") {
		sep = "&"
	}
	return returnTo + sep + values.Encode()
}

// OriginOf is the origin of a URL that was accepted as a return URL, or empty
// if it is none.
func OriginOf(raw string) string {
	u, err := parseWeb(raw)
	if err != nil {
		return ""
	}
	return originOf(u)
}

// parseWeb accepts absolute https URLs, and http ones on loopback, without
// credentials and fragment.
func parseWeb(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("is not an absolute URL")
	}
	if u.User != nil {
		return nil, errors.New("has credentials")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New("has a fragment")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())) {
		return nil, errors.New("must be https (http only on loopback)")
	}
	return u, nil
}

// IsLoopback reports whether host, a name or an IP address without a port, is
// localhost, in 127.0.0.0/8, or ::1.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// originOf serialises the origin of u as a browser does: lower case, without
// the scheme's default port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	port := u.Port()
	if (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host
}

// sameSite reports whether a URL is schemefully same-site with ours: the same
// scheme and the same registrable domain (public suffix list, private section
// included; an address or a name without dots is its own).
func sameSite(u *url.URL, ours string) bool {
	o, err := url.Parse(ours)
	return err == nil && u.Scheme == o.Scheme && siteOf(u.Hostname()) == siteOf(o.Hostname())
}

func siteOf(host string) string {
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return site
}
