package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// daemon is a daemon t, accepted at 11:59:00, with changes.
func daemon(change func(t *fleet.Task)) fleet.Assignment {
	return given(func(a *fleet.Assignment) {
		a.Task.On = fleet.Trigger{Daemon: true}
		if change != nil {
			change(&a.Task)
		}
	})
}

// sees is at for supervised tasks: it leaves out what is remembered, and a start
// says what its record does.
func (s *story) sees(now string, event Event, want ...string) {
	s.t.Helper()
	s.state.memory = s.memory
	got := []string{}
	for _, a := range s.state.Step(clock(s.t, now), event) {
		s.memory.note(a)
		text := say(a)
		switch a := a.(type) {
		case Remember:
			continue
		case Begin:
			s.begun = append(s.begun, a.Due.Run)
			if !a.Due.Whole {
				text += " in parts"
			}
			if name := a.Due.Task().Name(); name != "t" {
				text += " " + name
			}
			if a.Due.Detail != "" {
				text += ": " + a.Due.Detail
			}
		case Cancel:
			if name := a.Task.Name(); name != "t" {
				text = name + " " + text
			}
		case Stand:
			if name := a.Standing.Task.Name(); name != "t" {
				text = name + " " + text
			}
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("at %s, %T (-want +got):\n%s", now, event, diff)
	}
}

// exits is the event that the n-th run begun ended with an exit code.
func (s *story) exits(n, code int) RunEnded {
	e := s.ends(n)
	e.Run.State, e.Run.Exit = fleet.RunRan, &code
	return e
}

func TestBackoff(t *testing.T) {
	t.Run("doubles, and begins anew once the command was up for long", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:05", s.exits(0, 1), "stands backoff since 12:00:05, at 12:00:06: exit 1; restart 1 follows", "wake 12:00:06")
		s.sees("12:00:06", Tick{}, "begin 12:00:06: started again 1s after exit 1; restart 1",
			"stands running since 12:00:06, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:10:06")
		s.sees("12:00:07", s.exits(1, 0), "stands backoff since 12:00:07, at 12:00:09, 1 restarts: exit 0; restart 2 follows", "wake 12:00:09")
		s.sees("12:00:09.1", Tick{}, "begin 12:00:09.1: started again 2.1s after exit 0; restart 2",
			"stands running since 12:00:09.1, 2 restarts: started again 2.1s after exit 0; restart 2", "wake 12:10:09.1")
		s.sees("12:00:10", s.exits(2, 1), "stands backoff since 12:00:10, at 12:00:14, 2 restarts: exit 1; restart 3 follows", "wake 12:00:14")
		s.sees("12:00:14", Tick{}, "begin 12:00:14: started again 4s after exit 1; restart 3",
			"stands running since 12:00:14, 3 restarts: started again 4s after exit 1; restart 3", "wake 12:10:14")
		s.sees("12:10:14", Tick{}, "stands running since 12:00:14: started again 4s after exit 1; restart 3")
		s.sees("12:11:00", s.exits(3, 1), "stands backoff since 12:11:00, at 12:11:01: exit 1; restart 1 follows", "wake 12:11:01")
	})
	t.Run("as the task says", func(t *testing.T) {
		quick := daemon(func(t *fleet.Task) {
			t.Restart = fleet.Restart{Base: fleet.Duration(200 * time.Millisecond), Cap: fleet.Duration(300 * time.Millisecond), Reset: fleet.Duration(time.Second)}
		})
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(quick), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:00.1", s.exits(0, 1), "stands backoff since 12:00:00.1, at 12:00:00.3: exit 1; restart 1 follows", "wake 12:00:00.3")
		s.sees("12:00:00.3", Tick{}, "begin 12:00:00.3: started again 200ms after exit 1; restart 1",
			"stands running since 12:00:00.3, 1 restarts: started again 200ms after exit 1; restart 1", "wake 12:00:01.3")
		s.sees("12:00:00.4", s.exits(1, 1), "stands backoff since 12:00:00.4, at 12:00:00.7, 1 restarts: exit 1; restart 2 follows", "wake 12:00:00.7")
		s.sees("12:00:00.7", Tick{}, "begin 12:00:00.7: started again 300ms after exit 1; restart 2",
			"stands running since 12:00:00.7, 2 restarts: started again 300ms after exit 1; restart 2", "wake 12:00:01.7")
		s.sees("12:00:01.7", s.exits(2, 1), "stands backoff since 12:00:01.7, at 12:00:01.9: exit 1; restart 1 follows", "wake 12:00:01.9")
	})
	t.Run("is five minutes at most", func(t *testing.T) {
		s := tell(t, "12:00:00")
		now := noon
		s.state.memory = s.memory
		s.state.Step(now, plan(daemon(nil)))
		for range 12 {
			id := s.state.tasks["default/t"].running[0].id
			s.state.Step(now, RunEnded{fleet.Run{ID: id, Task: "default/t", State: fleet.RunRan}})
			at := s.state.tasks["default/t"].standing.At
			if at == nil || at.Sub(now) > 5*time.Minute {
				t.Fatalf("at %s the restart is at %v", now, at)
			}
			now = *at
			s.state.Step(now, Tick{})
		}
		if restarts := s.state.tasks["default/t"].standing.Restarts; restarts != 12 {
			t.Errorf("%d restarts", restarts)
		}
	})
}

