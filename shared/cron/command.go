package cron

import "strings"

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

// Shell returns what the dialect's daemon passes to the shell of a job with
// this command. Beside [Percent], Debian's cron turns "\\" into "\"; busybox
// passes the command as it is.
func (d Dialect) Shell(command string) string {
	if d == Busybox {
		return command
	}
	shell, _, _ := Percent(command)
	if d != Debian {
		return shell
	}
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

// Stdin returns what the dialect's daemon writes to the standard input of a
// job with this command.
func (d Dialect) Stdin(command string) string {
	if d == Busybox {
		return ""
	}
	_, raw, _ := Percent(command)
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
