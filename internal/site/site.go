// Package site knows the public addresses: where the three functions are
// reached, which origins may call them, and where a browser may be sent.
package site

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
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
	s := &Site{base: base}
	if !s.perFunction() {
		s.base = strings.TrimSuffix(base, "/")
	}
	var faults []error
	if err := s.checkBase(); err != nil {
		s.own = nil
		faults = append(faults, fmt.Errorf("BASE_URL: %w", err))
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
			faults = append(faults, fmt.Errorf("RETURN_URLS: %s: %w", shown(raw), err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return s, nil
}

func (s *Site) checkBase() error {
	if s.base == "" {
		return errors.New("is needed: the public URL prefix of the functions")
	}
	if strings.Count(s.base, placeholder) > 1 {
		return fmt.Errorf("%s: has more than one %s", shown(s.base), placeholder)
	}
	if !s.perFunction() {
		if _, err := parseWeb(s.base); err != nil { // "https://" and a function's name would be a URL
			return fmt.Errorf("%s: %w", shown(s.base), err)
		}
	}
	for _, name := range Functions {
		u, err := parseWeb(s.FunctionURL(name))
		if err != nil {
			return fmt.Errorf("%s: %w", shown(s.base), err)
		}
		if u.RawQuery != "" || u.ForceQuery {
			return fmt.Errorf("%s: has a query", shown(s.base))
		}
		origin := originOf(u)
		if !strings.HasPrefix(s.FunctionURL(name)+"/", origin+"/") { // it goes into redirect_uri to the byte
			return fmt.Errorf("%s: its origin must be written %q", shown(s.base), origin)
		}
		if u.String() != s.FunctionURL(name) {
			return fmt.Errorf("%s: has characters that are not written so in a URL", shown(s.base))
		}
		if !slices.Contains(s.own, origin) {
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
	if s.own != nil && !s.Allowed(originOf(u)) { // without BASE_URL it can't be said
		return errors.New("its origin is not one of ALLOWED_ORIGINS")
	}
	s.returnURLs = append(s.returnURLs, raw)
	return nil
}

// checkOrigin accepts what a browser sends in an Origin header, nothing else.
func checkOrigin(o string) error {
	u, err := parseWeb(o)
	if err != nil {
		return fmt.Errorf("%s: %w", shown(o), err)
	}
	if want := originOf(u); o != want {
		return fmt.Errorf("%s is not an origin, which is written like %q", shown(o), want)
	}
	if strings.Contains(o, "*") {
		return fmt.Errorf("%s is a pattern; each origin has to be named", shown(o))
	}
	return nil
}

// shown quotes an entry of the settings in an error, unless it could be a secret
// put there by mistake, which has capitals, or holds credentials.
func shown(raw string) string {
	address := strings.HasPrefix(raw, "http") || raw == strings.ToLower(raw)
	if !address || strings.Contains(raw, "@") {
		return "an entry not shown here"
	}
	return strconv.Quote(raw)
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
// its URL would give him the mailbox].
func (s *Site) ReturnToHandOff(raw string) (string, error) {
	if !slices.Contains(s.returnURLs, raw) {
		return "", refusal("The parameter return_to must be equal to an entry of RETURN_URLS; a place inside the app belongs into state.")
	}
	return raw, nil
}

// ReturnToCookie checks where a flow of the cookie way may end: at an allowed
// origin that is same-site with the functions, since a browser would not send
// the cookie from any other. It returns the URL as re-serialised from its
// parsed form.
func (s *Site) ReturnToCookie(raw string) (string, error) {
	if s.perFunction() {
		return "", errNeedsHandOff
	}
	u, err := s.parseReturnTo(raw)
	if err != nil {
		return "", refusal("The parameter return_to " + err.Error() + ".")
	}
	if !s.Allowed(originOf(u)) {
		return "", refusal("The origin of return_to is not one of ALLOWED_ORIGINS.")
	}
	if !sameSite(u, s.FunctionURL("callback")) {
		return "", errNeedsHandOff
	}
	return u.String(), nil
}

// A refusal is a sentence for the caller.
type refusal string

func (r refusal) Error() string { return string(r) }

const errNeedsHandOff refusal = "This front end is not on the same site as the functions and needs the hand-off: send code_challenge and code_challenge_method."

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
	if err != nil || strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r <= ' ' || r >= 0x7f }) { // which url.URL keeps as they are
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
	if s.own == nil {
		return false
	}
	where := strings.ToLower(arrival(u)) + "/"
	for _, name := range Functions {
		own, _ := url.Parse(s.FunctionURL(name)) // parsed before, by New
		if originOf(u) == originOf(own) && strings.HasPrefix(where, strings.ToLower(strings.TrimSuffix(own.Path, "/"))+"/") {
			return true
		}
	}
	return false
}

// arrival is the path at which a browser arrives, and a server behind it: dot
// segments, encoded ones too, are resolved as the URL Standard does, then empty
// segments are dropped.
func arrival(u *url.URL) string {
	resolved := new(url.URL).ResolveReference(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path})
	return path.Clean("/" + resolved.Path)
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
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= 0x7f }) {
		return nil, errors.New("has a host that is not ASCII, as browsers write it")
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
