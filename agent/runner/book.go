package runner

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// slotBytes is the size of one place in a book. It divides a page, so that a
// place is written whole or not at all.
const slotBytes = 512

// status is what a guardian knows about one run: that it was started, and from
// Ended on how it ended.
type status struct {
	Run      fleet.RunID        `json:"run"`
	Boot     string             `json:"boot"`
	PID      int                `json:"pid"`
	Start    uint64             `json:"start"`
	Started  time.Time          `json:"started"`
	Ended    time.Time          `json:"ended,omitzero"` // zero: it goes on
	Wait     syscall.WaitStatus `json:"wait,omitempty"`
	TimedOut bool               `json:"timed_out,omitempty"`
	Left     int                `json:"left,omitempty"` // processes that could not be ended
	Used     fleet.Used         `json:"used,omitzero"`
	Refused  *refusal           `json:"refused,omitempty"` // it was not executed after all; nil: it was
}

// over reports whether the run has ended.
func (s *status) over() bool { return !s.Ended.IsZero() }

// encode returns a whole place: checksum, content, blanks, line feed.
func (s *status) encode() ([]byte, error) {
	text, err := s.json()
	if err != nil {
		return nil, err
	}
	if len(text) > slotBytes-10 {
		return nil, fmt.Errorf("status of run %.40q does not fit into %d bytes", s.Run, slotBytes)
	}
	slot := append(make([]byte, 0, slotBytes), checksum(text)...)
	slot = append(append(slot, ' '), text...)
	for len(slot) < slotBytes-1 {
		slot = append(slot, ' ')
	}
	return append(slot, '\n'), nil
}

func checksum(text []byte) []byte {
	return hex.AppendEncode(nil, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text)))
}

// json is what json.Marshal says, without asking reflection where there is
// nothing out of the ordinary: it is written at each start and at each end.
func (s *status) json() ([]byte, error) {
	if s.TimedOut || s.Left != 0 || s.Refused != nil || !unescaped(string(s.Run)) || !unescaped(s.Boot) || s.Started.Location() != time.UTC || s.Ended.Location() != time.UTC || s.Started.Year() > 9999 || s.Ended.Year() > 9999 {
		return json.Marshal(s)
	}
	text := make([]byte, 0, slotBytes)
	text = append(append(text, `{"run":"`...), s.Run...)
	text = append(append(text, `","boot":"`...), s.Boot...)
	text = strconv.AppendInt(append(text, `","pid":`...), int64(s.PID), 10)
	text = strconv.AppendUint(append(text, `,"start":`...), s.Start, 10)
	text = append(s.Started.AppendFormat(append(text, `,"started":"`...), time.RFC3339Nano), '"')
	if s.over() {
		text = append(s.Ended.AppendFormat(append(text, `,"ended":"`...), time.RFC3339Nano), '"')
	}
	if s.Wait != 0 {
		text = strconv.AppendUint(append(text, `,"wait":`...), uint64(s.Wait), 10)
	}
	if s.Used != (fleet.Used{}) {
		text = append(text, `,"used":{`...)
		for _, part := range [...]struct {
			name string
			is   bool
			text func() string
		}{
			{"cpu", s.Used.CPU != 0, s.Used.CPU.String},
			{"memory", s.Used.Memory != 0, s.Used.Memory.String},
			{"read_bytes", s.Used.Read != 0, s.Used.Read.String},
			{"written_bytes", s.Used.Written != 0, s.Used.Written.String},
		} {
			if part.is {
				text = append(append(append(append(append(text, '"'), part.name...), `":"`...), part.text()...), `",`...)
			}
		}
		text[len(text)-1] = '}'
	}
	return append(text, '}'), nil
}

// unescaped reports whether a text stands in JSON as it is.
func unescaped(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

// errNoStatus says that a place holds no status, or one that was cut.
var errNoStatus = errors.New("no status")

// decodeStatus reads one place.
func decodeStatus(slot []byte) (status, error) {
	if len(slot) != slotBytes || slot[8] != ' ' || slot[slotBytes-1] != '\n' {
		return status{}, errNoStatus
	}
	text := bytes.TrimRight(slot[9:slotBytes-1], " ")
	if !bytes.Equal(slot[:8], checksum(text)) {
		return status{}, errNoStatus
	}
	var s status
	if err := json.Unmarshal(text, &s); err != nil || s.Run == "" || s.Boot == "" || s.PID <= 0 {
		return status{}, errNoStatus
	}
	return s, nil
}

// findStatus looks a run up in a book. Boot, and pid and start time where they
// are known, must be those of the handle.
func findStatus(path string, run fleet.RunID, h *handle) (status, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return status{}, false
	}
	for ; len(text) >= slotBytes; text = text[slotBytes:] {
		s, err := decodeStatus(text[:slotBytes])
		if err == nil && s.Run == run && s.Boot == h.Boot && (h.PID == 0 || h.PID == s.PID && h.Start == s.Start) {
			return s, true
		}
	}
	return status{}, false
}

// book is the file of a guardian: one place for each run that it has started
// and whose outcome its agent has not on disk yet. It is not synced: a status
// matters to the next agent of the same boot, and is checked before it counts.
// The first place says whether the book is sealed.
type book struct {
	file     *os.File
	free     []int64
	places   int64
	reserved int64 // places that there is room for on the disk, however full it becomes
	held     map[fleet.RunID]int64
}

func newBook(file *os.File) book {
	b := book{file: file, places: 1, held: map[fleet.RunID]int64{}}
	b.reserve()
	return b
}

// reservedPlaces is for how many more places room is taken at once.
const reservedPlaces = 256

// reserve takes room on the disk for places that are not used yet, so that how a
// run ended can be noted on a disk that became full meanwhile. Where none is to
// be had now it is asked for again with the next place.
func (b *book) reserve() {
	const keepLength = unix.FALLOC_FL_KEEP_SIZE
	err := unix.Fallocate(int(b.file.Fd()), keepLength, b.reserved*slotBytes, reservedPlaces*slotBytes)
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) { // no such thing here
		b.reserved += reservedPlaces
	}
}

// sealed stands for the run in the first place of a book when its guardian
// starts nothing any more: a run that is not in it then was not started.
const sealed fleet.RunID = "sealed"

// seal writes that nothing more begins.
func (b *book) seal(boot string) error {
	b.held[sealed] = 0
	return b.write(&status{Run: sealed, Boot: boot, PID: os.Getpid()})
}

// write puts a status where the run has its place, or into the next free one.
func (b *book) write(s *status) error {
	slot, err := s.encode()
	if err != nil {
		return err
	}
	place, held := b.held[s.Run]
	switch {
	case held:
	case len(b.free) > 0:
		place, b.free = b.free[len(b.free)-1], b.free[:len(b.free)-1]
	default:
		place = b.places
		b.places++
		if b.places > b.reserved {
			b.reserve()
		}
	}
	b.held[s.Run] = place
	_, err = b.file.WriteAt(slot, place*slotBytes)
	return err
}

// forget gives the place of a run to another one.
func (b *book) forget(run fleet.RunID) {
	if place, held := b.held[run]; held {
		delete(b.held, run)
		b.free = append(b.free, place)
	}
}
