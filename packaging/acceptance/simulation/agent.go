package simulation

import (
	"maps"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// carryOut lets the actions of a step happen, those of one task in order. It is
// true when they are on their way to the disk, and what waits goes on after that.
func (h *host) carryOut(actions []scheduler.Action) (wake time.Time, writing bool) {
	var rows [][]item
	row := map[fleet.TaskID]int{}
	add := func(task fleet.TaskID, i item) {
		at, known := row[task]
		if !known {
			at, row[task] = len(rows), len(rows)
			rows = append(rows, nil)
		}
		rows[at] = append(rows[at], i)
	}
	for _, a := range actions {
		switch a := a.(type) {
		case scheduler.Begin:
			add(a.Due.Task(), h.begin(a.Due))
		case scheduler.Settle:
			add(a.Run.Task, item{entry: h.entryOf(&a.Run)})
		case scheduler.Count:
			add(a.Stint.Task, item{entry: stintEntry(h.plan.number(a.Stint.Task), a.Stint)})
		case scheduler.Remember:
			add(a.Task, item{entry: entry{id: string(a.Task), memo: append([]byte{}, a.Memo...)}})
		case scheduler.Did:
			add(a.Order.Task, item{entry: entry{order: string(a.Order.ID)}})
		case scheduler.Cancel:
			add(a.Task, item{blank: true, done: func(bool) { h.stop(a.Run, a.Because) }})
		case scheduler.Stand:
			h.stand(&a.Standing)
		case scheduler.Unstand:
			h.close(checker.Stopped, a.Task)
		case scheduler.Wake:
			wake = a.At
		}
	}
	if len(rows) == 0 {
		return wake, false
	}
	h.writing = true
	h.write(rows, func() {
		h.writing = false
		if len(h.queue) > 0 {
			h.turn()
		} else {
			h.sleep(wake)
		}
	})
	return wake, true
}

// begin is the record that a run begins, or that it waits.
func (h *host) begin(due scheduler.Due) item {
	run := due.Record(h.id)
	e := h.entryOf(&run)
	e.boot, e.first = h.boot, due.First.UnixNano()
	if due.First.IsZero() {
		e.first = h.wall().UnixNano()
	}
	if h.straight(&due.Assignment.Task, run.ID) {
		return h.Mutant.begin(h, h.launched(e))
	}
	e.state, e.came = pending, int64(h.now)
	return item{entry: e, done: func(full bool) {
		if full {
			run.State, run.Reason = fleet.RunMissed, fleet.MissedJournal
			h.tell(nil, run)
			return
		}
		h.admit(e)
	}}
}

// launched is the record that a run begins, and its start when that is durable.
func (h *host) launched(e entry) item {
	return item{entry: e, done: func(full bool) {
		if full {
			run := h.runOf(&e)
			run.State, run.Reason = fleet.RunMissed, fleet.MissedJournal
			h.settle(run, e.first)
			return
		}
		h.after(h.spell(300*time.Microsecond, 3*time.Millisecond), h.alive(func() { h.launch(e) }))
	}}
}

// stand notes that a supervised command may stay away, by the product's word. It
// is held to it: the checker sees that it does not start then.
func (h *host) stand(s *fleet.Standing) {
	switch s.Phase {
	case fleet.PhaseCrashLoop, fleet.PhaseStopped, fleet.PhaseDone:
		h.open(checker.Stopped, s.Task)
	default:
		h.close(checker.Stopped, s.Task)
	}
}

// takeUp finds the runs that the agent before left open, and tells of each.
func (h *host) takeUp() {
	open := h.disk.openRuns()
	maps.DeleteFunc(h.commands, func(id fleet.RunID, c *command) bool {
		_, is := h.disk.open[string(id)]
		return c.over && !is // its outcome came to the disk, and the agent did not hear of it
	})
	var over, waits []entry
	again := map[fleet.RunID]bool{} // pending attempts whose runs before have no outcome yet
	for _, e := range open {
		if run := h.runOf(&e); run.State != fleet.RunPending {
			again[run.NextAttempt().ID] = true
		}
	}
	for _, e := range open {
		run := h.runOf(&e)
		if h.Mutant == Forgetting || again[run.ID] {
			continue
		}
		h.put(scheduler.RunFound{Run: run, First: time.Unix(0, e.first).UTC()})
		switch {
		case run.State != fleet.RunPending:
			over = append(over, e)
		case e.again == 0 && h.Mutant != Impatient:
			waits = append(waits, e)
		}
	}
	for _, e := range over {
		h.resume(e)
	}
	for _, e := range waits { // in the slots that are left
		h.admit(e)
	}
}

// resume is what the runner does with a run that was begun.
func (h *host) resume(e entry) {
	run := h.runOf(&e)
	c := h.commands[run.ID]
	if next, decided := h.disk.open[string(run.NextAttempt().ID)]; decided && next.before != nil {
		h.tell(nil, h.runOf(next.before)) // it was decided, and only the record of it is missing
		return
	}
	switch {
	case e.boot != h.boot:
		run.State, run.Reason = fleet.RunUnknown, fleet.UnknownHostDied
		h.settle(run, e.first)
	case c == nil:
		run.State, run.Reason = fleet.RunMissed, fleet.MissedAgentDown
		h.settle(run, e.first)
	case c.over:
		h.conclude(c)
	case h.Mutant == Pessimist:
		run.State, run.Reason = fleet.RunUnknown, fleet.UnknownAgentDied
		h.settle(run, e.first)
	case run.State.MayMoveTo(fleet.RunRunning):
		h.recordRunning(c)
		fallthrough
	default:
		if !h.plan.tasks[e.task].versions[0].On.Daemon {
			h.taken[run.ID] = true
		}
	}
}

// settle records an outcome, with the attempt that follows it recorded first, and
// then tells the scheduler.
func (h *host) settle(run fleet.Run, first int64) {
	var row []item
	retry := h.plan.retry(run.Task, uint16(run.Generation))
	asked := run
	if now := h.wall(); asked.Ended == nil {
		asked.Ended = &now
	}
	if again, follows := retry.Again(&asked, time.Unix(0, first).UTC()); follows && !h.disk.full {
		run.Again = &again
		next := run.NextAttempt()
		e, before := h.entryOf(&next), h.entryOf(&run)
		e.first, e.before = first, &before
		row = append(row, item{entry: e})
	} else if retry.Attempts > 1 && run.Attempt >= retry.Attempts && run.State == fleet.RunRan && run.Failed() && run.Reason == "" && !run.Cancelled {
		run.Reason = fleet.RanExhausted
	}
	h.tell(row, run)
}

// tell records an outcome behind what comes before it, and then tells the
// scheduler.
func (h *host) tell(row []item, run fleet.Run) {
	row = append(row, item{entry: h.entryOf(&run), done: func(bool) {
		delete(h.commands, run.ID)
		delete(h.taken, run.ID)
		h.serve()
		h.put(scheduler.RunEnded{Run: run})
		h.turn()
	}})
	h.write([][]item{h.Mutant.outcome(h, row)}, nil)
}
