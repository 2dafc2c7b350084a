package discover

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// atName is what the name of a file in at's spool says: one letter for the
// queue or "=" while it runs, five digits for the job's number and eight for
// its minute since 1970, all of them hexadecimal.
type atName struct {
	queue  byte // "=" while the job runs
	number int
	due    time.Time // UTC; in a batch queue the earliest
}

var atFileName = regexp.MustCompile(`^([a-zA-Z=])([0-9a-f]{5})([0-9a-f]{8})$`)

func parseAtName(name string) (atName, bool) {
	m := atFileName.FindStringSubmatch(name)
	if m == nil {
		return atName{}, false
	}
	number, _ := strconv.ParseInt(m[2], 16, 32) // the digits are hexadecimal and few
	minute, _ := strconv.ParseInt(m[3], 16, 64)
	return atName{queue: m[1][0], number: int(number), due: time.Unix(minute*60, 0).UTC()}, true
}

// batch reports whether the jobs of the queue wait for a low load.
func (n atName) batch() bool { return n.queue == 'b' || n.queue >= 'A' && n.queue <= 'Z' }

func (n atName) running() bool { return n.queue == '=' }

// atFile is what the content of a file in at's spool says. The environment
// between the head and the command is not kept: it is a person's whole
// environment, secrets included.
type atFile struct {
	uid     uint32
	command string
	found   bool // the command was told from the environment
}

var atHead = regexp.MustCompile(`^#!/bin/sh\n# atrun uid=([0-9]{1,10}) gid=[0-9]{1,10}\n# mail +[^ \n]+ -?[0-9]+\n`)

// parseAtFile returns false for what atd would not run.
func parseAtFile(content []byte) (atFile, bool) {
	m := atHead.FindSubmatchIndex(content)
	if m == nil {
		return atFile{}, false
	}
	uid, err := strconv.ParseUint(string(content[m[2]:m[3]]), 10, 32)
	if err != nil {
		return atFile{}, false
	}
	file := atFile{uid: uint32(uid)}
	file.command, file.found = atCommand(string(content[m[1]:]))
	return file, true
}

// atCommand is what follows the block that changes into the directory. A line
// of the environment cannot be that block's first one: at quotes what is
// special in it, and begins each further line of a value with a quote.
func atCommand(text string) (command string, ok bool) {
	inBlock := false
	for line := range strings.Lines(text) {
		text = text[len(line):]
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !inBlock:
			inBlock = strings.HasPrefix(line, "cd ") && strings.HasSuffix(line, " || {")
		case line == "}":
			return boundCommand(hereDocument(text)), true
		}
	}
	return "", false
}

var hereBegin = regexp.MustCompile(`^\$\{SHELL:-/bin/sh\} << '(marcinDELIMITER[0-9a-f]{1,16})'\n`)

// hereDocument takes off what Fedora's at puts around a command to have the
// user's own shell read it.
func hereDocument(text string) string {
	m := hereBegin.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	inner, _, _ := strings.Cut(text[len(m[0]):], "\n"+m[1])
	return inner
}

const (
	maxAtLines = 10
	maxAtBytes = 2000
)

// boundCommand keeps the first lines and marks what was cut.
func boundCommand(text string) string {
	text = strings.Trim(text, "\n")
	end := 0
	for range maxAtLines {
		at := strings.IndexByte(text[end:], '\n')
		if at < 0 {
			end = len(text) + 1
			break
		}
		end += at + 1
	}
	kept := text[:min(max(end-1, 0), len(text), maxAtBytes)]
	if len(kept) < len(text) {
		return strings.ToValidUTF8(kept, "") + " …"
	}
	return kept
}
