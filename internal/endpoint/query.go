package endpoint

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxQueryBytes bounds a query before it is parsed.
const maxQueryBytes = 16 << 10

// Query parses the query of a request strictly: a malformed one is a problem,
// as is a parameter that is not among single and repeatable, or one of single
// that comes twice. Of several faults the first by name is reported.
func Query(r *http.Request, single, repeatable []string) (url.Values, error) {
	query, err := AnyQuery(r)
	if err != nil {
		return nil, err
	}
	name, found := FirstByName(query, func(name string, given []string) bool {
		return !slices.Contains(repeatable, name) && (len(given) > 1 || !slices.Contains(single, name))
	})
	switch {
	case !found:
		return query, nil
	case slices.Contains(single, name):
		return nil, Invalid(fmt.Sprintf("The parameter %s was given more than once.", name))
	}
	return nil, Invalid(fmt.Sprintf("The parameter %.40q is not known here.", name))
}

// FirstByName finds the first parameter by name of which something is the case.
func FirstByName(query url.Values, is func(name string, given []string) bool) (first string, found bool) {
	for name, given := range query {
		if (!found || name < first) && is(name, given) {
			first, found = name, true
		}
	}
	return first, found
}

// AnyQuery parses the query of a request that may have parameters unknown to us.
func AnyQuery(r *http.Request) (url.Values, error) {
	if len(r.URL.RawQuery) > maxQueryBytes {
		return nil, Invalid("The query is too long.")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Invalid("The query is malformed.")
	}
	return query, nil
}

// Characters for [ConsistsOf].
const (
	Letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	Digits  = "0123456789"
)

// ConsistsOf reports whether a text is one to most bytes long and has only the
// characters of a set in ASCII. A regular expression with such a repetition takes
// longer to compile than anything else that a cold start does by itself.
func ConsistsOf(s string, most int, set string) bool {
	return s != "" && len(s) <= most && strings.Trim(s, set) == ""
}
