package listmessages

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/gmailgrant/internal/endpoint"
)

// A Query says which messages to list, in the terms of Gmail's
// users.messages.list.
type Query struct {
	Q                string
	LabelIDs         []string // all of them must be on a message
	IncludeSpamTrash bool
	MaxResults       int    // in all; 0: every message
	PageToken        string // cursor of an earlier answer to the same query and user
}

// Bounds of the parameters.
const (
	maxQ        = 4096 // bytes
	maxLabelIDs = 100
)

var (
	labelForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	numberForm = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
)

// parseQuery reads the parameters of a request. Each has a strict grammar: what
// does not fit is named to the caller, and nothing is sent to Gmail.
func parseQuery(r *http.Request) (Query, error) {
	values, err := endpoint.Query(r, []string{"q", "includeSpamTrash", "maxResults", "pageToken"}, []string{"labelIds"})
	if err != nil {
		return Query{}, err
	}
	for name, given := range values {
		for _, value := range given {
			if check, ok := grammar[name]; ok && !check(value) {
				return Query{}, invalid(name)
			}
		}
	}
	if len(values["labelIds"]) > maxLabelIDs {
		return Query{}, invalid("labelIds")
	}
	return queryOf(values), nil
}

func invalid(name string) error {
	return endpoint.Invalid("The parameter " + name + " is malformed.")
}

// grammar tells of each parameter what value it may have.
var grammar = map[string]func(string) bool{
	"q":                validQ,
	"labelIds":         labelForm.MatchString,
	"includeSpamTrash": func(s string) bool { return s == "true" || s == "false" },
	"maxResults":       numberForm.MatchString,
	"pageToken":        func(s string) bool { return s != "" && len(s) <= maxCursor },
}

// validQ accepts any text without control characters.
func validQ(s string) bool {
	return strings.TrimSpace(s) != "" && len(s) <= maxQ && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func queryOf(values url.Values) Query {
	maxResults, _ := strconv.Atoi(values.Get("maxResults")) // of the form above, or absent
	return Query{
		Q:                values.Get("q"),
		LabelIDs:         values["labelIds"],
		IncludeSpamTrash: values.Get("includeSpamTrash") == "true",
		MaxResults:       maxResults,
		PageToken:        values.Get("pageToken"),
	}
}
