package crontab

import (
	"bytes"
	"strings"
)

// vixie reads one entry as Debian's cron and cronie do, with the comments and
// blank lines before it. A NUL byte ends a setting, a word or a command like a
// line break, and what follows it is the next entry.
func (p *parser) vixie() {
	start, ok := p.skipRest()
	if !ok {
		return
	}
	lineEnd := bytes.IndexByte(p.text[start:], '\n')
	nul := bytes.IndexByte(p.text[start:max(start, start+lineEnd)], 0)
	if lineEnd < 0 {
		nul = bytes.IndexByte(p.text[start:], 0)
	}
	if lineEnd < 0 && nul < 0 {
		p.bad(len(p.text), faults.noNewline)
		return
	}
	after := len(p.text) // the entry's line break, or the end of the text
	if lineEnd >= 0 {
		after = start + lineEnd
	}
	cut := after
	if nul >= 0 {
		cut = start + nul
	}
	look := p.text[start:cut]
	if s, ok := p.dialect.setting(look[:min(len(look), p.dialect.maxSetting)]); ok {
		p.set(cut+1, s)
		return
	}
	p.entry(start, after)
}

// skipRest keeps the comments and blank lines before the next entry and returns
// where the entry's first word begins, or false where none comes.
func (p *parser) skipRest() (int, bool) {
	at, line := p.pos, p.pos
	for at < len(p.text) {
		for at < len(p.text) && isBlank(p.text[at]) {
			at++
		}
		if at == len(p.text) || p.text[at] != '\n' && p.text[at] != '#' {
			break
		}
		end := bytes.IndexByte(p.text[at:], '\n')
		if end < 0 {
			at = len(p.text)
			break
		}
		at += end + 1
		line = at
	}
	looked := min(at+1, len(p.text)) - p.pos
	if most := p.dialect.maxGarbage; most > 0 && looked > most {
		return p.tooMuchRest(p.pos + most + 1)
	}
	if at == len(p.text) {
		p.line(Rest, at)
		return 0, false
	}
	if line > p.pos {
		p.line(Rest, line)
	}
	return at, true
}

// tooMuchRest is what cronie does about more comments in a row than it likes:
// it drops a user's table, and in a system table takes the middle of a comment
// for an entry.
func (p *parser) tooMuchRest(at int) (int, bool) {
	at = min(at, len(p.text))
	p.line(Rest, at)
	if p.System {
		return at, at < len(p.text)
	}
	p.refuseAt(p.number, "too many garbage characters", "a user's table may have 32768 bytes of comments and blank lines in a row")
	p.stopped = true
	return 0, false
}

// entry reads the line [start, after) as a job.
func (p *parser) entry(start, after int) {
	p.entries++
	if most := p.dialect.maxEntries; most > 0 && !p.System && p.entries > most {
		p.refuseAt(p.number, "too many entries", "a user's table may have 10000 jobs")
		p.stopped = true
		return
	}
	e := entry{parser: p, rest: p.text[start:after], after: after}
	if fault := e.read(); fault != nil {
		p.bad(min(after+1, len(p.text)), *fault)
		return
	}
	p.job(min(start+e.at+1, len(p.text)), e.job)
}

// entry is the reading of one job line.
type entry struct {
	*parser
	rest  []byte // the line without its break
	after int    // where rest ends in the text
	at    int    // how far it is read
	job   Job
}

func (e *entry) read() *fault {
	if fault := e.quiet(); fault != nil {
		return fault
	}
	if fault := e.schedule(); fault != nil {
		return fault
	}
	if fault := e.user(); fault != nil {
		return fault
	}
	if fault := e.options(); fault != nil {
		return fault
	}
	return e.command()
}

// ended reports whether the line is read to its end.
func (e *entry) ended() bool { return e.at >= len(e.rest) }

func (e *entry) skipBlanks() {
	for !e.ended() && isBlank(e.rest[e.at]) {
		e.at++
	}
}

// word reads up to a blank, a NUL or the line's end.
func (e *entry) word() string {
	from := e.at
	for !e.ended() && !isBlank(e.rest[e.at]) && e.rest[e.at] != 0 {
		e.at++
	}
	return string(e.rest[from:e.at])
}

