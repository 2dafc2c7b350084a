package taskfile

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// scalars are structs that a file writes as one value.
var scalars = []reflect.Type{reflect.TypeFor[fleet.Command](), reflect.TypeFor[fleet.Frequency]()}

// TestEveryFieldOfATaskIsInATable notices a field of the contract that no file
// could say, and one that Format would lose.
func TestEveryFieldOfATaskIsInATable(t *testing.T) {
	var walk func(of reflect.Type, path string)
	walk = func(of reflect.Type, path string) {
		at := slices.IndexFunc(sections, func(s section) bool { return s.name == path })
		if at < 0 {
			t.Errorf("%s has no table", nameOf(path))
			return
		}
		table := sections[at].fields
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !slices.ContainsFunc(table, func(f field) bool { return f.name == name }) {
				t.Errorf("%s is in no table", join(path, name))
			}
			if inner := of.Field(i).Type; inner.Kind() == reflect.Struct && !slices.Contains(scalars, inner) {
				walk(inner, join(path, name))
			}
		}
	}
	walk(reflect.TypeFor[fleet.Task](), "")
}

// TestTheReferenceNamesEveryField holds the example that people look fields up
// in to the tables.
func TestTheReferenceNamesEveryField(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "packaging", "examples", "reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(doc, "application/yaml"); err != nil {
		t.Error(err)
	}
	for _, section := range sections {
		for _, field := range section.fields {
			if !regexp.MustCompile(`(?m)(^|[ {])` + field.name + `:( |$)`).Match(doc) {
				t.Errorf("the reference does not name %s", join(section.name, field.name))
			}
		}
	}
}

// TestEveryFieldIsWritten sets one field after the other and looks for its name
// in the file.
func TestEveryFieldIsWritten(t *testing.T) {
	for _, section := range sections {
		for _, field := range section.fields {
			var task fleet.Task
			path := join(section.name, field.name)
			leaf := set(reflect.ValueOf(&task).Elem(), strings.Split(path, "."))
			doc, err := Format(task)
			if err != nil {
				t.Fatal(err)
			}
			if leaf && !strings.Contains(string(doc), field.name+":") {
				t.Errorf("%s is not written:\n%s", path, doc)
			}
		}
	}
}

// set gives the field at the path some value. It reports false for a mapping,
// whose own fields have their turn.
func set(v reflect.Value, path []string) bool {
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name == path[0] {
			v = v.Field(i)
			break
		}
	}
	if len(path) > 1 {
		return set(v, path[1:])
	}
	if v.Kind() == reflect.Struct && !slices.Contains(scalars, v.Type()) {
		return false
	}
	fill(v)
	return true
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.NumField() > 0 && v.Field(0).CanSet() {
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		}
	}
}
