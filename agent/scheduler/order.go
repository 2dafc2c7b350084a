package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// planOrders puts the orders of a plan in place of the old ones. An order that
// is gone was withdrawn before it was carried out, and has no outcome. One that
// was decided is remembered here as well: the disk may have been full.
func (s *State) planOrders(now time.Time, orders []fleet.Order) {
	clear(s.orders)
	decided, stopped := map[fleet.OrderID]bool{}, map[fleet.OrderID]bool{}
	goesOn := s.runsByID(orders)
	for _, o := range orders {
		switch {
		case o.Kind == fleet.OrderCancel:
		case s.decided[o.ID] || s.memory.OrderDecided(o.ID):
			decided[o.ID] = true
		case goesOn[o.Run] && o.Run != "": // another's, which must not end by it
		default:
			s.orders[o.ID] = o
		}
	}
	s.decided = decided
	maps.DeleteFunc(s.ripe, func(id fleet.OrderID, _ bool) bool { return s.orders[id].ID == "" }) // withdrawn
	for _, o := range orders {
		if o.Kind != fleet.OrderCancel {
			continue
		}
		if !s.stopped[o.ID] {
			s.stop(now, o)
		}
		stopped[o.ID] = true
	}
	s.stopped = stopped
	for _, id := range slices.Sorted(maps.Keys(s.orders)) {
		if o := s.orders[id]; o.Refused != nil {
			s.refuse(o, fleet.RunMissed, fleet.MissedRefused, o.Refused.String())
		}
	}
}

// runsByID are the runs that go on, where there are orders that may name them.
func (s *State) runsByID(orders []fleet.Order) map[fleet.RunID]bool {
	if len(orders) == 0 {
		return nil
	}
	ids := map[fleet.RunID]bool{}
	for _, t := range s.tasks {
		for i := range t.running {
			ids[t.running[i].id] = true
		}
	}
	return ids
}

// stop carries out an order to cancel: a run that goes on is stopped, one that
// waits is skipped.
func (s *State) stop(now time.Time, o fleet.Order) {
	for _, id := range slices.Sorted(maps.Keys(s.orders)) {
		if wish := s.orders[id]; wish.Run == o.Run && wish.Task == o.Task {
			s.refuse(wish, fleet.RunSkipped, fleet.SkippedCancelled, o.Reason)
		}
	}
	t := s.tasks[o.Task]
	if t == nil {
		return
	}
	if i := slices.IndexFunc(t.running, func(r running) bool { return r.id == o.Run }); i >= 0 {
		s.stopRun(now, t, i, o.Reason)
	}
	// Only the oldest that waits may go, or the order on disk would break.
	if t.planned && len(t.waiting) > 0 && RunID(fleet.Occurrence{Task: t.id, Scope: s.host, Nominal: t.waiting[0].nominal}) == o.Run {
		i := t.waiting[0]
		t.waiting = t.waiting[1:]
		s.giveUp(now, t, i, fleet.SkippedCancelled, o.Reason)
		s.drain(now, t)
		s.arm(now, t)
	}
}

// advanceOrders carries out the wishes whose task has room, and settles those
// that have expired.
func (s *State) advanceOrders(now time.Time) {
	if len(s.orders) == 0 {
		return
	}
	s.mergeBursts(now)
	waiting := map[fleet.TaskID]int{}
	for _, id := range slices.Sorted(maps.Keys(s.orders)) {
		o := s.orders[id]
		t := s.tasks[o.Task]
		switch {
		case now.After(o.Expires):
			s.expire(o)
		case t == nil || !t.planned:
			// its task may come with a later plan
		case o.Kind == fleet.OrderReset:
			s.conclude(o)
			s.resetBreaker(now, t, o)
		case supervises(o.Kind):
			s.command(t, o)
		case t.up != nil:
			s.runUp(now, t, o)
		case s.gathers(t, o):
		case s.refused(now, t, o):
		case !t.full():
			s.carryOut(now, t, o)
		default:
			s.overlap(now, t, o, waiting)
		}
	}
}

// refused settles the order for a run that may not begin now, whoever wants it.
func (s *State) refused(now time.Time, t *task, o fleet.Order) bool {
	if o.Cause != "" { // no person's
		if t.assignment.State != fleet.TaskEnabled {
			s.refuse(o, fleet.RunSkipped, fleet.SkippedPaused, "the task is paused")
			return true
		}
		if _, why, is := s.blackout(t, wall(o.Due)); is {
			s.refuse(o, fleet.RunSkipped, fleet.SkippedBlackout, why)
			return true
		}
	}
	why, blocked := s.blocked(now, t)
	if blocked {
		s.refuse(o, fleet.RunSkipped, fleet.SkippedBreaker, why)
	}
	return blocked
}

// carryOut begins the run of an order. A person's word also holds while the
// task is paused.
func (s *State) carryOut(now time.Time, t *task, o fleet.Order) {
	s.conclude(o)
	s.start(now, t, Due{Run: s.runOf(o), Assignment: t.assignment, Nominal: wall(o.Due), Order: o.ID, Cause: o.Cause, Payload: o.Payload, Parent: o.Parent, Params: o.Params, Attempt: 1})
	s.arm(now, t)
}

// expire settles an order that was not carried out in time.
func (s *State) expire(o fleet.Order) {
	if o.Kind == fleet.OrderRun {
		s.refuse(o, fleet.RunMissed, fleet.MissedDeadline, "it had no turn before it expired at "+o.Expires.UTC().Format(time.RFC3339))
		return
	}
	s.conclude(o)
	s.do(Did{Order: o, Expired: true})
}

// conclude takes an order out for good.
func (s *State) conclude(o fleet.Order) {
	delete(s.orders, o.ID)
	delete(s.ripe, o.ID)
	s.decided[o.ID] = true
}

// overlap applies the task's policy to an order that finds it running, and counts
// those that wait.
func (s *State) overlap(now time.Time, t *task, o fleet.Order, waiting map[fleet.TaskID]int) {
	switch t.assignment.Task.Limits.Overlap {
	case fleet.OverlapReplace:
		s.cancelAll(now, t, "a run that was ordered takes its place")
		if !t.full() { // only an attempt was pending
			s.carryOut(now, t, o)
		}
	case fleet.OverlapQueue: // it waits until it expires, and brings along what was said with it
		if waiting[o.Task]++; waiting[o.Task] > fleet.MaxCatchUp {
			s.refuse(o, fleet.RunSkipped, fleet.SkippedOverlap, fmt.Sprintf("%d orders wait already", fleet.MaxCatchUp))
		}
	default:
		s.refuse(o, fleet.RunSkipped, fleet.SkippedOverlap, t.busy())
	}
}

// refuse settles an order that comes to nothing.
func (s *State) refuse(o fleet.Order, state fleet.RunState, reason fleet.Reason, detail string) {
	s.conclude(o)
	run := fleet.Run{
		ID: s.runOf(o), Task: o.Task, Host: s.host, Due: wall(o.Due), Order: o.ID, Params: o.Params, State: state, Reason: reason, Detail: clip(detail),
	}
	if t := s.tasks[o.Task]; t != nil && t.planned {
		run.Generation = t.assignment.Generation
	}
	s.do(Settle{run})
}

// runOf is the id that the order's run has: the one that was promised.
func (s *State) runOf(o fleet.Order) fleet.RunID {
	if o.Run != "" {
		return o.Run
	}
	return RunID(fleet.Occurrence{Task: o.Task, Scope: s.host, Nominal: wall(o.Due)})
}
