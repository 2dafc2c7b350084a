package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// keepPlace lets an occurrence keep its place until its next attempt, which the
// runner has recorded as pending. It is false when none is made: the task is
// gone or paused, or its run was being stopped.
func (s *State) keepPlace(now time.Time, t *task, i int, run *fleet.Run) bool {
	r := &t.running[i]
	next := *run // could not be begun, and is still pending
	if run.State != fleet.RunPending {
		next = run.NextAttempt()
	}
	first := r.due.First
	if first.IsZero() {
		first = r.began
		if run.Started != nil {
			first = wall(*run.Started)
		}
	}
	r.id, r.generation = next.ID, run.Generation
	r.due.Run, r.due.Nominal, r.due.Order, r.due.Parent, r.due.Params = next.ID, wall(next.Due), next.Order, next.Parent, next.Params
	r.due.Attempt, r.due.First = next.Attempt, first
	doom, detail := r.doom, "the run was stopped before this attempt"
	switch {
	case !t.planned:
		doom, detail = fleet.SkippedCancelled, gone
	case doom == "" && t.assignment.State != fleet.TaskEnabled && !r.due.byPerson():
		doom, detail = fleet.SkippedPaused, "the task was paused before this attempt"
	}
	if doom != "" {
		s.settleAttempt(t, r, doom, detail)
		return false
	}
	r.cancelled = false // which was said of the one before
	r.wait(now, *next.Again)
	return true
}

// wait lets the attempt be pending until an instant.
func (r *running) wait(now, again time.Time) {
	r.pending, r.again = true, wall(again)
	r.pause = max(0, r.again.Sub(now))
}

// bound lets the attempts that were found wait no longer than the policy would
// have them: the clock may have been set back while no agent ran.
func (t *task) bound(now time.Time) {
	retry := &t.assignment.Task.Retry
	most := time.Duration(cmp.Or(retry.Cap, fleet.Duration(fleet.DefaultRetryCap)))
	latest := now.Add(most + time.Duration(retry.Jitter*float64(most)))
	for i := range t.running {
		if r := &t.running[i]; r.pending && r.again.After(latest) {
			r.wait(now, latest)
		}
	}
}

// attempts begins those that have waited long enough. A clock that was set back
// does not make them wait longer than they were to.
func (s *State) attempts(now time.Time, t *task) {
	if !t.planned {
		return
	}
	for i := 0; i < len(t.running); i++ {
		r := &t.running[i]
		if !r.pending {
			continue
		}
		if latest := now.Add(r.pause); r.again.After(latest) {
			r.again = latest
		}
		if r.again.After(now) {
			continue
		}
		if !s.attempt(now, t, r) {
			t.running = slices.Delete(t.running, i, i+1)
			i--
			s.restAfter(now, t, nil)
			s.drain(now, t)
		}
	}
}

// attempt begins an attempt, under the definition that its occurrence was begun
// under. It is false when the attempt is given up.
func (s *State) attempt(now time.Time, t *task, r *running) bool {
	if r.due.Assignment == nil && t.assignment.Generation == r.generation {
		r.due.Assignment = t.assignment
	}
	if r.due.Assignment == nil {
		s.settleAttempt(t, r, fleet.SkippedCancelled,
			fmt.Sprintf("the task has changed since generation %d, which this was to be an attempt of", r.generation))
		return false
	}
	if why, blocked := s.blocked(now, t); blocked {
		s.settleAttempt(t, r, fleet.SkippedBreaker, why)
		return false
	}
	s.try(now, t, r.id)
	r.pending, r.began = false, now
	s.do(Begin{r.due})
	return true
}

// settleAttempt is the outcome of an attempt that is given up, and so that of its
// occurrence.
func (s *State) settleAttempt(t *task, r *running, reason fleet.Reason, detail string) {
	s.do(Settle{fleet.Run{
		ID: r.id, Task: t.id, Generation: r.generation, Host: s.host, Due: r.due.Nominal, Order: r.due.Order, Parent: r.due.Parent, Params: r.due.Params,
		Attempt: r.due.Attempt, State: fleet.RunSkipped, Reason: reason, Detail: clip(detail),
	}})
}

// giveUpAttempts settles the attempts that are pending. What a person ordered
// goes on while the task is paused.
func (s *State) giveUpAttempts(now time.Time, t *task, reason fleet.Reason, detail string) {
	before := len(t.running)
	t.running = slices.DeleteFunc(t.running, func(r running) bool {
		if !r.pending || reason == fleet.SkippedPaused && r.due.byPerson() {
			return false
		}
		s.settleAttempt(t, &r, reason, detail)
		return true
	})
	if t.planned && len(t.running) < before {
		s.restAfter(now, t, nil)
	}
}

// forsake takes leave of a task that is not in the plan, which the agent before
// left: its attempts are given up, and the instance of a supervised one goes.
func (s *State) forsake(now time.Time, t *task) {
	s.giveUpAttempts(now, t, fleet.SkippedCancelled, gone)
	s.adopt(t)
	if s.touch(t); t.up == nil && len(t.running) == 0 {
		delete(s.tasks, t.id)
	}
}

// stopRun carries a person's word out: a run is stopped, an attempt given up.
func (s *State) stopRun(now time.Time, t *task, i int, reason string) {
	r := &t.running[i]
	if !r.pending {
		r.doom = fleet.SkippedCancelled
		s.do(Cancel{Task: t.id, Run: r.id, Reason: reason})
		return
	}
	s.settleAttempt(t, r, fleet.SkippedCancelled, reason)
	t.running = slices.Delete(t.running, i, i+1)
	if !t.planned {
		s.forsake(now, t)
		return
	}
	s.restAfter(now, t, nil)
	s.drain(now, t)
	s.arm(now, t)
}

// clip keeps a sentence within what a record holds.
func clip(detail string) string {
	const most = 1024
	if len(detail) <= most {
		return detail
	}
	return strings.ToValidUTF8(detail[:most], "")
}
