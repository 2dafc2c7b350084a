package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestEachRunKeepsItsOwnValues: of several orders each run has what its order
// said, however long it waited, in every attempt and under the next agent too.
func TestEachRunKeepsItsOwnValues(t *testing.T) {
	task := retried(fleet.OverlapQueue)
	task.Task.On = fleet.Trigger{Manual: true}
	wishes := PlanChanged{Assignments: []fleet.Assignment{task}}
	for _, id := range []string{"o1", "o2"} {
		wishes.Orders = append(wishes.Orders, fleet.Order{
			ID: fleet.OrderID(id), Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: fleet.RunID(id + "r"), Due: noon, Expires: noon.Add(time.Hour),
			Params: fleet.Params{"site": id},
		})
	}
	s := tell(t, "11:59:30")
	s.at("12:00:00", wishes, "begin 12:00:00 for o1", "wake 13:00:00")
	s.at("12:00:10", s.ends(0), "begin 12:00:00 for o2")
	for i, want := range []string{"o1", "o2"} {
		if due := s.dues[i]; due.Params["site"] != want || due.Record(host).Params["site"] != want {
			t.Errorf("run %d is begun with %v", i, due.Params)
		}
	}
	failed := s.fails(1, "12:00:30")
	s.at("12:00:20", failed, "wake 12:00:30")
	s.at("12:00:30", Tick{}, "begin 12:00:00 for o2 again, 2")
	if due := s.dues[2]; due.Params["site"] != "o2" {
		t.Errorf("the second attempt has %v", due.Params)
	}
	s.restart("12:00:40", "")
	s.at("12:00:40", RunFound{Run: failed.Run.NextAttempt(), First: noon})
	s.at("12:00:41", PlanChanged{Assignments: []fleet.Assignment{task}}, "begin 12:00:00 for o2 again, 2")
	if due := s.dues[3]; due.Params["site"] != "o2" {
		t.Errorf("under the next agent it has %v", due.Params)
	}
}

// TestWhatComesToNothingSaysItsValues: an outcome without a run is told with what
// was asked for.
func TestWhatComesToNothingSaysItsValues(t *testing.T) {
	task := given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Manual: true} })
	order := fleet.Order{
		ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour),
		Params: fleet.Params{"site": "shop"}, Refused: &fleet.Refusal{Code: "params", Why: "no"},
	}
	state := NewState(host, forgetful{}, Life{Started: noon})
	var settled []fleet.Run
	for _, action := range state.Step(noon, PlanChanged{Assignments: []fleet.Assignment{task}, Orders: []fleet.Order{order}}) {
		if settle, is := action.(Settle); is {
			settled = append(settled, settle.Run)
		}
	}
	if len(settled) != 1 || settled[0].Params["site"] != "shop" || settled[0].Reason != fleet.MissedRefused {
		t.Errorf("%+v", settled)
	}
}

// TestAnotherDefaultMakesAnotherInstance: what a command that is kept up runs with
// is part of what it is.
func TestAnotherDefaultMakesAnotherInstance(t *testing.T) {
	with := func(text string) *fleet.Task {
		return &fleet.Task{Name: "t", Params: map[string]fleet.Param{"port": {Type: fleet.ParamInt, Default: &text}}}
	}
	if fingerprint(with("1")) == fingerprint(with("2")) {
		t.Error("they are one")
	}
}
