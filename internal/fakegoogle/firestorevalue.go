package fakegoogle

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// parseFieldPath splits a field path: simple names separated by dots, any other
// name in backquotes, with a backslash before a backquote or a backslash
// (google.firestore.v1.StructuredQuery.FieldReference).
func parseFieldPath(s string) ([]string, error) {
	var path []string
	rest := s
	for {
		name, tail, ok := cutFieldName(rest)
		if !ok || name == "" {
			return nil, status.Errorf(codes.InvalidArgument, "Property path %q is malformed.", s)
		}
		path = append(path, name)
		if tail == "" {
			return path, nil
		}
		if tail[0] != '.' {
			return nil, status.Errorf(codes.InvalidArgument, "Property path %q is malformed.", s)
		}
		rest = tail[1:]
	}
}

func cutFieldName(s string) (name, tail string, ok bool) {
	if !strings.HasPrefix(s, "`") {
		end := strings.IndexAny(s, ".`")
		if end < 0 {
			return s, "", true
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '`':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// fieldAt is the value at a path, or nil.
func fieldAt(fields map[string]*firestorepb.Value, path []string) *firestorepb.Value {
	v := fields[path[0]]
	for _, name := range path[1:] {
		v = v.GetMapValue().GetFields()[name]
	}
	return v
}

// setField sets the value at a path. What is in the way and is no map, becomes one.
func setField(fields map[string]*firestorepb.Value, path []string, v *firestorepb.Value) {
	for _, name := range path[:len(path)-1] {
		inner := fields[name].GetMapValue()
		if inner == nil {
			inner = &firestorepb.MapValue{}
			fields[name] = &firestorepb.Value{ValueType: &firestorepb.Value_MapValue{MapValue: inner}}
		}
		if inner.Fields == nil {
			inner.Fields = make(map[string]*firestorepb.Value)
		}
		fields = inner.Fields
	}
	fields[path[len(path)-1]] = v
}

func deleteField(fields map[string]*firestorepb.Value, path []string) {
	for _, name := range path[:len(path)-1] {
		fields = fields[name].GetMapValue().GetFields()
	}
	delete(fields, path[len(path)-1])
}

func cloneFields(fields map[string]*firestorepb.Value) map[string]*firestorepb.Value {
	clone := make(map[string]*firestorepb.Value, len(fields))
	for name, v := range fields {
		clone[name] = storedValue(v)
	}
	return clone
}

// storedValue is a copy as Firestore keeps it: timestamps lose what is below a
// microsecond (google.firestore.v1.Value.timestamp_value).
func storedValue(v *firestorepb.Value) *firestorepb.Value {
	clone := proto.CloneOf(v)
	truncateTimes(clone)
	return clone
}

func truncateTimes(v *firestorepb.Value) {
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_TimestampValue:
		v.TimestampValue.Nanos -= v.TimestampValue.GetNanos() % 1000
	case *firestorepb.Value_ArrayValue:
		for _, e := range v.ArrayValue.GetValues() {
			truncateTimes(e)
		}
	case *firestorepb.Value_MapValue:
		for _, e := range v.MapValue.GetFields() {
			truncateTimes(e)
		}
	}
}

// documentSize follows https://firebase.google.com/docs/firestore/storage-size.
func documentSize(path string, fields map[string]*firestorepb.Value) int {
	size := 16 + 32
	for segment := range strings.SplitSeq(path, "/") {
		size += len(segment) + 1
	}
	return size + fieldsSize(fields)
}

func fieldsSize(fields map[string]*firestorepb.Value) int {
	size := 0
	for name, v := range fields {
		size += len(name) + 1 + valueSize(v)
	}
	return size
}

func valueSize(v *firestorepb.Value) int {
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_StringValue:
		return len(v.StringValue) + 1
	case *firestorepb.Value_BytesValue:
		return len(v.BytesValue)
	case *firestorepb.Value_ReferenceValue:
		return len(v.ReferenceValue) + 1
	case *firestorepb.Value_IntegerValue, *firestorepb.Value_DoubleValue, *firestorepb.Value_TimestampValue:
		return 8
	case *firestorepb.Value_GeoPointValue:
		return 16
	case *firestorepb.Value_MapValue:
		return 32 + fieldsSize(v.MapValue.GetFields())
	case *firestorepb.Value_ArrayValue:
		size := 0
		for _, e := range v.ArrayValue.GetValues() {
			size += valueSize(e)
		}
		return size
	default:
		return 1 // null, boolean
	}
}

func goFields(fields map[string]*firestorepb.Value) map[string]any {
	out := make(map[string]any, len(fields))
	for name, v := range fields {
		out[name] = goValue(v)
	}
	return out
}

// goValue is the value as the Go client would return it; a reference is the
// name of what it refers to.
func goValue(v *firestorepb.Value) any {
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_BooleanValue:
		return v.BooleanValue
	case *firestorepb.Value_IntegerValue:
		return v.IntegerValue
	case *firestorepb.Value_DoubleValue:
		return v.DoubleValue
	case *firestorepb.Value_TimestampValue:
		return v.TimestampValue.AsTime()
	case *firestorepb.Value_StringValue:
		return v.StringValue
	case *firestorepb.Value_BytesValue:
		return append([]byte{}, v.BytesValue...)
	case *firestorepb.Value_ReferenceValue:
		return v.ReferenceValue
	case *firestorepb.Value_GeoPointValue:
		return proto.CloneOf(v.GeoPointValue)
	case *firestorepb.Value_ArrayValue:
		out := make([]any, len(v.ArrayValue.GetValues()))
		for i, e := range v.ArrayValue.GetValues() {
			out[i] = goValue(e)
		}
		return out
	case *firestorepb.Value_MapValue:
		return goFields(v.MapValue.GetFields())
	default:
		return nil
	}
}

func protoFields(fields map[string]any) map[string]*firestorepb.Value {
	out := make(map[string]*firestorepb.Value, len(fields))
	for name, v := range fields {
		out[name] = storedValue(protoValue(v))
	}
	return out
}

func protoValue(v any) *firestorepb.Value {
	switch v := v.(type) {
	case nil:
		return &firestorepb.Value{ValueType: &firestorepb.Value_NullValue{}}
	case bool:
		return &firestorepb.Value{ValueType: &firestorepb.Value_BooleanValue{BooleanValue: v}}
	case int:
		return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: int64(v)}}
	case int64:
		return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: v}}
	case float64:
		return &firestorepb.Value{ValueType: &firestorepb.Value_DoubleValue{DoubleValue: v}}
	case string:
		return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: v}}
	case []byte:
		return &firestorepb.Value{ValueType: &firestorepb.Value_BytesValue{BytesValue: v}}
	case time.Time:
		return &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(v)}}
	case []string:
		return protoArray(v)
	case []any:
		return protoArray(v)
	case map[string]any:
		return &firestorepb.Value{ValueType: &firestorepb.Value_MapValue{MapValue: &firestorepb.MapValue{Fields: protoFields(v)}}}
	default:
		panic(fmt.Sprintf("fakegoogle: a document field can't be a %T", v))
	}
}

func protoArray[T any](elements []T) *firestorepb.Value {
	array := &firestorepb.ArrayValue{}
	for _, e := range elements {
		array.Values = append(array.Values, protoValue(e))
	}
	return &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: array}}
}
