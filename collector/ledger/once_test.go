package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func once(key, digest string, at time.Time, command Command) *Once {
	return &Once{Key: key, Digest: digest, At: at, Expires: at.Add(24 * time.Hour), Command: command}
}

func TestOnce(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	first := l.must(once("k", "d", noon, testTask("a", "*"))).(fleet.TaskRecord)
	l.must(&SetTaskState{ID: "default/a", State: fleet.TaskPaused, At: noon})

	// The proposer draws another time when the request is repeated.
	repeated := testTask("a", "*")
	repeated.At, repeated.Document = noon.Add(time.Minute), []byte("otherwise")
	if again := l.must(once("k", "d", noon.Add(time.Minute), repeated)).(fleet.TaskRecord); !cmp.Equal(first, again) {
		t.Errorf("the answer was %+v, now %+v", first, again)
	}
	if task, err := l.Task(everywhere, "default/a"); err != nil || task.Generation != 1 || task.State != fleet.TaskPaused {
		t.Errorf("it was done twice: %+v, %v", task, err)
	}
	l.refused("key_reused", once("k", "another", noon, repeated))
	l.refused("invalid", once("", "d", noon, repeated))
	result, found, err := l.Remembered("k", "d", noon.Add(time.Hour))
	if err != nil || !found || !cmp.Equal(result, any(first)) {
		t.Errorf("Remembered: %+v, %v, %v", result, found, err)
	}
	if result, _, _ := l.Remembered("k", "e", noon); fleet.KindOf(result.(error)) != fleet.Conflict {
		t.Errorf("Remembered with another digest: %+v", result)
	}

	// A refusal is not remembered: what was missing may be there the next time.
	orders := &PutOrders{Orders: []fleet.Order{testOrder("o1", 2, "default/a")}, At: noon}
	l.refused("unknown_host", once("k2", "d", noon, orders))
	l.must(&RegisterHost{Host: testHost(2), At: noon})
	if got := l.must(once("k2", "d", noon, orders)).([]fleet.Order); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	l.must(once("k3", "d", noon, &DropOrder{Host: hostID(2), ID: "o1"}))
	if again := l.must(once("k3", "d", noon, &DropOrder{Host: hostID(2), ID: "o1"})); again != nil {
		t.Errorf("a command without a result: %+v", again)
	}
}

func TestOnceForgets(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, once("k", "d", noon, testTask("a", "*")), once("k2", "d", noon.Add(time.Hour), testTask("b", "*")))
	late := noon.Add(24*time.Hour + time.Minute)
	if _, found, err := l.Remembered("k", "d", late); found || err != nil {
		t.Errorf("it is remembered for too long: %v", err)
	}
	if pruned := l.must(&Prune{At: late}).(Pruned); pruned.Requests != 1 {
		t.Errorf("%+v", pruned)
	}
	if _, found, err := l.Remembered("k2", "d", late); !found || err != nil {
		t.Errorf("what has not expired was forgotten: %v", err)
	}
	// Expired but not pruned: the key is free, and its old expiry does not
	// take the new memory away.
	later := noon.Add(26 * time.Hour)
	l.must(once("k2", "other", later, testTask("c", "*")), &Prune{At: later.Add(time.Hour)})
	if _, found, err := l.Remembered("k2", "other", later); !found || err != nil {
		t.Errorf("the second request of that key was forgotten: %v", err)
	}
}

func TestPruneOrders(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"))
	short, long, never := testOrder("o1", 1, "default/a"), testOrder("o2", 1, "default/a"), testOrder("o3", 1, "default/a")
	long.Expires, never.Expires = noon.Add(2*time.Hour), time.Time{}
	l.must(&PutOrders{Orders: []fleet.Order{short, long, never}, At: noon})
	if pruned := l.must(&Prune{At: noon.Add(time.Hour)}).(Pruned); pruned.Orders != 1 {
		t.Errorf("%+v", pruned)
	}
	if orders, err := l.Orders(everywhere, hostID(1)); err != nil || len(orders) != 2 || orders[0].ID != "o2" {
		t.Errorf("%+v, %v", orders, err)
	}
}
