package work

import (
	"maps"
	"slices"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// legacy is what an earlier agent left begun and not ended, by who goes on with
// it.
type legacy struct {
	found   []scheduler.RunFound // all of it, for the scheduler
	attach  []journal.OpenRun    // has begun: the runner's
	waiting []waiting            // due, and waits for its turn
}

// waiting is a run that waits for its turn, with its task.
type waiting struct {
	journal.OpenRun
	task *fleet.Task
}

// sortOut says who goes on with which run.
func sortOut(open []journal.OpenRun, saved *fleet.Plan) legacy {
	tasks := tasksOf(saved)
	var l legacy
	later := map[fleet.RunID]journal.OpenRun{} // attempts that wait for their instant
	before := map[fleet.RunID]fleet.Run{}      // the attempts before them, as they were decided
	for _, run := range open {
		if !between(&run.Run) {
			continue
		}
		later[run.Run.ID] = run
		if decided, _, is := runner.Before(run.Handle); is {
			before[decided.ID] = decided
		}
	}
	for _, run := range open {
		decided, again := before[run.Run.ID]
		switch task := tasks[identity{run.Run.Task, run.Run.Generation}]; {
		case between(&run.Run):
			continue
		case again:
			// The outcome of this one was decided and is not on disk. Once it is,
			// the scheduler hears of it, and with it of the attempt that waits.
			delete(later, decided.NextAttempt().ID)
			l.find(run)
			run.Run = decided
			l.attach = append(l.attach, run)
		case run.Run.State == fleet.RunPending && task != nil:
			l.find(run)
			l.waiting = append(l.waiting, waiting{run, task})
		default:
			l.find(run)
			l.attach = append(l.attach, run)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(later)) {
		l.find(later[id])
	}
	return l
}

// between reports whether a run is an attempt whose instant has not come: that is
// the scheduler's.
func between(run *fleet.Run) bool { return run.State == fleet.RunPending && run.Again != nil }

// find tells the scheduler of a run.
func (l *legacy) find(run journal.OpenRun) {
	found := scheduler.RunFound{Run: run.Run}
	with := keptOf(run.Handle)
	found.First, found.Cause, found.Payload = with.First, with.Cause, with.Payload
	if found.First.IsZero() { // it has begun, or follows one that has
		found.First = runner.First(run.Handle)
	}
	for _, fact := range runner.Facts(run.Handle) {
		switch fact.Name {
		case causeFact:
			found.Cause = fact.Value
		case payloadFact:
			found.Payload = fact.Value
		}
	}
	l.found = append(l.found, found)
}

// identity is a task as it was at one time.
type identity struct {
	task       fleet.TaskID
	generation uint64
}

func tasksOf(plan *fleet.Plan) map[identity]*fleet.Task {
	if plan == nil {
		return nil
	}
	tasks := make(map[identity]*fleet.Task, len(plan.Assignments))
	for i := range plan.Assignments {
		a := &plan.Assignments[i]
		tasks[identity{a.Task.ID(), a.Generation}] = &a.Task
	}
	return tasks
}
