package work

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhoGoesOnWithWhat sorts out what an agent may leave behind.
func TestWhoGoesOnWithWhat(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	task := fleet.Task{Name: "a"}
	saved := &fleet.Plan{Assignments: []fleet.Assignment{{Task: task, Generation: 3}}}
	run := func(id fleet.RunID, state fleet.RunState, change ...func(*fleet.Run)) fleet.Run {
		r := fleet.Run{ID: id, Task: "default/a", Generation: 3, Due: noon, Attempt: 1, State: state}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	again := func(r *fleet.Run) { r.Again = &noon }
	handle := func(value any) []byte {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := noon.Add(-time.Hour)
	running := run("01890000-0000-7000-8000-000000000001", fleet.RunRunning)
	ended := run("01890000-0000-7000-8000-000000000002", fleet.RunRan, again) // its outcome is in the next one's handle only
	stillOpen := run(ended.ID, fleet.RunRunning)
	later := run("01890000-0000-7000-8000-000000000003", fleet.RunRan, again)
	waits := run("01890000-0000-7000-8000-000000000004", fleet.RunPending)
	changed := run("01890000-0000-7000-8000-000000000005", fleet.RunPending, func(r *fleet.Run) { r.Generation = 2 })

	facts := []runner.Fact{{Name: "CAUSE", Value: "webhook"}, {Name: "FENCE", Value: "7"}, {Name: "PAYLOAD", Value: "of it"}}
	keep := handle(kept{Cause: "event x", Payload: "y", First: first})
	open := []journal.OpenRun{
		{Run: running, Handle: handle(map[string]any{"boot": "b", "pid": 7, "first": first})},
		{Run: stillOpen, Handle: handle(map[string]any{"boot": "b", "pid": 8, "facts": facts})},
		{Run: ended.NextAttempt(), Handle: handle(map[string]any{"boot": "b", "first": first, "before": ended})},
		{Run: later.NextAttempt(), Handle: handle(map[string]any{"boot": "b", "first": first, "before": later, "facts": facts})},
		{Run: waits, Handle: handle(map[string]any{"came": noon, "keep": keep})},
		{Run: changed, Handle: handle(map[string]any{"came": noon})},
	}
	left := sortOut(open, saved)
	if diff := cmp.Diff([]scheduler.RunFound{
		{Run: running, First: first},
		{Run: stillOpen, Cause: "webhook", Payload: "of it"}, // it hears of the attempt that follows with its outcome
		{Run: waits, First: first, Cause: "event x", Payload: "y"},
		{Run: changed},
		{Run: later.NextAttempt(), First: first, Cause: "webhook", Payload: "of it"},
	}, left.found); diff != "" {
		t.Error("the scheduler's:", diff)
	}
	if diff := cmp.Diff([]journal.OpenRun{open[0], {Run: ended, Handle: open[1].Handle}, open[5]}, left.attach); diff != "" {
		t.Error("the runner's:", diff)
	}
	if diff := cmp.Diff([]waiting{{open[4], &saved.Assignments[0].Task}}, left.waiting, cmp.AllowUnexported(waiting{})); diff != "" {
		t.Error("the turn's:", diff)
	}
	if left := sortOut(open, nil); len(left.waiting) != 0 || len(left.attach) != 4 {
		t.Errorf("without a plan %d wait and %d are attached", len(left.waiting), len(left.attach))
	}
}
