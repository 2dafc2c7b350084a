package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A dense segment is one that is no longer written to and waits for collectors:
// without the records that a later one of it made superfluous, and compressed. It
// has a header like any other, with a magic of its own, and then one zstd stream of
// frames, whose sequences have gaps. Between the two stands the sequence of its
// newest record, so that an agent that starts need not read a month of them.
//
// What is kept keeps its sequence. A record that was sent and whose answer was lost
// is therefore known to the collectors by the same number as before.
const (
	denseMagic  = "fleetcron journal 2\n"
	denseSuffix = ".dense"
	// denseAfter is how many segments there are before one is made dense: then the
	// collectors have been away for a while. The newest two beside the one that is
	// written to stay as they are, with their checkpoints.
	denseAfter = 4
	maxDense   = maxPayload + segmentBytes // of the frames
	denseBytes = headerBytes + 12          // of the header, and last sequence(8) crc(4)
)

// compactor makes dense what waits, beside the writer and without holding it up.
func (j *Journal) compactLoop() {
	defer close(j.compacted)
	for {
		select {
		case <-j.closing:
			return
		case <-j.compacts:
		}
		for j.compactNext() {
		}
	}
}

// compactNext makes one segment dense, and reports whether another may be.
func (j *Journal) compactNext() bool {
	select {
	case <-j.closing:
		return false
	default:
	}
	old, found := j.loose()
	if !found {
		return false
	}
	next, err := j.condense(old)
	if errors.Is(err, fs.ErrNotExist) { // acknowledged meanwhile
		return true
	}
	if err != nil {
		j.log.Warn("journal segment not made dense", "segment", old.path, "error", err)
		return false
	}
	j.mu.Lock()
	i := slices.IndexFunc(j.segments, func(s segment) bool { return s.path == old.path })
	if i >= 0 {
		j.segments[i] = next
	}
	j.mu.Unlock()
	gone := old.path
	if i < 0 {
		gone = next.path
	}
	if err := os.Remove(gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log.Warn("journal segment not removed", "error", err)
		return false
	}
	return true
}

// loose finds the oldest segment that may be made dense.
func (j *Journal) loose() (segment, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) < denseAfter {
		return segment{}, false
	}
	for _, s := range j.segments[:len(j.segments)-denseAfter+1] {
		if !s.dense {
			return s, true
		}
	}
	return segment{}, false
}

// condense writes the dense form of a segment, durable under its name, beside it.
func (j *Journal) condense(old segment) (segment, error) {
	data, err := readSegment(old.path)
	if err != nil {
		return segment{}, err
	}
	id, first, err := readHeader(data)
	if err != nil {
		return segment{}, err
	}
	frames, err := essence(data)
	if err != nil {
		return segment{}, err
	}
	content := denseOf(id, first, old.lastRun, frames)
	next := old
	next.path = strings.TrimSuffix(old.path, segmentSuffix) + denseSuffix
	next.size, next.dense = int64(len(content)), true
	return next, j.options.place(next.path, content)
}

// placeDense makes a file durable under its name.
func placeDense(path string, content []byte) error {
	dir := filepath.Dir(path)
	temporary := filepath.Join(dir, freshName+denseSuffix)
	err := writeFile(temporary, content, 0)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return durable.SyncDir(dir)
}

// essence returns the frames of a segment that must still travel. Of each run it
// is the last; and the first as well where another instant of the same task stands
// between the two, for whoever hears of that one must have heard of this.
func essence(data []byte) ([]byte, error) {
	type span struct{ first, last int } // places of its records
	var all []framed
	spans := map[fleet.RunID]*span{}
	_, _, found := scan(data, func(sequence uint64, payload []byte) error {
		if !travels(payload[0]) {
			return nil
		}
		r, err := decodeRecord(payload)
		if err != nil {
			return err
		}
		f := framed{sequence: sequence, payload: payload, task: r.task()}
		if r.run != nil {
			f.run = r.run.Run.ID
			if s := spans[f.run]; s == nil {
				spans[f.run] = &span{first: len(all), last: len(all)}
			} else {
				s.last = len(all)
			}
		}
		all = append(all, f)
		return nil
	})
	if found == garbage {
		return nil, errors.New("it is damaged")
	}
	var frames []byte
	for i, f := range all {
		s := spans[f.run]
		keep := s == nil || i == s.last || i == s.first && between(all[s.first+1:s.last], f)
		if keep {
			frames = frame(frames, f.sequence, f.payload[0], f.payload[1:])
		}
	}
	return frames, nil
}

// framed is a record that travels.
type framed struct {
	sequence uint64
	payload  []byte
	task     fleet.TaskID
	run      fleet.RunID // empty: a stint
}

// between reports whether one of the records is of the same task and of another
// run.
func between(records []framed, of framed) bool {
	return slices.ContainsFunc(records, func(f framed) bool { return f.task == of.task && f.run != of.run })
}

func (r *record) task() fleet.TaskID {
	if r.run != nil {
		return r.run.Run.Task
	}
	return r.watermark.Task
}

// denseOf is the content of a dense segment.
func denseOf(id fleet.JournalID, first, last uint64, frames []byte) []byte {
	content := binary.LittleEndian.AppendUint64(headerOf(denseMagic, id, first), last)
	content = binary.LittleEndian.AppendUint32(content, crc32.Checksum(content[headerBytes:], castagnoli))
	return append(content, compressed(frames)...)
}

// readLast returns the sequence of the newest record of a dense segment, given how
// its file begins.
func readLast(head []byte) (uint64, bool) {
	if len(head) < denseBytes || !isDense(head) || binary.LittleEndian.Uint32(head[denseBytes-4:]) != crc32.Checksum(head[headerBytes:denseBytes-4], castagnoli) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(head[headerBytes:]), true
}

// glance takes in a dense segment that the state need not be built from, by how
// its file begins; the rest is checked when it is delivered.
func (j *Journal) glance(seg *segment) bool {
	file, err := os.Open(seg.path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, denseBytes)
	if _, err := io.ReadFull(file, head); err != nil {
		return false
	}
	id, first, err := readHeader(head)
	last, whole := readLast(head)
	if err != nil || !whole || first != seg.first || j.id != "" && id != j.id {
		return false
	}
	j.id, seg.lastRun = id, last
	j.state.next = max(j.state.next, first, last+1)
	seg.size, err = j.sizeOf(seg)
	return err == nil
}

func compressed(frames []byte) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are always the same
	}
	defer encoder.Close()
	return encoder.EncodeAll(frames, nil)
}

// readDense returns a dense segment as if it were not compressed. What cannot be
// read any more ends with a byte that is no frame.
func readDense(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, denseBytes)
	if n, err := io.ReadFull(file, data); err != nil {
		return data[:n], nil
	}
	data = data[:headerBytes]
	decoder, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDense), zstd.WithDecoderLowmem(true))
	if err != nil {
		return append(data, 0xff), nil
	}
	defer decoder.Close()
	frames, err := io.ReadAll(io.LimitReader(decoder, maxDense))
	data = append(data, frames...)
	if err != nil {
		data = append(data, 0xff)
	}
	return data, nil
}

// restore keeps what is good of a damaged dense segment; the file as it was is set
// aside.
func (s *segment) restore(data []byte, end int) error {
	id, first, err := readHeader(data)
	if err == nil {
		err = os.Rename(s.path, strings.TrimSuffix(s.path, denseSuffix)+damagedSuffix)
	}
	if err != nil || end <= headerBytes {
		return err
	}
	content := denseOf(id, first, s.lastRun, data[headerBytes:end])
	s.size = int64(len(content))
	return placeDense(s.path, content)
}
