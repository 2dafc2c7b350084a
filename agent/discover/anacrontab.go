package discover

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// anacrontab is an /etc/anacrontab as anacron reads it.
type anacrontab struct {
	entries  []anacronEntry
	settings []anacronSetting
	problems []anacronProblem
	// hours are those, of the day, in which jobs start, the end left out;
	// equal: no hour. anyHour: all of them.
	hours   [2]int
	anyHour bool
	hour    int // the one hour that is preferred; -1: none
}

// anacronEntry is a job of an anacrontab.
type anacronEntry struct {
	line     int    // the first, where several are joined
	period   string // days, or "@monthly"
	delay    int    // minutes
	random   int    // so many more minutes at most
	ident    string
	command  string
	settings int // how many stand before it
}

type anacronSetting struct{ name, value string }

type anacronProblem struct {
	line         int
	text, reason string
}

const (
	maxAnacronSettings = 1000
	maxAnacronProblems = 1000
)

var (
	anacronSet   = regexp.MustCompile(`^[ \t]*([^ \t=]+)[ \t]*=(.*)$`)
	anacronJob   = regexp.MustCompile(`^[ \t]*([0-9]+|@[^ \t]+)[ \t]+([0-9]+)[ \t]+([^ \t/]+)[ \t]+([^ \t].*)$`)
	anacronRange = regexp.MustCompile(`^([0-9]{1,4})-([0-9]{1,4})$`)
)

// The periods that have a name, of Debian's anacron and of cronie's.
var (
	debianPeriods = []string{"@monthly"}
	croniePeriods = []string{"@daily", "@weekly", "@monthly", "@yearly", "@annually"}
)

// parseAnacrontab reads an anacrontab whose periods may have those names. The
// settings that steer anacron itself are cronie's; Debian's only hands them on.
func parseAnacrontab(content []byte, names []string) *anacrontab {
	tab := &anacrontab{anyHour: true, hour: -1}
	cronie := len(names) > 1
	random := 0
	for line := range joined(string(content)) {
		trimmed := strings.TrimLeft(line.text, " \t")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if m := anacronSet.FindStringSubmatch(line.text); m != nil {
			why := ""
			if cronie {
				why = tab.steer(m[1], m[2], &random)
			}
			if len(tab.settings) >= maxAnacronSettings {
				why = fmt.Sprintf("there are more than %d settings; this one is not looked at", maxAnacronSettings)
			}
			if why != "" {
				tab.complain(line, why)
				continue
			}
			tab.settings = append(tab.settings, anacronSetting{m[1], m[2]})
			continue
		}
		entry, why := anacronEntryOf(line.text, names)
		if why != "" {
			tab.complain(line, why)
			continue
		}
		entry.line, entry.random, entry.settings = line.number, random, len(tab.settings)
		tab.entries = append(tab.entries, entry)
	}
	return tab
}

// joinedLine is a line with those that a backslash at its end adds.
type joinedLine struct {
	number int
	text   string
}

// joined yields the lines as anacron puts them together: a backslash before a
// line break makes both a blank, any other is dropped, the last byte is kept.
func joined(text string) func(yield func(joinedLine) bool) {
	return func(yield func(joinedLine) bool) {
		for number := 1; text != ""; {
			first, end, ended := number, 0, false
			for {
				at := strings.IndexByte(text[end:], '\n')
				if at < 0 {
					end = len(text)
					break
				}
				end += at + 1
				number++
				if ended = end < 2 || text[end-2] != '\\'; ended {
					break
				}
			}
			line := text[:end]
			if ended {
				line = line[:end-1]
			}
			text = text[end:]
			if !yield(joinedLine{first, unslash(line)}) {
				return
			}
		}
	}
}

func unslash(line string) string {
	if !strings.ContainsAny(line, "\\\n") {
		return line
	}
	last := line[len(line)-1:]
	return strings.NewReplacer("\\", "", "\n", " ").Replace(line[:len(line)-1]) + strings.ReplaceAll(last, "\n", " ")
}

