package seal

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxDepth is how deep a document may nest.
const maxDepth = 32

// DecodeStrict reads one JSON document into the struct that into points at: no
// unknown key, none twice, none in another case, nothing after the end, valid
// UTF-8, at most 32 levels. The error is Invalid with a code: json_duplicate_key,
// json_case, json_trailing, json_depth, json_utf8, unknown_field or json.
func DecodeStrict(text []byte, into any) error {
	if !utf8.Valid(text) {
		return refuse("json_utf8", "is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := walk(d, reflect.TypeOf(into).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return refuse("json_trailing", "goes on after its end")
	}
	d = json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &fleet.Error{Kind: fleet.Invalid, Code: "json", Message: "the document does not fit", Err: err}
	}
	return nil
}

func refuse(code, reason string) *fleet.Error {
	return fleet.Errorf(fleet.Invalid, "the document %s", reason).WithCode(code)
}

// walk reads one value and refuses what encoding/json would forgive. t is what
// it is read into; nil: anything.
func walk(d *json.Decoder, t reflect.Type, at string, depth int) error {
	if depth > maxDepth {
		return refuse("json_depth", "nests too deep")
	}
	token, err := d.Token()
	if err != nil {
		return &fleet.Error{Kind: fleet.Invalid, Code: "json", Message: "the document is not JSON", Err: err}
	}
	open, compound := token.(json.Delim)
	if !compound {
		return nil
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if open == '[' {
		var item reflect.Type
		if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			item = t.Elem()
		}
		for d.More() {
			if err := walk(d, item, at+"[]", depth+1); err != nil {
				return err
			}
		}
	} else {
		if err := walkObject(d, t, at, depth); err != nil {
			return err
		}
	}
	_, err = d.Token()
	if err != nil {
		return &fleet.Error{Kind: fleet.Invalid, Code: "json", Message: "the document is not JSON", Err: err}
	}
	return nil
}

func walkObject(d *json.Decoder, t reflect.Type, at string, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return &fleet.Error{Kind: fleet.Invalid, Code: "json", Message: "the document is not JSON", Err: err}
		}
		name, _ := token.(string)
		where := strings.TrimPrefix(at+"."+name, ".")
		if seen[name] {
			return fleet.Invalidf(where, "", "stands twice").WithCode("json_duplicate_key")
		}
		seen[name] = true
		value, err := fieldOf(t, name, where)
		if err != nil {
			return err
		}
		if err := walk(d, value, where, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unmarshaler is who reads its own JSON; nothing is known of what is within.
var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fieldOf returns what a key is read into; nil: anything.
func fieldOf(t reflect.Type, name, where string) (reflect.Type, error) {
	switch {
	case t == nil || t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler):
		return nil, nil
	case t.Kind() == reflect.Map:
		return t.Elem(), nil
	case t.Kind() != reflect.Struct:
		return nil, nil
	}
	near := false
	for field := range fields(t) {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name {
			return field.Type, nil
		}
		near = near || strings.EqualFold(tag, name)
	}
	if near {
		return nil, fleet.Invalidf(where, "", "is written in another case").WithCode("json_case")
	}
	return nil, fleet.Invalidf(where, "", "is no field here").WithCode("unknown_field")
}

// fields yields a struct's own fields and those of what it embeds.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, field := range reflect.VisibleFields(t) {
			if field.IsExported() && !field.Anonymous && !yield(field) {
				return
			}
		}
	}
}
