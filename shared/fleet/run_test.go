package fleet

import (
	"slices"
	"testing"
	"time"
)

// The legal moves, spelled out once more: the table is a promise to every
// record already in a ledger.
func TestRunMovesBothWays(t *testing.T) {
	legal := map[RunState][]RunState{
		RunPending: {RunBegun, RunRunning, RunRan, RunSkipped, RunMissed, RunUnknown},
		RunBegun:   {RunRunning, RunRan, RunMissed, RunUnknown},
		RunRunning: {RunRan, RunUnknown},
	}
	for from := range RunMoves {
		for to := range RunMoves {
			if got, want := from.MayMoveTo(to), slices.Contains(legal[from], to); got != want {
				t.Errorf("%s → %s: %v, want %v", from, to, got, want)
			}
		}
		if got, want := from.Terminal(), len(legal[from]) == 0; got != want {
			t.Errorf("%s terminal: %v, want %v", from, got, want)
		}
	}
	if RunState("lost").Terminal() {
		t.Error("a state that does not exist is no outcome")
	}
}

func TestTaskMovesBothWays(t *testing.T) {
	for _, test := range []struct {
		from, to TaskState
		legal    bool
	}{
		{TaskEnabled, TaskPaused, true}, {TaskPaused, TaskEnabled, true},
		{TaskEnabled, TaskRetired, true}, {TaskPaused, TaskRetired, true},
		{TaskRetired, TaskEnabled, true}, {TaskRetired, TaskPaused, false},
		{TaskEnabled, TaskEnabled, false},
	} {
		if got := slices.Contains(TaskMoves[test.from], test.to); got != test.legal {
			t.Errorf("%s → %s: %v, want %v", test.from, test.to, got, test.legal)
		}
	}
}

func TestEveryReasonExplainsAnOutcome(t *testing.T) {
	for reason, state := range Reasons {
		if !state.Terminal() {
			t.Errorf("%s explains %s", reason, state)
		}
	}
}

func TestRunTellsHowItWent(t *testing.T) {
	zero, one := 0, 1
	due := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)
	started := due.Add(2 * time.Second)
	for _, test := range []struct {
		name              string
		run               Run
		succeeded, failed bool
	}{
		{"exit 0", Run{State: RunRan, Exit: &zero}, true, false},
		{"exit 1", Run{State: RunRan, Exit: &one}, false, true},
		{"killed", Run{State: RunRan, Signal: "SIGKILL"}, false, true},
		{"timed out with exit 0", Run{State: RunRan, Exit: &zero, TimedOut: true}, false, true},
		{"missed", Run{State: RunMissed, Reason: MissedDeadline}, false, true},
		{"skipped", Run{State: RunSkipped, Reason: SkippedOverlap}, false, false},
		{"unknown", Run{State: RunUnknown, Reason: UnknownAgentDied}, false, true},
		{"running", Run{State: RunRunning}, false, false},
	} {
		if test.run.Succeeded() != test.succeeded || test.run.Failed() != test.failed {
			t.Errorf("%s: succeeded %v, failed %v", test.name, test.run.Succeeded(), test.run.Failed())
		}
	}
	late := Run{Due: due, Started: &started}
	if late.LateBy() != 2*time.Second || (&Run{Due: due}).LateBy() != 0 {
		t.Error("lateness")
	}
	if (&Run{}).Instants() != 1 || (&Run{Count: 7}).Instants() != 7 {
		t.Error("instants")
	}
	if err := (&Run{ID: "x", Task: "a/b", Due: due, State: RunMissed, Reason: SkippedOverlap}).Validate(); err == nil {
		t.Error("a reason for a skip does not explain a miss")
	}
	if got, want := (&Run{Task: "a/b", Host: "h", Due: due}).Occurrence().String(), "a/b@h@2026-03-01T02:30:00Z"; got != want {
		t.Errorf("occurrence %s, want %s", got, want)
	}
}
