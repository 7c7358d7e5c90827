package listmessages

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"example.com/gmailgrant/internal/endpoint"
)

func parse(raw string) (Query, error) {
	r := httptest.NewRequest(http.MethodGet, "/listmessages", nil)
	r.URL.RawQuery = raw
	return parseQuery(r)
}

// many is a parameter n times, with values that differ.
func many(name string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&" + name + "=x" + strings.Repeat("a", i/26) + string(rune('a'+i%26)))
	}
	return b.String()[1:]
}

func TestParameters(t *testing.T) {
	long := strings.Repeat("q", maxQ)
	for raw, want := range map[string]Query{
		"":                                {},
		"q=from%3Aada+is:unread":          {Q: "from:ada is:unread"},
		"q=%22a%26b%22%20%E2%82%AC":       {Q: `"a&b" €`},
		"q=" + long:                       {Q: long},
		"labelIds=INBOX&labelIds=Label_7": {LabelIDs: []string{"INBOX", "Label_7"}},
		"includeSpamTrash=true":           {IncludeSpamTrash: true},
		"includeSpamTrash=false":          {},
		"maxResults=1":                    {MaxResults: 1},
		"maxResults=999999999":            {MaxResults: 999999999},
		"pageToken=abc_-":                 {PageToken: "abc_-"},
		"format=minimal":                  {Format: Minimal},
		"format=metadata&metadataHeaders=From&metadataHeaders=X-My.Header": {Format: Metadata, MetadataHeaders: []string{"From", "X-My.Header"}},
		"format=full&q=x":              {Format: Full, Q: "x"},
		"id=18c2f&id=18c30&format=raw": {IDs: []string{"18c2f", "18c30"}, Format: Raw},
	} {
		got, err := parse(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s: %+v, %v", raw, got, err)
		}
	}
}

// Each refusal names its parameter.
func TestParametersRefused(t *testing.T) {
	for raw, named := range map[string]string{
		"unknown=1":      "unknown",
		"labelids=INBOX": "labelids",
		"labelIds[]=x":   "labelIds[]",
		"userId=other":   "userId",
		"fields=*":       "fields",

		"q=":                               "q",
		"q=%20%20":                         "q",
		"q=a%0d%0ab":                       "q",
		"q=a%00":                           "q",
		"q=%ff":                            "q",
		"q=a%C2%85":                        "q", // a control character outside of ASCII
		"q=a&q=b":                          "q",
		"q=" + strings.Repeat("q", maxQ+1): "q",
		"labelIds=":                        "labelIds",
		"labelIds=a%20b":                   "labelIds",
		"labelIds=a%0d%0a":                 "labelIds",
		"labelIds=a,b":                     "labelIds",
		"labelIds=a%26b":                   "labelIds",
		"labelIds=é":                       "labelIds",
		"labelIds=INBOX&labelIds=":         "labelIds",
		many("labelIds", maxLabelIDs+1):    "labelIds",
		"includeSpamTrash=":                "includeSpamTrash",
		"includeSpamTrash=1":               "includeSpamTrash",
		"includeSpamTrash=True":            "includeSpamTrash",
		"includeSpamTrash=true&includeSpamTrash=true": "includeSpamTrash",
		"maxResults=":                     "maxResults",
		"maxResults=0":                    "maxResults",
		"maxResults=-1":                   "maxResults",
		"maxResults=%2B1":                 "maxResults",
		"maxResults=01":                   "maxResults",
		"maxResults=1.0":                  "maxResults",
		"maxResults=1e3":                  "maxResults",
		"maxResults=1000000000":           "maxResults",
		"maxResults=99999999999999999999": "maxResults",
		"maxResults=%D9%A1":               "maxResults",
		"maxResults=1%0A":                 "maxResults",
		"maxResults=1&maxResults=1":       "maxResults",
		"pageToken=":                      "pageToken",
		"pageToken=" + strings.Repeat("p", maxCursor+1):            "pageToken",
		"pageToken=a&pageToken=a":                                  "pageToken",
		"format=":                                                  "format",
		"format=FULL":                                              "format",
		"format=ids":                                               "format",
		"format=raw":                                               "format",
		"format=full&format=full":                                  "format",
		"format=metadata&metadataHeaders=":                         "metadataHeaders",
		"format=metadata&metadataHeaders=From%3A":                  "metadataHeaders",
		"format=metadata&metadataHeaders=From%0d%0aX":              "metadataHeaders",
		"format=metadata&metadataHeaders=a%20b":                    "metadataHeaders",
		"format=metadata&metadataHeaders=é":                        "metadataHeaders",
		"format=metadata&" + many("metadataHeaders", maxHeaders+1): "metadataHeaders",
		"id=18c2f":                               "format",
		"id=&format=full":                        "id",
		"id=a/b&format=full":                     "id",
		"id=a%0d%0aGET&format=full":              "id",
		"id=..&format=full":                      "id",
		"id=a%3Fb&format=full":                   "id",
		"id=a&id=a&format=full":                  "id",
		"format=full&" + many("id", maxIDs+1):    "id",
		"id=a&format=full&q=x":                   "q",
		"id=a&format=full&labelIds=x":            "labelIds",
		"id=a&format=full&includeSpamTrash=true": "includeSpamTrash",
		"id=a&format=full&maxResults=1":          "maxResults",
		"id=a&format=full&pageToken=x":           "pageToken",
	} {
		_, err := parse(raw)
		if err == nil {
			t.Errorf("%.60s was accepted", raw)
			continue
		}
		p := endpoint.AsProblem(err)
		if p.Reason != endpoint.InvalidRequest || !strings.Contains(p.Detail, named) {
			t.Errorf("%.60s: %s %q, want it to name %s", raw, p.Reason, p.Detail, named)
		}
	}
	if _, err := parse("format=full&" + many("id", maxIDs)); err != nil {
		t.Errorf("a hundred messages: %v", err)
	}
}

// TestFirstFault: of several faults the first by name is told.
func TestFirstFault(t *testing.T) {
	faults := url.Values{"q": {" "}, "format": {"none"}, "maxResults": {"0"}, "pageToken": {""}, "id": {"."}, "labelIds": {"INBOX"}}
	if got, want := endpoint.AsProblem(check(faults)).Detail, "The parameter format is malformed."; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	faults["format"] = []string{Full, Raw}
	if got, want := endpoint.AsProblem(check(faults)).Detail, "The parameter format was given too often."; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzParameters: nothing that is accepted can leave its place in a URL, in a
// header line or in a part of a batch.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"q=from:ada&labelIds=INBOX&maxResults=5", "id=18c2f&format=metadata&metadataHeaders=From", "q=a%0d%0ab", "id=a%2Fb&format=full", "maxResults=1&maxResults=2", "%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parse(raw)
		if err != nil {
			if endpoint.AsProblem(err).Reason != endpoint.InvalidRequest {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q is malformed, and was accepted", raw)
		}
		if values.Get("q") != q.Q || strings.ContainsFunc(q.Q, unicode.IsControl) {
			t.Fatalf("%q: %q", raw, q.Q)
		}
		for _, s := range append(append(append([]string{q.Format}, q.LabelIDs...), q.IDs...), q.MetadataHeaders...) {
			if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/?:"<>\()[]@,;={}`, r) }) {
				t.Fatalf("%q: %q", raw, s)
			}
		}
		if q.MaxResults < 0 || len(q.IDs) > maxIDs || len(q.LabelIDs) > maxLabelIDs || len(q.IDs) > 0 && q.Format == "" {
			t.Fatalf("%q: %+v", raw, q)
		}
	})
}
