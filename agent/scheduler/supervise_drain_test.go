package scheduler

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestEndsWhileTheAgentDrains: what ends after the last decision is known to the
// next agent as what it was.
func TestEndsWhileTheAgentDrains(t *testing.T) {
	crashing := daemon(func(t *fleet.Task) {
		t.Restart = fleet.Restart{GiveUp: fleet.Frequency{Times: 2, Per: fleet.Duration(time.Hour)}}
	})
	t.Run("one that the agent stopped has not failed", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(crashing), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:10", s.exits(0, 1), "stands backoff since 12:00:10, at 12:00:11: exit 1; restart 1 follows", "wake 12:00:11")
		s.sees("12:00:11", Tick{}, "begin 12:00:11: started again 1s after exit 1; restart 1",
			"stands running since 12:00:11, 1 restarts: started again 1s after exit 1; restart 1", "wake 12:10:11")
		s.sees("12:00:20", Stopping{}, "wake 12:10:11")
		e := s.exits(1, 0)
		e.Run.Cancelled, e.Run.Detail = true, "the agent was told to stop everything"
		s.sees("12:00:21", e)
		s.restart("12:01:00", "")
		s.sees("12:01:00", plan(crashing),
			"begin 12:01:00: started again 39s after it was stopped: the agent was told to stop everything, no agent ran until 2026-03-02T12:01:00Z; restart 1",
			"stands running since 12:01:00, 1 restarts: started again 39s after it was stopped: the agent was told to stop everything, no agent ran until 2026-03-02T12:01:00Z; restart 1", "wake 12:11:00")
	})
	t.Run("one that failed by itself is not started before its time", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(crashing), "begin 12:00:00", "stands running since 12:00:00")
		s.sees("12:00:20", Stopping{})
		s.sees("12:00:21", s.exits(0, 3))
		s.sees("12:00:22", Tick{}) // and not now
		s.restart("12:00:21.5", "")
		s.sees("12:00:21.5", plan(crashing), "stands backoff since 12:00:21.5, at 12:00:22: exit 3; restart 1 follows", "wake 12:00:22")
	})
	t.Run("what waited for it begins with no agent that ends", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.sees("11:59:31", plan(given(func(a *fleet.Assignment) { a.Task.Limits.Overlap = fleet.OverlapQueue })), "pass 11:59:00", "wake 12:00:00")
		s.sees("12:00:00", Tick{}, "begin 12:00:00 in parts", "wake 12:01:00")
		s.sees("12:01:00", Tick{}, "wake 12:02:00")
		s.sees("12:01:30", Stopping{}, "wake 12:02:00")
		s.sees("12:01:31", s.exits(0, 0))
	})
}

// TestHearingUntilTheEnd: what was told before it returns is on disk.
func TestHearingUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Hour}
		live(t, h, nil, func() {
			h.scheduler.Plan(planOf(daemon(nil)), false)
			synctest.Wait()
			<-time.After(time.Second)
		})
		over := h.begun[0].Record(host)
		over.State, over.Cancelled, over.Detail = fleet.RunRan, true, "enough"
		h.scheduler.Ended(&over)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := h.scheduler.Hear(ended); err != nil {
			t.Fatal(err)
		}
		var left memo
		if err := json.Unmarshal(h.Recall("default/t"), &left); err != nil || left.Upkeep.Run != "" || left.Upkeep.End != "it was stopped: enough" {
			t.Errorf("%v: the next agent is told %+v", err, left.Upkeep)
		}
	})
}
