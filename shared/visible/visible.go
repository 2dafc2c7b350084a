// Package visible provides the one filter for text of strangers: what a
// terminal or a browser would obey instead of showing is spelled out.
//
// Whatever comes from a host may have been written by anyone with an account
// there: a command, a file name, a host's own name. A terminal obeys escape
// sequences in it, and every reader is deceived by characters that turn the
// direction of writing, or that are not seen at all. What replaces them is plain
// ASCII without meaning in HTML, JSON or a shell's double quotes.
package visible

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hidden reports whether a character does something other than show itself: it
// controls, turns the direction of writing, breaks lines or is not seen (Unicode's
// Cc, Cf, Zl and Zp, but for the two joiners that scripts are written with).
// Newline and tab are among them: whether they may stay is the caller's say.
func Hidden(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	case r == 0x200c, r == 0x200d:
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Line returns text as part of one line: \n for a newline, \x1b for an escape,
// \u202e for a direction override, \xff for a byte that is no UTF-8.
func Line(text string) string { return clean(text, "") }

// Text is Line for text of several lines: newlines and tabs stay.
func Text(text string) string { return clean(text, "\n\t") }

// Bytes is Text for bytes; it returns the same ones where nothing is hidden.
func Bytes(text []byte) []byte {
	if First(text) < 0 {
		return text
	}
	return []byte(Text(string(text)))
}

// First returns where the first character stands that Text would replace; -1:
// nowhere.
func First(text []byte) int {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || Hidden(r) {
			return i
		}
		i += size
	}
	return -1
}

func clean(text, keep string) string {
	harmless := utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return Hidden(r) && !strings.ContainsRune(keep, r)
	})
	if harmless {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case Hidden(r) && !strings.ContainsRune(keep, r):
			b.WriteString(spelled(r))
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

func spelled(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// Writer passes text on as Text would, also where a character arrives in
// pieces. Close writes what is left of a broken one, and closes nothing else.
type Writer struct {
	to   io.Writer
	rest []byte
}

// NewWriter returns a Writer that writes to another.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Write passes text on.
func (w *Writer) Write(text []byte) (int, error) {
	data := append(w.rest, text...)
	whole := len(data)
	for back := 1; back <= min(utf8.UTFMax-1, len(data)); back++ {
		if i := len(data) - back; utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				whole = i
			}
			break
		}
	}
	w.rest = append([]byte(nil), data[whole:]...)
	if _, err := io.WriteString(w.to, Text(string(data[:whole]))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Close writes the piece of a character that never became whole.
func (w *Writer) Close() error {
	_, err := io.WriteString(w.to, Text(string(w.rest)))
	w.rest = nil
	return err
}
