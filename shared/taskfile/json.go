package taskfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// readJSON reads one task, or a list of tasks.
func readJSON(doc []byte, found *findings) []source {
	var raw json.RawMessage
	if err := json.Unmarshal(doc, &raw); err != nil {
		at, reason := len(doc), err.Error()
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = int(syntax.Offset) - 1
		}
		found.add(problem(locate(doc, at), "document", "", "is not JSON: %s", reason))
		return nil
	}
	j := jsonReader{doc: doc, lines: lineIndex{doc: doc}, decoder: json.NewDecoder(bytes.NewReader(doc)), found: found}
	j.decoder.UseNumber()
	root, start := j.node(0)
	if root.shape != list {
		return j.source(nil, root, start)
	}
	var sources []source
	for i, item := range root.items {
		sources = j.source(sources, item, j.spans[i])
	}
	return sources
}

// jsonReader turns valid JSON into nodes. The decoder tells where a token
// ends; where it begins is the first byte after that which is no separator.
type jsonReader struct {
	doc     []byte
	decoder *json.Decoder
	lines   lineIndex
	found   *findings
	spans   []span // of the items of the outermost list
}

type span struct{ start, end int }

func (j *jsonReader) source(sources []source, root *node, at span) []source {
	if size := at.end - at.start; size > fleet.MaxTaskBytes {
		j.found.tooLarge = true
		j.found.add(problem(root.position, "document", "", "has %d bytes; a task has at most %d KiB", size, fleet.MaxTaskBytes>>10))
		return sources
	}
	return append(sources, source{root: root, bytes: j.doc[at.start:at.end], line: root.line})
}

func (j *jsonReader) begin() int {
	offset := int(j.decoder.InputOffset())
	return offset + len(j.doc[offset:]) - len(bytes.TrimLeft(j.doc[offset:], " \t\r\n,:"))
}

// node reads the next value. The document is valid, so no token is an error.
func (j *jsonReader) node(depth int) (*node, span) {
	start := j.begin()
	out := &node{position: j.lines.locate(start)}
	token, _ := j.decoder.Token()
	switch value := token.(type) {
	case json.Delim:
		j.composite(value, out, depth)
	case string:
		out.shape, out.text = text, value
	case json.Number:
		out.shape, out.text = whole, value.String()
		if strings.ContainsAny(out.text, ".eE") {
			out.shape = number
		}
	case bool:
		out.shape, out.text = truth, map[bool]string{true: "true", false: "false"}[value]
	}
	return out, span{start, int(j.decoder.InputOffset())}
}

func (j *jsonReader) composite(open json.Delim, out *node, depth int) {
	out.shape = list
	if open == '{' {
		out.shape = mapping
	}
	if depth == maxDepth+1 {
		j.found.add(problem(out.position, "document", "", "is nested too deeply"))
	}
	seen := map[string]position{}
	for j.decoder.More() {
		if depth == 0 && len(out.items) == MaxTasks {
			j.found.tooMany(j.lines.locate(j.begin()))
			return
		}
		first, at := j.node(depth + 1)
		if out.shape == list {
			out.items = append(out.items, first)
			if depth == 0 {
				j.spans = append(j.spans, at)
			}
			continue
		}
		value, _ := j.node(depth + 1)
		if earlier, twice := seen[first.text]; twice {
			j.found.add(problem(first.position, "document", first.text, "is written twice, first in line %d, column %d", earlier.line, earlier.column))
			continue
		}
		seen[first.text] = first.position
		out.pairs = append(out.pairs, pair{first, value})
	}
	_, _ = j.decoder.Token() // the closing delimiter
}
