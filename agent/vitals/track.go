package vitals

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// trackKept is how much of a run's notes stays on the disk, at least.
	trackKept = 4 << 10
	// trackMost is beyond how much of them what was read is given back.
	trackMost = 64 << 10
	// lookMost is how much one look reads. Who writes faster loses the middle.
	lookMost = 256 << 10
)

// track follows the file of one run's notes. Where it stands is not remembered
// over a restart of the agent: the next one reads what is kept once more, which
// says nothing new.
type track struct {
	path  string
	at    int64  // read up to here
	given int64  // given back up to here
	rest  []byte // of a line whose end has not come yet
	skip  bool   // up to the end of the line: its beginning is lost, or it is too long
	begun bool

	silent bool // somebody was told that it cannot be read
}

// page is what one look found.
type page struct {
	notes   []Note
	unread  int       // lines that nobody can read
	why     string    // about the last of them
	written time.Time // when the last line was, by the wall clock
	flood   bool      // there is more than fits into a look
}

// read takes in what was written since the look before; at the end of the run
// also a last line that lacks its newline.
func (t *track) read(last bool) (page, error) {
	var p page
	info, err := os.Stat(t.path)
	if err == nil && info.Size() != t.at {
		err = t.readFile(&p)
	}
	if last && len(t.rest) > 0 && err == nil {
		p.take(string(t.rest))
		t.rest = nil
	}
	return p, err
}

func (t *track) readFile(p *page) error {
	file, err := os.OpenFile(t.path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", t.path)
	}
	size := info.Size()
	p.written = info.ModTime()
	if size < t.at { // the command cut it
		t.at, t.given, t.rest, t.skip = 0, 0, nil, false
	}
	if err := t.begin(file); err != nil {
		return err
	}
	if size-t.at > lookMost {
		t.at, t.rest, t.skip, p.flood = size-lookMost, nil, true, true
		p.fail("notes are written faster than they are read, some are lost")
	}
	text := make([]byte, size-t.at)
	n, err := file.ReadAt(text, t.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.at += int64(n)
	t.take(text[:n], p)
	return t.giveBack(file)
}

// begin finds where the notes begin that an earlier agent kept.
func (t *track) begin(file *os.File) error {
	if t.begun {
		return nil
	}
	start, err := unix.Seek(int(file.Fd()), 0, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) { // there is none, or nobody can say
		start, err = 0, nil
	}
	if err != nil {
		return err
	}
	t.begun, t.at, t.given, t.skip = true, start, start, start > 0
	return nil
}

// take splits what was read into lines.
func (t *track) take(text []byte, p *page) {
	for len(text) > 0 {
		line, after, ended := bytes.Cut(text, []byte{'\n'})
		text = after
		switch {
		case t.skip:
			t.skip = !ended
			continue
		case len(t.rest)+len(line) > MaxNote:
			p.fail(fmt.Sprintf("a note has at most %d bytes", MaxNote))
			t.rest, t.skip = nil, !ended
			continue
		}
		t.rest = append(t.rest, line...)
		if ended {
			p.take(string(t.rest))
			t.rest = t.rest[:0]
		}
	}
}

func (p *page) take(line string) {
	note, err := ParseNote(line)
	if err != nil {
		p.fail(fmt.Sprintf("%s: %q", err, Printable(line, 80)))
		return
	}
	p.notes = append(p.notes, note)
}

func (p *page) fail(why string) { p.unread, p.why = p.unread+1, why }

// giveBack frees the disk of what was read. The file keeps its length, so that
// nothing that is written meanwhile is lost; where the file system knows no
// holes it is cut to nothing instead.
func (t *track) giveBack(file *os.File) error {
	if t.at-t.given <= trackMost {
		return nil
	}
	upto := (t.at - trackKept) &^ (trackKept - 1)
	err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, t.given, upto-t.given)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if err = file.Truncate(0); err == nil {
			t.at, t.given = 0, 0
		}
		return err
	}
	if err == nil {
		t.given = upto
	}
	return err
}