func TestIsNeverTwo(t *testing.T) {
	old := fleet.Run{ID: "old", Task: "default/t", Generation: 1, Due: noon.Add(-time.Hour)}
	code := 1
	ended := RunEnded{fleet.Run{ID: "old", Task: "default/t", State: fleet.RunRan, Exit: &code}}
	t.Run("an instance of the agent before goes on", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", RunFound{Run: old})
		s.sees("12:00:00", plan(daemon(nil)), "stands running since 11:00:00")
		s.sees("12:00:05", ended, "stands backoff since 12:00:05, at 12:00:06: exit 1; restart 1 follows", "wake 12:00:06")
	})
	t.Run("also one of which only its end is known by now", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", RunFound{Run: old})
		at := noon.Add(-time.Minute)
		e := ended
		e.Run.Ended = &at
		s.sees("12:00:00", e)
		s.sees("12:00:01", plan(daemon(nil)),
			"begin 12:00:01: started again 1m1s after exit 1, no agent ran until 2026-03-02T12:00:00Z; restart 1",
			"stands running since 12:00:01, 1 restarts: started again 1m1s after exit 1, no agent ran until 2026-03-02T12:00:00Z; restart 1",
			"wake 12:10:01")
	})
	t.Run("an end that nobody saw counts from when it is known", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", RunFound{Run: old})
		s.sees("12:00:00", plan(daemon(nil)), "stands running since 11:00:00")
		s.sees("12:00:01", RunEnded{fleet.Run{ID: "old", Task: "default/t", State: fleet.RunUnknown, Reason: fleet.UnknownAgentDied}},
			"stands backoff since 12:00:01, at 12:00:02: an end that nobody saw (agent_died); restart 1 follows", "wake 12:00:02")
	})
	t.Run("a host that died is no fault of the command", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", RunFound{Run: old})
		s.sees("12:00:00", plan(daemon(nil)), "stands running since 11:00:00")
		s.sees("12:00:01", RunEnded{fleet.Run{ID: "old", Task: "default/t", State: fleet.RunUnknown, Reason: fleet.UnknownHostDied}},
			"begin 12:00:01: started again after an end that nobody saw (host_died); restart 1",
			"stands running since 12:00:01, 1 restarts: started again after an end that nobody saw (host_died); restart 1", "wake 12:10:01")
	})
	t.Run("nor where the plan changed while no agent ran", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
		changed := daemon(func(t *fleet.Task) { t.Run.User = "web" })
		changed.Generation = 2
		s.sees("12:01:00", PlanChanged{Assignments: []fleet.Assignment{changed}, Stored: true},
			"cancel: the task was changed", "stands stopping since 12:01:00: the task was changed")
		s.sees("12:01:03", s.exits(0, 0),
			"begin 12:01:03: started again 0s after it was stopped: the task was changed",
			"stands running since 12:01:03: started again 0s after it was stopped: the task was changed")
	})
	t.Run("one that would be made the same is kept", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
		described := daemon(func(t *fleet.Task) { t.Description = "what it is for" })
		described.Generation = 2
		s.sees("12:01:00", plan(described), "stands running since 12:00:00")
	})
	t.Run("an instance that no plan has any more goes", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.restart("12:01:00", "")
		s.sees("12:01:00", RunFound{Run: fleet.Run{ID: s.begun[0], Task: "default/t", Generation: 1, Due: noon}})
		s.sees("12:01:00", plan(), "cancel: the task is no longer assigned to this host",
			"stands stopping since 12:01:00: the task is no longer assigned to this host")
		s.sees("12:01:03", s.exits(0, 0), "unstand")
		if memo := s.memory.memos["default/t"]; memo != nil {
			t.Errorf("it is still remembered: %s", memo)
		}
	})
	t.Run("nor under a policy that allows a timer two", func(t *testing.T) {
		allows := daemon(func(t *fleet.Task) { t.Limits = fleet.Limits{Overlap: fleet.OverlapAllow, PerHost: 3} })
		order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Minute)}
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(allows), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:01", PlanChanged{Assignments: []fleet.Assignment{allows}, Orders: []fleet.Order{order}},
			"skipped overlap 12:00:00 for o1")
	})
	t.Run("nor when a timer becomes a daemon", func(t *testing.T) {
		s := tell(t, "11:59:30")
		queueing := given(func(a *fleet.Assignment) { a.Task.Limits.Overlap = fleet.OverlapQueue })
		s.sees("11:59:31", plan(queueing), "pass 11:59:00", "wake 12:00:00")
		s.sees("12:00:00", Tick{}, "begin 12:00:00 in parts", "wake 12:01:00")
		s.sees("12:01:00", Tick{}, "wake 12:02:00")
		became := daemon(nil)
		became.Generation, became.Since = 2, noon.Add(70*time.Second)
		s.sees("12:01:10", plan(became), "skipped cancelled 12:01:00", "pass 12:01:10 to generation 2, last 12:01:00",
			"cancel: the task was changed", "stands stopping since 12:01:10: the task was changed")
		s.sees("12:01:11", s.exits(0, 0),
			"begin 12:01:11: started again 0s after it was stopped: the task was changed",
			"stands running since 12:01:11: started again 0s after it was stopped: the task was changed")
		back := given(func(a *fleet.Assignment) { a.Generation, a.Since = 3, noon.Add(80*time.Second) })
		s.sees("12:01:30", plan(back), "unstand", "cancel: the task was changed",
			"pass 12:01:20 to generation 3, last 12:01:11", "wake 12:02:00")
		s.sees("12:02:00", Tick{}, "skipped overlap 12:02:00", "wake 12:03:00")
		s.sees("12:02:01", s.exits(1, 0), "wake 12:03:00")
		s.sees("12:03:00", Tick{}, "begin 12:03:00 in parts", "wake 12:04:00")
	})
}

