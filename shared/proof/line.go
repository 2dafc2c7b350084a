package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Hash is a SHA-256. As text it is hex.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hex in lower case.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) || strings.ToLower(string(text)) != string(text) {
		return fmt.Errorf("hash %q: want %d hex digits in lower case", text, 2*len(h))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Line is what a host says became of one run. It holds nothing that is masked on
// its way to the collectors: no output, no sentence, no command.
type Line struct {
	Run        fleet.RunID       `json:"run"`
	Task       fleet.TaskID      `json:"task"`
	Generation uint64            `json:"generation,omitempty"`
	Due        time.Time         `json:"due"`
	Until      *time.Time        `json:"until,omitempty"` // of a range of instants, its last
	Count      int               `json:"count,omitempty"` // of a range, how many; zero: one
	Attempt    int               `json:"attempt,omitempty"`
	Again      bool              `json:"again,omitempty"` // another attempt of the same occurrence follows
	Order      fleet.OrderID     `json:"order,omitempty"`
	Parent     fleet.RunID       `json:"parent,omitempty"` // the run whose command ordered it
	State      fleet.RunState    `json:"state"`
	Reason     fleet.Reason      `json:"reason,omitempty"`
	Exit       *int              `json:"exit,omitempty"`
	Signal     string            `json:"signal,omitempty"`
	TimedOut   bool              `json:"timed_out,omitempty"`
	Cancelled  bool              `json:"cancelled,omitempty"`
	Started    *time.Time        `json:"started,omitempty"`
	Ended      *time.Time        `json:"ended,omitempty"`
	Stdout     int64             `json:"stdout_bytes,omitempty"`
	Stderr     int64             `json:"stderr_bytes,omitempty"`
	Dropped    int64             `json:"dropped_bytes,omitempty"`
	Statement  *Hash             `json:"statement,omitempty"` // of what people signed that it ran under; nil: the host does not know any more
	Params     map[string]string `json:"params,omitempty"`    // values of the task's parameters
}

// LineOf returns what a host says of a run that is over.
func LineOf(run *fleet.Run, statement *Hash) Line {
	return Line{
		Run: text(run.ID), Task: text(run.Task), Generation: run.Generation,
		Due: instant(nanos(&run.Due)), Until: pointer(nanos(run.Until)), Count: run.Count,
		Attempt: run.Attempt, Again: run.Again != nil, Order: text(run.Order), Parent: text(run.Parent),
		State: text(run.State), Reason: text(run.Reason), Exit: run.Exit, Signal: text(run.Signal), TimedOut: run.TimedOut, Cancelled: run.Cancelled,
		Started: pointer(nanos(run.Started)), Ended: pointer(nanos(run.Ended)), Stdout: run.Stdout, Stderr: run.Stderr, Dropped: run.Dropped,
		Statement: statement, Params: run.Params,
	}
}

// plausible reports whether every instant is one of which nanoseconds can be
// counted: else two instants would have one hash.
func (l *Line) plausible() bool {
	for _, at := range []*time.Time{&l.Due, l.Until, l.Started, l.Ended} {
		if at != nil && !at.IsZero() && (at.Year() < 1970 || at.Year() > 2200) {
			return false
		}
	}
	return true
}

// text makes a text one that JSON brings back as it is.
func text[T ~string](s T) T { return T(strings.ToValidUTF8(string(s), "\uFFFD")) }

// Says reports whether a run, as somebody tells of it, is what the line says.
func (l *Line) Says(run *fleet.Run) bool {
	other := LineOf(run, l.Statement)
	return l.Hash() == other.Hash()
}

// form is a line as it is hashed, and kept: the numbers stay for ever.
type form struct {
	Run        fleet.RunID       `cbor:"1,keyasint"`
	Task       fleet.TaskID      `cbor:"2,keyasint"`
	Generation uint64            `cbor:"3,keyasint,omitempty"`
	Due        int64             `cbor:"4,keyasint"` // nanoseconds since 1970, as all instants; zero: none
	Until      int64             `cbor:"5,keyasint,omitempty"`
	Count      int               `cbor:"6,keyasint,omitempty"`
	Attempt    int               `cbor:"7,keyasint,omitempty"`
	Again      bool              `cbor:"8,keyasint,omitempty"`
	Order      fleet.OrderID     `cbor:"9,keyasint,omitempty"`
	Parent     fleet.RunID       `cbor:"10,keyasint,omitempty"`
	State      fleet.RunState    `cbor:"11,keyasint"`
	Reason     fleet.Reason      `cbor:"12,keyasint,omitempty"`
	Exit       *int              `cbor:"13,keyasint,omitempty"`
	Signal     string            `cbor:"14,keyasint,omitempty"`
	TimedOut   bool              `cbor:"15,keyasint,omitempty"`
	Cancelled  bool              `cbor:"16,keyasint,omitempty"`
	Started    int64             `cbor:"17,keyasint,omitempty"`
	Ended      int64             `cbor:"18,keyasint,omitempty"`
	Stdout     int64             `cbor:"19,keyasint,omitempty"`
	Stderr     int64             `cbor:"20,keyasint,omitempty"`
	Dropped    int64             `cbor:"21,keyasint,omitempty"`
	Statement  *Hash             `cbor:"22,keyasint,omitempty"`
	Params     map[string]string `cbor:"23,keyasint,omitempty"`
}

var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 6, MaxArrayElements: 1 << 16, MaxMapPairs: 1 << 10, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField}.DecMode())
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // the options are fixed
	}
	return value
}

// encode writes the line as it is hashed.
func (l *Line) encode() []byte {
	body, err := encoding.Marshal(form{
		l.Run, l.Task, l.Generation, nanos(&l.Due), nanos(l.Until), l.Count, l.Attempt, l.Again, l.Order, l.Parent, l.State, l.Reason,
		l.Exit, l.Signal, l.TimedOut, l.Cancelled, nanos(l.Started), nanos(l.Ended), l.Stdout, l.Stderr, l.Dropped, l.Statement, l.Params,
	})
	if err != nil {
		panic(err) // texts and numbers cannot fail
	}
	return body
}

// decodeLine reads what encode wrote.
func decodeLine(body []byte) (*Line, error) {
	var f form
	if err := decoding.Unmarshal(body, &f); err != nil {
		return nil, err
	}
	return &Line{
		f.Run, f.Task, f.Generation, instant(f.Due), pointer(f.Until), f.Count, f.Attempt, f.Again, f.Order, f.Parent, f.State, f.Reason,
		f.Exit, f.Signal, f.TimedOut, f.Cancelled, pointer(f.Started), pointer(f.Ended), f.Stdout, f.Stderr, f.Dropped, f.Statement, f.Params,
	}, nil
}

// Hash returns what the chain holds of the line.
func (l *Line) Hash() Hash { return sum(lineDomain, l.encode()) }

// sum hashes what belongs to one domain.
func sum(domain string, body ...[]byte) (h Hash) {
	s := sha256.New()
	s.Write([]byte(domain))
	for _, part := range body {
		s.Write(part)
	}
	s.Sum(h[:0])
	return h
}

func nanos(t *time.Time) int64 {
	if t == nil || t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func pointer(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	at := instant(nanos)
	return &at
}

// Size returns about how many bytes the line takes.
func (l *Line) Size() int { return len(l.encode()) }
