package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A frame is crc(4) length(4) sequence(8) kind(1) body; the CRC-32C covers all
// that follows it, the length counts kind and body. All numbers little-endian.
const (
	frameBytes = 16
	maxPayload = 64 << 20 // of a checkpoint; every other record is far smaller
)

// The kinds of records. They stay on disk for ever: add, never renumber.
const (
	kindCheckpoint   byte = 1
	kindRun          byte = 2
	kindWatermark    byte = 3
	kindAcknowledged byte = 4
	kindMemo         byte = 5
	kindDone         byte = 6
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	encoding   = must(cbor.CoreDetEncOptions().EncMode())
	decoding   = must(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 8, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden}.DecMode())
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// record is one entry of the journal: exactly one of its parts is set.
type record struct {
	run          *runEntry
	watermark    *watermark
	acknowledged *acknowledged
	memo         *memo
	done         *done
	checkpoint   *checkpoint
}

// runEntry is a run with what its keeper needs to find its process again.
type runEntry struct {
	Run      compact.Run `cbor:"1,keyasint"`
	Handle   []byte      `cbor:"2,keyasint,omitempty"`
	Sequence uint64      `cbor:"3,keyasint,omitempty"` // of the newest record; in checkpoints only
}

// watermark says that every instant up to Nominal is decided, and with a stint
// what is due from there on.
type watermark struct {
	Task       fleet.TaskID `cbor:"1,keyasint"`
	Nominal    int64        `cbor:"2,keyasint"`
	Generation uint64       `cbor:"3,keyasint,omitempty"`
	Last       int64        `cbor:"4,keyasint,omitempty"`
}

func watermarkOf(s *fleet.Stint) *watermark {
	w := &watermark{Task: s.Task, Nominal: s.After.UnixNano(), Generation: s.Generation}
	if !s.Last.IsZero() {
		w.Last = s.Last.UnixNano()
	}
	return w
}

func (w *watermark) stint() *fleet.Stint {
	s := &fleet.Stint{Task: w.Task, Generation: w.Generation, After: time.Unix(0, w.Nominal).UTC()}
	if w.Last != 0 {
		s.Last = time.Unix(0, w.Last).UTC()
	}
	return s
}

type acknowledged struct {
	Sequence uint64 `cbor:"1,keyasint"`
}

// memo is what the scheduler wants to know of a task in its next life; without
// text there is nothing any more.
type memo struct {
	Task fleet.TaskID `cbor:"1,keyasint"`
	Text []byte       `cbor:"2,keyasint,omitempty"`
}

// done says that an order without a run of its own was carried out.
type done struct {
	Order fleet.OrderID `cbor:"1,keyasint"`
	At    int64         `cbor:"2,keyasint"`
}

// checkpoint is the whole state; instants are Unix nanoseconds.
type checkpoint struct {
	Decided      map[fleet.TaskID]int64  `cbor:"1,keyasint,omitempty"`
	Orders       map[fleet.OrderID]int64 `cbor:"2,keyasint,omitempty"`
	Open         []runEntry              `cbor:"3,keyasint,omitempty"` // sorted by run id
	Acknowledged uint64                  `cbor:"4,keyasint,omitempty"`
	LastRun      uint64                  `cbor:"5,keyasint,omitempty"`
	Counted      map[fleet.TaskID]uint64 `cbor:"6,keyasint,omitempty"`
	Memos        map[fleet.TaskID][]byte `cbor:"7,keyasint,omitempty"`
}

// lastOf returns the last nominal instant that the run accounts for.
func lastOf(r *compact.Run) int64 { return max(r.Due, r.Until) }

// appendFrame appends the frame of a record to buf.
func appendFrame(buf []byte, sequence uint64, r record) ([]byte, error) {
	kind, value := r.parts()
	body, err := encoding.Marshal(value)
	if err != nil {
		return buf, fmt.Errorf("encode record: %w", err)
	}
	return frame(buf, sequence, kind, body), nil
}

func frame(buf []byte, sequence uint64, kind byte, body []byte) []byte {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(body)+1))
	buf = binary.LittleEndian.AppendUint64(buf, sequence)
	buf = append(buf, kind)
	buf = append(buf, body...)
	binary.LittleEndian.PutUint32(buf[start:], crc32.Checksum(buf[start+4:], castagnoli))
	return buf
}

// travels reports whether the collectors are to have a record of this kind.
func travels(kind byte) bool { return kind == kindRun || kind == kindWatermark }

func (r *record) parts() (byte, any) {
	switch {
	case r.run != nil:
		return kindRun, r.run
	case r.watermark != nil:
		return kindWatermark, r.watermark
	case r.acknowledged != nil:
		return kindAcknowledged, r.acknowledged
	case r.memo != nil:
		return kindMemo, r.memo
	case r.done != nil:
		return kindDone, r.done
	default:
		return kindCheckpoint, r.checkpoint
	}
}

var errFrame = errors.New("no frame")

// readFrame returns the frame that data begins with and its size in bytes.
func readFrame(data []byte) (sequence uint64, payload []byte, size int, err error) {
	if len(data) < frameBytes+1 {
		return 0, nil, 0, errFrame
	}
	length := binary.LittleEndian.Uint32(data[4:])
	if length == 0 || length > maxPayload || int(length) > len(data)-frameBytes {
		return 0, nil, 0, errFrame
	}
	size = frameBytes + int(length)
	if binary.LittleEndian.Uint32(data) != crc32.Checksum(data[4:size], castagnoli) {
		return 0, nil, 0, errFrame
	}
	return binary.LittleEndian.Uint64(data[8:]), data[frameBytes:size], size, nil
}

// decodeRecord reads what a frame carries.
func decodeRecord(payload []byte) (record, error) {
	var r record
	if len(payload) == 0 {
		return r, errFrame
	}
	var target any
	switch payload[0] {
	case kindCheckpoint:
		r.checkpoint = new(checkpoint)
		target = r.checkpoint
	case kindRun:
		r.run = new(runEntry)
		target = r.run
	case kindWatermark:
		r.watermark = new(watermark)
		target = r.watermark
	case kindAcknowledged:
		r.acknowledged = new(acknowledged)
		target = r.acknowledged
	case kindMemo:
		r.memo = new(memo)
		target = r.memo
	case kindDone:
		r.done = new(done)
		target = r.done
	default:
		return r, fmt.Errorf("record kind %d is not known to this version", payload[0])
	}
	if err := decoding.Unmarshal(payload[1:], target); err != nil {
		return record{}, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}
