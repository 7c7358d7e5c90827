package gmailgrant

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"mime"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/site"
)

// Every answer that a browser of these tests reads is held against openapi.yaml.

// A description is openapi.yaml, with the words of OpenAPI that are used there:
// reading it refuses any other.
type description struct {
	OpenAPI           string
	JSONSchemaDialect string `yaml:"jsonSchemaDialect"`
	Info              map[string]any
	Servers           []map[string]any
	EveryResponse     map[string]*header `yaml:"x-headers-of-every-response"`
	Paths             map[string]map[string]*operation
	Components        struct {
		SecuritySchemes map[string]map[string]string `yaml:"securitySchemes"`
		Headers         map[string]*header
		Responses       map[string]*response
		Schemas         map[string]any
	}
}

type operation struct {
	OperationID          string `yaml:"operationId"`
	Summary, Description string
	Security             []map[string][]string
	Parameters           []*parameter
	RequestBody          *struct {
		Description string
		Required    bool
		Content     map[string]*content
	} `yaml:"requestBody"`
	Responses map[string]*response
}

type parameter struct {
	Name, In, Description, Style string
	Explode                      bool
	Schema                       schema
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	Headers     map[string]*header
	Content     map[string]*content
}

type header struct {
	Ref         string `yaml:"$ref"`
	Description string
	Required    bool
	Schema      schema
}

type content struct {
	Schema  schema
	Example any
}

// described is openapi.yaml, read once.
var described = sync.OnceValues(func() (*description, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	d := new(description)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	return d, decoder.Decode(d)
})

// component returns what a reference names, and otherwise the object itself.
func component[T any](object *T, ref string, components map[string]*T) (*T, error) {
	if ref == "" {
		return object, nil
	}
	if c, ok := components[path.Base(ref)]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("openapi.yaml has no %s", ref)
}

func (d *description) response(r *response) (*response, error) {
	return component(r, r.Ref, d.Components.Responses)
}

// A schema is a JSON Schema of draft 2020-12. It is compiled when it is first
// used.
type schema struct {
	json     map[string]any
	once     sync.Once
	compiled *jsonschema.Schema
	err      error
}

func (s *schema) UnmarshalYAML(node *yaml.Node) error { return node.Decode(&s.json) }

func (s *schema) check(d *description, value any) error {
	s.once.Do(func() { s.compiled, s.err = compile(s.json, d.Components.Schemas) })
	if s.err != nil {
		return s.err
	}
	return s.compiled.Validate(value)
}

// compile puts the components where the references look for them.
func compile(schema, components map[string]any) (*jsonschema.Schema, error) {
	root := map[string]any{"components": map[string]any{"schemas": components}}
	for word, value := range schema {
		root[word] = value
	}
	resource, err := asJSON(root)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi:", resource); err != nil {
		return nil, err
	}
	return c.Compile("openapi:")
}

// asJSON is a value as it is after a way through JSON.
func asJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// malformed recognises the problems that blame the form of one parameter.
var malformed = regexp.MustCompile(`"detail":"The parameter \w+ (is malformed|was given)`)

// check says where an answer is not as described; and the request, if it was
// accepted. What is as described counts as reached.
func (d *description) check(a *answer) error {
	function, rest, _ := strings.Cut(strings.TrimPrefix(a.Request.URL.Path, "/"), "/")
	if !slices.Contains(site.Functions, function) {
		return nil // a function that somebody added
	}
	if name := path.Base(rest); name == "favicon.ico" || name == "robots.txt" {
		return d.checkAnswer(a, &response{}, "")
	}
	o := d.operation(d.Paths["/"+function], a.Request.Method)
	r, ok := o.Responses[fmt.Sprint(a.StatusCode)]
	if !ok {
		return fmt.Errorf("no response %d", a.StatusCode)
	}
	r, err := d.response(r)
	if err != nil {
		return err
	}
	if err := d.checkAnswer(a, r, fmt.Sprintf("%s /%s %d", a.Request.Method, function, a.StatusCode)); err != nil {
		return err
	}
	if malformed.Match(a.body) {
		if d.checkRequest(a.Request, o) == nil {
			return errors.New("refused, although every parameter is as described")
		}
		return nil
	}
	if location, _ := a.Location(); a.StatusCode >= 400 || location != nil && location.Query().Has("error") {
		return nil // what else is wrong with a request, no schema tells
	}
	return d.checkRequest(a.Request, o)
}

