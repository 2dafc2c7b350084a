package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instants is a number of due instants in a row.
type instants struct {
	first, last time.Time
	count       int
}

// advance takes the next instant.
func (t *task) advance() time.Time {
	return t.pass(instants{t.next, t.next, 1}).first
}

// pass goes on behind instants, and returns them as the occurrences they are.
func (t *task) pass(taken instants) instants {
	t.cursor = taken.last
	taken = t.own(taken)
	t.seen = taken.last
	t.findNext()
	return taken
}

// take takes every instant up to and including until; there is one. A fixed
// period is counted, not walked: a host may have been away for a year.
func (t *task) take(until time.Time) instants {
	on := &t.assignment.Task.On
	taken := instants{first: t.next}
	if period := time.Duration(on.Every); period > 0 && on.Ends == nil {
		more := until.Sub(t.next) / period
		taken.count = int(more) + 1
		taken.last = t.next.Add(more * period)
		return t.pass(taken)
	}
	for t.hasNext && !t.next.After(until) {
		last := t.advance()
		if taken.count++; taken.count == 1 {
			taken.first = last
		}
		taken.last = last
	}
	return taken
}

// kind is what the instants of a span have in common.
type kind struct {
	state      fleet.RunState
	reason     fleet.Reason
	detail     string
	generation uint64
}

// plain is the kind without its sentence, which may change every minute.
func (k kind) plain() kind {
	k.detail = ""
	return k
}

// span is a range of instants of one task with the same outcome.
type span struct {
	instants
	kind kind
}

// settle decides instants that come to nothing. They join the open span if it
// is of their kind; a new kind closes it. What still waits and is older is given
// up before: the order on disk is the order of the instants, or an agent that
// comes back would take what waited for decided.
func (s *State) settle(now time.Time, t *task, these instants, state fleet.RunState, reason fleet.Reason, detail string) {
	if len(t.waiting) > 0 && these.first.After(t.waiting[0].nominal) {
		s.drop(now, t, fleet.SkippedReplaced, "a later instant of the task was decided before its turn came")
	}
	s.countBefore(now, t, these.first)
	kind := kind{state, reason, detail, t.assignment.Generation}
	if t.open.kind != kind {
		s.flush(now, t)
	}
	if t.open.count == 0 {
		t.open = span{instants{first: these.first}, kind}
	}
	t.open.last = these.last
	t.open.count += these.count
}

// flush gives the open span out.
func (s *State) flush(now time.Time, t *task) {
	if t.open.count == 0 {
		return
	}
	run := fleet.Run{
		ID:         RunID(fleet.Occurrence{Task: t.id, Scope: s.host, Nominal: t.open.first}),
		Task:       t.id,
		Generation: t.open.kind.generation,
		Host:       s.host,
		Due:        t.open.first,
		State:      t.open.kind.state,
		Reason:     t.open.kind.reason,
		Detail:     clip(t.open.kind.detail),
	}
	if t.open.count > 1 {
		last := t.open.last
		run.Until, run.Count = &last, t.open.count
	}
	s.do(Settle{run})
	t.flushed, t.flushedKind = now, t.open.kind.plain()
	t.open = span{}
}

// flushOld gives the open span out unless one of its kind just was, so that a
// task that is due every second makes a record a minute and not sixty.
func (s *State) flushOld(now time.Time, t *task) {
	if t.open.kind.plain() != t.flushedKind || t.flushed.After(now) || now.Sub(t.flushed) >= flushEvery {
		s.flush(now, t)
	}
}

func (s *State) flushAll(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		s.flush(now, s.tasks[id])
	}
}
