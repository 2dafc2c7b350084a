package discover

import (
	"path"
	"strings"
	"unicode/utf8"
)

// setting is one assignment of a unit file.
type setting struct {
	section, key, value string
	file                string // where it stands
	line                int    // where it begins
}

// parseUnit reads the assignments of a unit file. A line that ends with a
// backslash goes on in the next; comments between the two are left out. What is
// no assignment, systemd passes over, and so does this.
func parseUnit(file string, content []byte) []setting {
	var list []setting
	var joined []byte
	section, begin, number := "", 0, 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimLeft(line, unitBlanks)
		if trimmed != "" && strings.ContainsRune("#;", rune(trimmed[0])) {
			continue
		}
		if len(joined) == 0 {
			begin = number
		}
		if before, more := strings.CutSuffix(line, `\`); more {
			joined = append(append(joined, strings.Trim(before, unitBlanks)...), ' ')
			continue
		}
		text := trimmed
		if len(joined) > 0 {
			text = string(joined) + trimmed
		}
		text, joined = strings.Trim(text, unitBlanks), joined[:0]
		if name, ok := strings.CutPrefix(text, "["); ok {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		if key, value, ok := strings.Cut(text, "="); ok && utf8.ValidString(text) {
			list = append(list, setting{section, strings.TrimRight(key, unitBlanks), strings.TrimLeft(value, unitBlanks), file, begin})
		}
	}
	return list
}

const unitBlanks = " \t\v\f"

// unitName is a unit's name in its parts: prefix@instance.suffix.
type unitName struct {
	prefix, instance, suffix string
	template                 bool // there is an @
}

func splitUnit(name string) unitName {
	ending := path.Ext(name)
	stem := strings.TrimSuffix(name, ending)
	prefix, instance, template := strings.Cut(stem, "@")
	return unitName{prefix, instance, strings.TrimPrefix(ending, "."), template}
}

// validUnit reports whether a name is one that systemd looks at.
func validUnit(name string) bool {
	return len(name) <= 255 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@") == ""
}

// of is the name of the template; empty if the name is none's instance.
func (n unitName) of() string {
	if !n.template || n.instance == "" {
		return ""
	}
	return n.prefix + "@." + n.suffix
}

// expand puts in what the specifiers of a value stand for. Those that differ
// from machine to machine, as %H, stay as they are: so a command is recognised
// on every host that has it.
func (u *unit) expand(value string) string {
	at := strings.IndexByte(value, '%')
	if at < 0 {
		return value
	}
	var b strings.Builder
	for ; at >= 0 && at+1 < len(value); at = strings.IndexByte(value, '%') {
		b.WriteString(value[:at])
		if text, known := u.specifier(value[at+1]); known {
			b.WriteString(text)
		} else {
			b.WriteString(value[at : at+2])
		}
		value = value[at+2:]
	}
	return b.String() + value
}

// specifier is what a letter stands for after a percent sign.
func (u *unit) specifier(letter byte) (string, bool) {
	n := splitUnit(u.name)
	switch letter {
	case '%':
		return "%", true
	case 'n':
		return u.name, true
	case 'N':
		return strings.TrimSuffix(u.name, "."+n.suffix), true
	case 'p':
		return n.prefix, true
	case 'P':
		return unescapeUnit(n.prefix), true
	case 'i':
		return n.instance, true
	case 'I':
		return unescapeUnit(n.instance), true
	case 'j':
		return n.last(), true
	case 'J':
		return unescapeUnit(n.last()), true
	case 'f':
		if n.template {
			return path.Join("/", unescapeUnit(n.instance)), true
		}
		return path.Join("/", unescapeUnit(n.prefix)), true
	case 'y':
		return u.path, true
	case 'Y':
		return path.Dir(u.path), true
	}
	return u.manager.specifier(letter)
}

// last is what follows the last dash of the prefix.
func (n unitName) last() string { return n.prefix[strings.LastIndexByte(n.prefix, '-')+1:] }

// unescapeUnit undoes systemd-escape: - stands for /, and \x2d for a dash.
func unescapeUnit(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '-':
			b.WriteByte('/')
		case strings.HasPrefix(text[i:], `\x`) && i+3 < len(text) && hexDigit(text[i+2]) >= 0 && hexDigit(text[i+3]) >= 0:
			b.WriteByte(byte(hexDigit(text[i+2])<<4 | hexDigit(text[i+3])))
			i += 3
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// isTrue reads a yes or no as systemd does; all else is no.
func isTrue(value string) bool {
	switch strings.ToLower(value) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}
