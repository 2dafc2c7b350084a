package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestASentenceOutlivesTheAgent: the instance is stopped by the next agent, and
// has failed whatever it says.
func TestASentenceOutlivesTheAgent(t *testing.T) {
	a := daemon(func(t *fleet.Task) { t.Restart.Policy = fleet.RestartOnFailure })
	s := tell(t, "12:00:00")
	s.sees("12:00:00", plan(a), "begin 12:00:00", "stands running since 12:00:00")
	s.state.memory = s.memory
	s.memory.note(s.state.Step(clock(t, "12:00:10"), Condemned{"default/t", s.begun[0], fleet.RanUsage, "3GiB"})[0]) // no more is done
	s.restart("12:01:00", "")
	s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
	s.sees("12:01:00", plan(a), "stop as usage: 3GiB", "stands stopping since 12:01:00: it used too much: 3GiB")
	s.sees("12:01:01", s.exits(0, 0), "stands backoff since 12:01:01, at 12:01:02: it used too much: 3GiB; restart 1 follows", "wake 12:01:02")
}

// TestAnEndThatNoAgentNoted: the outcome is on disk, the agent died before it
// drew anything from it.
func TestAnEndThatNoAgentNoted(t *testing.T) {
	s := tell(t, "12:00:00")
	s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
	s.restart("12:01:00", "")
	s.sees("12:01:00", plan(daemon(nil)), "stands backoff since 12:01:00, at 12:01:01: an end that no agent noted; restart 1 follows", "wake 12:01:01")
}

func TestSeveralRunsOfATimerThatBecomesADaemon(t *testing.T) {
	s := tell(t, "11:59:30")
	s.sees("11:59:31", plan(given(func(a *fleet.Assignment) {
		a.Task.Limits = fleet.Limits{Overlap: fleet.OverlapAllow, PerHost: 2}
	})), "pass 11:59:00", "wake 12:00:00")
	s.sees("12:00:00", Tick{}, "begin 12:00:00 in parts", "wake 12:01:00")
	s.sees("12:01:00", Tick{}, "begin 12:01:00 in parts", "wake 12:02:00")
	became := daemon(func(t *fleet.Task) { t.Restart.Policy = fleet.RestartNever })
	became.Generation, became.Since = 2, noon.Add(70*time.Second)
	s.sees("12:01:10", plan(became), "pass 12:01:10 to generation 2, last 12:01:00",
		"cancel: the task was changed", "cancel: the task was changed", "stands stopping since 12:01:10: the task was changed")
	s.sees("12:01:11", s.exits(0, 1), "stands stopping since 12:01:10: the task was changed") // the other one
	s.sees("12:01:12", s.exits(1, 1),
		"begin 12:01:12: started again 0s after it was stopped: the task was changed",
		"stands running since 12:01:12: started again 0s after it was stopped: the task was changed")
}

// TestOfAnAgentThatDied tells what the next one makes of what it left.
func TestOfAnAgentThatDied(t *testing.T) {
	found := func(s *story, n int, at time.Time) RunFound {
		return RunFound{Run: fleet.Run{ID: s.begun[n], Task: "default/t", Generation: 1, Due: noon, Started: &at}}
	}
	t.Run("an end that it wished is no failure", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		paused := daemon(nil)
		paused.State = fleet.TaskPaused
		s.sees("12:00:10", plan(paused), "cancel: the task is paused", "stands stopping since 12:00:10: the task is paused")
		s.restart("12:01:00", "")
		s.sees("12:01:00", found(s, 0, noon))
		s.sees("12:01:00", plan(daemon(nil)), "stands running since 12:00:00") // and it was resumed
		e := s.exits(0, 1)
		e.Run.Cancelled = true
		s.sees("12:01:01", e, "begin 12:01:01: started again 0s after it was stopped: the task is paused",
			"stands running since 12:01:01: started again 0s after it was stopped: the task is paused")
	})
	t.Run("an order whose record waits for space is carried out once", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		p := plan(daemon(nil))
		p.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderRestart, Task: "default/t", Expires: noon.Add(time.Hour), By: "bob"}}
		s.sees("12:00:10", p, "did o1", "cancel: bob asked for another instance", "stands stopping since 12:00:10: bob asked for another instance")
		clear(s.memory.orders) // nothing is on disk yet
		s.sees("12:00:11", s.exits(0, 0), "begin 12:00:11: started again 0s after it was stopped: bob asked for another instance",
			"stands running since 12:00:11: started again 0s after it was stopped: bob asked for another instance")
		s.sees("12:00:12", p)
	})
	crashing := daemon(func(t *fleet.Task) {
		t.Restart = fleet.Restart{Reset: fleet.Duration(time.Minute), GiveUp: fleet.Frequency{Times: 2, Per: fleet.Duration(time.Hour)}}
	})
	t.Run("what it left is not up for long because nobody says otherwise", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(crashing), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:00:11: exit 1; restart 1 follows", "wake 12:00:11")
		s.sees("12:00:11", Tick{}, "begin 12:00:11: started again 1s after exit 1; restart 1",
			"stands running since 12:00:11, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:01:11")
		s.restart("12:10:00", "")
		began := noon.Add(11 * time.Second)
		s.sees("12:10:00", found(s, 1, began))
		s.sees("12:10:00", plan(crashing), "stands running since 12:00:11, 1 restarts", "wake 12:11:00")
		s.sees("12:10:30", Tick{}, "wake 12:11:00")
		s.sees("12:11:00", Tick{}, "stands running since 12:00:11")
	})
	t.Run("when its instance began is known by the clock as it is now", func(t *testing.T) {
		quick := daemon(func(t *fleet.Task) { t.Restart = fleet.Restart{Reset: fleet.Duration(time.Minute)} })
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(quick), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:00:11: exit 1; restart 1 follows", "wake 12:00:11")
		s.sees("12:00:11", Tick{}, "begin 12:00:11: started again 1s after exit 1; restart 1",
			"stands running since 12:00:11, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:01:11")
		s.sees("18:00:20", ClockJumped{By: 6 * time.Hour}, "wake 18:01:11")
		s.restart("18:00:30", "")
		s.sees("18:00:30", found(s, 1, noon.Add(11*time.Second)))
		s.sees("18:00:30", plan(quick), "stands running since 12:00:11, 1 restarts", "wake 18:01:30")
		s.sees("18:00:40", s.exits(1, 1), "stands backoff since 18:00:40, at 18:00:42, 1 restarts: exit 1; restart 2 follows", "wake 18:00:42")
	})
	t.Run("a clock set ahead does not let starts be forgotten", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(crashing), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:00:11: exit 1; restart 1 follows", "wake 12:00:11")
		s.sees("12:00:11", Tick{}, "begin 12:00:11: started again 1s after exit 1; restart 1",
			"stands running since 12:00:11, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:01:11")
		s.sees("18:00:20", ClockJumped{By: 6 * time.Hour}, "wake 18:01:11")
		s.sees("18:00:30", s.exits(1, 1), "stands crash_loop since 18:00:30, 1 restarts: 2 starts within 1h, the last ended with exit 1")
	})
}
