package crontab

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// fault is what is wrong with a line: the daemon's term and a sentence.
type fault struct{ term, reason string }

// NoNewline is the term for a last line that does not end.
const NoNewline = "missing newline before EOF"

// faults are those that need no value named.
var faults = struct {
	noNewline, noMinute, noCommand, noUser, sixFields, tooLong, notPrivileged, option, boxWord fault
}{
	noNewline:     fault{NoNewline, "the last line has no line break, so it is not read"},
	noMinute:      fault{"bad minute", "no minute stands where the line begins"},
	noCommand:     fault{"bad command", "there is no command after the time fields"},
	noUser:        fault{"bad username", "the line ends after the user, and the name is read on into the next line"},
	sixFields:     fault{"bad command", "a sixth field stands where the command is expected; cron has five time fields"},
	tooLong:       fault{"command too long", "the command is longer than 998 bytes"},
	notPrivileged: fault{"bad option", `a leading "-" is allowed only in root's and in system tables`},
	option:        fault{"bad option", `the command begins with "-", and the only option cronie knows is "-n "`},
	boxWord:       fault{"", "busybox crond does not know this @ word and passes over the line"},
}

func unknownUser(name string) *fault {
	return &fault{"bad username", fmt.Sprintf("user %q is not known on this host", clip([]byte(name)))}
}

// tooFewWords is busybox's silence about what is no job to it.
func tooFewWords(n int) fault {
	return fault{"", fmt.Sprintf("busybox crond passes over the line: it has %d of the 6 words of a job, and only MAILTO=, SHELL= and PATH= are settings", n)}
}

// fieldRanges are what the fields of an expression may hold.
var fieldRanges = map[string]string{
	"minute":       "0–59",
	"hour":         "0–23",
	"day of month": "1–31",
	"month":        "1–12 or jan–dec",
	"day of week":  "0–7 or sun–sat",
}

// badSchedule explains why the daemon does not take the time fields.
func (e *entry) badSchedule(err error) *fault {
	syntax, ok := errors.AsType[*cron.SyntaxError](err)
	if !ok {
		return &fault{"bad minute", err.Error()}
	}
	value := clip([]byte(syntax.Value))
	switch {
	case syntax.Field == "word" || syntax.Field == "expression":
		return &fault{syntax.Reason, fmt.Sprintf("%s knows no schedule called %q", daemon(e.Dialect), value)}
	case syntax.Field == "minute" && bytes.IndexByte(e.rest, '=') >= 0 && !startsLikeMinute(value):
		return &fault{syntax.Reason, "it is no setting of the form NAME=value, and no job either"}
	case syntax.Field == "minute" && !startsLikeMinute(value):
		return &fault{syntax.Reason, fmt.Sprintf("the line begins with %q, so it is no job, setting or comment", value)}
	case value == "":
		return &fault{syntax.Reason, fmt.Sprintf("the line ends before its %s", syntax.Field)}
	}
	return &fault{syntax.Reason, fmt.Sprintf("%s %q is not a list of %s with ranges and steps", syntax.Field, value, fieldRanges[syntax.Field])}
}

// startsLikeMinute reports whether a word may be meant as a minute.
func startsLikeMinute(word string) bool {
	return word != "" && (word[0] >= '0' && word[0] <= '9' || word[0] == '*' || word[0] == '-' || word[0] == '~')
}

// daemon is what people call the dialect's program.
func daemon(d cron.Dialect) string {
	switch d {
	case cron.Cronie:
		return "cronie"
	case cron.Busybox:
		return "busybox crond"
	}
	return "Debian's cron"
}

// term is the daemon's own word, else our reason.
func (p Problem) term() string {
	if p.Term != "" {
		return p.Term
	}
	return p.Reason
}
