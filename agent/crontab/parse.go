package crontab

import (
	"bytes"
	"fmt"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// MaxEntries bounds the jobs, settings and bad lines that are kept of one file,
// so that no file can fill the memory.
const MaxEntries = 20_000

// Parse reads a crontab as the dialect's daemon does. It keeps no part of text.
func Parse(text []byte, opt Options) *File {
	if _, ok := dialects[opt.Dialect]; !ok {
		opt.Dialect = cron.Debian
	}
	p := parser{Options: opt, dialect: dialectOf(opt.Dialect), text: text, number: 1, file: &File{Accepted: true}}
	p.file.Lines = make([]Line, 0, 8)
	for p.pos < len(text) && !p.stopped {
		p.dialect.read(&p)
	}
	if p.pos < len(text) {
		p.line(Unread, len(text))
	}
	return p.file
}

// parser walks a text once, from its first byte to its last.
type parser struct {
	Options
	dialect *dialect
	text    []byte
	file    *File

	pos      int // the first byte that is in no line yet
	number   int // of the line pos is on
	stopped  bool
	settings []setting

	kept         int // lines that are no comments
	entries, env int // so far, as the daemons count them
}

// line puts the text up to end into a line and goes on after it.
func (p *parser) line(kind Kind, end int) Line {
	breaks := bytes.Count(p.text[p.pos:end], []byte{'\n'})
	l := Line{Kind: kind, First: p.number, Last: p.number + breaks, Start: p.pos, End: end}
	if breaks > 0 && p.text[end-1] == '\n' {
		l.Last--
	}
	p.number += breaks
	p.pos = end
	lines := p.file.Lines
	if n := len(lines); n > 0 && kind == Rest && lines[n-1].Kind == Rest {
		lines[n-1].Last, lines[n-1].End = l.Last, end
		return lines[n-1]
	}
	p.file.Lines = append(lines, l)
	if kind != Rest && kind != Unread {
		p.kept++
	}
	if p.kept == MaxEntries && end < len(p.text) {
		p.stop(l.Last, "", fmt.Sprintf("only the first %d lines with entries were read", MaxEntries))
	}
	return l
}

// bad keeps the text up to end as a line the daemon cannot use.
func (p *parser) bad(end int, fault fault) {
	text := clip(p.text[p.pos:end])
	l := p.line(Bad, end)
	p.problem(Problem{Line: l.Last, Text: text, Term: fault.term, Reason: fault.reason})
}

func (p *parser) problem(problem Problem) {
	p.file.Problems = append(p.file.Problems, problem)
	if p.dialect.refuse {
		p.refuse(problem)
	}
}

// refuse marks the file as one the daemon does not take; the first reason stays.
func (p *parser) refuse(because Problem) {
	if !p.file.Accepted {
		return
	}
	p.file.Accepted, p.file.Term = false, because.term()
	p.file.Refusal = fmt.Sprintf("%s ignores the whole file because of line %d: %s",
		daemon(p.Dialect), because.Line, because.term())
}

// refuseAt refuses the file for a limit of the daemon's that line n passes, and
// reads on only if the daemon's own complaint comes after the reading.
func (p *parser) refuseAt(n int, term, reason string) {
	problem := Problem{Line: n, Term: term, Reason: reason}
	if p.file.Accepted {
		p.file.Problems = append(p.file.Problems, problem)
	}
	p.refuse(problem)
}

// stop ends the reading; what follows is Unread.
func (p *parser) stop(n int, term, reason string) {
	p.stopped = true
	p.file.Problems = append(p.file.Problems, Problem{Line: n, Term: term, Reason: reason})
}

// set keeps the text up to end as a setting.
func (p *parser) set(end int, s setting) {
	p.settings = append(p.settings, s)
	l := p.line(Env, end)
	p.env++
	if d := p.dialect; d.maxSettings > 0 && !p.System && p.env > d.maxSettings {
		p.refuseAt(l.Last, "too many environment variables", fmt.Sprintf("a user's table may have %d settings", d.maxSettings))
		p.stopped = true
	}
	p.limit(l)
}

// job keeps the text up to end as a job.
func (p *parser) job(end int, job Job) {
	l := p.line(Entry, end)
	job.Line, job.Index = l.Last, len(p.file.Lines)-1
	job.Fields = job.Schedule.String()
	job.dialect = p.Dialect
	job.settings = p.settings[:len(p.settings):len(p.settings)]
	if !p.System {
		job.User = p.Owner
	}
	if p.file.Jobs == nil {
		p.file.Jobs = make([]Job, 0, 2) // most files have one or two
	}
	p.file.Jobs = append(p.file.Jobs, job)
	p.limit(l)
}

// limit holds an entry to the number of lines Debian's cron takes.
func (p *parser) limit(l Line) {
	if p.dialect.maxLine > 0 && l.Last >= p.dialect.maxLine {
		p.refuseAt(l.Last, "crontab must not be longer than 10000 lines", "the file has more than 10000 lines")
	}
}

// clip returns a line without its break, short enough for a report.
func clip(text []byte) string {
	const most = 200
	text = bytes.TrimSuffix(text, []byte{'\n'})
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
