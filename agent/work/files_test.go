package work

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/filewatch"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestFilesOfEnabledTasksAreWatched gives a plan with tasks of every kind, and
// finds the collectors' orders in what the scheduler gets.
func TestFilesOfEnabledTasksAreWatched(t *testing.T) {
	given := func(name string, on fleet.Trigger, state fleet.TaskState) fleet.Assignment {
		return fleet.Assignment{Task: fleet.Task{Name: name, On: on}, State: state}
	}
	plan := &fleet.Plan{
		Assignments: []fleet.Assignment{
			given("a", fleet.Trigger{File: "/in/a"}, fleet.TaskEnabled), given("b", fleet.Trigger{File: "/in/b"}, fleet.TaskPaused),
			given("c", fleet.Trigger{Manual: true}, fleet.TaskEnabled),
		},
		Orders: []fleet.Order{{ID: "o1"}},
	}
	refused := given("d", fleet.Trigger{File: "/in/d"}, fleet.TaskEnabled)
	refused.Refused = &fleet.Refusal{Code: "signature"}
	more := fleet.Plan{Assignments: append([]fleet.Assignment{refused}, plan.Assignments...)}
	if diff := cmp.Diff([]filewatch.Watch{{Task: "default/a", Pattern: "/in/a"}}, watches(&more)); diff != "" {
		t.Error(diff)
	}
	files, err := filewatch.Open(filepath.Join(t.TempDir(), "files.json"), "00000000000000000000000000000001", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var got *fleet.Plan
	p := &planner{
		files: files, decided: func(fleet.OrderID) bool { return false }, armed: slices.Clone[[]fleet.Assignment],
		give: func(plan *fleet.Plan, stored bool) {
			if stored {
				t.Error("a plan of the collectors is given as a stored one")
			}
			got = plan
		},
	}
	p.Plan(plan, false)
	if len(got.Orders) != 1 || len(got.Assignments) != 3 {
		t.Errorf("the scheduler got %+v", got)
	}
}

// TestNothingIsGivenBeforeThereIsAPlan: a file that changed while no agent ran is
// news at once, and no plan for the tasks of a host whose plan was lost.
func TestNothingIsGivenBeforeThereIsAPlan(t *testing.T) {
	files, err := filewatch.Open(filepath.Join(t.TempDir(), "files.json"), "00000000000000000000000000000001", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	given := 0
	p := &planner{
		files: files, decided: func(fleet.OrderID) bool { return false }, armed: slices.Clone[[]fleet.Assignment],
		give: func(*fleet.Plan, bool) { given++ },
	}
	p.Again()
	if given != 0 {
		t.Error("the scheduler was told that nothing is given to this host")
	}
	p.Plan(new(fleet.Plan), false)
	p.Again()
	if given != 2 {
		t.Errorf("given %d times, want 2", given)
	}
}