// quiet reads cronie's leading "-".
func (e *entry) quiet() *fault {
	if !e.dialect.options || e.ended() || e.rest[0] != '-' {
		return nil
	}
	if !e.System && !e.Root {
		return &faults.notPrivileged
	}
	e.job.Quiet = true
	e.at++
	return nil
}

// schedule reads the five fields, or the word that stands for them.
func (e *entry) schedule() *fault {
	if !e.ended() && e.rest[e.at] == '@' {
		return e.parse(e.word())
	}
	if e.ended() || isBlank(e.rest[e.at]) {
		return &faults.noMinute
	}
	from, last, to := e.at, e.at, e.at // the fields, and where the last one begins
	for n := 0; n < 5 && !e.ended(); n++ {
		last = e.at
		for !e.ended() && !isBlank(e.rest[e.at]) {
			e.at++
		}
		to = e.at
		e.skipBlanks()
	}
	if e.ended() && e.after == len(e.text) { // the text ends in the last field, which spoils it
		if to = last; to == from {
			return &faults.noMinute
		}
	}
	return e.parse(string(e.rest[from:to]))
}

func (e *entry) parse(fields string) *fault {
	schedule, err := e.Dialect.Parse(fields)
	if err != nil {
		return e.badSchedule(err)
	}
	e.job.Schedule = schedule
	e.skipBlanks()
	switch {
	case e.ended() && !e.dialect.noCommand:
		return &faults.noCommand
	case e.ended() || e.rest[e.at] != '*':
		return nil
	case e.System && e.dialect.userFirst: // a bad username, below
		return nil
	}
	return &faults.sixFields
}

// user reads the user of a system table's job.
func (e *entry) user() *fault {
	if !e.System {
		return nil
	}
	if e.dialect.userFirst {
		return e.userPastEnd()
	}
	e.job.User = e.word()
	if e.ended() {
		return &faults.noCommand
	}
	e.skipBlanks()
	if e.ended() {
		return &faults.noCommand
	}
	return nil
}

// userPastEnd reads the user as Debian's cron does: up to a blank or NUL, even
// over the line's end, where the name cannot be any user's.
func (e *entry) userPastEnd() *fault {
	e.job.User = e.word()
	if e.ended() {
		if !bytes.ContainsAny(e.text[e.after:], " \t\x00") {
			return &faults.noCommand
		}
		return &faults.noUser
	}
	if !possibleUser(e.job.User) || e.Known != nil && !e.Known(e.job.User) {
		return unknownUser(e.job.User)
	}
	e.at++ // the blank that ended the name
	blanks := e.at
	e.skipBlanks()
	e.job.Blanks = e.at - blanks
	return nil
}

// possibleUser reports whether a passwd file can have an entry of that name.
func possibleUser(name string) bool {
	return name != "" && !strings.ContainsAny(name, "/*:\n")
}

// options reads cronie's options of a command: there is only -n.
func (e *entry) options() *fault {
	if !e.dialect.options {
		return nil
	}
	for !e.ended() && e.rest[e.at] == '-' {
		if e.job.MailOnError || !bytes.HasPrefix(e.rest[e.at:], []byte("-n")) {
			return &faults.option
		}
		e.job.MailOnError = true
		e.at += len("-n")
		if e.ended() || !isBlank(e.rest[e.at]) {
			return &faults.option
		}
		if e.skipBlanks(); e.ended() {
			return &faults.noCommand
		}
	}
	return nil
}

// command reads the rest of the line, up to a NUL.
func (e *entry) command() *fault {
	text := e.rest[e.at:]
	if nul := bytes.IndexByte(text, 0); nul >= 0 {
		text = text[:nul]
	} else if e.after == len(e.text) {
		return &faults.noCommand
	}
	e.at += len(text)
	if most := e.dialect.maxCommand; len(text)+e.job.Blanks > most {
		if e.dialect.tooLong {
			return &faults.tooLong
		}
		text = text[:most]
	}
	e.job.Command = string(text)
	return nil
}
