// Package settings provides one way to configure a program: a struct whose
// defaults work, overlaid by a strict YAML file, by FLEETCRON_ variables and
// by flags, each winning over the one before.
//
// The struct is the documentation: a field's yaml tag is its key, its help tag
// the sentence that --help shows. Nested keys are joined by a dot in errors
// and, for who likes it, in the file (listen.api: …), by an underscore in the environment (FLEETCRON_LISTEN_API) and
// by a dash on the command line (--listen-api).
package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// MaxFileBytes bounds a configuration file.
const MaxFileBytes = 256 << 10

// Source says where the settings come from.
type Source struct {
	File     string                           // path of the YAML file; empty: none
	Optional bool                             // a missing file is no error
	Env      func(name string) (string, bool) // os.LookupEnv; nil: no environment
	Flags    *pflag.FlagSet                   // that Register filled; nil: no flags
}

// Register adds a flag for every key of cfg, a pointer to a struct.
func Register(flags *pflag.FlagSet, cfg any) {
	for _, k := range keys(reflect.ValueOf(cfg).Elem(), nil) {
		flags.String(k.flag(), "", k.help+k.defaultText())
	}
}

// Load overlays cfg, a pointer to a struct that holds the defaults, with what
// the source says. The error names every wrong key of the first layer that has
// one; cfg is then not to be used.
func Load(cfg any, source Source) error {
	if source.File != "" {
		if err := loadFile(cfg, source.File, source.Optional); err != nil {
			return err
		}
	}
	var wrong []fleet.FieldError
	for _, k := range keys(reflect.ValueOf(cfg).Elem(), nil) {
		if source.Env != nil {
			if text, set := source.Env(k.env()); set {
				wrong = append(wrong, k.set(k.env(), text)...)
			}
		}
		if source.Flags != nil {
			if flag := source.Flags.Lookup(k.flag()); flag != nil && flag.Changed {
				wrong = append(wrong, k.set("--"+k.flag(), flag.Value.String())...)
			}
		}
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Usage, Fields: wrong}
	}
	return nil
}

func loadFile(cfg any, path string, optional bool) error {
	file, err := os.Open(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &fleet.Error{Kind: fleet.Usage, Message: "read configuration", Err: err}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return &fleet.Error{Kind: fleet.Usage, Message: "read configuration", Err: err}
	}
	if len(text) > MaxFileBytes {
		return fleet.Errorf(fleet.Usage, "read configuration: %s is larger than %d bytes", path, MaxFileBytes)
	}
	text, lifted, err := liftDotted(cfg, text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		wrong := wrongValues(cfg, text)
		if len(wrong) == 0 {
			wrong = complaints(err)
		}
		return &fleet.Error{Kind: fleet.Usage, Message: path, Fields: wrong}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fleet.Errorf(fleet.Usage, "%s: holds more than one document", path)
	}
	var wrong []fleet.FieldError
	for _, d := range lifted {
		for _, field := range d.key.set(strings.Join(d.key.path, "."), d.text) {
			field.Line, field.Column = d.line, 1
			wrong = append(wrong, field)
		}
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: path, Fields: wrong}
	}
	return nil
}

var (
	atLine  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown = regexp.MustCompile(`^field (\S+) not found in type .*$`)
)

// complaints turns the reader's complaints into fields with their lines.
func complaints(err error) []fleet.FieldError {
	messages := []string{err.Error()}
	if many, is := errors.AsType[*yaml.TypeError](err); is {
		messages = many.Errors
	}
	var fields []fleet.FieldError
	for _, message := range messages {
		field := fleet.FieldError{Field: "configuration", Reason: strings.TrimPrefix(message, "yaml: ")}
		if m := atLine.FindStringSubmatch(message); m != nil {
			field.Line, _ = strconv.Atoi(m[1])
			field.Column = 1
			field.Reason = m[2]
		}
		if m := unknown.FindStringSubmatch(field.Reason); m != nil {
			field.Field, field.Reason = m[1], "is no known key; see --help for all of them"
		}
		fields = append(fields, field)
	}
	return fields
}

// wrongValues lists the values that types of ours refuse, which the reader
// tells without their keys.
func wrongValues(cfg any, text []byte) []fleet.FieldError {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return nil
	}
	var wrong []fleet.FieldError
	for _, k := range keys(reflect.ValueOf(cfg).Elem(), nil) {
		node := root.Content[0]
		for _, name := range k.path {
			if node = child(node, name); node == nil {
				break
			}
		}
		if node == nil {
			continue
		}
		if e, ours := errors.AsType[*fleet.Error](node.Decode(reflect.New(k.value.Type()).Interface())); ours {
			wrong = append(wrong, fleet.FieldError{Field: strings.Join(k.path, "."), Value: node.Value, Reason: k.reason(e), Line: node.Line, Column: node.Column})
		}
	}
	return wrong
}

func child(node *yaml.Node, name string) *yaml.Node {
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// key is one leaf of the struct.
type key struct {
	path  []string
	help  string
	value reflect.Value
}

// keys lists the leaves of a struct in the order of their fields. Fields
// without a yaml tag are not configurable.
func keys(v reflect.Value, path []string) []key {
	var all []key
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		here := append(append([]string{}, path...), name)
		if field.Type.Kind() == reflect.Struct {
			all = append(all, keys(v.Field(i), here)...)
			continue
		}
		all = append(all, key{path: here, help: field.Tag.Get("help"), value: v.Field(i)})
	}
	return all
}

func (k key) flag() string {
	return strings.ReplaceAll(strings.Join(k.path, "-"), "_", "-")
}

func (k key) env() string {
	return "FLEETCRON_" + strings.ToUpper(strings.Join(k.path, "_"))
}

func (k key) defaultText() string {
	if k.value.IsZero() || k.value.Kind() == reflect.Slice || k.value.Kind() == reflect.Map {
		return ""
	}
	return fmt.Sprintf(" (default %v)", k.value.Interface())
}

// set reads text into the field: lists are joined by commas, maps are
// key=value joined by commas, everything else is a YAML scalar.
func (k key) set(from, text string) []fleet.FieldError {
	target := k.value.Addr().Interface()
	switch v := target.(type) {
	case *string:
		*v = text
		return nil
	case *[]string:
		*v = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		return nil
	case *map[string]string:
		*v = map[string]string{}
		for pair := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
			name, value, found := strings.Cut(pair, "=")
			if !found {
				return []fleet.FieldError{{Field: from, Value: text, Reason: "want key=value pairs joined by commas"}}
			}
			(*v)[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		return nil
	}
	if k.value.Type().ConvertibleTo(reflect.TypeFor[[]string]()) {
		return key{k.path, k.help, k.value.Addr().Convert(reflect.TypeFor[*[]string]()).Elem()}.set(from, text)
	}
	if err := yaml.Unmarshal([]byte(text), target); err != nil {
		return []fleet.FieldError{{Field: from, Value: text, Reason: k.reason(err)}}
	}
	return nil
}

// reason says what is wrong with a value: in the words of its type, where that
// has some.
func (k key) reason(err error) string {
	e, ours := errors.AsType[*fleet.Error](err)
	if _, duration := k.value.Interface().(fleet.Duration); ours && !duration && len(e.Fields) > 0 {
		return e.Fields[0].Reason
	}
	return "want a " + k.kind()
}

func (k key) kind() string {
	switch k.value.Interface().(type) {
	case fleet.Duration:
		return "duration such as 90s or 5m"
	case bool:
		return "true or false"
	case int, int64, uint64:
		return "whole number"
	default:
		return k.value.Type().Name()
	}
}
