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

// TestADaemonThatWasRefusedStartsWhenItIsAllowed: that the policy of its host, or
// its hours, let it not begin is no fault of its own, and it is not given up.
func TestADaemonThatWasRefusedStartsWhenItIsAllowed(t *testing.T) {
	a := daemon(func(t *fleet.Task) { t.Restart.GiveUp = fleet.Frequency{Times: 1, Per: fleet.Duration(time.Hour)} })
	refused := a
	refused.Refused = &fleet.Refusal{Code: "policy:user"}
	s := tell(t, "11:59:30")
	s.state.memory = s.memory
	step := func(now string, e Event) (begun, crashed bool) {
		for _, action := range s.state.Step(clock(t, now), e) {
			switch action := action.(type) {
			case Begin:
				s.begun, begun = append(s.begun, action.Due.Run), true
			case Stand:
				crashed = action.Standing.Phase == fleet.PhaseCrashLoop
			}
		}
		return begun, crashed
	}
	step("12:00:00", plan(refused))
	missed := func(n int) RunEnded {
		return RunEnded{fleet.Run{Task: "default/t", ID: s.begun[n], State: fleet.RunMissed, Reason: fleet.MissedRefused}}
	}
	if _, crashed := step("12:00:01", missed(0)); crashed {
		t.Error("given up for what its host would not let begin")
	}
	if begun, crashed := step("12:00:02", Tick{}); !begun || crashed {
		t.Errorf("out of its hours: tried again %v, in a crash loop %v", begun, crashed)
	}
	if _, crashed := step("12:00:03", missed(1)); crashed {
		t.Error("given up for what its host would not let begin, the second time")
	}
	if begun, _ := step("12:00:03.5", plan(refused)); begun {
		t.Error("it begins before its time")
	}
	if begun, crashed := step("12:00:04", plan(a)); !begun || crashed {
		t.Errorf("allowed: begun %v, in a crash loop %v", begun, crashed)
	}
}

// TestWhatIsRefusedEverySecondLeavesARecordAMinute, as all that comes to nothing:
// whoever gives it is not believed, and must not fill the disk.
func TestWhatIsRefusedEverySecondLeavesARecordAMinute(t *testing.T) {
	a := every(time.Second, nil)
	a.Refused = &fleet.Refusal{Code: "signature", Why: "nobody signed it"}
	a.Since = noon
	state := NewState(host, newMemory(), Life{Started: noon.Add(-time.Hour)})
	records, instants := 0, 0
	note := func(actions []Action) {
		for _, action := range actions {
			switch action := action.(type) {
			case Begin:
				t.Errorf("begins: %+v", action.Due)
			case Settle:
				if run := action.Run; run.State != fleet.RunMissed || run.Reason != fleet.MissedRefused || run.Detail != a.Refused.String() {
					t.Errorf("settled as %+v", run)
				}
				records, instants = records+1, instants+action.Run.Instants()
			}
		}
	}
	note(state.Step(noon, plan(a)))
	for second := range 600 {
		note(state.Step(noon.Add(time.Duration(second+1)*time.Second), nil))
	}
	if records > 12 || instants < 530 || instants > 600 {
		t.Errorf("%d records of %d instants in ten minutes", records, instants)
	}
}
