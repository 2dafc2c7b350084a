package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fails is the event that the n-th run begun has failed, and is followed by
// another attempt then.
func (s *story) fails(n int, again string) RunEnded {
	at := clock(s.t, again)
	due := s.dues[n]
	run := due.Record(host)
	exit, ended := 1, at.Add(-time.Second)
	run.State, run.Exit, run.Again, run.Ended = fleet.RunRan, &exit, &at, &ended
	return RunEnded{run}
}

// retried is task t, which is attempted again, due every minute.
func retried(o fleet.Overlap) fleet.Assignment {
	return given(func(a *fleet.Assignment) {
		a.Task.Retry = fleet.Retry{Attempts: 3}
		a.Task.Limits.Overlap = o
	})
}

// failedAt12 is an agent whose task t was due at noon and failed; its second
// attempt is due at 12:00:30.
func failedAt12(t *testing.T, a fleet.Assignment) *story {
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(a), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.at("12:00:10", s.fails(0, "12:00:30"), "wake 12:00:30")
	return s
}

func TestAttempts(t *testing.T) {
	t.Run("follow each other", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		first := s.dues[0].Record(host)
		again := s.dues[1]
		if next := first.NextAttempt(); again.Run != next.ID || again.Attempt != 2 || !again.First.Equal(noon) {
			t.Errorf("the second attempt is %+v, want the id %s", again, next.ID)
		}
		s.at("12:00:40", s.fails(1, "12:00:50"), "wake 12:00:50")
		s.at("12:00:50", Tick{}, "begin 12:00:00 again, 3", "wake 12:01:00")
		if third := s.dues[2]; !third.First.Equal(noon) || third.Run == again.Run {
			t.Errorf("the third attempt is %+v", third)
		}
		s.at("12:00:55", s.ends(2), "wake 12:01:00")
		s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("hold the place of their occurrence", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried("")), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:10", s.fails(0, "12:01:30"), "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped overlap 12:01:00", "wake 12:01:30")
		s.at("12:01:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:02:00")
		s.at("12:01:40", s.ends(1), "wake 12:02:00")
	})
	t.Run("let the next one wait", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried(fleet.OverlapQueue)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:10", s.fails(0, "12:01:30"), "wake 12:01:00")
		s.at("12:01:00", Tick{}, "wake 12:01:30")
		s.at("12:01:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:02:00")
		s.at("12:01:40", s.ends(1), "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("are given up for the one that replaces", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried(fleet.OverlapReplace)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:10", s.fails(0, "12:01:30"), "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped replaced 12:00:00 again, 2", "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("of a run that fails while it is replaced", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried(fleet.OverlapReplace)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "cancel: a later run of the task takes its place", "wake 12:02:00")
		s.at("12:01:01", s.fails(0, "12:01:30"), "skipped replaced 12:00:00 again, 2", "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("stand beside other runs where allowed", func(t *testing.T) {
		a := retried(fleet.OverlapAllow)
		a.Task.Limits.PerHost = 2
		s := failedAt12(t, a)
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
		s.at("12:01:10", s.fails(1, "12:03:00"), "wake 12:02:00")
		s.at("12:02:00", Tick{}, "skipped overlap 12:02:00", "wake 12:03:00")
	})
	t.Run("are given up when the task is paused", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		paused := retried("")
		paused.State = fleet.TaskPaused
		s.at("12:00:20", plan(paused), "skipped paused 12:00:00 again, 2", "wake 12:01:00")
	})
	t.Run("are given up when the task was paused meanwhile", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(retried("")), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		paused := retried("")
		paused.State = fleet.TaskPaused
		s.at("12:00:20", plan(paused), "wake 12:01:00")
		s.at("12:00:30", s.fails(0, "12:00:40"), "skipped paused 12:00:00 again, 2", "wake 12:01:00")
	})
	t.Run("are given up when the task is gone", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		s.at("12:00:20", plan(), "skipped cancelled 12:00:00 again, 2", "pass 12:00:00 to generation 0, last 12:00:00")
		if len(s.state.tasks) != 0 {
			t.Error("the task is still known")
		}
	})
	t.Run("are cancelled by their own id", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		first := s.dues[0].Record(host)
		stop := fleet.Order{ID: "o1", Kind: fleet.OrderCancel, Task: "default/t", Run: first.NextAttempt().ID, Reason: "no use"}
		s.at("12:00:20", PlanChanged{Assignments: []fleet.Assignment{retried("")}, Orders: []fleet.Order{stop}},
			"skipped cancelled 12:00:00 again, 2", "wake 12:01:00")
	})
	t.Run("do not wait longer when the clock is set back", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		s.at("11:00:15", ClockJumped{}, "wake 11:00:35")
		s.at("11:00:35", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
	})
	t.Run("run what their generation says", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		changed := retried("")
		changed.Generation, changed.Since, changed.Task.Run.User = 2, noon.Add(15*time.Second), "web"
		s.at("12:00:20", plan(changed), "pass 12:00:15 to generation 2, last 12:00:00", "wake 12:00:30")
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		if due := s.dues[1]; due.Assignment.Generation != 1 || due.Assignment.Task.Run.User != "" {
			t.Errorf("the attempt runs generation %d", due.Assignment.Generation)
		}
	})
	t.Run("that could not be begun are tried again", func(t *testing.T) {
		s := failedAt12(t, retried(""))
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		still, again := s.dues[1].Record(host), noon.Add(90*time.Second)
		still.State, still.Again = fleet.RunPending, &again
		s.at("12:00:30.1", RunEnded{still}, "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped overlap 12:01:00", "wake 12:01:30")
		s.at("12:01:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:02:00")
	})
}

