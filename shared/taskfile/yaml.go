package taskfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// readYAML reads every document that holds more than comments.
func readYAML(doc []byte, found *findings) []source {
	var sources []source
	for i, part := range splitYAML(doc) {
		if i > MaxTasks {
			found.tooMany(position{part.line, 1})
			break
		}
		if len(part.bytes) > fleet.MaxTaskBytes {
			found.tooLarge = true
			found.add(problem(position{part.line, 1}, "document", "", "has %d bytes; a task has at most %d KiB", len(part.bytes), fleet.MaxTaskBytes>>10))
			continue
		}
		y := yamlReader{doc: part.bytes, lines: bytes.Split(part.bytes, []byte{'\n'}), first: part.line, found: found}
		if root := y.read(); root != nil {
			sources = append(sources, source{root: root, bytes: part.bytes, line: root.line})
		}
	}
	return sources
}

type yamlPart struct {
	bytes []byte
	line  int
}

// splitYAML cuts before every line that begins a document. Such a line is a
// marker wherever it stands: YAML forbids it within a scalar.
func splitYAML(doc []byte) []yamlPart {
	var parts []yamlPart
	start, startLine, line := 0, 1, 0
	for offset := 0; offset < len(doc); {
		line++
		end := len(doc)
		if i := bytes.IndexByte(doc[offset:], '\n'); i >= 0 {
			end = offset + i + 1
		}
		if offset > start && marksDocument(doc[offset:end]) {
			parts = append(parts, yamlPart{doc[start:offset], startLine})
			start, startLine = offset, line
		}
		offset = end
	}
	return append(parts, yamlPart{doc[start:], startLine})
}

func marksDocument(line []byte) bool {
	rest, found := bytes.CutPrefix(line, []byte("---"))
	return found && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// yamlReader turns one YAML document into nodes.
type yamlReader struct {
	doc   []byte
	lines [][]byte
	first int // line of the file where the document begins
	found *findings

	line, column, bytes int // where at stood last; bytes before that column
}

// read returns nil for a document without content, or with one that is no YAML.
func (y *yamlReader) read() *node {
	decoder := yaml.NewDecoder(bytes.NewReader(y.doc))
	var root, more yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		y.syntax(err)
		return nil
	}
	if err := decoder.Decode(&more); err == nil {
		y.found.add(problem(y.at(&more), "document", "", "follows another without a line --- between them"))
	} else if !errors.Is(err, io.EOF) {
		y.syntax(err)
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" && root.Content[0].Value == "" {
		return nil
	}
	return y.node(root.Content[0], 0)
}

// at translates the position of a YAML node: its columns count characters.
// Nodes come in the order of the document, so it goes on where it stood.
func (y *yamlReader) at(n *yaml.Node) position {
	line, column := max(n.Line, 1), max(n.Column, 1)
	if line > len(y.lines) {
		return position{y.first + line - 1, column}
	}
	if line != y.line || column < y.column {
		y.line, y.column, y.bytes = line, 1, 0
	}
	for content := y.lines[line-1]; y.column < column; y.column++ {
		_, size := utf8.DecodeRune(content[y.bytes:])
		y.bytes += size
	}
	return position{y.first + line - 1, y.bytes + 1}
}

func (y *yamlReader) node(n *yaml.Node, depth int) *node {
	at := y.at(n)
	out := &node{position: at}
	switch {
	case n.Kind == yaml.AliasNode:
		y.refuse(at, "*"+n.Value, "an alias is not accepted: write the value here again")
		out.shape = refused
		return out
	case n.Anchor != "":
		y.refuse(at, "&"+n.Anchor, "an anchor is not accepted: every value stands for itself")
	case n.Style&yaml.TaggedStyle != 0:
		y.refuse(at, n.Tag, "a tag is not accepted: write the value without it")
	case depth > maxDepth:
		y.refuse(at, "", "is nested too deeply")
		out.shape = refused
		return out
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.shape = mapping
		y.pairs(n, out, depth)
	case yaml.SequenceNode:
		out.shape = list
		for _, item := range n.Content {
			out.items = append(out.items, y.node(item, depth+1))
		}
	default:
		out.shape, out.text = scalarShape(n), n.Value
	}
	return out
}

func (y *yamlReader) pairs(n *yaml.Node, out *node, depth int) {
	seen := map[string]position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := y.node(n.Content[i], depth+1)
		value := y.node(n.Content[i+1], depth+1)
		if n.Content[i].Kind == yaml.AliasNode {
			continue
		}
		if key.shape == list || key.shape == mapping {
			y.refuse(key.position, "", "a field name must be text")
			continue
		}
		if earlier, twice := seen[key.text]; twice {
			y.refuse(key.position, key.text, "is written twice, first in line %d, column %d", earlier.line, earlier.column)
			continue
		}
		seen[key.text] = key.position
		out.pairs = append(out.pairs, pair{key, value})
	}
}

func scalarShape(n *yaml.Node) shape {
	switch n.ShortTag() {
	case "!!null":
		return nothing
	case "!!int":
		return whole
	case "!!float":
		return number
	case "!!bool":
		return truth
	case "!!timestamp":
		return instant
	}
	return text
}

func (y *yamlReader) refuse(at position, value, format string, args ...any) {
	y.found.add(problem(at, "document", value, format, args...))
}

// syntax reports what is no YAML at all. The library names a line that may be
// far from the mistake, and no column; see blame.
func (y *yamlReader) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, found := strings.CutPrefix(message, "line "); found {
		digits, reason, _ := strings.Cut(rest, ": ")
		line, _ = strconv.Atoi(digits)
		message = reason
	}
	line = y.blame(min(max(line, 1), len(y.lines)))
	content := y.lines[line-1]
	indent := content[:len(content)-len(bytes.TrimLeft(content, " \t"))]
	at := position{y.first + line - 1, len(indent) + 1}
	switch tab := bytes.IndexByte(indent, '\t'); {
	case tab >= 0:
		at.column, message = tab+1, "a tab cannot indent YAML"
		y.found.suggest("indent with spaces")
	case strings.Contains(message, "<document start>"):
		at.line, message = y.afterEnd(), "a document begins with a line ---"
	case strings.Contains(message, "alphabetic or numeric character"):
		y.found.suggest(`a bare * or & means something else in YAML: write it in quotes, "*"`)
	}
	y.found.add(problem(at, "document", "", "is not YAML: %s", message))
}

// afterEnd returns the line after the first one that ends a document.
func (y *yamlReader) afterEnd() int {
	end := slices.IndexFunc(y.lines, func(line []byte) bool { return bytes.HasPrefix(line, []byte("...")) })
	return y.first + end + 1
}

// blame returns the line after the longest beginning of the document that is
// good YAML, which is where a person sees the mistake; or the given line where
// finding it would cost too much.
func (y *yamlReader) blame(line int) int {
	const budget = 2 << 20 // bytes read over all attempts
	if len(y.lines)*len(y.doc) > budget {
		return line
	}
	for count := len(y.lines) - 1; count > 0; count-- {
		var ignored yaml.Node
		err := yaml.Unmarshal(bytes.Join(y.lines[:count], []byte{'\n'}), &ignored)
		if err == nil {
			return count + 1
		}
	}
	return 1
}
