package fakegoogle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxQueryTerms bounds the work a query makes.
const maxQueryTerms = 200

// matcher says whether a message fits.
type matcher func(*message) bool

// query is a parsed q parameter.
type query struct {
	match       matcher // nil: everything fits
	showsHidden bool    // it asks for spam or trash
}

// parseQuery parses the part of Gmail's search language listed below, and
// refuses the rest instead of ignoring it
// (https://support.google.com/mail/answer/7190). Terms are ANDed; OR joins its
// two neighbours, braces their whole content; a minus negates a term:
//
//	word  "a phrase"  from: to: subject: label: in: is: has:attachment
//	after: before: newer_than: older_than:
//
// Dates are midnight Pacific Standard Time
// (https://developers.google.com/workspace/gmail/api/guides/filtering).
func parseQuery(s string, now time.Time) (query, error) {
	tokens, err := tokenize(s)
	if err != nil {
		return query{}, err
	}
	if len(tokens) > maxQueryTerms {
		return query{}, fmt.Errorf("query of more than %d terms", maxQueryTerms)
	}
	p := queryParser{tokens: tokens, now: now}
	all, err := p.conjunction("")
	if err != nil {
		return query{}, err
	}
	if len(all) == 0 {
		return query{}, nil
	}
	return query{match: allOf(all), showsHidden: p.showsHidden}, nil
}

// queryToken is a brace, or a term with its parts.
type queryToken struct {
	brace    string // "{" or "}"; empty for a term
	negated  bool
	operator string // before the colon; empty for words
	value    string
	quoted   bool
}

func (t queryToken) isOr() bool {
	return t.value == "OR" && !t.quoted && !t.negated && t.operator == ""
}

// tokenize splits the query at white space, quotes and braces.
func tokenize(s string) ([]queryToken, error) {
	var tokens []queryToken
	for {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		if s == "" {
			return tokens, nil
		}
		if s[0] == '{' || s[0] == '}' {
			tokens = append(tokens, queryToken{brace: s[:1]})
			s = s[1:]
			continue
		}
		t, rest, err := cutTerm(s)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		s = rest
	}
}

// cutTerm takes one term off the beginning: -operator:"value".
func cutTerm(s string) (t queryToken, rest string, err error) {
	whole := s
	s, t.negated = strings.CutPrefix(s, "-")
	if end := strings.IndexFunc(s, isTermEnd); end >= 0 && s[end] == ':' {
		t.operator, s = strings.ToLower(s[:end]), s[end+1:]
		if t.operator == "" {
			return t, "", fmt.Errorf("nothing before the colon in %q", whole)
		}
	}
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		t.quoted = true
		t.value, rest, ok = strings.Cut(inner, `"`)
		if !ok {
			return t, "", fmt.Errorf("unterminated quotation in %q", whole)
		}
	} else {
		end := strings.IndexFunc(s, func(r rune) bool { return r != ':' && isTermEnd(r) })
		if end < 0 {
			end = len(s)
		}
		t.value, rest = s[:end], s[end:]
	}
	if t.value == "" {
		return t, "", fmt.Errorf("empty term in %q", whole)
	}
	if strings.ContainsAny(t.value, "()") && !t.quoted {
		return t, "", fmt.Errorf("parentheses are not supported by this stand-in: %q", t.value)
	}
	return t, rest, nil
}

func isTermEnd(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`:"{}`, r) }

type queryParser struct {
	tokens      []queryToken
	now         time.Time
	showsHidden bool
}

func (p *queryParser) peek() (queryToken, bool) {
	if len(p.tokens) == 0 {
		return queryToken{}, false
	}
	return p.tokens[0], true
}

func (p *queryParser) next() (queryToken, bool) {
	t, ok := p.peek()
	if ok {
		p.tokens = p.tokens[1:]
	}
	return t, ok
}

