package fakegoogle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// fieldMask is a parsed fields parameter: name to what is wanted below it. An
// empty mask wants everything; "*" stands for every name.
//
// The grammar is that of
// https://developers.google.com/workspace/gmail/api/guides/performance#partial-response:
//
//	mask = path *("," path)
//	path = name *("/" name) ["(" mask ")"]
type fieldMask map[string]fieldMask

// maxMaskDepth bounds how deep a mask nests; no answer nests as deep.
const maxMaskDepth = 50

var errMask = errors.New("malformed fields parameter")

// parseMask parses a non-empty fields parameter.
func parseMask(s string) (fieldMask, error) {
	p := maskParser{rest: s}
	mask := make(fieldMask)
	if err := p.mask(mask, 0); err != nil {
		return nil, err
	}
	if p.rest != "" {
		return nil, errMask
	}
	return mask, nil
}

// maskParser is a recursive descent over what is left of the parameter.
type maskParser struct{ rest string }

func (p *maskParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *maskParser) mask(into fieldMask, depth int) error {
	for {
		if err := p.path(into, depth+1); err != nil {
			return err
		}
		if !p.take(',') {
			return nil
		}
	}
}

func (p *maskParser) path(into fieldMask, depth int) error {
	if depth > maxMaskDepth {
		return errMask
	}
	name := p.name()
	if name == "" {
		return errMask
	}
	below, seen := into[name]
	if below == nil {
		below = make(fieldMask)
	}
	whole := seen && len(below) == 0
	into[name] = below
	if err := p.below(below, depth); err != nil {
		return err
	}
	if whole {
		clear(below) // "a,a/b" wants all of a
	}
	return nil
}

// below parses what may follow a name.
func (p *maskParser) below(into fieldMask, depth int) error {
	switch {
	case p.take('/'):
		return p.path(into, depth+1)
	case p.take('('):
		if err := p.mask(into, depth+1); err != nil {
			return err
		}
		if !p.take(')') {
			return errMask
		}
		return nil
	default:
		clear(into) // "a/b,a" wants all of a
		return nil
	}
}

func (p *maskParser) name() string {
	end := strings.IndexAny(p.rest, ",/()")
	if end < 0 {
		end = len(p.rest)
	}
	name := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	return name
}

// parseMaskFor parses a mask and refuses names that the answer doesn't have.
// Without a fields parameter the mask is nil.
func parseMaskFor(fields string, answer any) (fieldMask, *apiError) {
	if fields == "" {
		return nil, nil
	}
	mask, err := parseMask(fields)
	if err != nil {
		return nil, badRequest("Invalid value for the 'fields' parameter: %q", fields)
	}
	if err := mask.check(reflect.TypeOf(answer)); err != nil {
		return nil, badRequest("Invalid field selection: %s", err)
	}
	return mask, nil
}

// check compares the mask with the JSON names of a struct type.
func (mask fieldMask) check(t reflect.Type) error {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for name, below := range mask {
		if name == "*" && len(below) == 0 {
			continue
		}
		field, ok := jsonField(t, name)
		if !ok {
			return fmt.Errorf("no such field: %s", name)
		}
		if err := below.check(field); err != nil {
			return err
		}
	}
	return nil
}

func jsonField(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name && tag != "-" {
			return f.Type, true
		}
	}
	return nil, false
}

// apply keeps of a JSON document what the mask wants.
func (mask fieldMask) apply(document []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(mask.filter(v))
}

// filter keeps of a decoded value what the mask wants; arrays are looked through.
func (mask fieldMask) filter(v any) any {
	if len(mask) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any)
		for name, value := range v {
			if below, ok := mask.of(name); ok {
				kept[name] = below.filter(value)
			}
		}
		return kept
	case []any:
		for i := range v {
			v[i] = mask.filter(v[i])
		}
		return v
	default:
		return v
	}
}

func (mask fieldMask) of(name string) (below fieldMask, ok bool) {
	if below, ok = mask[name]; ok {
		return below, true
	}
	below, ok = mask["*"]
	return below, ok
}

func indent(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, document, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
