package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestSuperviseOrders(t *testing.T) {
	order := func(id fleet.OrderID, kind fleet.OrderKind) fleet.Order {
		return fleet.Order{ID: id, Kind: kind, Task: "default/t", Expires: noon.Add(5 * time.Minute), By: "alice", Reason: "a test"}
	}
	with := func(orders ...fleet.Order) PlanChanged {
		return PlanChanged{Assignments: []fleet.Assignment{daemon(nil)}, Orders: orders}
	}
	up := func(t *testing.T) *story {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		return s
	}
	t.Run("stop, and stay so", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", with(order("o1", fleet.OrderStop)), "did o1", "cancel: stopped by alice: a test",
			"stands stopping since 12:00:10: stopped by alice: a test")
		s.sees("12:00:11", s.exits(0, 1), "stands stopped since 12:00:11: stopped by alice: a test")
		s.sees("12:00:12", with(order("o1", fleet.OrderStop)))
		s.restart("12:01:00", "")
		s.sees("12:01:00", with(order("o1", fleet.OrderStop)), "stands stopped since 12:00:11: stopped by alice: a test")
		described := daemon(func(t *fleet.Task) { t.Description = "anew" })
		described.Generation = 2
		s.sees("12:02:00", plan(described))
		s.sees("12:03:00", PlanChanged{Assignments: []fleet.Assignment{described}, Orders: []fleet.Order{order("o2", fleet.OrderStart)}}, "did o2",
			"begin 12:03:00: started again 2m49s after it was stopped by alice: a test, no agent ran until 2026-03-02T12:01:00Z, as alice asked",
			"stands running since 12:03:00: started again 2m49s after it was stopped by alice: a test, no agent ran until 2026-03-02T12:01:00Z, as alice asked")
	})
	t.Run("a stop holds for an agent that died before it stopped anything", func(t *testing.T) {
		s := up(t)
		s.state.memory = s.memory
		for _, a := range s.state.Step(clock(t, "12:00:10"), with(order("o1", fleet.OrderStop))) {
			if _, is := a.(Cancel); is {
				break
			}
			s.memory.note(a)
		}
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
		s.sees("12:01:00", with(order("o1", fleet.OrderStop)), "cancel: stopped by alice: a test",
			"stands stopping since 12:01:00: stopped by alice: a test")
	})
	t.Run("restart, once", func(t *testing.T) {
		s := up(t)
		p := with(order("o1", fleet.OrderRestart))
		s.sees("12:00:10", p, "did o1", "cancel: alice asked for another instance", "stands stopping since 12:00:10: alice asked for another instance")
		s.sees("12:00:11", p)
		s.sees("12:00:12", s.exits(0, 0), "begin 12:00:12: started again 0s after it was stopped: alice asked for another instance",
			"stands running since 12:00:12: started again 0s after it was stopped: alice asked for another instance")
		s.sees("12:00:13", p)
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[1], Task: "default/t", Generation: 1, Due: noon}})
		s.sees("12:01:00", p, "stands running since 12:00:00")
	})
	t.Run("a restart holds for an agent that died before it stopped anything", func(t *testing.T) {
		s := up(t)
		s.state.memory = s.memory
		for _, a := range s.state.Step(clock(t, "12:00:10"), with(order("o1", fleet.OrderRestart))) {
			if _, is := a.(Cancel); is {
				break
			}
			s.memory.note(a)
		}
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
		s.sees("12:01:00", plan(daemon(nil)), "cancel: alice asked for another instance", "stands stopping since 12:01:00: alice asked for another instance")
	})
	t.Run("start does not disturb what is up, and ends a backoff", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", with(order("o1", fleet.OrderStart)), "did o1")
		s.sees("12:00:20", s.exits(0, 1), "stands backoff since 12:00:20, at 12:00:21: exit 1; restart 1 follows", "wake 12:00:21")
		s.sees("12:00:20.5", with(order("o1", fleet.OrderStart), order("o2", fleet.OrderStart)), "did o2",
			"begin 12:00:20.5: started again 500ms after exit 1, as alice asked",
			"stands running since 12:00:20.5: started again 500ms after exit 1, as alice asked")
	})
	t.Run("stop and start while it is stopped leaves it up", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", with(order("o1", fleet.OrderStop), order("o2", fleet.OrderStart)), "did o1", "did o2")
		s.sees("12:00:20", with(order("o3", fleet.OrderStop)), "did o3", "cancel: stopped by alice: a test",
			"stands stopping since 12:00:20: stopped by alice: a test")
		s.sees("12:00:21", with(order("o4", fleet.OrderStart)), "did o4")
		s.sees("12:00:22", s.exits(0, 0), "begin 12:00:22: started again 0s after it was stopped by alice: a test, as alice asked",
			"stands running since 12:00:22: started again 0s after it was stopped by alice: a test, as alice asked")
	})
	t.Run("a paused task is started when it is resumed", func(t *testing.T) {
		s := up(t)
		paused := daemon(nil)
		paused.State = fleet.TaskPaused
		s.sees("12:00:10", plan(paused), "cancel: the task is paused", "stands stopping since 12:00:10: the task is paused")
		s.sees("12:00:11", s.exits(0, 0), "stands stopped since 12:00:11: the task is paused")
		run := order("o2", fleet.OrderRun)
		run.Due = noon
		s.sees("12:00:12", PlanChanged{Assignments: []fleet.Assignment{paused}, Orders: []fleet.Order{order("o1", fleet.OrderStart), run}},
			"did o1", "skipped paused 12:00:00 for o2")
	})
	t.Run("one that expired is dropped, and said", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", PlanChanged{Orders: []fleet.Order{order("o1", fleet.OrderStart)}}, "wake 12:05:00")
		s.state.memory = s.memory
		actions := s.state.Step(clock(t, "12:05:01"), Tick{})
		if len(actions) != 1 || !actions[0].(Did).Expired {
			t.Errorf("got %v", actions)
		}
	})
	t.Run("a run that is ordered is the instance", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", with(order("o1", fleet.OrderStop)), "did o1", "cancel: stopped by alice: a test",
			"stands stopping since 12:00:10: stopped by alice: a test")
		run := order("o2", fleet.OrderRun)
		run.Run, run.Due = "r2", noon.Add(10*time.Second)
		s.sees("12:00:11", with(run), "skipped overlap 12:00:10 for o2")
		s.sees("12:00:12", s.exits(0, 0), "stands stopped since 12:00:12: stopped by alice: a test")
		run.ID = "o3"
		s.sees("12:00:15", with(run), "begin 12:00:10 for o3: started again 3s after it was stopped by alice: a test, as alice asked",
			"stands running since 12:00:15: started again 3s after it was stopped by alice: a test, as alice asked")
		s.sees("12:00:20", s.exits(1, 1), "stands backoff since 12:00:20, at 12:00:21: exit 1; restart 1 follows", "wake 12:00:21")
	})
}
