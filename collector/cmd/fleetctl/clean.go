package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// hostile reports whether a character could do more to a terminal than show
// itself: move, colour, reorder, hide or type.
func hostile(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c: // direction
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff: // line and paragraph separators, byte order mark
		return true
	case r >= 0xe0000 && r <= 0xe007f: // tags: invisible text
		return true
	}
	return false
}

// clean makes hostile characters visible, but for those in keep.
func clean(text, keep string) string {
	harmless := utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return hostile(r) && !strings.ContainsRune(keep, r)
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
		case hostile(r) && !strings.ContainsRune(keep, r):
			b.WriteString(visible(r))
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

func visible(r rune) string {
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

// cleanLine makes text safe as part of one line.
func cleanLine(text string) string { return clean(text, "") }

// cleanText makes text of several lines safe.
func cleanText(text string) string { return clean(text, "\n\t") }

// cleanWriter makes what streams through it safe, also where a character
// arrives in pieces. Close writes what is left of a broken one.
type cleanWriter struct {
	to   io.Writer
	rest []byte
}

// Write passes safe text on.
func (w *cleanWriter) Write(text []byte) (int, error) {
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
	if _, err := io.WriteString(w.to, cleanText(string(data[:whole]))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Close writes the piece of a character that never became whole.
func (w *cleanWriter) Close() error {
	_, err := io.WriteString(w.to, cleanText(string(w.rest)))
	w.rest = nil
	return err
}

// shellWord writes a word so that a shell takes it as one.
func shellWord(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@%+-", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
