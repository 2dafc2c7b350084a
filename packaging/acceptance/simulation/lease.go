package simulation

import (
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// lease is a place in the fleet, until a run has ended for certain.
type lease struct {
	fence uint64
	ends  time.Duration
}

// together is how many hosts share a task with a bound for the fleet.
const together = 4

// lone is a task that runs on one of some hosts at a time.
func (h *host) lone(i int) fleet.Task {
	return fleet.Task{
		Name: "lone-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)), On: fleet.Trigger{Every: fleet.Duration(10 * time.Minute)},
		Limits: fleet.Limits{Fleet: 1, Timeout: fleet.Duration(5 * time.Minute), Wait: fleet.Duration(8 * time.Minute)},
	}
}

// grant gives a run its place, if one is free.
func (w *world) grant(task *fleet.Task, run fleet.RunID) (lease, bool) {
	held := w.leases[task.ID()]
	if held == nil {
		held = map[fleet.RunID]lease{}
		w.leases[task.ID()] = held
	}
	ends := w.now + fleet.LeaseBegin + time.Duration(task.Limits.Timeout) + fleet.DefaultGrace + leaseMargin
	if w.Mutant == Stingy {
		ends = w.now + time.Second
	}
	for id, l := range held {
		if l.ends < w.now {
			delete(held, id)
		}
	}
	if l, has := held[run]; has {
		l.ends = max(l.ends, ends)
		held[run] = l
		return l, true
	}
	if len(held) >= task.Limits.Fleet && w.Mutant != Generous {
		return lease{}, false
	}
	w.fence++
	held[run] = lease{w.fence, ends}
	return held[run], true
}

func (w *world) giveBack(task fleet.TaskID, run fleet.RunID) { delete(w.leases[task], run) }

// until is until when a run asks for its place.
func (h *host) until(w *waiter) time.Duration {
	return time.Duration(w.came) + time.Duration(w.task.Limits.Wait)
}

// ask asks for a place until there is one, or the run has waited long enough.
func (h *host) ask(w *waiter) {
	id, asked := fleet.RunID(w.id), h.now
	if asked >= h.until(w) {
		h.giveUp(w, fleet.RunMissed, fleet.MissedNoLease)
		h.close(checker.Taken, w.task.ID())
		return
	}
	travel := func() time.Duration { return h.spell(time.Millisecond, 50*time.Millisecond) }
	h.after(travel(), h.alive(func() {
		if h.away || h.chance(100) {
			h.again(w, h.spell(250*time.Millisecond, 15*time.Second))
			return
		}
		given, is := h.grant(w.task, id)
		if !is {
			h.open(checker.Taken, w.task.ID())
			h.again(w, h.spell(500*time.Millisecond, 5*time.Second))
			return
		}
		h.after(travel(), h.alive(func() {
			h.close(checker.Taken, w.task.ID())
			switch bound := asked + fleet.LeaseBegin; {
			case h.waits[id] != w:
				h.giveBack(w.task.ID(), id)
			case h.frozen || h.now >= bound:
				h.again(w, awaitEvery)
			default:
				h.lineUp(w, holds{given.fence, bound}, bound)
			}
		}))
	}))
}

// settleLeases ends those of runs whose outcome has come to the collectors.
func (h *host) settleLeases(sequences []uint64) {
	if !h.plan.shares {
		return
	}
	for _, sequence := range sequences {
		e := &h.disk.entries[sequence-1]
		if !e.stint && states[e.state].Terminal() && h.plan.tasks[e.task].versions[0].Limits.Fleet > 0 {
			h.giveBack(h.plan.tasks[e.task].id, fleet.RunID(e.id))
		}
	}
}

// joint is what happened to the tasks that the fleet bounds, on all hosts.
func joint(all ...*checker.History) *checker.History {
	told := &checker.History{}
	given := map[fleet.TaskID]bool{}
	bound := func(task fleet.TaskID) bool { return task.Name()[:min(5, len(task.Name()))] == "lone-" }
	for _, one := range all {
		told.Until = later(told.Until, one.Until)
		for _, g := range one.Given {
			if id := g.Task.ID(); bound(id) && !given[id] {
				given[id] = true
				told.Given = append(told.Given, g)
			}
		}
		for _, p := range one.Probes {
			if bound(p.Occurrence.Task) {
				told.Probes = append(told.Probes, p)
			}
		}
		for i := range one.Deliveries {
			if d := &one.Deliveries[i]; d.Stint == nil && bound(d.Run.Task) {
				told.Deliveries = append(told.Deliveries, *d)
			}
		}
		for _, w := range one.Windows {
			if w.Task == "" {
				told.Windows = append(told.Windows, w)
			}
		}
	}
	return told
}
