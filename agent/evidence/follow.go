package evidence

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// cursor is how far a log has been read: a place in one of its files, which is
// known again by how it begins, wherever it was moved or copied.
type cursor struct {
	Offset int64  `json:"offset"`         // bytes, of a zipped file when unpacked
	Head   string `json:"head,omitempty"` // digest of the first Length bytes
	Length int    `json:"length,omitempty"`
	Middle bool   `json:"middle,omitempty"` // the rest of the line there is passed over
	Read   int64  `json:"read"`             // when, seconds since 1970
}

// limits bound the reading of one log.
type limits struct {
	round    int64 // bytes in one round
	unpacked int64 // bytes of a zipped file, which is read in one round
}

const (
	maxRound    = 32 << 20
	maxUnpacked = 128 << 20
	maxLine     = 64 << 10 // bytes of a line that are looked at
	headLength  = 1024
)

// follow hands on every line that came to a log since the cursor, in order,
// and returns the cursor behind it. Without a cursor, or where its place is
// gone, it begins as far back as a round may go, and gap is true: what was
// there between was not seen.
func (d *directory) follow(ctx context.Context, log string, from *cursor, now time.Time, line func(last time.Time, line []byte)) (to *cursor, gap bool, err error) {
	chain, at, gap, err := d.chain(log, from, now)
	defer func() {
		for _, p := range chain {
			p.Close()
		}
	}()
	if err != nil {
		return from, false, err
	}
	if len(chain) == 0 {
		return from, false, fs.ErrNotExist
	}
	left := d.limits.round
	for i, p := range chain {
		final := i+1 < len(chain)
		last := p.modified
		if !final {
			last = now
		}
		s := stretch{cursor: at, left: left, final: final, line: func(text []byte) { line(last, text) }}
		if p.zipped {
			s.left = d.limits.unpacked
		}
		done, err := s.read(ctx, p)
		if err != nil && final && ctx.Err() == nil {
			gap, done, err = true, true, nil // what of it could be read, was
		}
		if err != nil || !done || !final {
			return s.cursor.in(p, from, now), gap, err
		}
		left, at = left-(s.Offset-at.Offset), cursor{}
	}
	return nil, gap, nil // not reached: the last part is never final
}

// chain opens the files of a log that are still to be read, the oldest first,
// and tells where to begin in the first of them.
func (d *directory) chain(log string, from *cursor, now time.Time) (chain []*part, at cursor, gap bool, err error) {
	current, err := d.open(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, at, false, err
	}
	if current != nil {
		chain = []*part{current}
		if from != nil && from.matches(current) {
			return chain, *from, false, nil
		}
	}
	older, err := d.older(log, current)
	if err != nil {
		return chain, at, false, err
	}
	n := len(older)
	if from != nil {
		n = slices.IndexFunc(older, from.matches) + 1
	}
	if from == nil || n == 0 {
		n, at = backlog(current, older, oldest(from, now), d.limits.round)
		gap = from == nil || from.Length > 0 // nothing was read of an empty file
	} else {
		at = *from
	}
	for _, p := range older[n:] {
		p.Close()
	}
	slices.Reverse(older[:n])
	if current != nil && current.size == 0 && n > 0 {
		current.Close() // who writes may not have noticed the rotation yet
		return older[:n], at, gap, nil
	}
	return append(older[:n:n], chain...), at, gap, nil
}

// oldest returns since when a rotated file must have been written to, to be
// read by who has lost the place, or has none.
func oldest(from *cursor, now time.Time) time.Time {
	since := now.Add(-window)
	if from != nil && from.Read > since.Unix() {
		return time.Unix(from.Read, 0)
	}
	return since
}

// backlog says how many rotated files are read by who has lost the place and
// may read so many bytes, and where in the oldest of them that begins.
func backlog(current *part, older []*part, since time.Time, left int64) (n int, at cursor) {
	fits := func(p *part) bool {
		size := p.size
		if p.zipped {
			size *= 10 // about
		}
		if left -= size; left < 0 && !p.zipped {
			at = cursor{Offset: -left, Middle: true}
		}
		return left > 0
	}
	if current != nil && !fits(current) {
		return 0, at
	}
	for _, p := range older {
		if p.modified.Before(since) {
			break
		}
		n++
		if !fits(p) {
			break
		}
	}
	return n, at
}

// matches reports whether the cursor is a place in the file. One in a file
// that was empty is in none: what came since is told by when it was written.
func (c *cursor) matches(p *part) bool {
	if c.Length == 0 || !p.zipped && p.size < c.Offset {
		return false // … or the file was cut, and written anew
	}
	return p.head(c.Length) == c.Head
}

// in completes a cursor with what its file is known by. Where nothing was
// read it is the one there was.
func (c cursor) in(p *part, from *cursor, now time.Time) *cursor {
	c.Read = now.Unix()
	begin := make([]byte, headLength)
	if r, err := p.reader(0); err == nil {
		n, _ := io.ReadFull(r, begin)
		c.Length, c.Head = n, digest(begin[:n])
	}
	if from != nil && from.Length > 0 && c.Offset == from.Offset && c.Length == from.Length && c.Head == from.Head {
		return from
	}
	return &c
}

// head digests the first bytes of a file; empty: there are not so many.
func (p *part) head(length int) string {
	r, err := p.reader(0)
	if err != nil {
		return ""
	}
	begin := make([]byte, length)
	if _, err := io.ReadFull(r, begin); err != nil {
		return ""
	}
	return digest(begin)
}

func digest(begin []byte) string {
	if len(begin) == 0 {
		return ""
	}
	sum := sha256.Sum256(begin)
	return hex.EncodeToString(sum[:8])
}

var errUnpacked = errors.New("it unpacks to more than is read")

// reader reads the file from an offset.
func (p *part) reader(offset int64) (io.Reader, error) {
	start := offset
	if p.zipped {
		start = 0
	}
	if _, err := p.file.Seek(start, io.SeekStart); err != nil || !p.zipped {
		return p.file, err
	}
	if offset >= p.unpacked {
		return nil, errUnpacked
	}
	unpacked, err := gzip.NewReader(p.file)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(io.Discard, unpacked, offset)
	return io.LimitReader(unpacked, p.unpacked-offset), err
}

// stretch is the reading of one file from a cursor on.
type stretch struct {
	cursor
	left  int64 // bytes that may be read
	final bool  // nothing is added to the file any more
	line  func([]byte)
}

// read reads to the end of the file, and returns true, or as far as it may.
// The cursor is behind the last whole line then: the begin of one stays for
// the next round, unless it is too long to matter.
func (s *stretch) read(ctx context.Context, p *part) (done bool, err error) {
	source, err := p.reader(s.Offset)
	if err != nil {
		return false, err
	}
	r := bufio.NewReaderSize(source, maxLine)
	for s.left > 0 && ctx.Err() == nil {
		text, err := r.ReadSlice('\n')
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
			s.pass(text, err == nil)
		case !errors.Is(err, io.EOF):
			return false, err
		default:
			if len(text) > 0 && (s.final || s.Middle) {
				s.pass(text, s.final)
			}
			return true, nil
		}
	}
	return false, ctx.Err()
}

// pass hands a line on, or the begin of a long one, and moves the cursor.
func (s *stretch) pass(text []byte, whole bool) {
	s.Offset += int64(len(text))
	s.left -= int64(len(text))
	if !s.Middle {
		if whole && text[len(text)-1] == '\n' {
			s.line(text[:len(text)-1])
		} else {
			s.line(text)
		}
	}
	s.Middle = !whole
}
