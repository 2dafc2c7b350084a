package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fxamacker/cbor/v2"

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
	checkpoint   *checkpoint
}

// runEntry is a run with what its keeper needs to find its process again.
type runEntry struct {
	Run      diskRun `cbor:"1,keyasint"`
	Handle   []byte  `cbor:"2,keyasint,omitempty"`
	Sequence uint64  `cbor:"3,keyasint,omitempty"` // of the newest record; in checkpoints only
}

type watermark struct {
	Task    fleet.TaskID `cbor:"1,keyasint"`
	Nominal int64        `cbor:"2,keyasint"`
}

type acknowledged struct {
	Sequence uint64 `cbor:"1,keyasint"`
}

// checkpoint is the whole state; instants are Unix nanoseconds.
type checkpoint struct {
	Decided      map[fleet.TaskID]int64  `cbor:"1,keyasint,omitempty"`
	Orders       map[fleet.OrderID]int64 `cbor:"2,keyasint,omitempty"`
	Open         []runEntry              `cbor:"3,keyasint,omitempty"` // sorted by run id
	Acknowledged uint64                  `cbor:"4,keyasint,omitempty"`
	LastRun      uint64                  `cbor:"5,keyasint,omitempty"`
}

// diskRun is a fleet.Run in few bytes. The keys stay on disk for ever.
type diskRun struct {
	ID         fleet.RunID    `cbor:"1,keyasint"`
	Task       fleet.TaskID   `cbor:"2,keyasint"`
	Generation uint64         `cbor:"3,keyasint,omitempty"`
	Host       fleet.HostID   `cbor:"4,keyasint,omitempty"`
	Due        int64          `cbor:"5,keyasint"`
	Until      int64          `cbor:"6,keyasint,omitempty"`
	Count      int            `cbor:"7,keyasint,omitempty"`
	Order      fleet.OrderID  `cbor:"8,keyasint,omitempty"`
	Attempt    int            `cbor:"9,keyasint,omitempty"`
	State      fleet.RunState `cbor:"10,keyasint"`
	Reason     fleet.Reason   `cbor:"11,keyasint,omitempty"`
	Detail     string         `cbor:"12,keyasint,omitempty"`
	Started    int64          `cbor:"13,keyasint,omitempty"`
	Ended      int64          `cbor:"14,keyasint,omitempty"`
	PID        int            `cbor:"15,keyasint,omitempty"`
	Exit       *int           `cbor:"16,keyasint,omitempty"`
	Signal     string         `cbor:"17,keyasint,omitempty"`
	TimedOut   bool           `cbor:"18,keyasint,omitempty"`
	Cancelled  bool           `cbor:"19,keyasint,omitempty"`
	Stdout     int64          `cbor:"20,keyasint,omitempty"`
	Stderr     int64          `cbor:"21,keyasint,omitempty"`
	Dropped    int64          `cbor:"22,keyasint,omitempty"`
	Tail       string         `cbor:"23,keyasint,omitempty"`
}

func toDisk(r *fleet.Run) diskRun {
	return diskRun{
		ID: r.ID, Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: r.Due.UnixNano(), Until: nanos(r.Until), Count: r.Count, Order: r.Order, Attempt: r.Attempt,
		State: r.State, Reason: r.Reason, Detail: r.Detail,
		Started: nanos(r.Started), Ended: nanos(r.Ended), PID: r.PID, Exit: r.Exit, Signal: r.Signal,
		TimedOut: r.TimedOut, Cancelled: r.Cancelled,
		Stdout: r.Stdout, Stderr: r.Stderr, Dropped: r.Dropped, Tail: r.Tail,
	}
}

func (d *diskRun) run() fleet.Run {
	return fleet.Run{
		ID: d.ID, Task: d.Task, Generation: d.Generation, Host: d.Host,
		Due: time.Unix(0, d.Due).UTC(), Until: instant(d.Until), Count: d.Count, Order: d.Order, Attempt: d.Attempt,
		State: d.State, Reason: d.Reason, Detail: d.Detail,
		Started: instant(d.Started), Ended: instant(d.Ended), PID: d.PID, Exit: d.Exit, Signal: d.Signal,
		TimedOut: d.TimedOut, Cancelled: d.Cancelled,
		Stdout: d.Stdout, Stderr: d.Stderr, Dropped: d.Dropped, Tail: d.Tail,
	}
}

// last returns the last nominal instant that the record accounts for.
func (d *diskRun) last() int64 { return max(d.Due, d.Until) }

func nanos(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixNano()
}

func instant(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}

// appendFrame appends the frame of a record to buf.
func appendFrame(buf []byte, sequence uint64, r record) ([]byte, error) {
	kind, value := r.parts()
	body, err := encoding.Marshal(value)
	if err != nil {
		return buf, fmt.Errorf("encode record: %w", err)
	}
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(body)+1))
	buf = binary.LittleEndian.AppendUint64(buf, sequence)
	buf = append(buf, kind)
	buf = append(buf, body...)
	binary.LittleEndian.PutUint32(buf[start:], crc32.Checksum(buf[start+4:], castagnoli))
	return buf, nil
}

func (r *record) parts() (byte, any) {
	switch {
	case r.run != nil:
		return kindRun, r.run
	case r.watermark != nil:
		return kindWatermark, r.watermark
	case r.acknowledged != nil:
		return kindAcknowledged, r.acknowledged
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
	default:
		return r, fmt.Errorf("record kind %d is not known to this version", payload[0])
	}
	if err := decoding.Unmarshal(payload[1:], target); err != nil {
		return record{}, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}
