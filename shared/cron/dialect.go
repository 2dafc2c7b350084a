package cron

import (
	"fmt"
	"strings"
)

// Dialect is one reading of an expression. The zero value is Strict.
type Dialect uint8

const (
	// Strict is what fleetcron accepts for its own tasks: five fields that
	// Debian cron and cronie both accept with the same meaning, six fields with
	// the seconds first, and the words of [Dialect.Parse].
	Strict Dialect = iota
	// Debian is Debian's cron 3.0pl1, which swallows junk after an item.
	Debian
	// Cronie is cronie as of 1.7, in use on RHEL, Fedora, SUSE and Arch.
	Cronie
	// Busybox is busybox crond, in use on Alpine.
	Busybox
)

// String returns the dialect's name in lower case.
func (d Dialect) String() string {
	switch d {
	case Strict:
		return "strict"
	case Debian:
		return "debian"
	case Cronie:
		return "cronie"
	case Busybox:
		return "busybox"
	}
	return fmt.Sprintf("dialect(%d)", uint8(d))
}

// Parse reads an expression of fleetcron's own: it is Strict.Parse.
func Parse(expr string) (Schedule, error) { return Strict.Parse(expr) }

// Parse reads "minute hour day-of-month month day-of-week", blanks between, or
// one of the words @reboot @yearly @annually @monthly @weekly @daily @midnight
// @hourly, as the dialect's daemon does. The error is a [*SyntaxError].
//
// busybox refuses next to nothing: it logs a complaint and keeps what it has.
// So does this: see [Schedule.Complaint].
func (d Dialect) Parse(expr string) (Schedule, error) {
	fields, err := split(expr)
	if err != nil {
		return Schedule{}, err
	}
	var s Schedule
	switch {
	case fields[0].text[0] == '@':
		s, err = d.word(expr, fields)
	case d == Strict:
		s, err = parseStrict(expr, fields)
	case d == Busybox:
		s, err = parseBusybox(expr, fields)
	default:
		s, err = parseVixie(d, expr, fields)
	}
	if err != nil {
		return Schedule{}, err
	}
	s.text = join(fields)
	s.dialect = d
	return s.sealed(), nil
}

// word is one of cron's own names for a schedule.
type word struct {
	name   string
	fields string // read as busybox and people would
	flags  flag   // what Debian cron and cronie set for it
}

// words is every word all three daemons know. The flags are not those of the
// fields: to vixie's heirs @daily has no star at all.
var words = [...]word{
	{"@yearly", "0 0 1 1 *", dowStar},
	{"@annually", "0 0 1 1 *", dowStar},
	{"@monthly", "0 0 1 * *", dowStar},
	{"@weekly", "0 0 * * 0", domStar},
	{"@daily", "0 0 * * *", 0},
	{"@midnight", "0 0 * * *", 0},
	{"@hourly", "0 * * * *", hourStar},
}

const reboot = "@reboot"

// word reads an expression that starts with @.
func (d Dialect) word(expr string, fields []field) (Schedule, error) {
	name := fields[0].text
	if len(fields) > 1 && known(name) {
		f := fields[1]
		return Schedule{}, fail(expr, "expression", f.text, f.column, "nothing may follow "+name)
	}
	if name == reboot {
		return Schedule{flags: atReboot, second: 1}, nil
	}
	for _, w := range words {
		if w.name != name {
			continue
		}
		parts, _ := split(w.fields)
		if d == Busybox {
			return parseBusybox(w.fields, parts)
		}
		s, err := parseVixie(Debian, w.fields, parts)
		s.flags = w.flags
		return s, err
	}
	return Schedule{}, fail(expr, "word", name, fields[0].column, d.unknownWord(name))
}

// known reports whether name is a word.
func known(name string) bool {
	for _, w := range words {
		if w.name == name {
			return true
		}
	}
	return name == reboot
}

// unknownWord is the reason for refusing a word.
func (d Dialect) unknownWord(name string) string {
	switch {
	case d == Busybox:
		return "unknown word, busybox ignores the line"
	case d != Strict:
		return "bad time specifier"
	case known(strings.ToLower(name)):
		return "cron's words are lower case: write " + strings.ToLower(name)
	case strings.HasPrefix(name, "@every"):
		return "not a cron expression: give the period as an `every` trigger"
	}
	return "no such word; there are @reboot @yearly @annually @monthly @weekly @daily @midnight @hourly"
}

// field is one blank-separated part of an expression.
type field struct {
	text   string
	column int // 1-based, in bytes
}

// split cuts an expression at runs of blanks and tabs; there is at least one
// field, or an error.
func split(expr string) ([]field, error) {
	if i := strings.IndexByte(expr, '\n'); i >= 0 {
		return nil, fail(expr, "expression", "\n", i+1, "a line break cannot stand in an expression")
	}
	fields := make([]field, 0, 6)
	for i := 0; i < len(expr); {
		if blank(expr[i]) {
			i++
			continue
		}
		end := i
		for end < len(expr) && !blank(expr[end]) {
			end++
		}
		fields = append(fields, field{expr[i:end], i + 1})
		i = end
	}
	if len(fields) == 0 {
		return nil, fail(expr, "expression", "", 1, "empty: write five fields, like 30 2 * * *")
	}
	return fields, nil
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// join is the inverse of split, with one blank between fields.
func join(fields []field) string {
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = f.text
	}
	return strings.Join(texts, " ")
}
