package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAnOrderThatTheHostRefusesHasAnOutcome: it does not wait for the task, nor
// for its turn.
func TestAnOrderThatTheHostRefusesHasAnOutcome(t *testing.T) {
	no := &fleet.Refusal{Code: "rate", Why: "too soon", Line: 7}
	order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour), Cause: "event deployed", Refused: no}
	t.Run("of a task that is given", func(t *testing.T) {
		task := retried(fleet.OverlapQueue)
		task.Task.On = fleet.Trigger{Event: "deployed", Merge: fleet.Duration(time.Minute)}
		e := plan(task)
		e.Orders = []fleet.Order{order}
		tell(t, "11:59:30").at("12:00:00", e, "missed policy 12:00:00 for o1")
	})
	t.Run("of a task that is not", func(t *testing.T) {
		e := plan()
		e.Orders = []fleet.Order{order}
		tell(t, "11:59:30").at("12:00:00", e, "missed policy 12:00:00 for o1")
	})
}

// TestThePolicysWordIsTakenInWithoutAnotherGeneration: what is due next begins
// under it, and nothing that runs is touched.
func TestThePolicysWordIsTakenInWithoutAnotherGeneration(t *testing.T) {
	task := retried(fleet.OverlapAllow)
	state := NewState(host, newMemory(), Life{Started: noon.Add(-time.Hour)})
	refused := task
	refused.Refused = &fleet.Refusal{Code: "policy:user"}
	for i, step := range []fleet.Assignment{task, refused, task} {
		state.Step(noon.Add(time.Duration(i)*time.Second), plan(step))
		if got := state.tasks[task.Task.ID()].assignment.Refused; (got == nil) != (step.Refused == nil) {
			t.Errorf("step %d: %v is in force", i, got)
		}
	}
}
