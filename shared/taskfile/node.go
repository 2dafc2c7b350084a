package taskfile

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// shape is what a node is, before anyone asks what it should be.
type shape uint8

const (
	nothing shape = iota
	text
	whole // a whole number
	number
	truth
	instant
	list
	mapping
	refused // complained about already
)

// String returns the shape as messages name it.
func (s shape) String() string {
	return [...]string{"nothing", "text", "a number", "a number", "true or false", "a date", "a list", "a mapping", "refused"}[s]
}

// position is a place in the file: 1-based, the column in bytes.
type position struct{ line, column int }

// node is one value of a document, whatever it was written in.
type node struct {
	position
	shape shape
	text  string  // of a scalar, as written, quotes and escapes resolved
	items []*node // of a list
	pairs []pair  // of a mapping, in order
}

type pair struct {
	key   *node
	value *node
}

// maxDepth is more than any task needs: env within run within a list.
const maxDepth = 8

// lineIndex finds the line and column of byte offsets that only grow, each
// byte looked at once.
type lineIndex struct {
	doc             []byte
	offset, newline int // newline: offset of the last line's first byte
	line            int // lines before it
}

func (l *lineIndex) locate(offset int) position {
	for ; l.offset < offset && l.offset < len(l.doc); l.offset++ {
		if l.doc[l.offset] == '\n' {
			l.line++
			l.newline = l.offset + 1
		}
	}
	return position{l.line + 1, offset - l.newline + 1}
}

// locate returns the position of a byte offset.
func locate(doc []byte, offset int) position {
	before := doc[:min(max(offset, 0), len(doc))]
	return position{
		line:   bytes.Count(before, []byte{'\n'}) + 1,
		column: len(before) - bytes.LastIndexByte(before, '\n'),
	}
}

// problem returns an error about one place of the file.
func problem(at position, field, value, format string, args ...any) fleet.FieldError {
	return fleet.FieldError{
		Field: field, Value: clip(value), Reason: fmt.Sprintf(format, args...),
		Line: at.line, Column: at.column,
	}
}

// clip keeps a value quotable in one line.
func clip(value string) string {
	const limit = 80
	if len(value) <= limit {
		return value
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(value[cut]) {
		cut--
	}
	return value[:cut] + "…"
}
