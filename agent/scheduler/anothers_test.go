package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAnOrderDoesNotEndTheRunOfAnother: one that names a run which goes on is
// none, refused or not.
func TestAnOrderDoesNotEndTheRunOfAnother(t *testing.T) {
	task := given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Manual: true} })
	state := NewState(host, newMemory(), Life{Started: noon.Add(-time.Hour)})
	state.Step(noon, plan(task))
	order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: task.Task.ID(), Run: "r1", Due: noon, Expires: noon.Add(time.Hour)}
	with := func(o fleet.Order) (begun, settled int) {
		e := plan(task)
		e.Orders = []fleet.Order{o}
		for _, action := range state.Step(noon.Add(time.Second), e) {
			switch action.(type) {
			case Begin:
				begun++
			case Settle:
				settled++
			}
		}
		return begun, settled
	}
	if begun, settled := with(order); begun != 1 || settled != 0 {
		t.Fatalf("%d begun, %d settled", begun, settled)
	}
	for _, no := range []*fleet.Refusal{nil, {Code: "signature"}} {
		other := order
		other.ID, other.Refused = "o2", no
		if begun, settled := with(other); begun != 0 || settled != 0 {
			t.Errorf("refused %v: %d begun, %d settled", no, begun, settled)
		}
		if runs := state.tasks[task.Task.ID()].running; len(runs) != 1 || runs[0].id != "r1" {
			t.Errorf("what goes on is %+v", runs)
		}
	}
}
