package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// closed is a calendar named freeze with a window on the day of noon, from and to
// as minutes after 12.
func closed(from, to int) fleet.Calendar {
	begins, ends := noon.Add(time.Duration(from)*time.Minute), noon.Add(time.Duration(to)*time.Minute)
	return fleet.Calendar{Name: "freeze", Windows: []fleet.Window{{From: &begins, To: &ends, Summary: "inventory"}}}
}

// minding is a plan of a task that minds the calendar.
func minding(c fleet.Calendar, change func(a *fleet.Assignment)) PlanChanged {
	e := plan(given(func(a *fleet.Assignment) {
		a.Task.On.Blackout = []string{"freeze"}
		if change != nil {
			change(a)
		}
	}))
	e.Calendars = []fleet.Calendar{c}
	return e
}

func TestBlackout(t *testing.T) {
	t.Run("skips what is due within", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", minding(closed(1, 3), nil), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:30", s.ends(0), "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped blackout 12:01:00", "wake 12:02:00")
		s.at("12:02:00", Tick{}, "skipped blackout 12:02:00", "wake 12:03:00")
		s.at("12:03:00", Tick{}, "begin 12:03:00", "wake 12:04:00")
	})
	t.Run("of what came while the agent was down, too", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.memory.decided["default/t"], s.memory.counted["default/t"] = noon.Add(-10*time.Minute), 1
		s.restart("12:00:40", "")
		s.at("12:00:40", minding(closed(-5, -2), nil), "missed agent_down 11:51:00 to 11:54:00, 4",
			"skipped blackout 11:55:00 to 11:57:00, 3", "missed agent_down 11:58:00 to 12:00:00, 3", "wake 12:01:00")
	})
	t.Run("does not catch up what lies within", func(t *testing.T) {
		once := func(a *fleet.Assignment) { a.Task.On.Missed.Policy = fleet.MissedOnce }
		s := tell(t, "11:00:00")
		s.memory.decided["default/t"], s.memory.counted["default/t"] = noon.Add(-5*time.Minute), 1
		s.restart("12:00:40", "")
		s.at("12:00:40", minding(closed(-2, 1), once), "missed agent_down 11:56:00", "begin 11:57:00", "skipped blackout 11:58:00 to 12:00:00, 3", "wake 12:01:00")
	})
	t.Run("leaves alone what waits for its turn", func(t *testing.T) {
		queue := func(a *fleet.Assignment) { a.Task.Limits.Overlap = fleet.OverlapQueue }
		s := tell(t, "11:59:30")
		s.at("11:59:31", minding(closed(2, 4), queue), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "wake 12:02:00")
		s.at("12:02:00", Tick{}, "wake 12:03:00")
		s.at("12:03:00", Tick{}, "wake 12:04:00")
		s.at("12:03:30", s.ends(0), "begin 12:01:00", "skipped blackout 12:02:00 to 12:03:00, 2", "wake 12:04:00")
	})
	t.Run("is overtaken by what replaces", func(t *testing.T) {
		queue := func(a *fleet.Assignment) { a.Task.Limits.Overlap = fleet.OverlapQueue }
		s := tell(t, "11:59:30")
		s.at("11:59:31", minding(closed(2, 3), queue), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "wake 12:02:00")
		s.at("12:02:00", Tick{}, "wake 12:03:00")
		s.at("12:03:00", Tick{}, "skipped replaced 12:01:00", "skipped blackout 12:02:00", "wake 12:04:00")
		s.at("12:03:30", s.ends(0), "begin 12:03:00", "wake 12:04:00")
	})
	t.Run("of an event, not of a person's word", func(t *testing.T) {
		order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour)}
		event := order
		event.ID, event.Run, event.Cause = "o2", "r2", "event deployed"
		e := minding(closed(0, 5), func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Event: "deployed", Blackout: []string{"freeze"}} })
		e.Orders = []fleet.Order{order, event}
		tell(t, "11:59:30").at("12:01:00", e, "begin 12:00:00 for o1", "skipped blackout 12:00:00 for o2")
	})
	t.Run("follows its calendar", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", minding(closed(0, 5), nil), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "skipped blackout 12:00:00", "wake 12:01:00")
		s.at("12:01:30", minding(closed(0, 1), nil), "skipped blackout 12:01:00", "wake 12:02:00")
		s.at("12:02:00", Tick{}, "begin 12:02:00", "wake 12:03:00")
	})
	t.Run("of every second for a year is soon told", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.memory.decided["default/t"], s.memory.counted["default/t"] = noon.AddDate(-1, 0, 0), 1
		s.restart("12:00:00.7", "")
		nights := fleet.Calendar{Name: "freeze", Windows: []fleet.Window{{Cron: "0 22 * * *", For: fleet.Duration(8 * time.Hour)}}}
		s.state.memory = s.memory
		skipped, missed := 0, 0
		for _, a := range s.state.Step(noon.Add(700*time.Millisecond), minding(nights, func(a *fleet.Assignment) {
			a.Since = noon.AddDate(-2, 0, 0)
			a.Task.On = fleet.Trigger{Every: fleet.Duration(time.Second), Blackout: []string{"freeze"}}
		})) {
			if settle, is := a.(Settle); is && settle.Run.State == fleet.RunSkipped {
				skipped += settle.Run.Instants()
			} else if is {
				missed += settle.Run.Instants()
			}
		}
		if skipped != 365*8*3600 || missed != 365*16*3600 {
			t.Errorf("%d skipped, %d missed", skipped, missed)
		}
	})
}

// TestSentences: what is skipped says why.
func TestSentences(t *testing.T) {
	details := func(s *State, at time.Time, event Event) (all []string) {
		for _, a := range s.Step(at, event) {
			if settle, is := a.(Settle); is && settle.Run.Detail != "" {
				all = append(all, settle.Run.Detail)
			}
		}
		return all
	}
	for at, want := range map[string]string{
		"12:01:00": "the run of 2026-03-02T12:00:00Z still goes on",
		"12:02:00": "calendar freeze: inventory, until 2026-03-02T12:03:00Z",
	} {
		single := tell(t, "11:59:30")
		single.at("11:59:31", minding(closed(2, 3), nil), "pass 11:59:00", "wake 12:00:00")
		single.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		if at == "12:02:00" {
			single.at("12:01:00", Tick{}, "skipped overlap 12:01:00", "wake 12:02:00")
		}
		if got := details(single.state, clock(t, at), Tick{}); len(got) != 1 || got[0] != want {
			t.Errorf("at %s: %q, want %q", at, got, want)
		}
	}
	again := failedAt12(t, retried(""))
	if got := details(again.state, noon.Add(20*time.Second), plan()); len(got) != 1 || got[0] != gone {
		t.Errorf("%q, want %q", got, gone)
	}
}
