package simulation

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// waiter is a run that is pending on disk until what its task waits for is there,
// it has a place in the fleet, and a slot on its host.
type waiter struct {
	entry
	task  *fleet.Task
	end   time.Duration // when it waits no longer for its slot
	lined bool
}

// holds is a place that a run has in the fleet, and until when it may begin.
type holds struct {
	fence uint64
	bound time.Duration // zero: it needs none
}

// Values of agent/turn and of the grantor.
const (
	awaitEvery  = 5 * time.Second
	leaseMargin = time.Minute
)

// straight lets a run through that need not wait.
func (h *host) straight(task *fleet.Task, run fleet.RunID) bool {
	switch {
	case task.On.Daemon:
		return true
	case h.Mutant == Crowded:
	case !task.WaitFor.IsZero(), task.Limits.Fleet > 0, len(h.taken) >= h.slots, len(h.line) > 0:
		return false
	}
	h.taken[run] = true
	return true
}

// admit lets a run wait that is pending on disk.
func (h *host) admit(e entry) {
	g := h.plan.tasks[e.task]
	w := &waiter{entry: e, task: &g.versions[max(1, int(e.generation))-1]}
	h.waits[fleet.RunID(e.id)] = w
	h.look(w)
}

// again looks at a waiter in a while, if it is still one.
func (h *host) again(w *waiter, in time.Duration) {
	h.after(in, h.alive(func() {
		if h.waits[fleet.RunID(w.id)] == w {
			h.look(w)
		}
	}))
}

// look takes a waiter as far as it goes.
func (h *host) look(w *waiter) {
	_, unready := h.opened[opening{checker.Unready, ""}]
	switch {
	case h.frozen:
		h.again(w, awaitEvery)
	case !w.task.WaitFor.IsZero() && unready && h.Mutant != Blind:
		if h.now >= time.Duration(w.came)+time.Duration(w.task.WaitFor.Timeout) {
			h.giveUp(w, fleet.RunMissed, fleet.MissedPrecondition)
		} else {
			h.again(w, awaitEvery)
		}
	case w.task.Limits.Fleet > 0:
		h.ask(w)
	default:
		h.lineUp(w, holds{}, h.now+h.patience(w))
	}
}

// patience is how long a run waits for its slot from now on.
func (h *host) patience(w *waiter) time.Duration {
	due := time.Unix(0, w.due).UTC()
	d := fleet.MaxDeadline
	switch clock, err := w.task.Clock(h.id); {
	case w.task.On.Deadline > 0:
		d = time.Duration(w.task.On.Deadline)
	case w.task.On.At != nil:
		d = fleet.DefaultExpiry
	case err == nil && w.task.On.Clocked():
		if next, more := clock.Next(due); more {
			d = min(d, next.Sub(due)/2)
		}
	}
	from, wall := due, h.wall()
	if came := wall.Add(time.Duration(w.came) - h.now); from.Add(d).Before(came) {
		from = came
	}
	if !w.task.WaitFor.IsZero() || from.After(wall) {
		from = wall
	}
	return from.Add(d).Sub(wall)
}

// lineUp puts a run at the end of the line for slots.
func (h *host) lineUp(w *waiter, under holds, end time.Duration) {
	w.end, w.lined, w.holds = end, true, under
	if end <= h.now && under.bound == 0 {
		h.giveUp(w, fleet.RunMissed, fleet.MissedLoad)
		return
	}
	h.line = append(h.line, w)
	h.after(max(0, end-h.now)+time.Nanosecond, h.alive(func() {
		if i := slices.Index(h.line, w); i >= 0 {
			h.line = slices.Delete(h.line, i, i+1)
			w.lined = false
			switch {
			case w.bound > 0 && h.now < h.until(w):
				h.look(w) // another place, perhaps
			case w.bound > 0:
				h.giveUp(w, fleet.RunMissed, fleet.MissedNoLease)
			default:
				h.giveUp(w, fleet.RunMissed, fleet.MissedLoad)
			}
			h.serve()
		}
	}))
	h.serve()
}

// serve begins those whose turn it is.
func (h *host) serve() {
	for len(h.line) > 0 && len(h.taken) < h.slots && h.state != nil {
		w := h.line[0]
		h.line = h.line[1:]
		id := fleet.RunID(w.id)
		delete(h.waits, id)
		h.taken[id] = true
		e := w.entry
		e.state = begun
		h.write([][]item{{h.Mutant.begin(h, h.launched(e))}}, nil)
	}
	if len(h.line) > 0 {
		h.open(checker.Overload, "")
	} else {
		h.close(checker.Overload, "")
	}
}

// leave takes a run out that waits, and reports whether it does.
func (h *host) leave(id fleet.RunID, because fleet.Reason) bool {
	w := h.waits[id]
	if w == nil {
		return false
	}
	if i := slices.Index(h.line, w); i >= 0 {
		h.line = slices.Delete(h.line, i, i+1)
	}
	if fleet.Reasons[because] != fleet.RunSkipped {
		because = fleet.SkippedCancelled
	}
	h.giveUp(w, fleet.RunSkipped, because)
	h.serve()
	return true
}

// giveUp ends a wait that did not become a run.
func (h *host) giveUp(w *waiter, state fleet.RunState, reason fleet.Reason) {
	run := h.runOf(&w.entry)
	delete(h.waits, run.ID)
	if w.task.Limits.Fleet > 0 && !h.away {
		h.world.giveBack(run.Task, run.ID)
	}
	run.State, run.Reason = state, reason
	h.tell(nil, run)
}

// review ends the waits of tasks that are paused or gone.
func (h *host) review() {
	for _, id := range h.waiting() {
		w := h.waits[id]
		switch g := h.plan.tasks[w.entry.task]; {
		case g.gone:
			h.leave(id, fleet.SkippedCancelled)
		case g.state == fleet.TaskPaused && w.order == "":
			h.leave(id, fleet.SkippedPaused)
		}
	}
}

func (h *host) waiting() []fleet.RunID {
	ids := make([]fleet.RunID, 0, len(h.waits))
	for id := range h.waits {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