func TestIsStoppedWhenNotWanted(t *testing.T) {
	t.Run("paused, resumed, changed, described, gone", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		paused := daemon(nil)
		paused.State = fleet.TaskPaused
		s.sees("12:00:10", plan(paused), "cancel: the task is paused", "stands stopping since 12:00:10: the task is paused")
		s.sees("12:00:11", s.exits(0, 0), "stands stopped since 12:00:11: the task is paused")
		s.sees("12:00:20", plan(daemon(nil)), "begin 12:00:20: started again 9s after it was stopped: the task is paused",
			"stands running since 12:00:20: started again 9s after it was stopped: the task is paused")
		changed := daemon(func(t *fleet.Task) { t.Run.User = "web" })
		changed.Generation = 2
		s.sees("12:00:30", plan(changed), "cancel: the task was changed", "stands stopping since 12:00:30: the task was changed")
		s.sees("12:00:31", s.exits(1, 0), "begin 12:00:31: started again 0s after it was stopped: the task was changed",
			"stands running since 12:00:31: started again 0s after it was stopped: the task was changed")
		described := changed
		described.Generation, described.Task.Description = 3, "what it is for"
		s.sees("12:00:40", plan(described))
		s.sees("12:00:50", plan(), "cancel: the task is no longer assigned to this host",
			"stands stopping since 12:00:50: the task is no longer assigned to this host")
		s.sees("12:00:51", s.exits(2, 0), "unstand")
		if len(s.state.tasks) != 0 || s.memory.memos["default/t"] != nil {
			t.Errorf("it is still known: %v, %s", s.state.tasks, s.memory.memos["default/t"])
		}
	})
	t.Run("given again before it was gone", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", plan(), "cancel: the task is no longer assigned to this host",
			"stands stopping since 12:00:10: the task is no longer assigned to this host")
		s.sees("12:00:11", plan(daemon(nil)))
		s.sees("12:00:12", s.exits(0, 0), "begin 12:00:12: started again 0s after it was stopped: the task is no longer assigned to this host",
			"stands running since 12:00:12: started again 0s after it was stopped: the task is no longer assigned to this host")
	})
	t.Run("outside its time", func(t *testing.T) {
		starts, ends := noon.Add(time.Minute), noon.Add(2*time.Minute)
		bounded := daemon(func(t *fleet.Task) { t.On.Starts, t.On.Ends = &starts, &ends })
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(bounded), "stands waiting since 12:00:00: its time begins at 2026-03-02T12:01:00Z", "wake 12:01:00")
		s.sees("12:01:00", Tick{}, "begin 12:01:00: started, it waited: its time begins at 2026-03-02T12:01:00Z",
			"stands running since 12:01:00: started, it waited: its time begins at 2026-03-02T12:01:00Z", "wake 12:02:00")
		s.sees("12:02:00", Tick{}, "cancel: its time ended at 2026-03-02T12:02:00Z",
			"stands stopping since 12:02:00: its time ended at 2026-03-02T12:02:00Z")
		s.sees("12:02:01", s.exits(0, 0), "stands done since 12:02:01: its time ended at 2026-03-02T12:02:00Z")
	})
}

