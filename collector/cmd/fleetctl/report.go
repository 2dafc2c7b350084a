package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// sink remembers that the answer could not be written, so that a full disk
// behind a > is not taken for success.
type sink struct {
	to  io.Writer
	err error
}

// Write passes on, and keeps the first error.
func (s *sink) Write(text []byte) (int, error) {
	n, err := s.to.Write(text)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

// inFile is an error about one input file.
type inFile struct {
	name string
	err  error
}

func (e inFile) Error() string { return e.name + ": " + e.err.Error() }
func (e inFile) Unwrap() error { return e.err }

// report writes an error as one sentence, or as one line for each problem, and
// the next thing to try.
func (p *program) report(err error) {
	lines := problemLines(err)
	if len(lines) == 1 {
		fmt.Fprintf(p.stderr, "fleetctl: %s\n", lines[0])
	} else {
		fmt.Fprintf(p.stderr, "fleetctl: %s\n", count(len(lines), "problem"))
		for _, line := range lines {
			fmt.Fprintf(p.stderr, "  %s\n", line)
		}
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(p.stderr, "hint: %s\n", visible.Line(hint))
	}
}

// problemLines returns a line for each thing that is wrong.
func problemLines(err error) []string {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, one := range many.Unwrap() {
			lines = append(lines, problemLines(one)...)
		}
		return lines
	}
	prefix := ""
	if file, ok := errors.AsType[inFile](err); ok {
		prefix = file.name + ": "
	}
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || len(e.Fields) < 2 {
		return []string{visible.Line(strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	if e.Message != "" {
		prefix += e.Message + ": "
	}
	lines := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		lines[i] = visible.Line(prefix + field.String())
	}
	return lines
}

// hintOf returns the next thing to try. The client does not know how fleetctl
// names a collector.
func hintOf(err error) string {
	e, ok := errors.AsType[*fleet.Error](err)
	switch {
	case !ok:
		return ""
	case e.Code == "unreachable":
		return "is it running? --address, FLEETCRON_ADDRESS or the config file name another"
	}
	return e.Hint
}
