package endpoint_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
)

func withAccept(values ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if values != nil {
		r.Header["Accept"] = values
	}
	return r
}

func TestNavigation(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, row := range []struct {
		mode, accept string
		want         bool
	}{
		{"navigate", "", true},
		{"navigate", "application/json", true},
		{"cors", browser, false},
		{"no-cors", browser, false},
		{"same-origin", browser, false},
		{"websocket", browser, false},
		{"", browser, true},
		{"", "text/html", true},
		{"", "*/*", false}, // curl
		{"", "", false},
		{"", "application/json", false},
		{"", "application/json, text/plain, */*", false}, // axios
		{"", "text/html;q=0.5, application/json", false},
	} {
		r := withAccept(row.accept)
		if row.mode != "" {
			r.Header.Set("Sec-Fetch-Mode", row.mode)
		}
		if got := endpoint.Navigation(r); got != row.want {
			t.Errorf("%+v: %t", row, got)
		}
	}
}

func TestPrefers(t *testing.T) {
	const a, b = "application/x-ndjson", "application/json"
	for accept, want := range map[string]bool{
		"":                                      false,
		"*/*":                                   false,
		"application/*":                         false,
		a:                                       true,
		b:                                       false,
		a + "," + b:                             false, // equal: not preferred
		a + ";q=0.9," + b + ";q=0.8":            true,
		a + ";q=0.8," + b + ";q=0.9":            false,
		a + ", */*;q=0.1":                       true,
		a + ", */*":                             true, // the more specific of two equal ones
		a + ";q=0, */*":                         false,
		b + ";q=0, */*":                         true, // the specific range wins over the wide one
		b + ";q=0, application/*":               true,
		"application/*;q=0.2, */*;q=0.9":        false,
		"APPLICATION/X-NDJSON":                  true,
		" application/x-ndjson ; Q=1 ":          true,
		a + ";charset=utf-8;q=0.5":              true,
		a + ";q=2":                              false,
		a + ";q=-1":                             false,
		a + ";q=NaN":                            false,
		a + ";q=x":                              false,
		a + ";q=":                               false,
		",,,;;;," + a:                           true,
		strings.Repeat("a/b,", 31) + a:          true,
		strings.Repeat("a/b,", 32) + a:          false, // the work is bounded
		strings.Repeat(",", 10000) + a:          true,
		"application/x-ndjson-and-more, x/" + a: false,
	} {
		if got := endpoint.Prefers(withAccept(accept), a, b); got != want {
			t.Errorf("%.60q: %t", accept, got)
		}
	}
	if !endpoint.Prefers(withAccept("text/plain", a), a, b) {
		t.Error("the second of two headers does not count")
	}
}

// FuzzAccept: no header prefers each of two types to the other, nor a type to
// itself, and none breaks anything.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"", "*/*", "text/html,application/json;q=0.9", "text/*;q=0.1;q=2", ",;=", "text/html;q=1e-5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		r := withAccept(accept)
		if endpoint.Prefers(r, "text/html", "text/html") {
			t.Errorf("%q prefers a type to itself", accept)
		}
		if endpoint.Prefers(r, "text/html", "application/json") && endpoint.Prefers(r, "application/json", "text/html") {
			t.Errorf("%q prefers both", accept)
		}
	})
}