func TestRestartPolicy(t *testing.T) {
	for _, test := range []struct {
		policy fleet.RestartPolicy
		code   int
		again  bool
	}{
		{"", 0, true}, {"", 1, true},
		{fleet.RestartAlways, 0, true}, {fleet.RestartAlways, 1, true},
		{fleet.RestartOnFailure, 0, false}, {fleet.RestartOnFailure, 1, true},
		{fleet.RestartNever, 0, false}, {fleet.RestartNever, 1, false},
	} {
		a := daemon(func(t *fleet.Task) { t.Restart.Policy = test.policy })
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(a), "begin 12:00:00", "stands running since 12:00:00")
		s.state.Step(clock(t, "12:00:05"), s.exits(0, test.code))
		want := fleet.PhaseDone
		if test.again {
			want = fleet.PhaseBackoff
		}
		if is := s.state.tasks["default/t"].standing; is.Phase != want {
			t.Errorf("policy %q, exit %d: %s", test.policy, test.code, is.Phase)
		}
	}
	t.Run("done stays done, until it is given anew", func(t *testing.T) {
		a := daemon(func(t *fleet.Task) { t.Restart.Policy = fleet.RestartOnFailure })
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(a), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:05", s.exits(0, 0), "stands done since 12:00:05: it ended with exit 0, and its restart policy is on-failure")
		s.restart("12:01:00", "")
		s.sees("12:01:00", plan(a), "stands done since 12:00:05: it ended with exit 0, and its restart policy is on-failure")
		a.Generation = 2
		s.sees("12:02:00", plan(a), "begin 12:02:00: started again 1m55s after exit 0, no agent ran until 2026-03-02T12:01:00Z",
			"stands running since 12:02:00: started again 1m55s after exit 0, no agent ran until 2026-03-02T12:01:00Z")
	})
	t.Run("what was not even begun has not ended", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(func(t *fleet.Task) { t.Restart.Policy = fleet.RestartNever })), "begin 12:00:00", "stands running since 12:00:00")
		e := s.ends(0)
		e.Run.State = fleet.RunPending
		s.sees("12:00:00", e, "stands backoff since 12:00:00, at 12:00:01: a start that could not be written down; restart 1 follows", "wake 12:00:01")
	})
}

