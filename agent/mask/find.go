package mask

import (
	"slices"
	"strings"
)

// span is a stretch of bytes that are a secret.
type span struct{ start, end int }

// find returns the secrets of a text in order, none overlapping another.
func find(text string, crontab bool) []span {
	f := finder{text: text}
	if crontab {
		f.input()
	}
	f.shapes()
	f.commands(0, len(text), 0)
	return f.merged()
}

// finder is a search under way.
type finder struct {
	text  string
	spans []span
}

// add notes a secret, but for placeholders at its ends.
func (f *finder) add(start, end int) {
	for start < end {
		n := placeholder(f.text[start:end])
		if n == 0 {
			break
		}
		start += n
	}
	if start < end {
		f.spans = append(f.spans, span{start, end})
	}
}

func (f *finder) merged() []span {
	if len(f.spans) < 2 {
		return f.spans
	}
	slices.SortFunc(f.spans, func(a, b span) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	kept := f.spans[:1]
	for _, s := range f.spans[1:] {
		last := &kept[len(kept)-1]
		if s.start > last.end {
			kept = append(kept, s)
			continue
		}
		last.end = max(last.end, s.end)
	}
	return kept
}

// formatters are programs in whose arguments "%" is so usual that one which
// cuts the command is a mistake, not the beginning of input.
var formatters = set("date", "gdate", "printf", "stat", "find", "awk", "gawk", "strftime", "ps", "git")

// input finds what follows the unescaped "%" of a command in a crontab.
func (f *finder) input() {
	at := 0
	for ; at < len(f.text); at++ {
		if f.text[at] == '\\' {
			at++
		} else if f.text[at] == '%' {
			break
		}
	}
	if at+1 >= len(f.text) {
		return
	}
	if broken(f.text[:at]) {
		return
	}
	begin := strings.LastIndexAny(f.text[:at], ";|&(`\n") + 1
	program, arguments, _ := strings.Cut(strings.TrimLeft(f.text[begin:at], " \t"), " ")
	if formatters[base(program)] || strings.HasSuffix(f.text[:at], "+") || strings.HasSuffix(arguments, "-w ") || strings.HasPrefix(f.text[at:], "%{") {
		return // what is cut off is looked at like the rest
	}
	f.add(at+1, len(f.text))
}

// broken reports whether no shell would run a command, so that what follows
// cannot be meant as its input.
func broken(command string) bool {
	odd := func(quote string) bool { return strings.Count(command, quote)%2 == 1 }
	return strings.TrimSpace(command) == "" || strings.Count(command, "(") != strings.Count(command, ")") || odd("`") ||
		!strings.Contains(command, `\`) && odd(`"`) != odd("'")
}

// base is the last part of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// quote is the mark a quoted stretch is within: ', " or, inside of another, \".
type quote string

// quoteAt returns the quote that begins at i. Inside quotes escaped ones count.
func (f *finder) quoteAt(i, end, depth int) quote {
	switch c := f.text[i]; {
	case c == '\'' || c == '"':
		return quote(f.text[i : i+1])
	case depth > 0 && c == '\\' && i+1 < end && (f.text[i+1] == '"' || f.text[i+1] == '\''):
		return quote(f.text[i : i+2])
	}
	return ""
}

// closing returns where a quote that was opened before i closes, or -1.
func (f *finder) closing(q quote, i, end int) int {
	if q != `"` {
		at := strings.Index(f.text[i:end], string(q))
		if at < 0 {
			return -1
		}
		return i + at
	}
	for ; i < end; i++ {
		switch f.text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// wordEnd returns where the word that begins at i ends. A quote that does not
// close is a sign like any other; open tells for which that is known.
func (f *finder) wordEnd(i, end, depth int, open map[quote]bool) int {
	for i < end {
		c := f.text[i]
		switch {
		case isBlank(c) || isOperator(c):
			return i
		case c == '<' || c == '>':
			n := placeholder(f.text[i:end])
			if n == 0 {
				return i
			}
			i += n
			continue
		}
		if q := f.quoteAt(i, end, depth); q != "" && !open[q] {
			at := f.closing(q, i+len(q), end)
			if at >= 0 {
				i = at + len(q)
				continue
			}
			open[q] = true
		}
		if c == '\\' {
			i++
		}
		i++
	}
	return min(i, end)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func isOperator(c byte) bool {
	return c == ';' || c == '|' || c == '&' || c == '\n' || c == '(' || c == ')' || c == '`'
}

// unquoted returns the stretch without the quotes around all of it.
func (f *finder) unquoted(start, end, depth int) (int, int, bool) {
	if start >= end {
		return start, end, false
	}
	q := f.quoteAt(start, end, depth)
	if q == "" {
		return start, end, false
	}
	if at := f.closing(q, start+len(q), end); at == end-len(q) && at >= start+len(q) {
		return start + len(q), at, true
	}
	return start, end, false
}

// value notes a stretch as secret if what it holds is one.
func (f *finder) value(start, end, depth int, s strength) bool {
	start, end, _ = f.unquoted(start, end, depth)
	if start >= end || !isSecret(f.text[start:end], s) {
		return false
	}
	f.add(start, end)
	return true
}
