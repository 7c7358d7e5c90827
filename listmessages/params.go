package listmessages

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/gmailgrant/internal/endpoint"
)

// Formats of a message, as Gmail names them. Without one only IDs are listed.
const (
	Minimal  = "minimal"
	Metadata = "metadata"
	Full     = "full"
	Raw      = "raw" // only for messages asked for by ID
)

// A Query says which messages to list and how much of each, in the terms of
// Gmail's users.messages.list and users.messages.get. What the parameters of GET
// listmessages may not be, its fields may not be either.
type Query struct {
	Q                string
	LabelIDs         []string // all of them must be on a message
	IncludeSpamTrash bool
	MaxResults       int    // in all; 0: every message, or 100 with a format
	PageToken        string // cursor of an earlier answer to the same query and user

	IDs []string // these messages, in this order, instead of a list

	Format          string   // empty: IDs only
	MetadataHeaders []string // with Metadata; empty: From, To, Subject, Date
}

// defaultDetails is how many messages are listed with a format when the caller
// does not say.
const defaultDetails = 100

// limit is how many messages to list; 0 means all.
func (q Query) limit() int {
	if q.MaxResults == 0 && q.Format != "" {
		return defaultDetails
	}
	return q.MaxResults
}

// Bounds of the parameters.
const (
	maxQ        = 4096 // bytes
	maxLabelIDs = 100
	maxHeaders  = 50
	maxIDs      = 100
)

const (
	idCharacters     = endpoint.Letters + endpoint.Digits + "_-"
	headerCharacters = endpoint.Letters + endpoint.Digits + "!#$%&'*+-.^_`|~" // token of RFC 9110
)

// listing are the parameters that choose messages, which naming them by id
// rules out.
var listing = []string{"q", "labelIds", "includeSpamTrash", "maxResults", "pageToken"}

// A rule is the grammar of a parameter: the values it may have, and how many.
type rule struct {
	valid func(string) bool
	most  int
}

var rules = map[string]rule{
	"q":                {validQ, 1},
	"labelIds":         {func(s string) bool { return endpoint.ConsistsOf(s, 255, idCharacters) }, maxLabelIDs},
	"includeSpamTrash": {func(s string) bool { return s == "true" || s == "false" }, 1},
	"maxResults":       {validNumber, 1},
	"pageToken":        {func(s string) bool { return s != "" && len(s) <= maxCursor }, 1},
	"format":           {func(s string) bool { return s == Minimal || s == Metadata || s == Full || s == Raw }, 1},
	"metadataHeaders":  {func(s string) bool { return endpoint.ConsistsOf(s, 128, headerCharacters) }, maxHeaders},
	"id":               {func(s string) bool { return endpoint.ConsistsOf(s, 64, idCharacters) }, maxIDs},
}

// parseQuery reads the parameters of a request. Each has a strict grammar: what
// does not fit is named to the caller, and nothing is sent to Gmail.
func parseQuery(r *http.Request) (Query, error) {
	values, err := endpoint.Query(r, []string{"q", "includeSpamTrash", "maxResults", "pageToken", "format"}, []string{"labelIds", "metadataHeaders", "id"})
	if err != nil {
		return Query{}, err
	}
	if err := check(values); err != nil {
		return Query{}, err
	}
	return queryOf(values), nil
}

// check holds parameters against the rules, whether they came in a request or are
// those of a [Query]. Of several faults the first by name is reported.
func check(values url.Values) error {
	name, found := endpoint.FirstByName(values, func(name string, given []string) bool {
		return len(given) > rules[name].most || !all(given, rules[name].valid)
	})
	switch {
	case !found:
		return checkTogether(values)
	case len(values[name]) > rules[name].most:
		return endpoint.Invalid("The parameter " + name + " was given too often.")
	}
	return endpoint.Invalid("The parameter " + name + " is malformed.")
}

func all(values []string, valid func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !valid(v) })
}

// validQ accepts any text without control characters.
func validQ(s string) bool {
	return strings.TrimSpace(s) != "" && len(s) <= maxQ && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// validNumber accepts a number from 1 that is written without sign and leading
// zeros.
func validNumber(s string) bool {
	return endpoint.ConsistsOf(s, 9, endpoint.Digits) && s[0] != '0'
}

// checkTogether checks what parameters say of one another.
func checkTogether(values url.Values) error {
	if !values.Has("id") {
		if values.Get("format") == Raw {
			return endpoint.Invalid("The parameter format can be raw only with id.")
		}
		return nil
	}
	for _, name := range listing {
		if values.Has(name) {
			return endpoint.Invalid("The parameter " + name + " can't be used with id.")
		}
	}
	if !values.Has("format") {
		return endpoint.Invalid("The parameter format is needed with id.")
	}
	ids := slices.Sorted(slices.Values(values["id"]))
	if len(slices.Compact(ids)) != len(values["id"]) {
		return endpoint.Invalid("The parameter id names a message twice.")
	}
	return nil
}

// values are the parameters that stand for q: those that are not zero.
func (q Query) values() url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("q", q.Q)
	set("pageToken", q.PageToken)
	set("format", q.Format)
	if q.IncludeSpamTrash {
		set("includeSpamTrash", "true")
	}
	if q.MaxResults != 0 {
		set("maxResults", strconv.Itoa(q.MaxResults))
	}
	for name, list := range map[string][]string{"labelIds": q.LabelIDs, "metadataHeaders": q.MetadataHeaders, "id": q.IDs} {
		if len(list) > 0 {
			values[name] = list
		}
	}
	return values
}

func queryOf(values url.Values) Query {
	maxResults, _ := strconv.Atoi(values.Get("maxResults")) // of the form above, or absent
	return Query{
		Q:                values.Get("q"),
		LabelIDs:         values["labelIds"],
		IncludeSpamTrash: values.Get("includeSpamTrash") == "true",
		MaxResults:       maxResults,
		PageToken:        values.Get("pageToken"),
		IDs:              values["id"],
		Format:           values.Get("format"),
		MetadataHeaders:  values["metadataHeaders"],
	}
}