func TestGiveUp(t *testing.T) {
	a := daemon(func(t *fleet.Task) {
		t.Restart = fleet.Restart{Base: fleet.Duration(100 * time.Millisecond), Cap: fleet.Duration(time.Second), GiveUp: fleet.Frequency{Times: 3, Per: fleet.Duration(time.Minute)}}
	})
	const crashing = "stands crash_loop since 12:00:02, 2 restarts: 3 starts within 1m, the last ended with exit 1"
	loop := func(t *testing.T) *story {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(a), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:00.5", s.exits(0, 1), "stands backoff since 12:00:00.5, at 12:00:00.6: exit 1; restart 1 follows", "wake 12:00:00.6")
		s.sees("12:00:00.6", Tick{}, "begin 12:00:00.6: started again 100ms after exit 1; restart 1",
			"stands running since 12:00:00.6, 1 restarts: started again 100ms after exit 1; restart 1", "wake 12:10:00.6")
		s.sees("12:00:00.8", s.exits(1, 1), "stands backoff since 12:00:00.8, at 12:00:01, 1 restarts: exit 1; restart 2 follows", "wake 12:00:01")
		s.sees("12:00:01", Tick{}, "begin 12:00:01: started again 200ms after exit 1; restart 2",
			"stands running since 12:00:01, 2 restarts: started again 200ms after exit 1; restart 2", "wake 12:10:01")
		s.sees("12:00:02", s.exits(2, 1), crashing)
		return s
	}
	t.Run("nothing but a person or a new generation ends it", func(t *testing.T) {
		s := loop(t)
		s.sees("12:30:00", Tick{})
		s.restart("12:31:00", "12:30:30")
		s.sees("12:31:00", plan(a), crashing)
		paused := a
		paused.State = fleet.TaskPaused
		s.sees("12:32:00", plan(paused), "stands stopped since 12:32:00, 2 restarts: the task is paused")
		s.sees("12:33:00", plan(a), "stands crash_loop since 12:33:00, 2 restarts: 3 starts within 1m, the last ended with exit 1")
		a := a
		a.Generation = 2
		const again = "started again 33m58s after exit 1, no agent ran until 2026-03-02T12:31:00Z, it was in a crash loop"
		s.sees("12:34:00", plan(a), "begin 12:34:00: "+again, "stands running since 12:34:00: "+again)
	})
	for _, kind := range []fleet.OrderKind{fleet.OrderStart, fleet.OrderRestart, fleet.OrderRun} {
		t.Run("ended by an order to "+string(kind), func(t *testing.T) {
			s := loop(t)
			order := fleet.Order{ID: "o1", Kind: kind, Task: "default/t", Due: noon, Expires: noon.Add(time.Hour), By: "alice"}
			s.state.Step(clock(t, "12:05:00"), PlanChanged{Assignments: []fleet.Assignment{a}, Orders: []fleet.Order{order}})
			is := s.state.tasks["default/t"].standing
			if is.Phase != fleet.PhaseRunning || is.Restarts != 0 || is.Detail != "started again 4m58s after exit 1, it was in a crash loop, as alice asked" {
				t.Errorf("it stands %+v", is)
			}
		})
	}
	t.Run("starts long ago do not count", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(a), "begin 12:00:00", "stands running since 12:00:00")
		for i := range 20 {
			now := noon.Add(time.Duration(i+1) * 30 * time.Second)
			s.state.Step(now, RunEnded{fleet.Run{ID: s.state.tasks["default/t"].running[0].id, Task: "default/t", State: fleet.RunRan}})
			s.state.Step(now.Add(29*time.Second), Tick{})
			if is := s.state.tasks["default/t"].standing; is.Phase != fleet.PhaseRunning {
				t.Fatalf("start %d: it stands %+v", i, is)
			}
		}
	})
}

