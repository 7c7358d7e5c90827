package gmailgrant

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/site"
)

func TestDescription(t *testing.T) {
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("of OpenAPI %q", d.OpenAPI)
	}
	functions := slices.Sorted(maps.Keys(d.Paths))
	for _, name := range site.Functions {
		if !slices.Contains(functions, "/"+name) {
			t.Errorf("%s is not described", name)
		}
	}
	if len(functions) != len(site.Functions) {
		t.Errorf("described: %q", functions)
	}
	var ids []string
	for path, operations := range d.Paths {
		for method, o := range operations {
			ids = append(ids, o.OperationID)
			for status, r := range o.Responses {
				r, err := d.response(r)
				if err != nil {
					t.Fatal(err)
				}
				checkContents(t, d, method+" "+path+" "+status, r)
			}
		}
	}
	slices.Sort(ids)
	if n := len(ids); len(slices.Compact(ids)) != n {
		t.Errorf("operationIds %v", ids)
	}
}

// checkContents: examples are right, and each problem is one of some reasons of
// its status.
func checkContents(t *testing.T, d *description, where string, r *response) {
	t.Helper()
	for mediaType, c := range r.Content {
		if c.Example != nil {
			example, err := asJSON(c.Example)
			if err == nil {
				err = c.Schema.check(d, example)
			}
			if err != nil {
				t.Errorf("%s: example of %s: %v", where, mediaType, err)
			}
		}
		reasons := c.reasons()
		if (mediaType == "application/problem+json") != (len(reasons) > 0) {
			t.Errorf("%s: %s with the reasons %q", where, mediaType, reasons)
		}
		for _, reason := range reasons {
			if status := strconv.Itoa(endpoint.Reason(reason).Status()); !strings.HasSuffix(where, " "+status) {
				t.Errorf("%s: %s is of status %s", where, reason, status)
			}
		}
	}
}

// TestDescribedReasons are those that a front end can meet, and the one that no
// script can read.
func TestDescribedReasons(t *testing.T) {
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, reason := range d.Components.Schemas["Reason"].(map[string]any)["enum"].([]any) {
		listed = append(listed, reason.(string))
	}
	want := []string{"origin_not_allowed"}
	for reason := range maps.Keys(readable) {
		want = append(want, string(reason))
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("described: %q, known here: %q", listed, want)
	}
}

// schemaWords are the words of JSON Schema in openapi.yaml. A validator ignores
// what it does not know, a misspelt word too.
var schemaWords = []string{
	"$ref", "additionalProperties", "allOf", "const", "description", "enum", "format", "if", "items", "maxItems", "maxLength", "maximum",
	"minLength", "minimum", "oneOf", "pattern", "properties", "required", "then", "title", "type", "unevaluatedProperties", "uniqueItems",
}

func TestSchemaWords(t *testing.T) {
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	for name, schema := range d.Components.Schemas {
		checkWords(t, name, schema)
	}
	for path, operations := range d.Paths {
		for method, o := range operations {
			for _, p := range o.Parameters {
				checkWords(t, method+" "+path+" "+p.Name, p.Schema.json)
			}
			for status, r := range o.Responses {
				for mediaType, c := range r.Content {
					checkWords(t, method+" "+path+" "+status+" "+mediaType, c.Schema.json)
				}
			}
		}
	}
}

func checkWords(t *testing.T, where string, schema any) {
	t.Helper()
	words, ok := schema.(map[string]any)
	if !ok {
		return // true or false
	}
	for word, value := range words {
		if !slices.Contains(schemaWords, word) {
			t.Errorf("%s: %s", where, word)
		}
		switch value := value.(type) {
		case map[string]any:
			if word != "properties" {
				checkWords(t, where+"/"+word, value)
				continue
			}
			for name, property := range value {
				checkWords(t, where+"/"+name, property)
			}
		case []any:
			for _, part := range value {
				checkWords(t, where+"/"+word, part)
			}
		}
	}
}

// TestComponentsAreUsed, all of them.
func TestComponentsAreUsed(t *testing.T) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for name := range d.Components.Headers {
		refs = append(refs, "headers/"+name)
	}
	for name := range d.Components.Responses {
		refs = append(refs, "responses/"+name)
	}
	for name := range d.Components.Schemas {
		refs = append(refs, "schemas/"+name)
	}
	for _, ref := range refs {
		if !bytes.Contains(text, []byte("'#/components/"+ref+"'")) {
			t.Errorf("nothing refers to %s", ref)
		}
	}
	for name := range d.Components.SecuritySchemes {
		if !bytes.Contains(text, []byte("- "+name+": []")) {
			t.Errorf("nothing asks for %s", name)
		}
	}
}

