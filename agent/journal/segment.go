package journal

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A segment is a header, frames, and zeros up to its size. The header is
// magic(20) journal id(16) first sequence(8) crc(4).
const (
	magic         = "fleetcron journal 1\n"
	headerBytes   = 48
	segmentSuffix = ".seg"
	damagedSuffix = ".damaged"
	reserveName   = "reserve"
	freshName     = "fresh"
)

// segment is one file of the journal.
type segment struct {
	path    string
	first   uint64 // sequence of its first record, the checkpoint
	lastRun uint64 // sequence of its newest record that travels; zero: none
	size    int64  // of the file
	dense   bool   // it is packed, and has gaps
}

func segmentName(first uint64) string { return fmt.Sprintf("%016x%s", first, segmentSuffix) }

func header(id fleet.JournalID, first uint64) []byte { return headerOf(magic, id, first) }

func headerOf(magic string, id fleet.JournalID, first uint64) []byte {
	raw, _ := hex.DecodeString(string(id)) // minted by us, always 32 hex digits
	buf := append(make([]byte, 0, headerBytes), magic...)
	buf = append(buf, raw...)
	buf = binary.LittleEndian.AppendUint64(buf, first)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
}

func readHeader(data []byte) (id fleet.JournalID, first uint64, err error) {
	if len(data) < headerBytes || string(data[:len(magic)]) != magic && !isDense(data) ||
		binary.LittleEndian.Uint32(data[headerBytes-4:]) != crc32.Checksum(data[:headerBytes-4], castagnoli) {
		return "", 0, errors.New("not a journal segment")
	}
	return fleet.JournalID(hex.EncodeToString(data[20:36])), binary.LittleEndian.Uint64(data[36:]), nil
}

// isDense reports whether the data is that of a dense segment.
func isDense(data []byte) bool {
	return len(data) >= len(denseMagic) && string(data[:len(denseMagic)]) == denseMagic
}

// follows reports whether a frame of this sequence may come where the next would
// be.
func follows(sequence, next uint64, dense bool) bool {
	return sequence == next || dense && sequence > next
}

// damage says what a scan found after the last good frame.
type damage int

const (
	intact  damage = iota // only zeros
	torn                  // rubbish: a write that did not finish
	garbage               // rubbish with good frames behind it
)

// scan visits the frames of a segment's data in order and returns where they
// end. A visit that returns an error ends the scan as garbage.
func scan(data []byte, visit func(sequence uint64, payload []byte) error) (end int, sequence uint64, found damage) {
	_, first, err := readHeader(data)
	if err != nil {
		return 0, 0, garbage
	}
	end, sequence = headerBytes, first
	dense := isDense(data)
	for {
		got, payload, size, err := readFrame(data[end:])
		switch {
		case (err != nil || !follows(got, sequence, dense)) && dense && end < len(data):
			return end, sequence, garbage
		case err != nil || !follows(got, sequence, dense):
			return end, sequence, judge(data[end:], sequence)
		}
		if err := visit(got, payload); err != nil {
			return end, sequence, garbage
		}
		end, sequence = end+size, got+1
	}
}

// judge tells zeros from a torn write from damage in the middle.
func judge(rest []byte, sequence uint64) damage {
	if !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 }) {
		return intact
	}
	for i := 1; i+frameBytes < len(rest); i++ {
		// A frame further on has a later sequence, though not by much: that
		// is cheap to test at every offset, the checksum is not.
		ahead := binary.LittleEndian.Uint64(rest[i+8:]) - sequence
		if ahead > uint64(len(rest)) {
			continue
		}
		if _, _, _, err := readFrame(rest[i:]); err == nil {
			return garbage
		}
	}
	return torn
}

// skipped returns a bound of how many records were lost with so many bytes.
// Their numbers are not used again: a collector may know one of them.
func skipped(rest int) uint64 { return uint64(max(rest, segmentBytes)/(frameBytes+1)) + 1 }

// writeZeroed makes a file of the given content and size, every block of it
// allocated, durable under its name.
func writeZeroed(dir, name string, content []byte, size int64) error {
	temporary := filepath.Join(dir, freshName)
	err := writeFile(temporary, content, size)
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return durable.SyncDir(dir)
}

func writeFile(path string, content []byte, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := int64(len(content)); at < size; at += int64(len(zeros)) {
		if _, err := file.Write(zeros[:min(int64(len(zeros)), size-at)]); err != nil {
			return err
		}
	}
	return file.Sync()
}

// noSpace reports whether an error means that the disk or a quota is full.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// listSegments returns the segment files of a directory in order.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segments []segment
	for _, entry := range entries {
		name, is := strings.CutSuffix(entry.Name(), segmentSuffix)
		name, dense := strings.CutSuffix(name, denseSuffix)
		first, err := strconv.ParseUint(name, 16, 64)
		if is == dense || err != nil {
			continue
		}
		segments = append(segments, segment{path: filepath.Join(dir, entry.Name()), first: first, dense: dense})
	}
	// Both forms of one segment are there after a crash between making the one and
	// removing the other: the dense one was whole before it had its name.
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.path, b.path)) })
	return slices.CompactFunc(segments, func(a, b segment) bool { return a.first == b.first }), nil
}

// setAside moves what is behind the good frames into a file of its own, for
// people to look at, and cuts the segment there.
func setAside(path string, data []byte, end int) error {
	aside := strings.TrimSuffix(path, segmentSuffix) + damagedSuffix
	if err := writeFile(aside, data[end:], int64(len(data)-end)); err != nil && !noSpace(err) {
		return err
	}
	return cut(path, end)
}

// cut ends a segment after its good frames; one without any is removed.
func cut(path string, end int) error {
	if end <= headerBytes {
		return os.Remove(path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(int64(end)); err != nil {
		return err
	}
	return file.Sync()
}

func readSegment(path string) ([]byte, error) {
	if strings.HasSuffix(path, denseSuffix) {
		return readDense(path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxPayload+headerBytes+frameBytes+segmentBytes))
}
