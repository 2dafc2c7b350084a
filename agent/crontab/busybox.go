package crontab

import (
	"bytes"
	"fmt"
	"strings"
)

// busybox reads one entry as busybox crond does: lines that end in a backslash
// are joined, a "#" begins a comment anywhere, six words make a job, and no
// field is ever refused.
func (p *parser) busybox() {
	joined, end := p.join()
	line := bytes.TrimLeft(joined, " \t")
	if len(line) == 0 || line[0] == '#' || line[0] == 0 {
		p.line(Rest, end)
		return
	}
	if nul := bytes.IndexByte(line, 0); nul >= 0 {
		line = line[:nul]
	}
	most := p.dialect.maxOthers
	if p.Owner == "root" {
		most = p.dialect.maxRoots
	}
	if p.entries++; p.entries > most {
		p.stop(p.number, "too many lines", fmt.Sprintf("busybox crond reads %d entries of this table", most))
		return
	}
	words := boxWords(line)
	switch {
	case p.boxSetting(words[0], end):
	case words[0][0] == '@':
		p.boxSpecial(string(line), words, end)
	case len(words) < 6:
		p.bad(end, tooFewWords(len(words)))
	default:
		p.boxJob(strings.Join(words[:5], " "), words[5], end)
	}
}

// join returns the next line, joined with those it is continued on, and where
// it ends.
func (p *parser) join() (line []byte, end int) {
	end = p.pos
	for joining := false; ; joining = true {
		next := p.text[end:]
		if i := bytes.IndexByte(next, '\n'); i >= 0 {
			next, end = next[:i], end+i+1
		} else {
			end = len(p.text)
		}
		if joining {
			line = append(line, next...)
		} else {
			line = next
		}
		if !bytes.HasSuffix(line, []byte{'\\'}) {
			return line, end
		}
		if line = line[:len(line)-1]; end == len(p.text) {
			return line, end
		}
		if !joining {
			line = bytes.Clone(line) // the text is not ours to write to
		}
	}
}

// boxWords splits a line into at most six words; the sixth is the rest of it.
func boxWords(line []byte) []string {
	if i := bytes.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	words := make([]string, 0, 6)
	for len(line) > 0 && len(words) < 5 {
		end := bytes.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		words = append(words, string(line[:end]))
		line = bytes.TrimLeft(line[end:], " \t")
	}
	if len(line) > 0 {
		words = append(words, string(line))
	}
	return words
}

// boxSettings are the only ones busybox crond knows; no quotes, no blanks.
var boxSettings = [...]string{"MAILTO", "SHELL", "PATH"}

func (p *parser) boxSetting(word string, end int) bool {
	for _, name := range boxSettings {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			p.set(end, setting{name: name, value: value, unset: name == "MAILTO" && value == ""})
			return true
		}
	}
	return false
}

// boxSpecial reads an @ word; its command is taken from the line as it stands,
// comments included.
func (p *parser) boxSpecial(line string, words []string, end int) {
	if len(words) < 2 {
		p.bad(end, fault{"", "busybox crond passes over the line: there is no command"})
		return
	}
	if _, err := p.Dialect.Parse(words[0]); err != nil {
		p.bad(end, faults.boxWord)
		return
	}
	space := func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }
	command := strings.TrimLeftFunc(line[strings.IndexFunc(line, space):], space)
	p.boxJob(words[0], command, end)
}

func (p *parser) boxJob(fields, command string, end int) {
	schedule, err := p.Dialect.Parse(fields)
	if err != nil {
		p.bad(end, fault{"", err.Error()})
		return
	}
	if most := p.dialect.maxCommand; len(command) > most {
		text := fmt.Sprintf("the command is longer than the %d bytes the kernel takes as one argument, so no shell can be started with it", most)
		p.bad(end, fault{"", text})
		return
	}
	p.job(end, Job{Schedule: schedule, Command: command})
}