// anacronEntryOf reads a line as a job, or says why it is none.
func anacronEntryOf(line string, names []string) (entry anacronEntry, why string) {
	m := anacronJob.FindStringSubmatch(line)
	if m == nil {
		return entry, whyNoEntry(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' }))
	}
	if m[1][0] == '@' && !slices.Contains(names, m[1]) {
		return entry, fmt.Sprintf("the period %s is not known here; known are a number of days and %s", m[1], strings.Join(names, " "))
	}
	if _, ok := small(m[1]); !ok && m[1][0] != '@' {
		return entry, fmt.Sprintf("the period %s is larger than %d", m[1], math.MaxInt32)
	}
	delay, ok := small(m[2])
	if !ok {
		return entry, fmt.Sprintf("the delay %s is larger than %d", m[2], math.MaxInt32)
	}
	return anacronEntry{period: m[1], delay: delay, ident: m[3], command: m[4]}, ""
}

// whyNoEntry says which of the four parts of a job is wrong.
func whyNoEntry(fields []string) string {
	number := regexp.MustCompile(`^[0-9]+$`).MatchString
	switch {
	case !number(fields[0]) && fields[0][0] != '@':
		return fmt.Sprintf("the line begins with %q, so it is no job, setting or comment", fields[0])
	case len(fields) < 4:
		return "a job needs four parts: period in days, delay in minutes, name, command"
	case !number(fields[1]):
		return fmt.Sprintf("the delay %q is no number of minutes", fields[1])
	case strings.Contains(fields[2], "/"):
		return fmt.Sprintf("the name %q must not hold a slash: it is the name of the stamp file", fields[2])
	}
	return "a job needs four parts, with blanks or tabs between them: period in days, delay in minutes, name, command"
}

// steer takes a setting that anacron itself heeds, or says what is wrong with it.
func (tab *anacrontab) steer(name, value string, random *int) (why string) {
	switch {
	case strings.HasPrefix(name, "START_HOURS_RANGE"):
		m := anacronRange.FindStringSubmatch(value)
		if m == nil {
			return fmt.Sprintf("START_HOURS_RANGE is %q, not two hours as in 3-22", value)
		}
		from, _ := small(m[1])
		to, _ := small(m[2])
		if to < from {
			return fmt.Sprintf("START_HOURS_RANGE ends at %d, before it begins at %d", to, from)
		}
		tab.hours, tab.anyHour = [2]int{from, to}, false
	case strings.HasPrefix(name, "RANDOM_DELAY"):
		minutes, ok := small(value)
		if !ok {
			return fmt.Sprintf("RANDOM_DELAY is %q, not a number of minutes", value)
		}
		*random = minutes
	case strings.HasPrefix(name, "PREFERRED_HOUR"):
		hour, ok := small(value)
		if !ok || hour > 24 {
			return fmt.Sprintf("PREFERRED_HOUR is %q, not an hour from 0 to 24", value)
		}
		tab.hour = hour
	}
	return ""
}

// small reads a number that an int of C holds.
func small(digits string) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil
}

func (tab *anacrontab) complain(line joinedLine, why string) {
	switch n := len(tab.problems); {
	case n < maxAnacronProblems:
		text := line.text
		tab.problems = append(tab.problems, anacronProblem{line.number, text[:min(len(text), 200)], why})
	case n == maxAnacronProblems:
		tab.problems = append(tab.problems, anacronProblem{line.number, "", fmt.Sprintf("there are more than %d bad lines; the rest is not told", maxAnacronProblems)})
	}
}

// size is how many bytes the settings before an entry have at most.
func (tab *anacrontab) size(settings int) int {
	n := 0
	for _, s := range tab.settings[:settings] {
		n += len(s.name) + len(s.value)
	}
	return n
}

// env is what the settings before an entry set.
func (tab *anacrontab) env(settings int) map[string]string {
	if settings == 0 {
		return nil
	}
	env := make(map[string]string, settings)
	for _, s := range tab.settings[:settings] {
		env[printable(s.name)] = printable(s.value)
	}
	return env
}
