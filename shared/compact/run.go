// Package compact provides a run in few bytes: the one form in which runs stand
// in an agent's journal, in raft entries and in a ledger.
package compact

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Run is a fleet.Run as CBOR with numbered fields; instants are nanoseconds
// since 1970, zero for none. The numbers stay on disk for ever.
type Run struct {
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
	Again      int64          `cbor:"24,keyasint,omitempty"`
	CPU        int64          `cbor:"25,keyasint,omitempty"` // nanoseconds
	Memory     int64          `cbor:"26,keyasint,omitempty"`
	Read       int64          `cbor:"27,keyasint,omitempty"`
	Written    int64          `cbor:"28,keyasint,omitempty"`
	Parent     fleet.RunID    `cbor:"29,keyasint,omitempty"`
	Params     fleet.Params   `cbor:"30,keyasint,omitempty"`
}

// Of returns the run in its few bytes.
func Of(r *fleet.Run) Run {
	return Run{
		ID: r.ID, Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: nanos(&r.Due), Until: nanos(r.Until), Count: r.Count, Order: r.Order, Parent: r.Parent, Params: r.Params, Attempt: r.Attempt,
		State: r.State, Reason: r.Reason, Detail: r.Detail,
		Started: nanos(r.Started), Ended: nanos(r.Ended), PID: r.PID, Exit: r.Exit, Signal: r.Signal,
		TimedOut: r.TimedOut, Cancelled: r.Cancelled,
		Stdout: r.Stdout, Stderr: r.Stderr, Dropped: r.Dropped, Tail: r.Tail, Again: nanos(r.Again),
		CPU: int64(r.Used.CPU), Memory: int64(r.Used.Memory), Read: int64(r.Used.Read), Written: int64(r.Used.Written),
	}
}

// Whole returns the run as everyone else knows it.
func (r *Run) Whole() fleet.Run {
	due := instant(r.Due)
	if due == nil {
		due = new(time.Time)
	}
	return fleet.Run{
		ID: r.ID, Task: r.Task, Generation: r.Generation, Host: r.Host,
		Due: *due, Until: instant(r.Until), Count: r.Count, Order: r.Order, Parent: r.Parent, Params: r.Params, Attempt: r.Attempt,
		State: r.State, Reason: r.Reason, Detail: r.Detail,
		Started: instant(r.Started), Ended: instant(r.Ended), PID: r.PID, Exit: r.Exit, Signal: r.Signal,
		TimedOut: r.TimedOut, Cancelled: r.Cancelled,
		Stdout: r.Stdout, Stderr: r.Stderr, Dropped: r.Dropped, Tail: r.Tail, Again: instant(r.Again),
		Used: fleet.Used{CPU: fleet.Duration(r.CPU), Memory: fleet.Bytes(r.Memory), Read: fleet.Bytes(r.Read), Written: fleet.Bytes(r.Written)},
	}
}

// nanos returns the instant in nanoseconds. One that cannot belong to a run
// becomes 1, in 1970, so that Plausible refuses it.
func nanos(t *time.Time) int64 {
	switch {
	case t == nil || t.IsZero():
		return 0
	case !Plausible(t):
		return 1
	}
	return t.UnixNano()
}

// Nanos returns an instant in nanoseconds since 1970: zero for none, and 1 for
// one that cannot be told, so that Plausible refuses it.
func Nanos(t time.Time) int64 { return nanos(&t) }

// Plausible reports whether an instant may belong to a run: from 1971 to 2200.
func Plausible(t *time.Time) bool { return t.Year() > 1970 && t.Year() <= 2200 }

func instant(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}