func TestSupervisedStartup(t *testing.T) {
	startup := func(which fleet.Startup, generation uint64, since time.Time) PlanChanged {
		return plan(given(func(a *fleet.Assignment) {
			a.Generation, a.Since = generation, since
			a.Task.On = fleet.Trigger{Startup: which}
			a.Task.Restart.Policy = fleet.RestartOnFailure
		}))
	}
	life := func(s *story, started, seen string) {
		s.state = NewState(host, s.memory, Life{Started: clock(s.t, started), BootSeen: clock(s.t, seen)})
	}
	const done = ": it ended with exit 0, and its restart policy is on-failure"
	t.Run("boot: once per boot, kept up from then on", func(t *testing.T) {
		s := tell(t, "12:00:00")
		life(s, "12:00:00", "12:00:00")
		s.sees("12:00:01", startup(fleet.StartupBoot, 1, noon.Add(-time.Hour)), "begin 12:00:01", "stands running since 12:00:01")
		s.sees("12:00:05", s.exits(0, 1), "stands backoff since 12:00:05, at 12:00:06: exit 1; restart 1 follows", "wake 12:00:06")
		s.sees("12:00:06", Tick{}, "begin 12:00:06: started again 1s after exit 1; restart 1",
			"stands running since 12:00:06, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:10:06")
		s.sees("12:00:07", s.exits(1, 0), "stands done since 12:00:07, 1 restarts"+done)
		life(s, "12:01:00", "12:00:00") // the agent alone came back
		s.sees("12:01:01", startup(fleet.StartupBoot, 1, noon.Add(-time.Hour)), "stands done since 12:00:07, 1 restarts"+done)
		s.sees("12:01:02", startup(fleet.StartupBoot, 2, noon.Add(time.Minute)), "stands done since 12:00:07"+done)
		life(s, "12:02:00", "12:02:00") // the host as well
		s.state.memory = s.memory
		s.state.Step(clock(t, "12:02:01"), startup(fleet.StartupBoot, 2, noon.Add(time.Minute)))
		if is := s.state.tasks["default/t"].standing; is.Phase != fleet.PhaseRunning {
			t.Errorf("after a boot it stands %+v", is)
		}
	})
	t.Run("agent: once per start of it", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:01", startup(fleet.StartupAgent, 1, noon.Add(-time.Hour)), "begin 12:00:01", "stands running since 12:00:01")
		s.sees("12:00:07", s.exits(0, 0), "stands done since 12:00:07"+done)
		s.restart("12:01:00", "")
		s.sees("12:01:01", startup(fleet.StartupAgent, 1, noon.Add(-time.Hour)),
			"begin 12:01:01: started again 54s after exit 0, no agent ran until 2026-03-02T12:01:00Z",
			"stands running since 12:01:01: started again 54s after exit 0, no agent ran until 2026-03-02T12:01:00Z")
		s.restart("12:02:00", "")
		s.sees("12:02:00", RunFound{Run: fleet.Run{ID: s.begun[1], Task: "default/t", Generation: 1, Due: noon.Add(61 * time.Second)}})
		s.sees("12:02:01", startup(fleet.StartupAgent, 1, noon.Add(-time.Hour)), "stands running since 12:01:01")
	})
	t.Run("an agent that crashes on does not shorten its backoff", func(t *testing.T) {
		s := tell(t, "12:00:00")
		p := startup(fleet.StartupAgent, 1, noon.Add(-time.Hour))
		s.sees("12:00:01", p, "begin 12:00:01", "stands running since 12:00:01")
		s.sees("12:00:02", s.exits(0, 1), "stands backoff since 12:00:02, at 12:00:03: exit 1; restart 1 follows", "wake 12:00:03")
		s.restart("12:00:02.2", "")
		s.sees("12:00:02.3", p, "stands backoff since 12:00:02, at 12:00:03: exit 1; restart 1 follows", "wake 12:00:03")
	})
	t.Run("one that came after the last startup waits for the next", func(t *testing.T) {
		s := tell(t, "12:00:00")
		life(s, "12:00:00", "11:00:00")
		p := startup(fleet.StartupBoot, 1, noon.Add(time.Minute))
		s.sees("12:02:00", p, "stands waiting since 12:02:00: for the next boot of the host")
		p.Stored = true
		life(s, "12:03:00", "11:00:00")
		s.sees("12:03:00", p, "stands waiting since 12:02:00: for the next boot of the host")
		life(s, "12:04:00", "12:04:00")
		s.sees("12:04:00", p, "begin 12:04:00: started, it waited: for the next boot of the host",
			"stands running since 12:04:00: started, it waited: for the next boot of the host")
	})
	t.Run("also one that the host came to match later", func(t *testing.T) {
		s := tell(t, "12:00:00")
		life(s, "12:00:00", "11:00:00")
		s.sees("12:00:00", plan())
		p := startup(fleet.StartupBoot, 1, noon.AddDate(0, -1, 0))
		s.sees("12:02:00", p, "stands waiting since 12:02:00: for the next boot of the host")
		life(s, "12:03:00", "11:00:00")
		s.sees("12:03:00", p, "stands waiting since 12:02:00: for the next boot of the host")
	})
	t.Run("or for a person", func(t *testing.T) {
		s := tell(t, "12:00:00")
		p := startup(fleet.StartupAgent, 1, noon.Add(time.Minute))
		s.sees("12:02:00", p, "stands waiting since 12:02:00: for the next start of the agent")
		p.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderStart, Task: "default/t", Expires: noon.Add(time.Hour)}}
		s.sees("12:03:00", p, "did o1", "begin 12:03:00: started, it waited: for the next start of the agent, as somebody asked",
			"stands running since 12:03:00: started, it waited: for the next start of the agent, as somebody asked")
	})
}

