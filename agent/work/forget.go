package work

import (
	"context"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// forget drops what is remembered of tasks that neither this plan nor the one
// before it holds. What left with this one goes with the next: until the
// scheduler has seen it leave it may still say something of it. A task that still
// runs is remembered: should this agent die, the next one is to stop it.
func (w *work) forget(ctx context.Context, before, plan *fleet.Plan) {
	held := remembered(before)
	for task := range remembered(plan) {
		held[task] = true
	}
	for _, open := range w.book.OpenRuns() {
		held[open.Run.Task] = true
	}
	for _, task := range w.book.Remembered() {
		if held[task] {
			continue
		}
		if err := w.begin.recorder.Remember(ctx, task, nil); err != nil {
			return // the journal says why; the next plan is another occasion
		}
	}
}

// remembered lists what the scheduler may remember something of: tasks, and
// breakers that several share, which have names of their own.
func remembered(plan *fleet.Plan) map[fleet.TaskID]bool {
	held := map[fleet.TaskID]bool{}
	if plan == nil {
		return held
	}
	for i := range plan.Assignments {
		task := &plan.Assignments[i].Task
		held[task.ID()] = true
		if key := task.Breaker.Key; key != "" {
			held[fleet.TaskID(task.ID().Namespace()+"/@"+key)] = true
		}
	}
	return held
}

// gone lists the tasks that were in the one plan and are not in the other.
func gone(before, plan *fleet.Plan) (list []fleet.TaskID) {
	stays := remembered(plan)
	for task := range remembered(before) {
		if !stays[task] && !strings.Contains(string(task), "/@") {
			list = append(list, task)
		}
	}
	return list
}
