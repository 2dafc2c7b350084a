package evidence

import "bytes"

// entry is one line of a log, taken apart.
type entry struct {
	stamp   []byte // the text of its instant
	host    []byte // empty: not said
	tag     []byte // the program, as it calls itself
	pid     int    // of who logged; 0: not said
	message []byte
}

// parseLine takes a line of a log file apart. The forms are:
//
//	Nov  1 02:30:01 db-1 CRON[42]: message              RFC 3164
//	Nov  1 02:30:01 db-1 cron.info crond[42]: message   busybox syslogd
//	Nov  1 02:30:01 crond[42]: message                  busybox syslogd -S
//	2026-11-01T02:30:01.5+01:00 db-1 CRON[42]: message  rsyslog, syslog-ng
//	<78>1 2026-11-01T02:30:01.5Z db-1 CRON 42 - - message  RFC 5424
//
// The parts are slices of the line.
func parseLine(line []byte) (e entry, ok bool) {
	line, structured := priority(line)
	if len(line) > classicLength && line[classicLength] == ' ' && line[3] == ' ' {
		e.stamp, line = line[:classicLength], line[classicLength+1:]
	} else if e.stamp, line, ok = word(line); !ok {
		return e, false
	}
	if structured {
		return e.structured(line)
	}
	colon := bytes.Index(line, []byte(": "))
	if colon < 0 {
		return e, false
	}
	head := line[:colon]
	e.message = trimLeft(line[colon+2:])
	if host, rest, found := word(head); found {
		e.host, head = host, rest
	}
	if i := bytes.LastIndexByte(head, ' '); i >= 0 { // a facility before the tag
		head = head[i+1:]
	}
	e.name(head)
	return e, len(e.tag) > 0
}

// priority passes over "<78>" and over the version that RFC 5424 puts behind it.
func priority(line []byte) (rest []byte, structured bool) {
	if len(line) == 0 || line[0] != '<' {
		return line, false
	}
	end := bytes.IndexByte(line[:min(len(line), 5)], '>')
	if end < 0 {
		return line, false
	}
	line = line[end+1:]
	if version, ok := bytes.CutPrefix(line, []byte("1 ")); ok {
		return version, true
	}
	return line, false
}

// structured reads what RFC 5424 has behind the instant.
func (e entry) structured(line []byte) (entry, bool) {
	var pid []byte
	for _, field := range []*[]byte{&e.host, &e.tag, &pid, new([]byte)} { // the last: the message's id
		var ok bool
		if *field, line, ok = word(line); !ok {
			return e, false
		}
	}
	if !bytes.HasPrefix(line, []byte("- ")) { // cron has no structured data
		return e, false
	}
	e.pid, _ = number(pid)
	e.message = trimLeft(line[2:])
	return e, true
}

// name reads "CRON[42]", "run-parts(/etc/cron.daily)[42]" or "crond".
func (e *entry) name(tag []byte) {
	e.tag = tag
	if open := bytes.LastIndexByte(tag, '['); open >= 0 && tag[len(tag)-1] == ']' {
		e.tag = tag[:open]
		e.pid, _ = number(tag[open+1 : len(tag)-1])
	}
}

// word cuts a line behind its first word.
func word(line []byte) (first, rest []byte, ok bool) {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 {
		return nil, line, false
	}
	return line[:i], line[i+1:], true
}

func trimLeft(text []byte) []byte { return bytes.TrimLeft(text, " ") }
