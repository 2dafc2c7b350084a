package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// format is how an answer is written.
type format uint8

// The formats; the zero value is the table for people.
const (
	asTable format = iota
	asWide
	asJSON
	asYAML
)

func formatNames() []string { return []string{"table", "wide", "json", "yaml"} }

// UnmarshalText reads the name of a format.
func (f *format) UnmarshalText(text []byte) error {
	i := slices.Index(formatNames(), string(text))
	if i < 0 {
		return fleet.Invalidf("output", string(text), "want table, wide, json or yaml")
	}
	*f = format(i)
	return nil
}

// people reports whether the answer is for people.
func (f format) people() bool { return f == asTable || f == asWide }

// show writes a value as JSON or YAML, or draws it for people.
func (p *program) show(value any, draw func() error) error {
	switch p.settings.Output {
	case asJSON:
		text, err := encodeJSON(value)
		if err != nil {
			return err
		}
		_, err = p.stdout.Write(text)
		return err
	case asYAML:
		text, err := encodeYAML(value)
		if err != nil {
			return err
		}
		_, err = p.stdout.Write(text)
		return err
	}
	return draw()
}

// table returns a table that suits the terminal and the format.
func (p *program) table(columns ...column) *table {
	t := &table{columns: columns, all: p.settings.Output == asWide, color: p.settings.color}
	if p.terminal {
		t.width = p.width
	}
	return t
}

// say writes a line for people to standard output.
func (p *program) say(format string, args ...any) {
	fmt.Fprintln(p.stdout, visible.Line(fmt.Sprintf(format, args...)))
}

// note writes a line beside the answer, where a pipe does not see it.
func (p *program) note(format string, args ...any) {
	fmt.Fprintln(p.stderr, visible.Line(fmt.Sprintf(format, args...)))
}

// count writes a number of things: "1 host", "3 hosts".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// size writes a number of bytes for people: "12B", "1.5MiB".
func size(n int64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + "B"
	}
	value, unit := float64(n)/(1<<10), 0
	for ; value >= 1<<10 && unit < len(units)-1; unit++ {
		value /= 1 << 10
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + units[unit:unit+1] + "iB"
}

// encodeJSON writes indented JSON in which no character is hostile: those are
// written as escapes, which change nothing for a program.
func encodeJSON(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return escapeHostile(out.Bytes()), nil
}

// escapeHostile writes hostile characters as \u escapes. Its input is JSON or
// YAML in which they stand within double quotes only.
func escapeHostile(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return r != '\n' && visible.Hidden(r) }) {
		return text
	}
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n' || !visible.Hidden(r):
			out.Write(text[:size])
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		text = text[size:]
	}
	return out.Bytes()
}

// encodeYAML writes YAML with the names and the order that JSON has.
func encodeYAML(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(decoder)); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return escapeHostile(out.Bytes()), encoder.Close()
}

// yamlNode reads the next JSON value. What encoding/json wrote is no error.
func yamlNode(decoder *json.Decoder) *yaml.Node {
	token, _ := decoder.Token()
	node := &yaml.Node{Kind: yaml.ScalarNode}
	switch value := token.(type) {
	case json.Delim:
		node.Kind = yaml.SequenceNode
		if value == '{' {
			node.Kind = yaml.MappingNode
		}
		for decoder.More() {
			node.Content = append(node.Content, yamlNode(decoder))
		}
		_, _ = decoder.Token() // the closing delimiter
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle
		}
	case string:
		node.Tag, node.Value = "!!str", value
		if strings.ContainsFunc(value, func(r rune) bool { return r != '\n' && visible.Hidden(r) }) {
			node.Style = yaml.DoubleQuotedStyle
		}
	case nil:
		node.Value = "null"
	default:
		node.Value = fmt.Sprint(value)
	}
	return node
}
