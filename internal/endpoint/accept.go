package endpoint

import (
	"net/http"
	"strconv"
	"strings"
)

// Navigation reports whether a browser is going to this address, rather than a
// script asking for it: Sec-Fetch-Mode says so, or, without it, an Accept that
// prefers HTML to JSON.
func Navigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return Prefers(r, "text/html", "application/json")
}

// Prefers reports whether Accept gives media type a a higher weight than b, or
// the same one by a more specific range (RFC 9110, section 12.5.1).
func Prefers(r *http.Request, a, b string) bool {
	ranges := parseAccept(strings.Join(r.Header.Values("Accept"), ","))
	qa, specificA := weight(ranges, a)
	qb, specificB := weight(ranges, b)
	return qa > qb || qa == qb && qa > 0 && specificA > specificB
}

type mediaRange struct {
	name string
	q    float64
}

// maxMediaRanges bounds the work that an Accept header can ask for.
const maxMediaRanges = 32

func parseAccept(accept string) []mediaRange {
	var ranges []mediaRange
	for part := range strings.SplitSeq(accept, ",") {
		if len(ranges) == maxMediaRanges {
			break
		}
		name, params, _ := strings.Cut(part, ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			ranges = append(ranges, mediaRange{name, quality(params)})
		}
	}
	return ranges
}

func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
		return 0
	}
	return 1
}

// weight is the quality of the most specific range that names the media type,
// and how specific that is.
func weight(ranges []mediaRange, mediaType string) (q float64, specific int) {
	major, _, _ := strings.Cut(mediaType, "/")
	for i, name := range []string{mediaType, major + "/*", "*/*"} {
		for _, m := range ranges {
			if m.name == name {
				return m.q, 3 - i
			}
		}
	}
	return 0, 0
}
