package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// accountRow is what one task on one host amounts to since it came there. It
// outlives the runs that it counts. Instants are nanoseconds since 1970.
type accountRow struct {
	Ran     int `cbor:"1,keyasint,omitempty"`
	Failed  int `cbor:"2,keyasint,omitempty"` // of Ran: a bad exit, a signal, timed out, cancelled
	Skipped int `cbor:"3,keyasint,omitempty"`
	Missed  int `cbor:"4,keyasint,omitempty"`
	Unknown int `cbor:"5,keyasint,omitempty"`
	Open    int `cbor:"6,keyasint,omitempty"` // no outcome yet

	Ordered int `cbor:"7,keyasint,omitempty"` // due because somebody or something ordered it
	Started int `cbor:"8,keyasint,omitempty"` // due because it was to start and no schedule says when

	Generation uint64 `cbor:"9,keyasint,omitempty"`  // that it is due under; zero: it is not
	After      int64  `cbor:"10,keyasint,omitempty"` // from when on
	Decided    int64  `cbor:"11,keyasint,omitempty"` // the last instant of the schedule that the host told of
	Forgotten  int64  `cbor:"12,keyasint,omitempty"` // the last instant of the schedule whose record was removed
	Retried    int    `cbor:"13,keyasint,omitempty"` // attempts after the first ones
}

// stintRow is a stint that is over, by task, host and the instant it began
// after.
type stintRow struct {
	Generation uint64 `cbor:"1,keyasint"`
	Last       int64  `cbor:"2,keyasint"`
}

// accountKey names a task on a host. Keys sort as they lie in the file.
type accountKey string

func keyOfAccount(task fleet.TaskID, host fleet.HostID) accountKey {
	return accountKey(key(string(task), string(host)))
}

// account returns the row of a task on a host, to be changed; write puts it
// back.
func (t *tally) account(c *change, task fleet.TaskID, host fleet.HostID) *accountRow {
	k := keyOfAccount(task, host)
	row := t.accounts[k]
	if row == nil {
		found, _ := stored[accountRow](c, inAccounts, []byte(k))
		row = &found
		t.accounts[k] = row
	}
	return row
}

// book moves a run from what it was to what it is. Of the attempts of an
// occurrence only the last one that was heard of counts, in whatever order they
// come, and the occurrence is due once.
func (t *tally) book(c *change, old, next *fleet.Run, known bool) {
	row := t.account(c, next.Task, next.Host)
	if !known && next.Attempt > 1 {
		row.Retried++
	}
	var last *fleet.Run // of the other attempts
	if row.Retried > 0 {
		last = lastAttempt(otherAttempts(c, next))
	}
	switch {
	case known || last != nil:
	case next.Order != "":
		row.Ordered++
	case t.unclocked(c, next):
		row.Started += next.Instants()
	}
	if last == nil || last.Attempt < next.Attempt {
		switch {
		case known:
			row.add(old, -1)
		case last != nil:
			row.add(last, -1)
		}
		row.add(next, 1)
	}
	if next.Order == "" {
		row.Decided = max(row.Decided, lastInstant(next))
	}
}

// add counts a run's instants in, or out with sign -1. One that another attempt
// follows leaves its occurrence open.
func (r *accountRow) add(run *fleet.Run, sign int) {
	n := sign * run.Instants()
	switch {
	case run.Attempted():
		r.Open += n
	case run.State == fleet.RunRan:
		r.Ran += n
		if run.Failed() {
			r.Failed += n
		}
	case run.State == fleet.RunSkipped:
		r.Skipped += n
	case run.State == fleet.RunMissed:
		r.Missed += n
	case run.State == fleet.RunUnknown:
		r.Unknown += n
	default:
		r.Open += n
	}
}

func lastInstant(run *fleet.Run) int64 {
	if run.Until != nil && run.Until.After(run.Due) {
		return run.Until.UnixNano()
	}
	return run.Due.UnixNano()
}

// unclocked reports whether no schedule says when the run's task was due.
func (t *tally) unclocked(c *change, run *fleet.Run) bool {
	k := string(generationKey(run.Task, run.Generation))
	unclocked, asked := t.daemons[k]
	if !asked {
		task, found := stored[fleet.Task](c, inGenerations, []byte(k))
		unclocked = found && !task.On.Clocked()
		t.daemons[k] = unclocked
	}
	return unclocked
}

// recordStint takes in from when on a task is due on a host. It says why that
// cannot be true, if so.
func recordStint(c *change, host fleet.HostID, stint *fleet.Stint, serves func(fleet.TaskID) bool, tally *tally) (why string) {
	switch {
	case !keyable(string(stint.Task)):
		return "a stint needs its task"
	case !serves(stint.Task):
		return notServed(stint.Task)
	case !compact.Plausible(&stint.After), !stint.Last.IsZero() && !compact.Plausible(&stint.Last):
		return "a stint needs an instant between 1970 and 2200"
	}
	row := tally.account(c, stint.Task, host)
	if row.Generation != 0 {
		last := row.Decided
		if !stint.Last.IsZero() {
			last = stint.Last.UnixNano()
		}
		if last > row.After {
			c.put(inStints, stintKey(stint.Task, host, row.After), encode(stintRow{row.Generation, last}))
			row.Decided = max(row.Decided, last)
		}
	}
	// A host that lost its journal may begin before what it told earlier.
	row.Generation, row.After = stint.Generation, max(stint.After.UnixNano(), row.Decided)
	row.Decided = row.After
	return ""
}

func stintKey(task fleet.TaskID, host fleet.HostID, after int64) []byte {
	return append(prefix(string(task), string(host)), bigEndian(uint64(after))...)
}

// generationKey is where the trigger of one generation of a task lies.
func generationKey(task fleet.TaskID, generation uint64) []byte {
	return append(prefix(string(task)), bigEndian(generation)...)
}

// keepGeneration keeps what says when the task is due under this generation,
// for stints that name it.
func keepGeneration(c *change, task *taskRow) {
	k := generationKey(task.Task.ID(), task.Generation)
	if c.get(inGenerations, k) == nil {
		c.put(inGenerations, k, encode(fleet.Task{Name: task.Task.Name, Namespace: task.Task.Namespace, On: task.Task.On}))
	}
}

// writeAccounts puts the rows back that changed.
func (t *tally) writeAccounts(c *change) {
	for k, row := range sorted(t.accounts) {
		c.put(inAccounts, []byte(k), encode(row))
	}
}

// forgetRuns notes up to where the records of schedules are not whole any more.
func forgetRuns(c *change, runs []fleet.Run) {
	tally := newTally()
	for i := range runs {
		if run := &runs[i]; run.Order == "" {
			row := tally.account(c, run.Task, run.Host)
			row.Forgotten = max(row.Forgotten, lastInstant(run))
		}
	}
	tally.writeAccounts(c)
}

func instantOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
