package fleet

import (
	"fmt"
	"regexp"
	"strings"
)

// part is a piece of a text in which parameters stand: the name of one, or the
// text itself.
type part struct{ name, text string }

// The marks of a placeholder. A text that holds the opening one itself writes it
// twice: {{{{.Names}} is {{.Names}}.
const (
	opening = "{{"
	closing = "}}"
)

// placeholders takes a text apart. The error says what is wrong where it opens a
// placeholder that is none.
func placeholders(text string) (parts []part, err error) {
	add := func(literal string) {
		if last := len(parts) - 1; last >= 0 && parts[last].name == "" {
			parts[last].text += literal
		} else if literal != "" {
			parts = append(parts, part{text: literal})
		}
	}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, opening)
		add(before)
		if !found {
			break
		}
		if literal, twice := strings.CutPrefix(after, opening); twice {
			add(opening)
			rest = literal
			continue
		}
		name, behind, closed := strings.Cut(after, closing)
		if !closed || !paramName.MatchString(name) {
			return nil, fmt.Errorf("%s opens a parameter, and none follows: want %sname%s; %s itself is written %s", opening, opening, closing, opening, opening+opening)
		}
		parts = append(parts, part{name: name})
		rest = behind
	}
	return parts, nil
}

// fill replaces the placeholders whose values are known. What is no text with
// placeholders stays as it is.
func fill(text string, values Params) string {
	parts, err := placeholders(text)
	if err != nil {
		return text
	}
	var b strings.Builder
	for _, p := range parts {
		value, known := values[p.name]
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case known:
			b.WriteString(value)
		default:
			b.WriteString(opening + p.name + closing)
		}
	}
	return b.String()
}

// looksFilled finds what somebody may take for a placeholder in a text in which
// none is replaced.
var looksFilled = regexp.MustCompile(`\{\{\s*[a-z][a-z0-9_]*\s*\}\}`)
