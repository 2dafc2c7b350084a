package scheduler

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestATaskThatComesBack left the host, and was given to it again while no agent
// looked: what was due while it was away was nobody's.
func TestATaskThatComesBack(t *testing.T) {
	left := func(t *testing.T) *story {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:10", plan(), "pass 12:00:00 to generation 0, last 12:00:00")
		s.restart("12:05:30", "")
		return s
	}
	t.Run("of a generation from before it left", func(t *testing.T) {
		s := left(t)
		s.at("12:06:10", plan(given(nil)), "pass 12:06:10", "wake 12:07:00")
	})
	t.Run("paused", func(t *testing.T) {
		s := left(t)
		s.at("12:06:10", plan(given(func(a *fleet.Assignment) { a.State = fleet.TaskPaused })), "pass 12:06:10", "wake 12:07:00")
	})
	t.Run("of one that was accepted since", func(t *testing.T) {
		s := left(t)
		s.at("12:06:10", plan(given(func(a *fleet.Assignment) { a.Generation, a.Since = 2, clock(t, "12:03:30") })),
			"pass 12:03:30 to generation 2", "missed spec_late 12:04:00 to 12:05:00, 2", "begin 12:06:00", "wake 12:07:00")
	})
}

// TestAClockThatIsBehind: a host whose clock is behind the collectors' gets a
// definition before the instant of its acceptance. It counts from then on, by
// the host's clock, and leaves no hole behind the one before it.
func TestAClockThatIsBehind(t *testing.T) {
	s := tell(t, "11:50:00")
	s.at("11:50:10", plan(given(nil)), "pass 11:50:10", "wake 11:51:00")
	s.at("11:51:00", Tick{}, "begin 11:51:00", "wake 11:52:00")
	s.at("11:51:01", s.ends(0), "wake 11:52:00")
	s.at("11:51:10", plan(given(func(a *fleet.Assignment) { a.Generation, a.Since = 2, noon })),
		"pass 11:51:10 to generation 2, last 11:51:00", "wake 11:52:00")
	s.restart("11:51:20", "")
	s.at("11:51:30", plan(given(func(a *fleet.Assignment) { a.Generation, a.Since = 2, noon })), "wake 11:52:00")
	s.at("11:52:00", Tick{}, "begin 11:52:00", "wake 11:53:00")
}

// TestATaskThatLeftUnsaid is not in the plan that an agent finds, and the one
// before was killed before it could say so: its stint ends where it was decided.
func TestATaskThatLeftUnsaid(t *testing.T) {
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.restart("12:05:30", "")
	s.at("12:05:31", PlanChanged{Stored: true}, "pass 12:00:00 to generation 0, last 12:00:00")
	s.at("12:05:32", plan())
	s.at("12:06:10", plan(given(nil)), "pass 12:06:10", "wake 12:07:00")
}