func TestCondemned(t *testing.T) {
	condemned := func(s *story, n int, reason fleet.Reason) Condemned {
		return Condemned{"default/t", s.begun[n], reason, "connection refused"}
	}
	t.Run("is a failure, whatever the command says to it", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(func(t *fleet.Task) { t.Restart.Policy = fleet.RestartOnFailure })),
			"begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", condemned(s, 0, fleet.RanUnhealthy), "stop as unhealthy: connection refused",
			"stands stopping since 12:00:10: it was unhealthy: connection refused")
		s.sees("12:00:11", condemned(s, 0, fleet.RanStalled))
		s.sees("12:00:12", s.exits(0, 0),
			"stands backoff since 12:00:12, at 12:00:13: it was unhealthy: connection refused; restart 1 follows", "wake 12:00:13")
		s.sees("12:00:13", condemned(s, 0, fleet.RanUsage),
			"begin 12:00:13: started again 1s after it was unhealthy: connection refused; restart 1",
			"stands running since 12:00:13, 1 restarts: started again 1s after it was unhealthy: connection refused; restart 1", "wake 12:10:13")
	})
	t.Run("by an agent that is gone", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		e := s.exits(0, 0)
		e.Run.Reason = fleet.RanUsage
		s.sees("12:00:12", e, "stands backoff since 12:00:12, at 12:00:13: it used too much; restart 1 follows", "wake 12:00:13")
	})
	t.Run("a person's stop outweighs it", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(nil)), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", condemned(s, 0, fleet.RanUsage), "stop as usage: connection refused",
			"stands stopping since 12:00:10: it used too much: connection refused")
		stop := fleet.Order{ID: "o1", Kind: fleet.OrderStop, Task: "default/t", Expires: noon.AddDate(0, 0, 1), By: "bob"}
		s.sees("12:00:11", PlanChanged{Assignments: []fleet.Assignment{daemon(nil)}, Orders: []fleet.Order{stop}},
			"did o1", "stands stopping since 12:00:10: stopped by bob")
		s.sees("12:00:12", s.exits(0, 0), "stands stopped since 12:00:12: stopped by bob")
	})
	t.Run("a task that is not supervised is stopped as well", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.sees("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.sees("12:00:00", Tick{}, "begin 12:00:00 in parts", "wake 12:01:00")
		s.sees("12:00:10", condemned(s, 0, fleet.RanStalled), "stop as stalled: connection refused", "wake 12:01:00")
	})
}

