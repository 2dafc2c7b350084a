package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// command carries out an order to start, stop or restart a supervised task. What
// comes of it is remembered before the order is told to be done, and before
// anything is stopped for it: whatever dies in between, it is carried out once.
func (s *State) command(t *task, o fleet.Order) {
	u := t.up
	if u == nil {
		return // it may be supervised in a later plan
	}
	up := len(t.running) > 0 && t.uncancelled()
	switch o.Kind {
	case fleet.OrderStop:
		u.Stopped, u.Replace = "stopped by "+person(o), nil
		if o.Reason != "" {
			u.Stopped += ": " + o.Reason
		}
	case fleet.OrderRestart:
		s.want(t, o)
		if up {
			u.Asked, u.Replace = "", &replace{Run: t.running[0].id, Asked: person(o)}
		}
	case fleet.OrderStart:
		s.want(t, o)
		if up {
			u.Asked = "" // it is up already
		}
	}
	s.conclude(o)
	s.noteUpkeep(t)
	s.do(Did{Order: o})
	s.touch(t)
}

// want makes a task wanted that a person starts, whatever became of it.
func (s *State) want(t *task, o fleet.Order) {
	u, on := t.up, &t.assignment.Task.On
	u.anew()
	u.Stopped, u.Done, u.Asked = "", false, person(o)
	if !on.Daemon && u.Startup.IsZero() {
		u.Startup = s.life.startup(on.Startup)
		if u.Startup.IsZero() {
			u.Startup = s.life.Started
		}
	}
}

// supervises reports whether the order is about a supervised task.
func supervises(kind fleet.OrderKind) bool {
	return kind == fleet.OrderStart || kind == fleet.OrderStop || kind == fleet.OrderRestart
}

// person is who gave the order.
func person(o fleet.Order) string {
	if o.By == "" {
		return "somebody"
	}
	return o.By
}

// runUp carries out an order to run a supervised task: its run is the instance,
// if none is up.
func (s *State) runUp(now time.Time, t *task, o fleet.Order) {
	switch {
	case len(t.running) > 0:
		s.refuse(o, fleet.RunSkipped, fleet.SkippedOverlap, t.busy())
	case t.assignment.State != fleet.TaskEnabled:
		s.refuse(o, fleet.RunSkipped, fleet.SkippedPaused, "the task is paused")
	case s.unmet(t) != "": // it waits, until it expires
	default:
		if r := outside(now, &t.assignment.Task.On); r != nil {
			s.refuse(o, fleet.RunSkipped, fleet.SkippedExpired, r.why)
			return
		}
		s.want(t, o)
		s.conclude(o)
		s.launch(now, t, Due{
			Run: s.runOf(o), Assignment: t.assignment, Nominal: wall(o.Due), Order: o.ID,
			Cause: o.Cause, Payload: o.Payload, Parent: o.Parent, Params: o.Params, Attempt: 1,
		})
		s.touch(t)
	}
}
