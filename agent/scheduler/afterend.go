package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A task whose period is counted from the end of the run before has no fixed
// instants: it is due one period after that end, and every period from there as
// long as nothing of it runs. So what comes to nothing, because the task is
// paused or the agent is away, counts as a run of no length.

// countFrom finds the end that the task counts from when it enters the state: the
// one that is remembered, or now, when it reached the host. While the clock is
// not yet right, its acceptance is nearer the truth. If a run was begun since and
// its end is not known, it may have been now.
func (s *State) countFrom(now time.Time, t *task) {
	switch {
	case t.memo == nil || t.memo.Base == nil:
		s.setBase(t, later(now, wall(t.assignment.Since)))
	case t.memo.Open != "" && len(t.running) == 0:
		s.setBase(t, now)
	}
	t.seen = later(t.seen, wall(*t.memo.Base))
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
func (s *State) setBase(t *task, end time.Time) {
	m := t.note()
	m.Base, m.Open = &end, ""
	s.remember(t)
	t.seen = later(t.seen, end)
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
		s.setBase(t, end)
	} else {
		t.note().Open = ""
		s.remember(t)
	}
	t.findNext()
}

// findNext finds the first instant after the one that was seen last.
func (t *task) findNext() {
	t.hasNext = false
	if t.assignment.Task.On.AfterEnd && len(t.running) > 0 {
		return // its end says when
	}
	t.next, t.hasNext = t.clock.Next(t.seen)
}
