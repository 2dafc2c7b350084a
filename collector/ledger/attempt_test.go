package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// attempts returns n attempts of a run, of which all but the last failed and
// the last is pending.
func attempts(first fleet.Run, n int) []fleet.Run {
	first.Attempt, first.State = 1, fleet.RunPending
	runs := []fleet.Run{first}
	for len(runs) < n {
		last, exit := &runs[len(runs)-1], 1
		again := last.Due.Add(time.Duration(len(runs)) * time.Second)
		last.State, last.Exit, last.Again = fleet.RunRan, &exit, &again
		runs = append(runs, last.NextAttempt())
	}
	return runs
}

func TestAttemptsOfAnOccurrence(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	own := attempts(testRun(1, "default/a", fleet.RunPending), 4)
	sameInstant := testRun(1, "default/a", fleet.RunSkipped) // made in the same millisecond, ordered
	sameInstant.ID, sameInstant.Order = runID(60_000, 77), "o1"
	other := attempts(testRun(1, "default/b", fleet.RunPending), 2)
	other[0].ID, other[1].ID = runID(60_000, 78), runID(60_000, 79)
	l.must(recordRun1(1, own[2], own[0], sameInstant, own[3], other[0], own[1], other[1]))
	for _, asked := range own {
		got, err := l.Attempts(asked.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(own, got); diff != "" {
			t.Errorf("attempts of attempt %d: %s", asked.Attempt, diff)
		}
	}
	if got, err := l.Attempts(sameInstant.ID); err != nil || len(got) != 1 || got[0].ID != sameInstant.ID {
		t.Errorf("an order at the same instant: %+v, %v", got, err)
	}
	if _, err := l.Attempts("none"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("of a run that is not there: %v", err)
	}
}
