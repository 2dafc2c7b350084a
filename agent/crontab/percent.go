package crontab

import (
	"strings"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// Percent splits a command as crontab(5) says: the shell gets what stands
// before the first unescaped "%", and what follows it is input; "\%" before it
// becomes "%". Quotes protect nothing. The input is raw: its own "%" still
// stand for line breaks.
func Percent(command string) (shell, input string, found bool) {
	if !strings.Contains(command, "%") {
		return command, "", false
	}
	var b strings.Builder
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case c == '%':
			return b.String(), command[i+1:], true
		case c == '\\' && i+1 < len(command):
			i++
			if command[i] != '%' {
				b.WriteByte(c)
			}
			b.WriteByte(command[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", false
}

// Shell returns what the daemon passes to the shell as its command. Beside
// [Percent], Debian's cron turns "\\" into "\"; busybox passes the command as
// it is.
func (j *Job) Shell() string {
	if j.dialect == cron.Busybox {
		return j.Command
	}
	shell, _, _ := Percent(j.Command)
	if j.dialect != cron.Debian {
		return shell
	}
	command := j.Command
	var b strings.Builder
	for i := 0; i < len(command) && command[i] != '%'; i++ {
		if command[i] == '\\' && i+1 < len(command) {
			if next := command[i+1]; next != '%' && next != '\\' {
				b.WriteByte('\\')
			}
			i++
		}
		b.WriteByte(command[i])
	}
	return b.String()
}

// Stdin returns what the daemon writes to the command's standard input.
func (j *Job) Stdin() string {
	if j.dialect == cron.Busybox {
		return ""
	}
	_, raw, _ := Percent(j.Command)
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == '\\' && i+1 < len(raw) && raw[i+1] == '%':
			i++
			b.WriteByte('%')
		case raw[i] == '%':
			b.WriteByte('\n')
		default:
			b.WriteByte(raw[i])
		}
	}
	if input := b.String(); input == "" || strings.HasSuffix(input, "\n") {
		return input
	}
	return b.String() + "\n"
}
