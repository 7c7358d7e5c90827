package callback

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestParseMembers(t *testing.T) {
	for body, want := range map[string]map[string]string{
		`{}`:                                 {},
		" {\n\"a\" : \"b\" } \n":             {"a": "b"},
		`{"code":"1","code_verifier":"2"}`:   {"code": "1", "code_verifier": "2"},
		`{"c\u006fde":"\u00e9\ud83d\ude00"}`: {"code": "é😀"},
		`{"":""}`:                            {"": ""},
		`{"Code":"1","code":"2"}`:            {"Code": "1", "code": "2"},
	} {
		got, err := parseMembers([]byte(body))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `1`, `true`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":"b"`, `{"a":"b",}`, `{,"a":"b"}`, `{"a":"b" "c":"d"}`, `{"a":"b";"c":"d"}`, `{"a":"b"]`, `{"a","b"}`, `{"a":"b":"c"}`,
		`{"a":1}`, `{"a":null}`, `{"a":true}`, `{"a":["b"]}`, `{"a":{"b":"c"}}`, `{a:"b"}`, `{'a':'b'}`, `{1:"b"}`,
		`{"a":"b","a":"b"}`, `{"a":"b","\u0061":"c"}`, `{"a":"b"}{}`, `{"a":"b"} x`, `{"a":"b"},`, `{"a":"b"}]`, `{"a":"b"}}`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"b"} // c`, "\xef\xbb\xbf{}",
	} {
		if got, err := parseMembers([]byte(body)); err == nil {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// FuzzParseMembers: what is accepted is what encoding/json reads too, and
// writing it down again gives the same.
func FuzzParseMembers(f *testing.F) {
	for _, seed := range []string{`{}`, `{"code":"1","code_verifier":"2"}`, `{"a":"b","a":"c"}`, `{"a":"b"}{}`, `{"a":["b"]}`, "{\"\xff\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseMembers(body)
		if err != nil {
			return
		}
		var want map[string]string
		if err := json.Unmarshal(body, &want); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%q: %q, but encoding/json reads %q, %v", body, got, want, err)
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseMembers(written); err != nil || !maps.Equal(again, got) {
			t.Fatalf("%q reads back as %q, %v", written, again, err)
		}
	})
}

func get(query string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/callback", nil)
	r.URL.RawQuery = query
	return r
}

func TestFromGoogle(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "x=1": false, "State=1": false, "scope=email": false, "states=1": false,
		"state=1": true, "code=1": true, "error=1": true, "state": true, "state=": true, "x=1&error=access_denied": true, "st%61te=1": true,
		"state=1&%zz": true, "a;b&code=1": true, // malformed, but clearly an answer
	} {
		if got := fromGoogle(get(query)); got != want {
			t.Errorf("%q: %t", query, got)
		}
	}
}

func TestShowsPage(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, row := range []struct {
		method, query, mode, accept string
		want                        bool
	}{
		{"GET", "state=1", "navigate", "", true},
		{"GET", "state=1", "", browser, true},
		{"GET", "state=1", "", "", true}, // Google's answer comes with a browser
		{"GET", "state=1", "", "*/*", true},
		{"GET", "state=1", "", "application/json", false},
		{"GET", "state=1", "", "application/problem+json", false},
		{"GET", "state=1", "cors", browser, false},
		{"GET", "", "navigate", "", true},
		{"GET", "", "", browser, true},
		{"GET", "", "", "*/*", false},
		{"GET", "", "", "", false},
		{"GET", "", "cors", browser, false},
		{"POST", "state=1", "", "", false},
		{"DELETE", "state=1", "", "*/*", false},
	} {
		r := get(row.query)
		r.Method = row.method
		r.Header.Set("Accept", row.accept)
		if row.mode != "" {
			r.Header.Set("Sec-Fetch-Mode", row.mode)
		}
		if got := ShowsPage(r); got != row.want {
			t.Errorf("%+v: %t", row, got)
		}
	}
}

// FuzzFromGoogle: a query that says who is signed in is never taken for Google's
// answer, nor the other way round, and a script gets no page.
func FuzzFromGoogle(f *testing.F) {
	for _, seed := range []string{"", "state=1&code=2", "error", "%", "a;state=1", "st%61te"} {
		f.Add(seed, "text/html")
	}
	f.Fuzz(func(t *testing.T, query, accept string) {
		r := get(query)
		r.Header.Set("Accept", accept)
		values, err := url.ParseQuery(query)
		if want := values.Has("state") || values.Has("code") || values.Has("error"); err == nil && fromGoogle(r) != want {
			t.Fatalf("%q: %t, want %t", query, fromGoogle(r), want)
		}
		_ = ShowsPage(r)
		r.Header.Set("Sec-Fetch-Mode", "cors")
		if ShowsPage(r) {
			t.Fatalf("%q with Accept %q: a page for a script", query, accept)
		}
	})
}
