package crontab

import (
	"bytes"
	"strings"
)

// state is where the reading of NAME = value stands. The order is the order in
// which a setting is read.
type state uint8

const (
	beforeName state = iota // at its first byte, which may be a quote
	inName
	beforeEqual
	beforeValue // after the =, in blanks
	startValue  // at its first byte, which may be a quote
	inValue
	afterValue // after the closing quote: blanks only
	noSetting
)

// setting reads a line as NAME = value, as vixie cron and its heirs do: either
// may stand in quotes, a quoted value ends the line, nothing is escaped.
func (d *dialect) setting(line []byte) (setting, bool) {
	if bytes.IndexByte(line, '=') < 0 {
		return setting{}, false
	}
	var name, value span
	var quote byte
	at := beforeName
	for i := 0; i < len(line) && at != noSetting; {
		c := line[i]
		switch at {
		case beforeName, startValue:
			if c == '\'' || c == '"' {
				quote = c
				i++
			}
			at++
		case inName:
			switch {
			case quote != 0 && c == quote, quote == 0 && isSpace(c):
				at = beforeEqual
				i++
			case c == '=' && quote != 0:
				at = noSetting
			case c == '=':
				at = beforeEqual
			default:
				name.take(i)
				i++
			}
		case beforeEqual:
			if c == '=' {
				at, quote = beforeValue, 0
			} else if !isSpace(c) {
				at = noSetting
			}
			i++
		case beforeValue, afterValue:
			if isSpace(c) {
				i++
			} else {
				at++ // after a value: noSetting
			}
		case inValue:
			if quote != 0 && c == quote {
				at = afterValue
			} else {
				value.take(i)
			}
			i++
		}
	}
	complete := at == afterValue || at == inValue && quote == 0 || at == beforeValue && d.emptyValue
	if !complete {
		return setting{}, false
	}
	return setting{name: name.of(line), value: d.value(value.of(line), at == inValue)}, true
}

// span is a stretch of bytes taken one after the other.
type span struct{ from, to int }

func (s *span) take(i int) {
	if s.to == 0 {
		s.from = i
	}
	s.to = i + 1
}

func (s *span) of(line []byte) string { return string(line[s.from:s.to]) }

// value trims what follows a bare value and, as Debian's cron does, trims and
// unquotes even a quoted one once more.
func (d *dialect) value(value string, bare bool) string {
	if bare || d.unquoted {
		value = strings.TrimRightFunc(value, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) })
	}
	if n := len(value); d.unquoted && n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return value
}

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
