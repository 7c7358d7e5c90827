package listmessages

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

const user = "104857600000000000001"

var query = Query{Q: "from:ada", LabelIDs: []string{"INBOX", "UNREAD"}, IncludeSpamTrash: true}

func (q Query) at(pageToken string) Query {
	q.PageToken = pageToken
	return q
}

func TestCursor(t *testing.T) {
	for _, c := range []cursor{
		{pageToken: "09876543210"}, {after: "18c2f"}, {pageToken: "p", after: "a"}, {pageToken: strings.Repeat("p", 500), after: strings.Repeat("a", 64)},
	} {
		got, err := decodeCursor(user, query.at(c.encode(user, query)))
		if err != nil || got != c {
			t.Errorf("%+v became %+v, %v", c, got, err)
		}
	}
	if got, err := decodeCursor(user, query); err != nil || got != (cursor{}) {
		t.Errorf("none: %+v, %v", got, err)
	}
	if got := (cursor{}).encode(user, query); got != "" {
		t.Errorf("the beginning has a token: %q", got)
	}
}

// A cursor belongs to a user, q, labelIds and includeSpamTrash, and to nothing
// else.
func TestCursorIsBound(t *testing.T) {
	token := cursor{pageToken: "p", after: "a"}.encode(user, query)
	change := func(f func(*Query)) Query {
		q := query
		q.LabelIDs = slices.Clone(q.LabelIDs)
		f(&q)
		return q.at(token)
	}
	for name, row := range map[string]struct {
		user string
		q    Query
		ok   bool
	}{
		"same":              {user, query.at(token), true},
		"maxResults":        {user, change(func(q *Query) { q.MaxResults = 7 }), true},
		"format":            {user, change(func(q *Query) { q.Format = Metadata }), true},
		"order of labels":   {user, change(func(q *Query) { slices.Reverse(q.LabelIDs) }), true},
		"other user":        {"104857600000000000002", query.at(token), false},
		"other q":           {user, change(func(q *Query) { q.Q = "from:ben" }), false},
		"no q":              {user, change(func(q *Query) { q.Q = "" }), false},
		"a label more":      {user, change(func(q *Query) { q.LabelIDs = append(q.LabelIDs, "X") }), false},
		"a label less":      {user, change(func(q *Query) { q.LabelIDs = q.LabelIDs[:1] }), false},
		"labels run on":     {user, change(func(q *Query) { q.LabelIDs = []string{"INBOXUNREAD"} }), false},
		"spam":              {user, change(func(q *Query) { q.IncludeSpamTrash = false }), false},
		"user and q run on": {user + "from", change(func(q *Query) { q.Q = ":ada" }), false},
	} {
		_, err := decodeCursor(row.user, row.q)
		if row.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && endpoint.AsProblem(err).Reason != endpoint.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCursorMalformed(t *testing.T) {
	good := cursor{pageToken: "page", after: "after"}.encode(user, query)
	raw, err := cursorEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(tail string) string {
		return base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:bindingSize]), tail...))
	}
	tokens := []string{
		"x", "!", good + "=", good + "\n", good[:4] + "\r\n" + good[4:], " " + good, good + strings.Repeat("A", maxCursor),
		base64.RawURLEncoding.EncodeToString(raw[:bindingSize-1]), encoded(""), encoded("\x00"), encoded("\x05page"), encoded("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"), encoded("\x80"),
		encoded("\x00page token"), encoded("\x00p\r\nq"), encoded("\x02a\x00p"), encoded("\x01\x7fp"), encoded("\x00é"),
	}
	for n := range bindingSize * 4 / 3 {
		flipped := []byte(good)
		flipped[n] ^= 1
		tokens = append(tokens, string(flipped))
	}
	for _, token := range tokens {
		if c, err := decodeCursor(user, query.at(token)); err == nil {
			t.Errorf("%.60q became %+v", token, c)
		}
	}
}

// FuzzCursor: what opens holds nothing that could leave its place in a URL, and
// is written the same way again.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{pageToken: "p", after: "a"}.encode(user, query))
	f.Add(cursor{pageToken: "p"}.encode(user, query))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := decodeCursor(user, query.at(token))
		if err != nil || token == "" {
			return
		}
		if c == (cursor{}) || strings.ContainsFunc(c.pageToken+c.after, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q became %+v", token, c)
		}
		if again := c.encode(user, query); again != token {
			t.Fatalf("%q is written %q", token, again)
		}
	})
}

// FuzzCursorContent reaches behind the hash, which a fuzzer does not guess.
func FuzzCursorContent(f *testing.F) {
	f.Add([]byte("\x01ap"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, tail []byte) {
		token := base64.RawURLEncoding.EncodeToString(append(binding(user, query), tail...))
		c, err := parseCursor(token, binding(user, query))
		if err != nil {
			return
		}
		if c == (cursor{}) || strings.ContainsFunc(c.pageToken+c.after, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q became %+v", tail, c)
		}
		if again, err := parseCursor(c.encode(user, query), binding(user, query)); err != nil || again != c {
			t.Fatalf("%+v reads back as %+v, %v", c, again, err)
		}
	})
}