// TestNotAsDescribed: what every other test relies on is that an answer is
// refused which is only a little different.
func TestNotAsDescribed(t *testing.T) {
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	_, b := signedIn(t, ben)
	fetch := func(address, accept string) *answer {
		return b.send(http.MethodGet, address, http.Header{"Accept": {accept}})
	}
	list := fetch("/listmessages?maxResults=2&q=is:unread", "application/json")
	lines := fetch("/listmessages?maxResults=2", "application/x-ndjson")
	who := fetch("/callback", "application/json")
	problem := fetch("/listmessages?x=1", "application/json")
	malformed := fetch("/listmessages?maxResults=0", "application/json")
	replace := func(old, replacement string) func(*answer) {
		return func(a *answer) {
			body := strings.Replace(string(a.body), old, replacement, 1)
			if body == string(a.body) {
				t.Errorf("no %s in %s", old, a.body)
			}
			a.body = []byte(body)
		}
	}
	tests := []struct {
		name  string
		a     *answer
		alter func(*answer)
	}{
		{"status", list, func(a *answer) { a.StatusCode = 202 }},
		{"status of another reason", problem, func(a *answer) { a.StatusCode = 401; a.Header.Set("WWW-Authenticate", "Bearer") }},
		{"unknown member", list, replace(`"resultSizeEstimate"`, `"x":1,"resultSizeEstimate"`)},
		{"unknown member of a message", list, replace(`"threadId"`, `"x":1,"threadId"`)},
		{"unknown member of a line", lines, replace(`"threadId"`, `"x":1,"threadId"`)},
		{"unknown member of the user", who, replace(`"email"`, `"e_mail"`)},
		{"unknown member of a problem", problem, replace(`"title"`, `"x":1,"title"`)},
		{"authorization_url of no use", problem, replace(`"title"`, `"authorization_url":"http://localhost/authurl","title"`)},
		{"unknown reason", problem, replace(`"reason":"invalid_request"`, `"reason":"bad_request"`)},
		{"reason of another operation", problem, replace(`"reason":"invalid_request"`, `"reason":"invalid_return_to"`)},
		{"type of another reason", problem, replace(`problem:invalid_request`, `problem:internal`)},
		{"status in the problem", problem, replace(`"status":400`, `"status":500`)},
		{"missing member", who, replace(`"missing_scopes":[],`, ``)},
		{"another type", who, replace(`"expires_in":`, `"expires_in":0.`)},
		{"cut list", list, func(a *answer) { a.body = a.body[:len(a.body)-3] }},
		{"cut lines", lines, func(a *answer) { a.body = a.body[:bytes.LastIndexByte(a.body[:len(a.body)-1], '\n')+1] }},
		{"media type", list, func(a *answer) { a.Header.Set("Content-Type", "text/plain") }},
		{"missing header", list, func(a *answer) { a.Header.Del("Vary") }},
		{"another value of a header", list, func(a *answer) { a.Header.Set("Cache-Control", "no-cache") }},
		{"unknown header", list, func(a *answer) { a.Header.Set("X-Powered-By", "x") }},
		{"header of another response", list, func(a *answer) { a.Header.Set("Set-Cookie", "gmailgrant=x; Path=/; Max-Age=0; HttpOnly; SameSite=Lax") }},
		{"header twice", list, func(a *answer) { a.Header.Add("Vary", "Origin") }},
		{"unknown parameter accepted", list, func(a *answer) { a.Request.URL.RawQuery = "x=1" }},
		{"malformed parameter accepted", list, func(a *answer) { a.Request.URL.RawQuery = "maxResults=0" }},
		{"repeated parameter accepted", list, func(a *answer) { a.Request.URL.RawQuery = "q=a&q=b" }},
		{"well-formed parameter refused", malformed, func(a *answer) { a.Request.URL.RawQuery = "maxResults=1" }},
		{"another function", list, func(a *answer) { a.Request.URL.Path = "/authurl" }},
		{"unknown method accepted", list, func(a *answer) { a.Request.Method = "PUT" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.a.clone()
			if err := d.check(a); err != nil {
				t.Fatal(err)
			}
			tt.alter(a)
			if d.check(a) == nil {
				t.Errorf("%d %v %s is as described", a.StatusCode, a.Header, a.body)
			}
		})
	}
}

// clone is a copy that may be altered.
func (a *answer) clone() *answer {
	resp := *a.Response
	resp.Header = resp.Header.Clone()
	resp.Request = resp.Request.Clone(resp.Request.Context())
	return &answer{&resp, slices.Clone(a.body)}
}
