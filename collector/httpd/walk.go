package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// walker goes once over text that is known to be JSON and compares it with a
// shape. It allocates nothing while all is well.
type walker struct {
	text []byte
	next int
	read bool // also read what reads itself: the second time, to find what failed
}

// misfit is a place where text and shape differ. Its path grows outwards while
// the walk returns.
type misfit struct {
	path   []string
	offset int
	value  string
	code   string // finer than that the input is invalid; may be empty
	reason string
}

func (m *misfit) within(name string) *misfit {
	m.path = append(m.path, name)
	return m
}

// at makes an error of the misfit.
func (m *misfit) at(text []byte) error {
	line, column := position(text, m.offset)
	var path strings.Builder
	for i := len(m.path) - 1; i >= 0; i-- {
		if path.Len() > 0 && m.path[i][0] != '[' {
			path.WriteByte('.')
		}
		path.WriteString(m.path[i])
	}
	return &fleet.Error{Kind: fleet.Invalid, Code: m.code, Message: "body", Fields: []fleet.FieldError{{
		Field: path.String(), Value: m.value, Reason: m.reason, Line: line, Column: column}}}
}

// value walks one value of the shape; nil is any.
func (w *walker) value(s *shape, depth int) *misfit {
	w.blanks()
	if depth > maxDepth {
		return &misfit{offset: w.next, code: "json_depth", reason: "nests deeper than " + strconv.Itoa(maxDepth) + " levels"}
	}
	if s != nil && s.self != nil {
		return w.self(s, depth)
	}
	switch w.text[w.next] {
	case '{':
		return w.object(s, depth)
	case '[':
		return w.list(s, depth)
	case '"':
		w.string()
	default:
		w.plain()
	}
	return nil
}

// self walks a value that reads itself.
func (w *walker) self(s *shape, depth int) *misfit {
	start := w.next
	if wrong := w.value(nil, depth); wrong != nil || !w.read {
		return wrong
	}
	raw := w.text[start:w.next]
	err := json.Unmarshal(raw, reflect.New(s.self).Interface())
	if err == nil {
		return nil
	}
	reason := err.Error()
	if e, ok := errors.AsType[*fleet.Error](err); ok && len(e.Fields) > 0 {
		reason = e.Fields[0].Reason
	}
	return &misfit{offset: start, value: clip(strings.Trim(string(raw), `"`)), reason: reason}
}

func (w *walker) object(s *shape, depth int) *misfit {
	w.next++
	var bits uint64
	var names map[string]bool
	for {
		w.blanks()
		if w.text[w.next] == '}' {
			w.next++
			return nil
		}
		at := w.next
		name := w.string()
		inner := (*shape)(nil)
		switch {
		case s != nil && s.fields != nil:
			slot := s.fields[string(name)]
			if slot == nil {
				near := s.nearest(string(name))
				code := "unknown_field"
				if near != "" {
					code = "json_case"
				}
				return &misfit{path: []string{label(name)}, offset: at, code: code, reason: "is no field here" + near}
			}
			if bits&slot.bit != 0 {
				return &misfit{path: []string{label(name)}, offset: at, code: "json_duplicate_key", reason: "is given twice"}
			}
			bits |= slot.bit
			inner = slot.shape
		default:
			if names[string(name)] {
				return &misfit{path: []string{label(name)}, offset: at, code: "json_duplicate_key", reason: "is given twice"}
			}
			if names == nil {
				names = map[string]bool{}
			}
			names[string(name)] = true
			if s != nil {
				inner = s.of
			}
		}
		w.blanks()
		w.next++ // the colon
		if wrong := w.value(inner, depth+1); wrong != nil {
			return wrong.within(label(name))
		}
		w.comma()
	}
}

func (w *walker) list(s *shape, depth int) *misfit {
	w.next++
	inner := (*shape)(nil)
	if s != nil {
		inner = s.of
	}
	for i := 0; ; i++ {
		w.blanks()
		if w.text[w.next] == ']' {
			w.next++
			return nil
		}
		if wrong := w.value(inner, depth+1); wrong != nil {
			return wrong.within("[" + strconv.Itoa(i) + "]")
		}
		w.comma()
	}
}

// nearest names the field that differs only in case.
func (s *shape) nearest(name string) string {
	for known := range s.fields {
		if strings.EqualFold(known, name) {
			return ", but " + strconv.Quote(known) + " is"
		}
	}
	return ""
}

// label is a name as a path shows it: never empty, never endless.
func label(name []byte) string {
	if len(name) == 0 {
		return `""`
	}
	return string(name[:min(len(name), 64)])
}

func (w *walker) blanks() {
	for w.next < len(w.text) && (w.text[w.next] == ' ' || w.text[w.next] == '\n' || w.text[w.next] == '\t' || w.text[w.next] == '\r') {
		w.next++
	}
}

func (w *walker) comma() {
	w.blanks()
	if w.next < len(w.text) && w.text[w.next] == ',' {
		w.next++
	}
}

// string returns what a string says and moves past it.
func (w *walker) string() []byte {
	start := w.next
	for w.next++; w.text[w.next] != '"'; w.next++ {
		if w.text[w.next] == '\\' {
			w.next++
		}
	}
	w.next++
	raw := w.text[start+1 : w.next-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var said string
	if json.Unmarshal(w.text[start:w.next], &said) != nil {
		return raw // never: the text is known to be JSON
	}
	return []byte(said)
}

// plain moves past a number, true, false or null.
func (w *walker) plain() {
	for w.next < len(w.text) && strings.IndexByte(",]} \n\t\r", w.text[w.next]) < 0 {
		w.next++
	}
}