// conjunction reads alternatives up to the closing brace, or to the end when
// there is none to wait for.
func (p *queryParser) conjunction(closing string) ([]matcher, error) {
	var all []matcher
	for {
		t, ok := p.peek()
		if !ok && closing != "" {
			return nil, fmt.Errorf("missing %s", closing)
		}
		if !ok {
			return all, nil
		}
		if closing != "" && t.brace == closing {
			p.next()
			return all, nil
		}
		m, err := p.alternatives()
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
}

// alternatives reads terms joined by OR, which binds more tightly than the
// space between terms.
func (p *queryParser) alternatives() (matcher, error) {
	var any []matcher
	for {
		m, err := p.unit()
		if err != nil {
			return nil, err
		}
		any = append(any, m)
		if t, ok := p.peek(); !ok || !t.isOr() {
			return anyOf(any), nil
		}
		p.next()
	}
}

// unit reads a term or a group in braces.
func (p *queryParser) unit() (matcher, error) {
	t, ok := p.next()
	switch {
	case !ok || t.isOr():
		return nil, fmt.Errorf("OR needs a term on either side")
	case t.brace == "}":
		return nil, fmt.Errorf("unexpected }")
	case t.brace == "{":
		any, err := p.conjunction("}")
		return anyOf(any), err
	}
	m, err := p.term(t)
	if err != nil {
		return nil, err
	}
	if t.negated {
		return func(msg *message) bool { return !m(msg) }, nil
	}
	return m, nil
}

func allOf(all []matcher) matcher {
	return func(msg *message) bool {
		return !slices.ContainsFunc(all, func(m matcher) bool { return !m(msg) })
	}
}

func anyOf(any []matcher) matcher {
	return func(msg *message) bool {
		return slices.ContainsFunc(any, func(m matcher) bool { return m(msg) })
	}
}

func (p *queryParser) term(t queryToken) (matcher, error) {
	switch t.operator {
	case "":
		return containsWords(t.value, func(msg *message) string {
			return strings.Join([]string{msg.subject, msg.from.String(), msg.plainText()}, "\n")
		})
	case "subject":
		return containsWords(t.value, func(msg *message) string { return msg.subject })
	case "from":
		return containsWords(t.value, func(msg *message) string { return msg.from.String() })
	case "to":
		return containsWords(t.value, func(msg *message) string { return msg.to.String() })
	case "label":
		return p.label(t), nil
	case "in":
		return p.in(t)
	case "is":
		return isState(t.value)
	case "has":
		return hasThing(t.value)
	case "after", "before", "newer_than", "older_than":
		return p.time(t)
	default:
		return nil, fmt.Errorf("operator %q is not supported by this stand-in", t.operator)
	}
}

// containsWords matches whole words in their order, ignoring case and what
// lies between them.
func containsWords(phrase string, text func(*message) string) (matcher, error) {
	want := words(phrase)
	if want == "  " {
		return nil, fmt.Errorf("no word in %q", phrase)
	}
	return func(msg *message) bool { return strings.Contains(words(text(msg)), want) }, nil
}

// words are the words of a text in lower case, each between single spaces.
func words(text string) string {
	isBetween := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), isBetween), " ") + " "
}

// label matches an ID or a name; Gmail writes names with hyphens for spaces. An
// unknown label matches nothing.
func (p *queryParser) label(t queryToken) matcher {
	id := t.value
	for user, name := range userLabels {
		if strings.EqualFold(name, strings.ReplaceAll(t.value, "-", " ")) {
			id = user
		}
	}
	if _, ok := userLabels[id]; !ok {
		id = strings.ToUpper(id)
	}
	p.noteHidden(t, id == labelSpam || id == labelTrash)
	return hasLabel(id)
}

func (p *queryParser) noteHidden(t queryToken, hidden bool) {
	p.showsHidden = p.showsHidden || hidden && !t.negated
}

func hasLabel(id string) matcher {
	return func(msg *message) bool { return msg.has(id) }
}

func (p *queryParser) in(t queryToken) (matcher, error) {
	switch place := strings.ToUpper(t.value); place {
	case labelInbox, labelSent:
		return hasLabel(place), nil
	case labelSpam, labelTrash:
		p.noteHidden(t, true)
		return hasLabel(place), nil
	case "ANYWHERE":
		p.noteHidden(t, true)
		return func(*message) bool { return true }, nil
	default:
		return nil, fmt.Errorf("in:%s is not supported by this stand-in", t.value)
	}
}

func isState(state string) (matcher, error) {
	switch strings.ToLower(state) {
	case "unread":
		return hasLabel(labelUnread), nil
	case "read":
		return func(msg *message) bool { return !msg.has(labelUnread) }, nil
	case "starred":
		return hasLabel(labelStarred), nil
	case "important":
		return hasLabel(labelImportant), nil
	default:
		return nil, fmt.Errorf("is:%s is not supported by this stand-in", state)
	}
}

func hasThing(thing string) (matcher, error) {
	if !strings.EqualFold(thing, "attachment") {
		return nil, fmt.Errorf("has:%s is not supported by this stand-in", thing)
	}
	return func(msg *message) bool { return msg.attachment != "" }, nil
}

func (p *queryParser) time(t queryToken) (matcher, error) {
	parse := parseQueryDate
	if t.operator == "newer_than" || t.operator == "older_than" {
		parse = p.parseAge
	}
	limit, err := parse(t.value)
	if err != nil {
		return nil, err
	}
	if t.operator == "after" || t.operator == "newer_than" {
		return func(msg *message) bool { return !msg.date.Before(limit) }, nil
	}
	return func(msg *message) bool { return msg.date.Before(limit) }, nil
}

// pacific is the zone of the dates in a query.
var pacific = time.FixedZone("PST", -8*60*60)

// parseQueryDate reads YYYY/MM/DD, YYYY-MM-DD or seconds since 1970.
func parseQueryDate(s string) (time.Time, error) {
	for _, layout := range []string{"2006/1/2", "2006-1-2"} {
		if d, err := time.ParseInLocation(layout, s, pacific); err == nil {
			return d, nil
		}
	}
	seconds, err := strconv.ParseUint(s, 10, 40)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a date", s)
	}
	return time.Unix(int64(seconds), 0), nil
}

// parseAge reads a number of days, months or years, as in 7d.
func (p *queryParser) parseAge(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not an age", s)
	}
	switch back := -int(n); s[len(s)-1] {
	case 'd':
		return p.now.AddDate(0, 0, back), nil
	case 'm':
		return p.now.AddDate(0, back, 0), nil
	case 'y':
		return p.now.AddDate(back, 0, 0), nil
	default:
		return time.Time{}, fmt.Errorf("%q is not an age", s)
	}
}
