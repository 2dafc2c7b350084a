package httpd

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxDepth is how deep a body may nest.
const maxDepth = 16

// decoder reads a JSON body into T and refuses what encoding/json lets pass: a
// name in another case, a name given twice, a name that T does not have, more
// after the end, bytes that are no UTF-8, nesting without end. What two
// readers could understand in two ways is understood in none.
type decoder[T any] struct{ shape *shape }

func newDecoder[T any]() decoder[T] {
	return decoder[T]{shapeOf(reflect.TypeFor[T](), map[reflect.Type]*shape{})}
}

func (d decoder[T]) decode(text []byte) (T, error) {
	var value T
	if !utf8.Valid(text) {
		return value, malformed("the body is not UTF-8").WithCode("json_utf8")
	}
	if halfCharacter(text) {
		return value, malformed(`the body has half of a character: \ud800 to \udfff stand in pairs`).WithCode("json_utf8")
	}
	err := json.Unmarshal(text, &value)
	if len(bytes.TrimSpace(text)) == 0 {
		return value, malformed("the body is empty")
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := position(text, int(e.Offset)-1)
		if strings.Contains(e.Error(), "after top-level value") {
			return value, malformed("the body goes on after its end: line " + strconv.Itoa(line) + ", column " + strconv.Itoa(column)).WithCode("json_trailing")
		}
		return value, malformed("the body is not JSON: line " + strconv.Itoa(line) + ", column " + strconv.Itoa(column) + ": " + e.Error())
	}
	w := walker{text: text}
	if wrong := w.value(d.shape, 0); wrong != nil {
		return value, wrong.at(text)
	}
	if err == nil {
		return value, nil
	}
	w = walker{text: text, read: true}
	if wrong := w.value(d.shape, 0); wrong != nil {
		return value, wrong.at(text)
	}
	return value, unreadable(text, err)
}

func malformed(message string) *fleet.Error {
	return fleet.Errorf(fleet.Invalid, "%s", message).WithCode(api.CodeMalformed)
}

// halfCharacter reports whether an escape names half of a character, which
// readers of JSON replace each in its own way.
func halfCharacter(text []byte) bool {
	if !bytes.Contains(text, []byte(`\u`)) {
		return false
	}
	high := false
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 >= len(text) {
			if high {
				return true
			}
			continue
		}
		i++
		unit, err := strconv.ParseUint(string(text[min(i+1, len(text)):min(i+5, len(text))]), 16, 16)
		isHalf := text[i] == 'u' && err == nil && unit >= 0xd800 && unit < 0xe000
		isHigh := isHalf && unit < 0xdc00
		if high != (isHalf && !isHigh) {
			return true
		}
		if high = isHigh; text[i] == 'u' {
			i += 4
		}
	}
	return high
}

// unreadable says which field holds a value of the wrong type.
func unreadable(text []byte, err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		line, column := position(text, int(e.Offset)-1)
		return &fleet.Error{Kind: fleet.Invalid, Message: "body", Fields: []fleet.FieldError{{
			Field: e.Field, Reason: "want " + wanted(e.Type) + ", got " + e.Value, Line: line, Column: column}}}
	}
	return fleet.Errorf(fleet.Invalid, "the body cannot be read: %v", err)
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a number"
	}
}

// position returns the 1-based line and column of a byte.
func position(text []byte, offset int) (line, column int) {
	before := text[:max(0, min(offset, len(text)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// shape is what a JSON value of some type may hold.
type shape struct {
	fields map[string]*slot // of an object with fixed names; nil: any names
	of     *shape           // of lists and of objects with any names: what they hold
	self   reflect.Type     // of what reads itself: durations, addresses, instants
}

type slot struct {
	shape *shape
	bit   uint64
}

var (
	readsJSON = reflect.TypeFor[json.Unmarshaler]()
	readsText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shapeOf returns nil for plain values.
func shapeOf(t reflect.Type, seen map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := seen[t]; ok {
		return known
	}
	if pointer := reflect.PointerTo(t); pointer.Implements(readsJSON) || pointer.Implements(readsText) {
		return &shape{self: t}
	}
	s := new(shape)
	switch t.Kind() {
	case reflect.Struct:
		seen[t] = s
		s.fields = map[string]*slot{}
		s.addFields(t, seen)
	case reflect.Slice, reflect.Array, reflect.Map:
		s.of = shapeOf(t.Elem(), seen)
	default:
		return nil
	}
	return s
}

func (s *shape) addFields(t reflect.Type, seen map[reflect.Type]*shape) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct:
			s.addFields(field.Type, seen)
		case !field.IsExported() || name == "-":
		default:
			if name == "" {
				name = field.Name
			}
			s.fields[name] = &slot{shapeOf(field.Type, seen), 1 << len(s.fields)}
		}
	}
}
