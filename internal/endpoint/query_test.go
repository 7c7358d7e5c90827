package endpoint_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

func query(raw string) (url.Values, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.RawQuery = raw
	return endpoint.Query(r, []string{"one", "other"}, []string{"many"})
}

func TestQuery(t *testing.T) {
	for raw, want := range map[string]url.Values{
		"":                                     {},
		"one=1":                                {"one": {"1"}},
		"one=":                                 {"one": {""}},
		"one":                                  {"one": {""}},
		"one=a%26b&other=c+d":                  {"one": {"a&b"}, "other": {"c d"}},
		"many=1&many=2&many=1":                 {"many": {"1", "2", "1"}},
		"on%65=1":                              {"one": {"1"}},
		"one=%00%ff":                           {"one": {"\x00\xff"}}, // what a value may be is the handler's matter
		"&&one=1&":                             {"one": {"1"}},
		"one=" + strings.Repeat("x", 16<<10-4): {"one": {strings.Repeat("x", 16<<10-4)}},
	} {
		got, err := query(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %.60v, %v", raw, got, err)
		}
	}
}

func TestQueryRefuses(t *testing.T) {
	for raw, named := range map[string]string{
		"one=1&one=1":                          "one",
		"one=1&on%65=2":                        "one",
		"unknown=1":                            "unknown",
		"One=1":                                "One",
		"many[]=1":                             "many",
		"=1":                                   "",
		"one=1;other=2":                        "",
		"one=%zz":                              "",
		"%zz=1":                                "",
		"a=1&z=1&b=1&c=1&d=1&e=1":              `"a"`, // of several the first by name
		"z=1&y=1&one=1&one=1&x=1&v=1&u=1":      "one",
		"z=1&y=1&=1&x=1":                       `""`,
		strings.Repeat("x", 500) + "=1":        "xxxx",
		"one=" + strings.Repeat("x", 16<<10-3): "",
	} {
		_, err := query(raw)
		p, ok := errors.AsType[*endpoint.Problem](err)
		if !ok || p.Reason != endpoint.InvalidRequest {
			t.Errorf("%.60q: %v", raw, err)
			continue
		}
		if !strings.Contains(p.Detail, named) || len(p.Detail) > 100 {
			t.Errorf("%.60q: %q, want it short and to name %q", raw, p.Detail, named)
		}
	}
}

// FuzzQuery: what passes has known names only, single ones once, and reads back
// as itself.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"one=1&many=2&many=3", "on%65=1&one=2", "a;b", "%", "=", "one=%C3%28"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := query(raw)
		if err != nil {
			if p, ok := errors.AsType[*endpoint.Problem](err); !ok || p.Reason != endpoint.InvalidRequest {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		for name, values := range got {
			if name != "one" && name != "other" && name != "many" || name != "many" && len(values) != 1 {
				t.Fatalf("%q gives %q", raw, got)
			}
		}
		if again, err := query(got.Encode()); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q reads back as %q, %v", got, again, err)
		}
	})
}

func TestConsistsOf(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"", false},
		{"a", true},
		{"abcd", true},
		{"abcda", false},
		{"a.d", false},
		{".ad", false},
		{"ad.", false},
		{"aé", false},
	} {
		if got := endpoint.ConsistsOf(tt.text, 4, "abcd"); got != tt.want {
			t.Errorf("%q: %v", tt.text, got)
		}
	}
}
