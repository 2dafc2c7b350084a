package evidence

import (
	"bytes"
	"strings"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// renderings returns every text under which a daemon may log a job's command:
// what it gives to the shell, and for what a scan had to read as Latin-1, the
// bytes that stood in the file. Most commands have one.
func renderings(command string) []string {
	var list []string
	add := func(text string) {
		key := string(canonical(nil, []byte(text)))
		for _, known := range list {
			if known == key {
				return
			}
		}
		list = append(list, key)
	}
	for _, daemon := range []cron.Dialect{cron.Debian, cron.Cronie, cron.Busybox} {
		shell := daemon.Shell(command)
		add(shell)
		if latin, ok := latin1(shell); ok {
			add(latin)
		}
	}
	return list
}

// canonical appends a logged text, or one to be logged, in the one form in
// which the two are compared: no blanks around it, control characters as ^X
// and bytes of eight bits as \ooo, as vixie's heirs write them. A text that is
// in this form already stays as it is.
func canonical(buffer, text []byte) []byte {
	const octal = "01234567"
	for _, c := range bytes.Trim(text, " \t") {
		switch {
		case c < ' ':
			buffer = append(buffer, '^', c+'@')
		case c == 0x7f:
			buffer = append(buffer, '^', '?')
		case c > 0x7f:
			buffer = append(buffer, '\\', octal[c>>6], octal[c>>3&7], octal[c&7])
		default:
			buffer = append(buffer, c)
		}
	}
	return buffer
}

// latin1 returns the bytes of a text whose characters all have one.
func latin1(text string) (string, bool) {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
		return "", false
	}
	var b strings.Builder
	for _, r := range text {
		if r > 0xff {
			return "", false
		}
		b.WriteByte(byte(r))
	}
	return b.String(), true
}