// operation is the one of a method. What is not described is answered as the
// description's introduction says.
func (d *description) operation(operations map[string]*operation, method string) *operation {
	for name, o := range operations {
		if strings.ToUpper(name) == method {
			return o
		}
	}
	refused := d.Components.Responses
	return &operation{Responses: map[string]*response{"403": refused["OriginNotAllowed"], "405": refused["MethodNotAllowed"]}}
}

func (d *description) checkAnswer(a *answer, r *response, where string) error {
	if err := d.checkHeaders(a.Header, r.Headers); err != nil {
		return err
	}
	if a.Request.Method == http.MethodHead {
		return nil
	}
	given := a.Header.Get("Content-Type")
	if len(r.Content) == 0 {
		if given != "" || len(a.body) > 0 {
			return fmt.Errorf("a body of type %q", given)
		}
		reach(where)
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(given)
	c, ok := r.Content[mediaType]
	if err != nil || !ok {
		return fmt.Errorf("Content-Type %q", given)
	}
	where += " " + mediaType
	switch mediaType {
	case "text/html":
	case "application/x-ndjson":
		err = d.checkLines(a.body, c)
	default:
		err = checkJSON(d, a.body, c)
	}
	if err != nil {
		return err
	}
	if mediaType == "application/problem+json" {
		var p struct {
			Type, Reason string
			Status       int
		}
		if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.StatusCode || p.Type != "urn:gmailgrant:problem:"+p.Reason {
			return fmt.Errorf("the problem does not fit its reason and status: %v", err)
		}
		where += " " + p.Reason
	}
	reach(where)
	return nil
}

func checkJSON(d *description, text []byte, c *content) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.Schema.check(d, value)
}

// checkLines: the last line, and no other, is without id.
func (d *description) checkLines(text []byte, c *content) error {
	lines := bytes.Split(text, []byte("\n"))
	if n := len(lines); n < 2 || len(lines[n-1]) != 0 {
		return fmt.Errorf("the last line does not end")
	}
	lines = lines[:len(lines)-1]
	for i, line := range lines {
		if err := checkJSON(d, line, c); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		var m struct{ ID *string }
		if err := json.Unmarshal(line, &m); err != nil || (m.ID == nil) != (i == len(lines)-1) {
			return fmt.Errorf("line %d of %d: %.80s", i+1, len(lines), line)
		}
	}
	return nil
}

// ofHTTP are headers of the protocol itself.
var ofHTTP = []string{"Content-Length", "Content-Type", "Date"}

