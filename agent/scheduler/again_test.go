package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestALaterAttemptIsStoppedLikeTheFirst: what was said of one attempt is not said
// of the next.
func TestALaterAttemptIsStoppedLikeTheFirst(t *testing.T) {
	second := func(t *testing.T, o fleet.Overlap) *story {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried(o)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:05", Condemned{Task: "default/t", Run: s.begun[0], Reason: fleet.RanStalled, Detail: "no word"}, "stop as stalled: no word", "wake 12:01:00")
		s.at("12:00:10", s.fails(0, "12:00:30"), "wake 12:00:30")
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		return s
	}
	t.Run("where it stalls as well", func(t *testing.T) {
		s := second(t, "")
		s.at("12:00:50", Condemned{Task: "default/t", Run: s.begun[1], Reason: fleet.RanStalled, Detail: "no word"}, "stop as stalled: no word", "wake 12:01:00")
	})
	t.Run("where it is replaced", func(t *testing.T) {
		s := second(t, fleet.OverlapReplace)
		s.at("12:01:00", Tick{}, "cancel: a later run of the task takes its place", "wake 12:02:00")
	})
}

// TestAnAttemptThatIsFoundWaitsNoLongerThanItsPolicySays: the clock was set back
// while no agent ran.
func TestAnAttemptThatIsFoundWaitsNoLongerThanItsPolicySays(t *testing.T) {
	s := failedAt12(t, retried(""))
	first := s.fails(0, "12:00:30").Run
	s.restart("11:00:00", "")
	s.at("11:00:00", RunFound{Run: first.NextAttempt(), First: noon})
	s.at("11:00:01", plan(retried("")), "wake 11:05:01")
	s.at("11:05:01", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
}

// TestATrialThatSaysNothingAnyMore: a half-open breaker does not wait for a run
// whose end it will not hear of.
func TestATrialThatSaysNothingAnyMore(t *testing.T) {
	rule := fleet.Breaker{Failures: 3, Window: minutesOf(10), Open: minutesOf(5), Key: "db"}
	a, b := fused(rule), fused(rule)
	b.Task.Name, b.Task.On = "u", fleet.Trigger{Manual: true}
	next := func(f *fuse) {
		f.t.Helper()
		if begun, settled := f.do(f.now.Add(time.Minute), Tick{}); len(begun) != 1 {
			f.t.Errorf("begun %v, settled %+v", begun, settled)
		}
	}
	// u tries, because somebody orders it before t is due again.
	tried := func(t *testing.T, then func(f *fuse)) *fuse {
		f := newFuse(t, a, b)
		f.minutes("xxxoooo")
		f.now = f.state.breakers["default/@db"].until.Add(time.Millisecond)
		paused := a
		paused.State = fleet.TaskPaused
		f.do(f.now.Add(-time.Second), plan(paused, b))
		e := plan(paused, b)
		e.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/u", Run: "r1", Due: f.now, Expires: f.now.Add(time.Hour)}}
		if begun, settled := f.do(f.now, e); len(begun) != 1 || begun[0].Run != "r1" {
			t.Fatalf("begun %v, settled %+v", begun, settled)
		}
		then(f)
		return f
	}
	t.Run("because its task left", func(t *testing.T) {
		next(tried(t, func(f *fuse) { f.do(f.now, plan(a)) }))
	})
	t.Run("because its task has another breaker now", func(t *testing.T) {
		other := b
		other.Generation, other.Task.Breaker.Key = 2, "web"
		next(tried(t, func(f *fuse) { f.do(f.now, plan(a, other)) }))
	})
	t.Run("because its task is gone when the agent comes back", func(t *testing.T) {
		next(tried(t, func(f *fuse) {
			f.state = NewState(host, f.memory, Life{Started: f.now})
			f.do(f.now, RunFound{Run: fleet.Run{ID: "r1", Task: "default/u", Order: "o1", Due: f.now, State: fleet.RunRunning}})
			f.do(f.now, plan(a))
		}))
	})
	t.Run("but waits for one that goes on", func(t *testing.T) {
		f := tried(t, func(f *fuse) { f.do(f.now, plan(a, b)) })
		if begun, settled := f.do(f.now.Add(time.Minute), Tick{}); len(begun) != 0 || len(settled) != 1 || !strings.Contains(settled[0].Detail, "one run tries") {
			t.Errorf("begun %v, settled %+v", begun, settled)
		}
	})
}

// TestFailuresOfAClockThatWasAhead: they leave the window when the others do.
func TestFailuresOfAClockThatWasAhead(t *testing.T) {
	f := newFuse(t, given(func(a *fleet.Assignment) {
		a.Task.On = fleet.Trigger{Manual: true}
		a.Task.Breaker = fleet.Breaker{Failures: 3, Window: minutesOf(10)}
	}))
	task := f.state.tasks["default/t"]
	fail := func(at time.Time) {
		exit := 1
		f.state.judge(at, task, &fleet.Run{ID: "r", Task: task.id, State: fleet.RunRan, Exit: &exit, Ended: &at})
	}
	fail(noon.Add(365 * 24 * time.Hour))
	fail(noon.Add(365*24*time.Hour + time.Second))
	f.do(noon, ClockJumped{})
	f.do(noon.Add(11*time.Minute), Tick{})
	fail(noon.Add(11 * time.Minute))
	if b := task.breaker; b.state != fleet.BreakerClosed {
		t.Errorf("the breaker is %s for what failed longer ago than its window", b.state)
	}
}

// TestStartupOfWhatCameLater: a task that the host got after the start is not
// started by it, however it came.
func TestStartupOfWhatCameLater(t *testing.T) {
	for _, which := range []fleet.Startup{fleet.StartupBoot, fleet.StartupAgent} {
		t.Run("that may begin only later, at "+string(which), func(t *testing.T) {
			late := startsAt(which)
			late.Since = noon.Add(time.Minute)
			s := tell(t, "12:00:00")
			s.life("12:00:00", "12:00:00")
			s.at("12:00:01", came())
			s.at("12:01:01", plan())
			s.at("12:01:02", came(late)) // as an adopted one, or with news of a file
		})
	}
	t.Run("with another trigger before", func(t *testing.T) {
		timer := every(time.Hour, nil)
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:01", came(timer), "pass 11:59:00", "begin 12:00:00", "wake 13:00:00")
		s.at("12:00:02", s.ends(0), "wake 13:00:00")
		s.at("13:00:00", Tick{}, "begin 13:00:00", "wake 14:00:00")
		s.at("13:00:01", s.ends(1), "wake 14:00:00")
		boot := startsAt(fleet.StartupBoot)
		boot.Generation, boot.Since = 2, noon.Add(70*time.Minute)
		s.at("13:10:00", plan(boot), "pass 13:10:00 to generation 2, last 13:00:00")
		s.life("13:20:00", "12:00:00")
		s.at("13:20:01", came(boot))
	})
}
