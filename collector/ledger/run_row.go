package ledger

import (
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// runRow is a run in entries and on disk. Runs are most of both, so fields go
// by number and instants are nanoseconds since 1970, zero for none. The
// numbers stay for ever.
type runRow struct {
	ID         fleet.RunID    `cbor:"1,keyasint"`
	Task       fleet.TaskID   `cbor:"2,keyasint"`
	Generation uint64         `cbor:"3,keyasint,omitempty"`
	Host       fleet.HostID   `cbor:"4,keyasint"`
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

func rowOf(r *fleet.Run) runRow {
	return runRow{
		ID: r.ID, Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: nanos(&r.Due), Until: nanos(r.Until), Count: r.Count, Order: r.Order, Attempt: r.Attempt,
		State: r.State, Reason: r.Reason, Detail: r.Detail,
		Started: nanos(r.Started), Ended: nanos(r.Ended), PID: r.PID, Exit: r.Exit, Signal: r.Signal,
		TimedOut: r.TimedOut, Cancelled: r.Cancelled,
		Stdout: r.Stdout, Stderr: r.Stderr, Dropped: r.Dropped, Tail: r.Tail,
	}
}

func (r *runRow) run() fleet.Run {
	due := instant(r.Due)
	if due == nil {
		due = new(time.Time)
	}
	return fleet.Run{
		ID: r.ID, Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: *due, Until: instant(r.Until), Count: r.Count, Order: r.Order, Attempt: r.Attempt,
		State: r.State, Reason: r.Reason, Detail: r.Detail,
		Started: instant(r.Started), Ended: instant(r.Ended), PID: r.PID, Exit: r.Exit, Signal: r.Signal,
		TimedOut: r.TimedOut, Cancelled: r.Cancelled,
		Stdout: r.Stdout, Stderr: r.Stderr, Dropped: r.Dropped, Tail: r.Tail,
	}
}

// nanos returns the instant in nanoseconds. One that does not fit becomes 1,
// in 1970, which recordRun refuses.
func nanos(t *time.Time) int64 {
	switch {
	case t == nil || t.IsZero():
		return 0
	case !plausible(t):
		return 1
	}
	return t.UnixNano()
}

// plausible reports whether an instant may belong to a run.
func plausible(t *time.Time) bool { return t.Year() > 1970 && t.Year() <= 2200 }

func instant(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}

// hostBatch is a HostBatch in an entry.
type hostBatch struct {
	Host    fleet.HostID    `cbor:"1,keyasint"`
	Journal fleet.JournalID `cbor:"2,keyasint"`
	Records []runRecord     `cbor:"3,keyasint"`
}

type runRecord struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	Run      runRow
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (b HostBatch) MarshalCBOR() ([]byte, error) {
	batch := hostBatch{b.Host, b.Journal, make([]runRecord, len(b.Records))}
	for i := range b.Records {
		batch.Records[i] = runRecord{Sequence: b.Records[i].Sequence, Run: rowOf(&b.Records[i].Run)}
	}
	return encoding.Marshal(batch)
}

// UnmarshalCBOR reads a batch of an entry.
func (b *HostBatch) UnmarshalCBOR(data []byte) error {
	var batch hostBatch
	if err := decoding.Unmarshal(data, &batch); err != nil {
		return fmt.Errorf("batch of runs: %w", err)
	}
	*b = HostBatch{Host: batch.Host, Journal: batch.Journal, Records: make([]api.RunRecord, len(batch.Records))}
	for i := range batch.Records {
		b.Records[i] = api.RunRecord{Sequence: batch.Records[i].Sequence, Run: batch.Records[i].Run.run()}
	}
	return nil
}