func TestEndings(t *testing.T) {
	code := 3
	for want, run := range map[string]fleet.Run{
		"exit 3":                   {State: fleet.RunRan, Exit: &code},
		"signal SIGSEGV":           {State: fleet.RunRan, Signal: "SIGSEGV"},
		"its timeout":              {State: fleet.RunRan, Signal: "SIGTERM", TimedOut: true},
		"it was cancelled":         {State: fleet.RunRan, Signal: "SIGTERM", Cancelled: true},
		"it was stalled":           {State: fleet.RunRan, Signal: "SIGTERM", Reason: fleet.RanStalled},
		"it used too much":         {State: fleet.RunRan, Exit: &code, Reason: fleet.RanUsage},
		"its end":                  {State: fleet.RunRan},
		"it was killed for memory": {State: fleet.RunRan, Signal: "SIGKILL", Reason: fleet.RanMemory},
		"a start that came to nothing (no_user): there is no user web": {State: fleet.RunMissed, Reason: fleet.MissedNoUser, Detail: "there is no user web"},
		"a start that came to nothing (away)":                          {State: fleet.RunSkipped, Reason: fleet.SkippedAway},
		"an end that nobody saw (host_died)":                           {State: fleet.RunUnknown, Reason: fleet.UnknownHostDied},
	} {
		if got := ending(&run, nil); got != want {
			t.Errorf("%+v: %q, want %q", run, got, want)
		}
	}
}

func TestBackoffAndTheClock(t *testing.T) {
	up := func(t *testing.T) *story {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(daemon(func(t *fleet.Task) { t.Restart.Base = fleet.Duration(time.Minute) })),
			"begin 12:00:00", "stands running since 12:00:00")
		return s
	}
	t.Run("set ahead it is as long as it was", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:01:10: exit 1; restart 1 follows", "wake 12:01:10")
		s.sees("15:00:20", ClockJumped{By: 3 * time.Hour}, "stands backoff since 12:00:10, at 15:01:10: exit 1; restart 1 follows", "wake 15:01:10")
		s.sees("15:01:10", Tick{}, "begin 15:01:10: started again 1m0s after exit 1; restart 1",
			"stands running since 15:01:10, 1 restarts: started again 1m0s after exit 1; restart 1", "wake 15:11:10")
	})
	t.Run("set back as well, and its start is an occurrence of its own", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:01:10: exit 1; restart 1 follows", "wake 12:01:10")
		s.sees("10:00:20", ClockJumped{By: -2 * time.Hour}, "stands backoff since 12:00:10, at 10:01:10: exit 1; restart 1 follows", "wake 10:01:10")
		s.sees("10:01:10", Tick{}, "begin 12:00:00.001: started again 1m0s after exit 1; restart 1",
			"stands running since 10:01:10, 1 restarts: started again 1m0s after exit 1; restart 1", "wake 10:11:10")
	})
	t.Run("set back while no agent ran, it is not longer than it was", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:01:10: exit 1; restart 1 follows", "wake 12:01:10")
		s.restart("09:00:00", "")
		s.sees("09:00:01", plan(daemon(func(t *fleet.Task) { t.Restart.Base = fleet.Duration(time.Minute) })),
			"stands backoff since 12:00:10, at 09:01:01: exit 1; restart 1 follows", "wake 09:01:01")
		s.sees("09:01:01", Tick{}, "begin 12:00:00.001: started again 0s after exit 1, no agent ran until 2026-03-02T09:00:00Z; restart 1",
			"stands running since 09:01:01, 1 restarts: started again 0s after exit 1, no agent ran until 2026-03-02T09:00:00Z; restart 1", "wake 09:11:01")
	})
	t.Run("time that a clock skipped is no time of health", func(t *testing.T) {
		s := up(t)
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:01:10: exit 1; restart 1 follows", "wake 12:01:10")
		s.sees("12:01:10", Tick{}, "begin 12:01:10: started again 1m0s after exit 1; restart 1",
			"stands running since 12:01:10, 1 restarts: started again 1m0s after exit 1; restart 1", "wake 12:11:10")
		s.sees("18:01:20", ClockJumped{By: 6 * time.Hour}, "wake 18:11:10")
		s.sees("18:01:30", s.exits(1, 1), "stands backoff since 18:01:30, at 18:03:30, 1 restarts: exit 1; restart 2 follows", "wake 18:03:30")
	})
}
