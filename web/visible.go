package web

import (
	"fmt"
	"unicode/utf8"
)

// visible returns text with every character that could deceive a reader made
// visible: control characters except newline and tab as \x1b, direction
// overrides and line separators as \u202e, broken UTF-8 as \xff. What replaces
// them is plain ASCII without meaning in HTML, so it is safe on escaped pages,
// in attributes too.
func visible(text []byte) []byte {
	i := firstHidden(text)
	if i < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for i >= 0 {
		r, size := utf8.DecodeRune(text[i:])
		out = append(out, text[:i]...)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[i])
		case r <= 0xff:
			out = fmt.Appendf(out, `\x%02x`, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[i+size:]
		i = firstHidden(text)
	}
	return append(out, text...)
}

// firstHidden returns where the first character stands that visible replaces,
// or -1.
func firstHidden(text []byte) int {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || hidden(r) {
			return i
		}
		i += size
	}
	return -1
}

// hidden reports whether a character above ASCII steers the reader instead of
// being read.
func hidden(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0x9f: // C1 controls
	case r == 0x061c, r == 0x200e, r == 0x200f: // direction marks
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // embeddings, overrides, isolates
	case r == 0x2028, r == 0x2029: // line and paragraph separator
	case r == 0xfeff: // byte order mark
	default:
		return false
	}
	return true
}
