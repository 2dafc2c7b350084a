package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A task whose period is counted from the end of the run before has no fixed
// instants: it is due one period after that end, and every period from there as
// long as nothing of it runs. So what comes to nothing, because the task is
// paused or the agent is away, counts as a run of no length.
//
// A clock that is set back does not hold it up: the period is counted by the
// clock as it is now (cursor), while the instants that have an outcome (seen) lie
// ahead of it. What is due meanwhile is an occurrence of its own, right after the
// last one.

// countFrom finds the end that the task counts from when it enters the state: the
// one that is remembered, or now, when it reached the host. While the clock is
// not yet right, its acceptance is nearer the truth. If a run was begun since and
// its end is not known, it may have been now.
func (s *State) countFrom(now time.Time, t *task) {
	switch {
	case t.memo == nil || t.memo.Base == nil:
		s.setBase(now, t, later(now, wall(t.assignment.Since)))
	case len(t.running) > 0: // its end says more
	case t.memo.Open != "", t.seen.After(now), t.memo.Base.After(now) && !t.memo.Base.Equal(t.assignment.Since):
		s.setBase(now, t, now)
	}
	t.goOn(now, wall(*t.memo.Base))
}

// goOn lets the task look at what follows an instant, and what it has seen. An
// acceptance that the clock has not come to is not seen yet.
func (t *task) goOn(now, from time.Time) {
	t.seen, t.cursor = later(t.seen, earlier(from, now)), from
	if !t.seen.After(now) {
		t.cursor = later(t.seen, from)
	}
}

// catchUpWith lets a task look at what follows the instants that have an outcome
// as soon as the clock shows times that it has not shown before.
func (t *task) catchUpWith(now time.Time) {
	if t.cursor.Before(t.seen) && !t.seen.After(now) && t.assignment.Task.On.AfterEnd {
		t.cursor = t.seen
		t.findNext()
	}
}

// moveRests moves the end that each task counts from along with a clock that was set
// back: what has passed of a period has passed. One that was set back before is
// moved along until it shows what it has not shown yet.
func (s *State) moveRests(now time.Time, by time.Duration) {
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		t := s.tasks[id]
		if !t.planned || !t.assignment.Task.On.AfterEnd || t.memo == nil || t.memo.Base == nil || len(t.running) > 0 {
			continue
		}
		from, behind := t.cursor, t.seen.After(s.last) && !t.cursor.After(s.last)
		if !behind && by >= 0 {
			continue
		}
		if !behind {
			from = later(t.seen, *t.memo.Base)
		}
		s.setBase(now, t, t.memo.Base.Add(by))
		t.cursor, t.moved = from.Add(by), now
		t.findNext()
	}
}

// receive notes when a generation reached the host. What was due under it before
// came too late, however often the clock was set back until then.
func (t *task) receive(now time.Time) {
	t.received = now
	if !t.moved.IsZero() {
		t.moved = now
	}
}

// holdRest remembers that a run begins, whose end is the next to count from.
func (s *State) holdRest(t *task, run fleet.RunID) {
	if !t.assignment.Task.On.AfterEnd {
		return
	}
	t.hasNext = false
	t.note().Open = run
	s.remember(t)
}

// setBase lets the task count from an end.
func (s *State) setBase(now time.Time, t *task, end time.Time) {
	m := t.note()
	m.Base, m.Open = &end, ""
	s.remember(t)
	t.goOn(now, end)
	t.reload(s.host)
}

// restAfter lets the task count from the end of its run, if that was the last
// that went on; no run: from now, when an attempt was given up. One that could
// not be begun has no end.
func (s *State) restAfter(now time.Time, t *task, run *fleet.Run) {
	if !t.assignment.Task.On.AfterEnd || len(t.running) > 0 {
		return
	}
	if run == nil || run.State != fleet.RunPending {
		end := now
		if run != nil && run.Ended != nil && run.Ended.Before(now) {
			end = wall(*run.Ended)
		}
		s.setBase(now, t, end)
	} else {
		t.note().Open = ""
		s.remember(t)
	}
	t.findNext()
}

// findNext finds the first instant after the one that was looked at last.
func (t *task) findNext() {
	t.hasNext = false
	if !t.assignment.Task.On.AfterEnd {
		t.next, t.hasNext = t.clock.Next(t.seen)
	} else if len(t.running) == 0 { // else its end says when
		t.next, t.hasNext = t.clock.Next(t.cursor)
	}
}

// own makes instants of a task with a period after its end occurrences of their
// own, where the clock shows what it has shown before.
func (t *task) own(i instants) instants {
	if t.assignment.Task.On.AfterEnd && !i.first.After(t.seen) {
		i.first = t.seen.Add(time.Millisecond)
		i.last = later(i.last, i.first.Add(time.Duration(i.count-1)*time.Millisecond))
	}
	return i
}