// TestAttemptsAfterARestart: what is pending on disk is waited for by the next
// agent.
func TestAttemptsAfterARestart(t *testing.T) {
	left := func(t *testing.T) (*story, RunFound) {
		s := failedAt12(t, retried(""))
		first := s.fails(0, "12:00:30").Run
		s.restart("12:00:20", "")
		return s, RunFound{Run: first.NextAttempt(), First: noon, Cause: "event x", Payload: "p"}
	}
	t.Run("begins when it is due", func(t *testing.T) {
		s, found := left(t)
		s.at("12:00:20", found)
		s.at("12:00:20", plan(retried("")), "wake 12:00:30")
		s.at("12:00:30", Tick{}, "begin 12:00:00 again, 2", "wake 12:01:00")
		if due := s.dues[1]; due.Run != found.Run.ID || !due.First.Equal(noon) || due.Cause != "event x" || due.Payload != "p" {
			t.Errorf("begun as %+v", due)
		}
	})
	t.Run("begins at once when it is late", func(t *testing.T) {
		s, found := left(t)
		s.restart("12:00:50", "")
		s.at("12:00:50", found)
		s.at("12:00:50", plan(retried("")), "begin 12:00:00 again, 2", "wake 12:01:00")
	})
	t.Run("is given up when the task is gone", func(t *testing.T) {
		s, found := left(t)
		s.at("12:00:20", found)
		s.at("12:00:20", plan(), "skipped cancelled 12:00:00 again, 2", "pass 12:00:00 to generation 0, last 12:00:00")
	})
	t.Run("is given up when its generation is", func(t *testing.T) {
		s, found := left(t)
		changed := retried("")
		changed.Generation, changed.Since = 2, noon.Add(15*time.Second)
		s.at("12:00:20", found)
		s.at("12:00:20", plan(changed), "pass 12:00:15 to generation 2, last 12:00:00", "wake 12:00:30")
		s.at("12:00:30", Tick{}, "skipped cancelled 12:00:00 again, 2", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
	})
}

// TestOrderedAttempts: a person's word holds while the task is paused, also for
// the attempts of what was ordered.
func TestOrderedAttempts(t *testing.T) {
	paused := retried("")
	paused.State, paused.Task.On = fleet.TaskPaused, fleet.Trigger{Manual: true}
	order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(5 * time.Minute)}
	s := tell(t, "11:00:00")
	s.at("12:00:01", PlanChanged{Assignments: []fleet.Assignment{paused}, Orders: []fleet.Order{order}}, "begin 12:00:00 for o1")
	s.at("12:00:10", s.fails(0, "12:00:30"), "wake 12:00:30")
	s.at("12:00:20", plan(paused), "wake 12:00:30")
	s.at("12:00:30", Tick{}, "begin 12:00:00 for o1 again, 2")
}
