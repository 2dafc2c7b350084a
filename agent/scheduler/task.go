package scheduler

import (
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// task is a task on this host, in the plan or with runs that go on without it.
type task struct {
	id         fleet.TaskID
	planned    bool
	assignment *fleet.Assignment
	clock      fleet.Clock

	seen     time.Time // the last instant that was looked at; none up to it is looked at again
	cursor   time.Time // of a period after the end: as seen, by the clock as it is now
	moved    time.Time // when the end was moved along with the clock last; zero: never
	received time.Time // when this generation reached the host; zero: before the agent started
	next     time.Time // the first instant after seen
	hasNext  bool

	running     []running
	waiting     []item        // instants that have come and wait for a run to end, oldest first
	stints      []fleet.Stint // what is due from then on, to be given out when nothing from before waits
	open        span          // outcomes decided and not yet given out
	flushed     time.Time     // when one was given out, and which kind
	flushedKind kind

	memo     *memo           // what the next agent is to know; nil: nothing
	standing *fleet.Standing // that was told last; nil: none is
	breaker  *breaker        // nil: it has none

	up *upkeep // of a supervised task; nil: it is none

	wake  time.Time // when the task is to be looked at
	index int       // in the heap; -1: not in it
}

// running is a run that goes on, or an attempt that is pending; both hold the
// place of their occurrence.
type running struct {
	id        fleet.RunID
	began     time.Time
	cancelled bool
	due       Due          // what it was begun as; of a run of an earlier agent as far as that is known
	doom      fleet.Reason // of a cancelled one: why no attempt follows

	pending    bool          // an attempt that waits until again
	again      time.Time     // when it begins
	pause      time.Duration // how long it was to wait
	generation uint64        // of its occurrence
}

// item is an instant that waits.
type item struct {
	nominal time.Time
	late    fleet.Reason // why it was not begun in time; empty: it was in time

	// window says in which window of a calendar it lies: it waits only to be
	// skipped in its order, and stands for all count instants up to last.
	window string
	last   time.Time
	count  int
}

// reload prepares the due instants of the assignment.
func (t *task) reload(host fleet.HostID) {
	// An assignment is valid when it is accepted; one that is not is never due.
	t.clock, _ = t.assignment.Task.Clock(host)
	if t.assignment.Task.On.AfterEnd && t.memo != nil && t.memo.Base != nil {
		t.clock = t.assignment.Task.ClockFrom(*t.memo.Base)
	}
}

// limit is how many runs of the task go on at once.
func (t *task) limit() int {
	if l := t.assignment.Task.Limits; l.Overlap == fleet.OverlapAllow && t.up == nil {
		return max(1, l.PerHost)
	}
	return 1
}

// full reports whether another run would overlap.
func (t *task) full() bool { return len(t.running) >= t.limit() }

// busy says what a run that has no place finds in its way.
func (t *task) busy() string {
	if len(t.running) == 0 {
		return ""
	}
	r := &t.running[0]
	if r.pending {
		return fmt.Sprintf("attempt %d of the run of %s is still to begin", r.due.Attempt, r.due.Nominal.Format(time.RFC3339))
	}
	return fmt.Sprintf("the run of %s still goes on", r.due.Nominal.Format(time.RFC3339))
}

// deadline is how long after the instant its run may begin.
func (t *task) deadline(nominal, following time.Time, more bool) time.Duration {
	on := &t.assignment.Task.On
	switch {
	case on.Deadline > 0:
		return time.Duration(on.Deadline)
	case on.At != nil:
		return fleet.DefaultExpiry
	case more:
		return min(fleet.MaxDeadline, following.Sub(nominal)/2)
	}
	return fleet.MaxDeadline
}

// within is how far back missed instants are caught up; zero without a policy.
func (t *task) within() time.Duration {
	missed := t.assignment.Task.On.Missed
	switch {
	case missed.Policy != fleet.MissedOnce && missed.Policy != fleet.MissedAll:
		return 0
	case missed.Within > 0:
		return time.Duration(missed.Within)
	}
	return fleet.DefaultWithin
}

// RunID returns the id of the run of an occurrence.
func RunID(o fleet.Occurrence) fleet.RunID { return o.Run() }
