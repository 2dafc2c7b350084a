package blackout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// MaxBytes is how large the file of a calendar may be.
const MaxBytes = 1 << 20

// Parse reads the file of a calendar: application/yaml, application/json, or
// text/calendar, which has no name of its own, so that the caller gives one. Every
// window is sound then; the error is an Invalid one with all that is wrong, with
// line and column where the file is YAML.
func Parse(doc []byte, mediaType string) (fleet.Calendar, error) {
	if len(doc) > MaxBytes {
		return fleet.Calendar{}, fleet.Errorf(fleet.TooLarge, "the calendar has %d bytes, at most %d are read", len(doc), MaxBytes)
	}
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		kind = mediaType
	}
	var calendar fleet.Calendar
	var found problems
	switch kind {
	case "application/json":
		calendar, err = parseJSON(doc)
	case "application/yaml", "application/x-yaml", "text/yaml":
		calendar, err = parseYAML(doc, &found)
	case "text/calendar":
		calendar, err = parseICal(doc)
	default:
		return fleet.Calendar{}, fleet.Invalidf("content-type", mediaType, "want application/yaml, application/json or text/calendar")
	}
	if err == nil {
		err = found.err()
	}
	if err != nil {
		return fleet.Calendar{}, err
	}
	if read(&calendar, &found); found.err() != nil {
		return fleet.Calendar{}, found.err()
	}
	return calendar, nil
}

func parseJSON(doc []byte) (calendar fleet.Calendar, err error) {
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&calendar); err != nil {
		return calendar, fleet.Invalidf("calendar", "", "%v", err).WithHint("an example is in fleetctl calendar put --help")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return calendar, fleet.Invalidf("calendar", "", "more follows after the document")
	}
	return calendar, nil
}

// parseYAML reads a mapping by the names of the JSON form.
func parseYAML(doc []byte, found *problems) (calendar fleet.Calendar, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(doc))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		return calendar, fleet.Invalidf("calendar", "", "%v", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return calendar, fleet.Invalidf("calendar", "", "more than one document: want one calendar a file")
	}
	if len(root.Content) != 1 {
		return calendar, fleet.Invalidf("calendar", "", "is empty")
	}
	y := yamlReader{found}
	y.into(reflect.ValueOf(&calendar).Elem(), root.Content[0], "")
	return calendar, nil
}

// yamlReader reads nodes into values by the names of their JSON form. It knows the
// kinds that a calendar is made of.
type yamlReader struct{ found *problems }

func (y yamlReader) wrong(n *yaml.Node, path, format string, args ...any) {
	y.found.fields = append(y.found.fields, fleet.FieldError{
		Field: strings.TrimPrefix(path, "."), Value: clip(n.Value), Reason: fmt.Sprintf(format, args...), Line: n.Line, Column: n.Column,
	})
}

func (y yamlReader) into(v reflect.Value, n *yaml.Node, path string) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		y.wrong(n, path, "anchors and aliases are not read: write it out")
	case v.Type() == reflect.TypeFor[time.Time]():
		y.instant(v, n, path)
	case v.Type() == reflect.TypeFor[fleet.Duration]():
		d, err := fleet.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			y.wrong(n, path, "want a duration such as 90s, 5m, 1h30m or 2d")
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		y.into(v.Elem(), n, path)
	case v.Kind() == reflect.Struct:
		y.mapping(v, n, path)
	case v.Kind() == reflect.Slice:
		y.list(v, n, path)
	case n.Kind != yaml.ScalarNode:
		y.wrong(n, path, "want a text")
	default:
		v.SetString(n.Value)
	}
}

func (y yamlReader) instant(v reflect.Value, n *yaml.Node, path string) {
	at, err := time.Parse(time.RFC3339, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		y.wrong(n, path, "want an instant with its offset, such as 2026-12-24T00:00:00+01:00")
		return
	}
	v.Set(reflect.ValueOf(at))
}

func (y yamlReader) list(v reflect.Value, n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		y.wrong(n, path, "want a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		y.into(v.Index(i), item, path+"["+strconv.Itoa(i)+"]")
	}
}

func (y yamlReader) mapping(v reflect.Value, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		y.wrong(n, path, "want a mapping of %s", strings.Join(names(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := fieldOf(v, key.Value)
		switch {
		case seen[key.Value]:
			y.wrong(key, path+"."+key.Value, "is there twice")
		case !field.IsValid():
			y.wrong(key, path+"."+key.Value, "is not known: want %s", strings.Join(names(v.Type()), ", "))
		default:
			y.into(field, value, path+"."+key.Value)
		}
		seen[key.Value] = true
	}
}

// names lists the fields of a struct as they are written.
func names(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}

func fieldOf(v reflect.Value, name string) reflect.Value {
	for i, known := range names(v.Type()) {
		if known == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
