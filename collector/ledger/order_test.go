package ledger

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// promised is an order to run, and the run that it promises.
func promised(n int) (*PutOrders, fleet.Run) {
	order := testOrder("o1", 1, "default/a")
	run := testRun(n, "default/a", fleet.RunPending)
	order.Run, order.Due, run.Order = run.ID, run.Due, order.ID
	return &PutOrders{Orders: []fleet.Order{order}, At: noon}, run
}

// TestOrderedRunIsPending shows that an ordered run is there from the order on,
// and never without an outcome once its order is gone.
func TestOrderedRunIsPending(t *testing.T) {
	for name, c := range map[string]struct {
		end    Command
		state  fleet.RunState
		reason fleet.Reason
	}{
		"nobody told of it yet":   {nil, fleet.RunPending, ""},
		"a person withdraws it":   {&DropOrder{Host: hostID(1), ID: "o1"}, fleet.RunSkipped, fleet.SkippedCancelled},
		"its task is deleted":     {&SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon}, fleet.RunSkipped, fleet.SkippedCancelled},
		"its order expires":       {&Prune{At: noon.Add(2 * time.Hour)}, fleet.RunMissed, fleet.MissedDeadline},
		"it is pruned not so old": {&Prune{At: noon.Add(time.Minute), RunsBefore: noon.Add(30 * 24 * time.Hour)}, fleet.RunPending, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			put, want := promised(1)
			l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"), put)
			if open := l.Totals(everywhere).Open; open != 0 {
				t.Errorf("%d runs go on before one began", open)
			}
			if c.end != nil {
				l.must(c.end)
			}
			run, err := l.Run(everywhere, want.ID)
			if err != nil || run.State != c.state || run.Reason != c.reason || run.Order != "o1" || run.Generation != 1 || !run.Due.Equal(want.Due) {
				t.Errorf("%+v, %v", run, err)
			}
			list, err := l.Runs(everywhere, api.RunQuery{State: fleet.RunPending})
			if err != nil || len(list.Items) != map[bool]int{true: 1}[c.state == fleet.RunPending] {
				t.Errorf("pending: %+v, %v", list.Items, err)
			}
			checkIndexes(t, l.Ledger)
		})
	}
}

// TestHostKnowsBetter shows that a host that had begun a run is believed, even
// after its order was given up for lost.
func TestHostKnowsBetter(t *testing.T) {
	for name, end := range map[string]Command{
		"withdrawn": &DropOrder{Host: hostID(1), ID: "o1"},
		"expired":   &Prune{At: noon.Add(2 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			put, run := promised(1)
			l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"), put, end)
			ran := testRun(1, "default/a", fleet.RunRan)
			if got := l.must(recordRun1(1, ran)).([]Receipt)[0]; got.Refused != 0 || got.Recorded != 1 {
				t.Fatalf("%+v", got)
			}
			if got, err := l.Run(everywhere, run.ID); err != nil || got.State != fleet.RunRan || got.Detail != "" || got.Order != "o1" {
				t.Errorf("%+v, %v", got, err)
			}
			if list, err := l.Runs(everywhere, api.RunQuery{Failed: true}); err != nil || len(list.Items) != 0 {
				t.Errorf("failed: %+v, %v", list.Items, err)
			}
			checkIndexes(t, l.Ledger)
			// Once is enough: its word is final.
			missed := testRun(1, "default/a", fleet.RunMissed)
			if got := l.must(recordRun1(2, missed)).([]Receipt)[0]; got.Refused != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}
