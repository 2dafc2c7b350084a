package settings

import (
	"bytes"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// dotted is a nested key that the file writes in one line, as "log.level: debug".
type dotted struct {
	key  key
	text string
	line int
}

// liftDotted takes the dotted keys out of a file and returns the rest with its
// lines where they were. What it does not know stays, for the strict reader to
// complain about.
func liftDotted(cfg any, text []byte) ([]byte, []dotted, error) {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode || root.Content[0].Style&yaml.FlowStyle != 0 {
		return text, nil, nil
	}
	known := map[string]key{}
	for _, k := range keys(reflect.ValueOf(cfg).Elem(), nil) {
		if len(k.path) > 1 {
			known[strings.Join(k.path, ".")] = k
		}
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	var lifted []dotted
	var wrong []fleet.FieldError
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content[0].Content); i += 2 {
		name, value := root.Content[0].Content[i], root.Content[0].Content[i+1]
		k, is := known[name.Value]
		// YAML knows more ends of lines than "\n"; where they are used the key stays.
		if !is || name.Line > len(lines) || !bytes.HasPrefix(lines[name.Line-1], []byte(name.Value)) {
			continue
		}
		text, plain := oneLine(name, value)
		if !plain || seen[name.Value] {
			reason := "is set twice"
			if !plain {
				reason = "want its value on the same line"
			}
			wrong = append(wrong, fleet.FieldError{Field: name.Value, Reason: reason, Line: name.Line, Column: name.Column})
			continue
		}
		seen[name.Value] = true
		lifted = append(lifted, dotted{k, text, name.Line})
		lines[name.Line-1] = []byte("\n")
	}
	if len(wrong) > 0 {
		return nil, nil, &fleet.Error{Kind: fleet.Usage, Fields: wrong}
	}
	return bytes.Join(lines, nil), lifted, nil
}

// oneLine returns a value as an environment variable would spell it, and
// whether it stands in the line of its key.
func oneLine(name, value *yaml.Node) (string, bool) {
	if value.Line != name.Line || value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return "", false
	}
	if value.Kind == yaml.ScalarNode {
		return value.Value, true
	}
	parts := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		if value.Kind != yaml.SequenceNode || item.Kind != yaml.ScalarNode || item.Line != name.Line {
			return "", false
		}
		parts = append(parts, item.Value)
	}
	return strings.Join(parts, ","), value.Kind == yaml.SequenceNode
}
