package fakegoogle

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/api/gmail/v1"
)

func TestMask(t *testing.T) {
	const document = `{"a":{"b":[{"c":1,"d":2},{"c":3}],"e":"x"},"f":null,"n":12345678901234567890}`
	tests := []struct{ mask, want string }{
		{"f", `{"f":null}`},
		{"n", `{"n":12345678901234567890}`},
		{"a/e", `{"a":{"e":"x"}}`},
		{"a/b/c", `{"a":{"b":[{"c":1},{"c":3}]}}`},
		{"a(e,b/d)", `{"a":{"b":[{"d":2},{}],"e":"x"}}`},
		{"a(b(c),e),f", `{"a":{"b":[{"c":1},{"c":3}],"e":"x"},"f":null}`},
		{"a/b/d,a/e", `{"a":{"b":[{"d":2},{}],"e":"x"}}`},
		{"a/b/(c)", ""},
		{"*", `{"a":{"b":[{"c":1,"d":2},{"c":3}],"e":"x"},"f":null,"n":12345678901234567890}`},
		{"*/e", `{"a":{"e":"x"},"f":null,"n":12345678901234567890}`},
		{"a/*/c", `{"a":{"b":[{"c":1},{"c":3}],"e":"x"}}`},
		{"a/e,a", `{"a":{"b":[{"c":1,"d":2},{"c":3}],"e":"x"}}`},
		{"a,a/e", `{"a":{"b":[{"c":1,"d":2},{"c":3}],"e":"x"}}`},
		{"none", `{}`},
		{"f, a/e", `{"a":{"e":"x"},"f":null}`},
		{"", ""}, {",", ""}, {"a,", ""}, {"a/", ""}, {"/a", ""}, {"a(", ""}, {"a()", ""}, {"a(b", ""}, {"a)", ""}, {"a(b)c", ""},
		{strings.Repeat("a/", maxMaskDepth+1) + "a", ""}, {strings.Repeat("a(", 1000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.mask, func(t *testing.T) {
			mask, err := parseMask(tt.mask)
			if tt.want == "" {
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := mask.apply([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestMaskIsCheckedAgainstTheAnswer(t *testing.T) {
	tests := map[string]bool{
		"messages(id,threadId),nextPageToken,resultSizeEstimate": true,
		"messages/id":                       true,
		"messages/payload(headers,parts)":   true,
		"messages/payload/parts/parts/body": true,
		"*":                                 true,
		"messages(*)":                       true,
		"message":                           false,
		"messages/identity":                 false,
		"messages/id/x":                     false,
		"ServerResponse":                    false,
		"-":                                 false,
	}
	for fields, want := range tests {
		if _, err := parseMaskFor(fields, gmail.ListMessagesResponse{}); (err == nil) != want {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

// FuzzMask checks that a mask only ever takes away, and that a second time
// takes nothing more.
func FuzzMask(f *testing.F) {
	for _, s := range []string{"a", "a/b,c(d,e/f)", "*", "a(*)", "a(b(c(d", "a,a/b", "a/b,a"} {
		f.Add(s)
	}
	const document = `{"a":{"b":[{"c":1},{"d":2}]},"c":{"d":{"e":{"f":1}}},"e":[1,2]}`
	f.Fuzz(func(t *testing.T, s string) {
		mask, err := parseMask(s)
		if err != nil {
			return
		}
		once, err := mask.apply([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		twice, err := mask.apply(once)
		if err != nil || string(twice) != string(once) {
			t.Errorf("%q: once %s, twice %s (%v)", s, once, twice, err)
		}
		var whole, part map[string]any
		if json.Unmarshal([]byte(document), &whole) != nil || json.Unmarshal(once, &part) != nil {
			t.Fatalf("not an object: %s", once)
		}
		if !isPartOf(part, whole) {
			t.Errorf("%q added something: %s", s, once)
		}
	})
}

func isPartOf(part, whole any) bool {
	switch p := part.(type) {
	case map[string]any:
		w, ok := whole.(map[string]any)
		for name, v := range p {
			ok = ok && isPartOf(v, w[name])
		}
		return ok
	case []any:
		w, ok := whole.([]any)
		ok = ok && len(p) == len(w)
		for i := 0; ok && i < len(p); i++ {
			ok = isPartOf(p[i], w[i])
		}
		return ok
	default:
		return reflect.DeepEqual(part, whole)
	}
}
