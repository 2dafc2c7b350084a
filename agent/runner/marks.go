package runner

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

// A run's two streams are two files, and each knows its own order only. How
// they belong together is seen from outside: at each look at growing files
// their lengths are noted, with the times of their last writes.

// streams are the names of a run's streams, as marks number them.
var streams = [2]string{Stdout, Stderr}

// mark says that a stream had a length at a time: what lies before it, back to
// the mark of the same stream before, was written by then.
type mark struct {
	stream int
	length int64 // what was dropped counts
	at     time.Time
}

// maxMarks is how many bytes the marks of one run may take on disk; about
// three thousand fit. More of them cost the older half every second one.
const maxMarks = 16 << 10

// marks notes the order in which the streams of a run grow. Nothing is written
// while there is one mark a stream, as with a short run: the times of the files
// say the same.
type marks struct {
	path string

	mu    sync.Mutex // who follows the run looks as well
	first []mark     // not in the file
	seen  [2]int64
	noted [2]int64  // the lengths at the file's end
	at    time.Time // the time at the file's end
	size  int64     // of the file
}

// openMarks takes up the marks that an earlier agent may have made.
func openMarks(path string) *marks {
	m := &marks{path: path}
	found, size := readMarks(path)
	m.follow(found, size)
	m.seen = m.noted
	return m
}

// follow makes the file's end what those marks say.
func (m *marks) follow(all []mark, size int64) {
	m.size = size
	for _, one := range all {
		m.noted[one.stream], m.at = one.length, one.at
	}
}

// note takes in what a look saw, the stream first that was not written to for
// longer.
func (m *marks) note(now ...mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortStableFunc(now, func(a, b mark) int { return a.at.Compare(b.at) })
	var fresh []mark
	again := m.size > 0
	for _, one := range now {
		if one.length > m.seen[one.stream] {
			fresh = append(fresh, one)
			again = again || m.seen[one.stream] > 0
		}
		m.seen[one.stream] = one.length // it may be less, where there are no holes
	}
	if len(fresh) == 0 {
		return nil
	}
	m.first = append(m.first, fresh...)
	if !again {
		return nil
	}
	fresh, m.first = m.first, nil // what cannot be written now is in the next mark
	return m.write(fresh)
}

// write appends marks to the file.
func (m *marks) write(fresh []mark) error {
	if m.size > maxMarks {
		if err := m.thin(); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(m.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	text := encodeMarks(fresh, m.at, m.noted)
	_, err = file.WriteAt(text, m.size) // over what may be left of one that failed
	if err == nil {
		m.follow(fresh, m.size+int64(len(text)))
	}
	return errors.Join(err, file.Close())
}

// thin takes every second mark out of the older half.
func (m *marks) thin() error {
	all, _ := readMarks(m.path)
	kept := thinned(all)
	text := encodeMarks(kept, time.Time{}, [2]int64{})
	fresh := m.path + tmpSuffix
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(fresh)))
	}
	if err := os.Rename(fresh, m.path); err != nil {
		return err
	}
	m.size = int64(len(text))
	return nil
}

// thinned leaves out every second mark of the older half; what it marked
// belongs to the next one of its stream, so the last of each stays.
func thinned(all []mark) []mark {
	var last [2]int
	for i, one := range all {
		last[one.stream] = i
	}
	kept := make([]mark, 0, len(all))
	for i, one := range all {
		if i >= len(all)/2 || i%2 == 1 || i == last[one.stream] {
			kept = append(kept, one)
		}
	}
	return kept
}

// encodeMarks writes marks as steps from a time and two lengths: microseconds,
// and bytes with the stream in the lowest bit.
func encodeMarks(all []mark, at time.Time, lengths [2]int64) []byte {
	var text []byte
	from := int64(0)
	if !at.IsZero() {
		from = at.UnixMicro()
	}
	for _, one := range all {
		text = binary.AppendVarint(text, one.at.UnixMicro()-from)
		text = binary.AppendVarint(text, (one.length-lengths[one.stream])<<1|int64(one.stream))
		from, lengths[one.stream] = one.at.UnixMicro(), one.length
	}
	return text
}

// readMarks reads the marks of a run and how many bytes of the file they are;
// none where there is no file. A torn one at the end is left out.
func readMarks(path string) ([]mark, int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, 0
	}
	return decodeMarks(text)
}

func decodeMarks(text []byte) (all []mark, size int64) {
	var at int64
	var lengths [2]int64
	for rest := text; ; size = int64(len(text) - len(rest)) {
		step, n := binary.Varint(rest)
		if n <= 0 {
			return all, size
		}
		grown, k := binary.Varint(rest[n:])
		if k <= 0 {
			return all, size
		}
		rest = rest[n+k:]
		stream := int(grown & 1)
		at += step
		lengths[stream] += grown >> 1
		all = append(all, mark{stream, lengths[stream], time.UnixMicro(at).UTC()})
	}
}