// checkHeaders: those that have to be there are, and no others than described.
func (d *description) checkHeaders(given http.Header, described map[string]*header) error {
	all := make(map[string]*header)
	for _, some := range []map[string]*header{d.EveryResponse, described} {
		for name, h := range some {
			h, err := component(h, h.Ref, d.Components.Headers)
			if err != nil {
				return err
			}
			if h.Required && given.Get(name) == "" {
				return fmt.Errorf("no header %s", name)
			}
			all[http.CanonicalHeaderKey(name)] = h
		}
	}
	for name, values := range given {
		if slices.Contains(ofHTTP, name) {
			continue
		}
		h, ok := all[name]
		if !ok || len(values) != 1 {
			return fmt.Errorf("header %s: %q", name, values)
		}
		if err := h.Schema.check(d, h.Schema.value(values[0])); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	return nil
}

// value is a text as what the schema wants it to be, if it is written like that.
func (s *schema) value(text string) any {
	switch s.json["type"] {
	case "integer":
		if n, err := strconv.Atoi(text); err == nil && strconv.Itoa(n) == text {
			return n
		}
	case "boolean":
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return text
}

// checkRequest: what is accepted is described.
func (d *description) checkRequest(r *http.Request, o *operation) error {
	for name, values := range r.URL.Query() {
		i := slices.IndexFunc(o.Parameters, func(p *parameter) bool {
			return p.Name == name || p.Style == "form" && p.Schema.json["type"] == "object" // any
		})
		if i < 0 {
			return fmt.Errorf("the unknown parameter %s is accepted", name)
		}
		p := o.Parameters[i]
		if err := p.check(d, name, values); err != nil {
			return fmt.Errorf("accepted, although %s: %w", name, err)
		}
		reach(fmt.Sprintf("%s %s ?%s", r.Method, r.URL.Path, p.Name))
	}
	if o.RequestBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(body)
	if err != nil {
		return err
	}
	return o.RequestBody.Content["application/json"].Schema.check(d, value)
}

func (p *parameter) check(d *description, name string, values []string) error {
	if !utf8.ValidString(strings.Join(values, "")) {
		return errors.New("it is not UTF-8")
	}
	switch p.Schema.json["type"] {
	case "array":
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		return p.Schema.check(d, list)
	case "object":
		return p.Schema.check(d, map[string]any{name: values[0]})
	}
	if len(values) != 1 {
		return fmt.Errorf("%d values", len(values))
	}
	return p.Schema.check(d, p.Schema.value(values[0]))
}

// reached is what of the description was met in this process.
var reached sync.Map

func reach(what string) { reached.Store(what, true) }

// unreachable is what no test can meet: only a bug brings about internal, and no
// request with Google's error is accepted.
func unreachable(what string) bool {
	return strings.HasSuffix(what, " "+string(endpoint.Internal)) || what == "GET /callback ?error"
}

// unreached are the answers and parameters in the description that no test met.
func (d *description) unreached() (faults []string) {
	for path, operations := range d.Paths {
		for method, o := range operations {
			where := strings.ToUpper(method) + " " + path
			for _, what := range o.outcomes(d, where) {
				if _, ok := reached.Load(what); !ok && !unreachable(what) {
					faults = append(faults, what)
				}
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func (o *operation) outcomes(d *description, where string) (all []string) {
	for _, p := range o.Parameters {
		all = append(all, where+" ?"+p.Name)
	}
	for status, r := range o.Responses {
		r, err := d.response(r)
		if err != nil {
			return []string{err.Error()}
		}
		if len(r.Content) == 0 {
			all = append(all, where+" "+status)
		}
		for mediaType, c := range r.Content {
			what := where + " " + status + " " + mediaType
			if mediaType != "application/problem+json" {
				all = append(all, what)
			}
			for _, reason := range c.reasons() {
				all = append(all, what+" "+reason)
			}
		}
	}
	return all
}

// reasons are those to which a content narrows the problem.
func (c *content) reasons() []string {
	var s struct {
		AllOf []struct {
			Properties struct{ Reason struct{ Enum []string } }
		}
	}
	text, err := json.Marshal(c.Schema.json)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return nil
	}
	var all []string
	for _, part := range s.AllOf {
		all = append(all, part.Properties.Reason.Enum...)
	}
	return all
}

// runAll runs the tests. When they were all of them, everything in the
// description has to have been met.
func runAll(m *testing.M) int {
	code := m.Run()
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return code
		}
	}
	if code != 0 {
		return code
	}
	d, err := described()
	if err != nil {
		return 1 // a test has said so
	}
	faults := d.unreached()
	for _, what := range faults {
		fmt.Fprintln(os.Stderr, "openapi.yaml: no test meets", what)
	}
	return min(len(faults), 1)
}
