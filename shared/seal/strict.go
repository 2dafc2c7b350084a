package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxDepth is how deep a document may nest.
const maxDepth = 32

// DecodeStrict reads one JSON object into the struct that into points at: no
// unknown key, none twice, none in another case, nothing after the end, valid
// UTF-8 also in escapes, at most 32 levels. So whoever reads the bytes with
// whatever parser reads the same. The error is Invalid with a code:
// json_duplicate_key, json_case, json_trailing, json_depth, json_utf8,
// json_type, unknown_field or json.
func DecodeStrict(text []byte, into any) error {
	if !utf8.Valid(text) {
		return refuse("json_utf8", "is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	s := strict{decoder: d, fields: map[reflect.Type]map[string]reflect.Type{}}
	if err := s.value(reflect.TypeOf(into).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return refuse("json_trailing", "goes on after its end")
	}
	if loneSurrogate(text) {
		return refuse("json_utf8", `has half of a character: \ud800 to \udfff stand in pairs`)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return misfit(err)
	}
	return nil
}

func refuse(code, reason string) *fleet.Error {
	return fleet.Errorf(fleet.Invalid, "the document %s", reason).WithCode(code)
}

// broken is what encoding/json itself does not read.
func broken(err error) *fleet.Error {
	return &fleet.Error{Kind: fleet.Invalid, Code: "json", Message: "the document is not JSON", Err: err}
}

// misfit says which field cannot hold what stands there.
func misfit(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fleet.Invalidf(wrong.Field, "", "cannot be a %s", wrong.Value).WithCode("json_type")
	}
	return &fleet.Error{Kind: fleet.Invalid, Code: "json_type", Message: "the document does not fit", Err: err}
}

// strict walks a document and refuses what encoding/json would forgive.
type strict struct {
	decoder *json.Decoder
	fields  map[reflect.Type]map[string]reflect.Type // of the structs met so far
}

// value reads one value. t is what it is read into; nil: anything.
func (s *strict) value(t reflect.Type, at string, depth int) error {
	if depth > maxDepth {
		return refuse("json_depth", "nests deeper than "+strconv.Itoa(maxDepth)+" levels")
	}
	token, err := s.decoder.Token()
	if err != nil {
		return broken(err)
	}
	open, compound := token.(json.Delim)
	switch {
	case depth == 0 && open != '{':
		return refuse("json", "is no JSON object")
	case !compound:
		return nil
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if open == '[' {
		err = s.items(t, at, depth)
	} else {
		err = s.members(t, at, depth)
	}
	if err != nil {
		return err
	}
	if _, err := s.decoder.Token(); err != nil { // the closing bracket
		return broken(err)
	}
	return nil
}

func (s *strict) items(t reflect.Type, at string, depth int) error {
	var item reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		item = t.Elem()
	}
	for s.decoder.More() {
		if err := s.value(item, at+"[]", depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *strict) members(t reflect.Type, at string, depth int) error {
	seen := map[string]bool{}
	for s.decoder.More() {
		token, err := s.decoder.Token()
		if err != nil {
			return broken(err)
		}
		name, _ := token.(string) // encoding/json lets no other key pass
		where := strings.TrimPrefix(at+"."+name, ".")
		if seen[name] {
			return fleet.Invalidf(where, "", "stands twice").WithCode("json_duplicate_key")
		}
		seen[name] = true
		value, err := s.member(t, name, where)
		if err != nil {
			return err
		}
		if err := s.value(value, where, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unmarshaler is who reads its own JSON; nothing is known of what is within.
var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// member returns what a key is read into; nil: anything.
func (s *strict) member(t reflect.Type, name, where string) (reflect.Type, error) {
	switch {
	case t == nil || t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler):
		return nil, nil
	case t.Kind() == reflect.Map:
		return t.Elem(), nil
	case t.Kind() != reflect.Struct:
		return nil, nil
	}
	known := s.fields[t]
	if known == nil {
		known = fieldsOf(t)
		s.fields[t] = known
	}
	if field, ok := known[name]; ok {
		return field, nil
	}
	for other := range known {
		if strings.EqualFold(other, name) {
			return nil, fleet.Invalidf(where, "", "is written %q", other).WithCode("json_case")
		}
	}
	return nil, fleet.Invalidf(where, "", "is no field here").WithCode("unknown_field")
}

// fieldsOf returns what encoding/json reads of a struct: its fields and those of
// what it embeds, by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-" || field.Anonymous && name == "":
			continue
		case name == "":
			name = field.Name
		}
		known[name] = field.Type
	}
	return known
}

// loneSurrogate reports whether an escape of a JSON document names half of a
// character, which encoding/json would turn into another one.
func loneSurrogate(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		unit, escape := escaped(text[i:])
		text = text[i+escape:]
		switch {
		case unit < 0xd800 || unit > 0xdfff:
			continue
		case unit > 0xdbff:
			return true
		}
		low, escape := escaped(text)
		if low < 0xdc00 || low > 0xdfff {
			return true
		}
		text = text[escape:]
	}
}

// escaped returns the UTF-16 unit of the escape that text begins with, and its
// length; zero and two for every other escape.
func escaped(text []byte) (unit rune, length int) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, min(2, len(text))
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0, 2
	}
	return rune(n), 6
}
