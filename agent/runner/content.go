package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// content is what a stream has left behind: a file that may still grow, or one
// that was packed after the end.
type content interface {
	look() (mark, error)
	cut() (span, error)               // out of the middle
	section(from, to int64) io.Reader // sections are read in order
	Close() error
}

// plain is a stream as its process writes it.
type plain struct{ *os.File }

func (p plain) look() (mark, error) { return lookAt(p.File) }

// lookAt sees how long a file is, and when it was written to last.
func lookAt(file *os.File) (mark, error) {
	info, err := file.Stat()
	if err != nil {
		return mark{}, err
	}
	return mark{length: info.Size(), at: info.ModTime()}, nil
}

func (p plain) cut() (span, error) { return findHole(p.File) }

func (p plain) section(from, to int64) io.Reader { return io.NewSectionReader(p.File, from, to-from) }

// openContent opens a stream for reading. It is os.ErrNotExist where there is
// none; one that is packed at this moment is found all the same.
func openContent(path string) (content, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return openPacked(path + packedSuffix)
	}
	if err != nil {
		return nil, err
	}
	return plain{file}, nil
}

// Veil passes on what is written to it with the secrets masked. What it cannot
// judge yet it may keep until more comes, or Flush.
type Veil interface {
	io.Writer
	Flush() error
}

// tape reads a stream once, from its beginning to its end.
type tape struct {
	content
	stream int
	at     int64
	to     io.Writer
	veil   Veil // that is to; nil: nothing is masked
	skip   int  // how much is left out at most until a line ends
}

// longestSkip bounds what is left out of a line whose beginning is missing.
const longestSkip = 4096

// rewind goes to the last bytes, at the beginning of a line.
func (t *tape) rewind(last int64) error {
	now, err := t.look()
	if err == nil && last > 0 && now.length > last {
		t.at, t.skip = now.length-last, longestSkip
	}
	return err
}

// play copies what lies before end, and says where the middle is missing.
func (t *tape) play(end int64) error {
	now, err := t.look()
	if err != nil {
		return err
	}
	cut, err := t.cut()
	if err != nil {
		return err
	}
	end, t.at = min(end, now.length), min(t.at, now.length) // cut short where there are no holes
	if err := t.copy(min(end, cut.from)); err != nil {
		return err
	}
	if t.at >= cut.from && t.at < cut.to && end > cut.from {
		if err := t.leap(cut.to); err != nil {
			return err
		}
	}
	return t.copy(end)
}

// leap goes over what is missing. Where secrets are masked it goes on with the
// next line: the rest of a word does not tell that the word was a secret.
func (t *tape) leap(to int64) error {
	missing := to - t.at
	t.at = to
	if t.veil != nil {
		t.skip = longestSkip
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.to, "\n[fleetcron: %d bytes dropped here]\n", missing)
	return err
}

func (t *tape) flush() error {
	if t.veil == nil {
		return nil
	}
	return t.veil.Flush()
}

func (t *tape) copy(end int64) error {
	if t.skip > 0 && t.at < end {
		if err := t.skipLine(end); err != nil {
			return err
		}
	}
	if t.at >= end {
		return nil
	}
	n, err := io.Copy(t.to, t.section(t.at, end))
	t.at += n
	return err
}

// skipLine leaves out the rest of a line.
func (t *tape) skipLine(end int64) error {
	buf := make([]byte, min(end-t.at, int64(t.skip)))
	n, err := io.ReadFull(t.section(t.at, t.at+int64(len(buf))), buf)
	if err != nil {
		return err
	}
	t.at += int64(n)
	line := bytes.IndexByte(buf, '\n')
	if line < 0 {
		t.skip -= n
		return nil
	}
	t.skip = 0
	_, err = t.to.Write(buf[line+1:])
	return err
}

// player plays the streams of a run in the order in which they were written.
type player struct {
	tapes []*tape
	lines *lines // that they are written as; nil: as they are
	marks *marks // of a run that goes on; nil: it has ended
}

// replay plays what the marks know.
func (p *player) replay(all []mark) error {
	for _, one := range all {
		for _, t := range p.tapes {
			if t.stream == one.stream {
				if err := p.play(t, one); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// catchUp plays what has come since, and of two streams the one first that was
// not written to for longer. The look counts for those who read it later, too.
func (p *player) catchUp() error {
	var now []mark
	for _, t := range p.tapes {
		one, err := t.look()
		if err != nil {
			return err
		}
		one.stream = t.stream
		now = append(now, one)
	}
	if p.marks != nil {
		_ = p.marks.note(now...) // else the next look of the run does
	}
	slices.SortStableFunc(now, func(a, b mark) int { return a.at.Compare(b.at) })
	return p.replay(now)
}

func (p *player) play(t *tape, to mark) error {
	if p.lines != nil {
		p.lines.at = to.at
	}
	return t.play(to.length)
}

// finish passes on what veils have kept.
func (p *player) finish() error {
	for _, t := range p.tapes {
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) close() {
	for _, t := range p.tapes {
		t.Close()
	}
}

// lines writes streams line by line, each with its time and the name of its
// stream. A line that is interrupted by the other stream is broken off.
type lines struct {
	to    io.Writer
	named bool // there are two
	at    time.Time
	open  *side
	text  []byte
}

// side is one of the streams.
type side struct {
	lines *lines
	name  string
}

// timeLayout is how lines begin: UTC, to the millisecond.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Write takes in a piece of the stream.
func (s *side) Write(p []byte) (int, error) {
	l := s.lines
	l.text = l.text[:0]
	if l.open != nil && l.open != s {
		l.text, l.open = append(l.text, '\n'), nil
	}
	for rest := p; len(rest) > 0; {
		if l.open == nil {
			l.begin(s)
		}
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, l.open = rest[:i+1], nil
		}
		l.text = append(l.text, line...)
		rest = rest[len(line):]
	}
	if _, err := l.to.Write(l.text); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *lines) begin(s *side) {
	l.open = s
	l.text = append(l.at.UTC().AppendFormat(l.text, timeLayout), ' ')
	if l.named {
		l.text = append(append(l.text, s.name...), ' ')
	}
}
