package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAfterEndWhenTheClockIsSetBack: a period goes on however far the clock was
// set back, and no occurrence comes twice.
func TestAfterEndWhenTheClockIsSetBack(t *testing.T) {
	rested := every(10*time.Minute, func(t *fleet.Task) { t.On.AfterEnd = true })
	base := func(at string) string { return `remember {"base":"2026-03-02T` + at + `Z"}` }
	open := func(at string) string { return `remember {"base":"2026-03-02T` + at + `Z","open"}` }
	back := ClockJumped{By: -2 * time.Hour}
	given := func(t *testing.T) *story {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		return s
	}
	ran := func(t *testing.T) *story { // from 12:10 to 12:20
		s := given(t)
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.at("12:20:00", s.ends(0), base("12:20:00"), "wake 12:30:00")
		return s
	}
	t.Run("while it rests", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00") // at 12:24
		s.at("10:30:00", Tick{}, open("10:20:00"), "begin 12:20:00.001")
		s.at("10:33:00", s.ends(1), base("10:33:00"), "wake 10:43:00")
		s.at("10:43:00", Tick{}, open("10:33:00"), "begin 12:20:00.002")
		s.at("12:19:59", s.ends(2), base("12:19:59"), "wake 12:29:59") // and the clock has come so far again
		s.at("12:29:59", Tick{}, open("12:19:59"), "begin 12:29:59")
	})
	t.Run("by less than it has rested", func(t *testing.T) {
		s := ran(t)
		s.at("12:22:00", ClockJumped{By: -3 * time.Minute}, base("12:17:00"), "wake 12:27:00") // at 12:25
		s.at("12:27:00", Tick{}, open("12:17:00"), "begin 12:27:00")
	})
	t.Run("twice", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		s.at("08:25:00", back, base("08:20:00"), "wake 08:30:00")
		s.at("08:30:00", Tick{}, open("08:20:00"), "begin 12:20:00.001")
	})
	t.Run("while it runs", func(t *testing.T) {
		s := given(t)
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.at("10:15:00", back)
		s.at("10:20:00", s.ends(0), base("10:20:00"), "wake 10:30:00")
		s.at("10:30:00", Tick{}, open("10:20:00"), "begin 12:10:00.001")
	})
	t.Run("while no agent runs", func(t *testing.T) {
		s := ran(t)
		s.restart("10:25:00", "")
		s.at("10:25:00", came(rested), base("10:25:00"), "wake 10:35:00")
		s.at("10:35:00", Tick{}, open("10:25:00"), "begin 12:10:00.001") // after the last that is on disk
	})
	t.Run("while no agent runs, behind the end of a run that was ordered and a new acceptance", func(t *testing.T) {
		s := tell(t, "09:59:30")
		earlier := rested
		earlier.Since = noon.Add(-3 * time.Hour)
		s.at("10:00:00", plan(earlier), base("10:00:00"), "wake 10:10:00")
		ordered := plan(earlier)
		ordered.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour)}}
		s.at("10:05:00", ordered, open("10:00:00"), "begin 12:00:00 for o1")
		s.at("12:20:00", s.ends(0), base("12:20:00"), "wake 12:30:00")
		s.restart("10:25:00", "")
		newer := rested
		newer.Generation, newer.Since = 2, noon.Add(25*time.Minute)
		s.at("10:25:00", came(newer), base("10:25:00"), "wake 10:35:00")
	})
	t.Run("and no agent runs afterwards", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		s.restart("10:26:00", "")
		s.at("10:26:00", came(rested), base("10:26:00"), "wake 10:36:00")
		s.at("10:36:00", Tick{}, open("10:26:00"), "begin 12:10:00.001")
	})
	t.Run("and the agent stands still", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		s.at("10:58:00", Tick{}, "missed deadline 12:20:00.001 to 12:20:00.003, 3", "wake 11:00:00")
	})
	t.Run("and put right again", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		s.at("12:27:00", ClockJumped{By: 2 * time.Hour}, base("12:20:00"), "wake 12:30:00")
		s.at("12:30:00", Tick{}, open("12:20:00"), "begin 12:30:00")
	})
	t.Run("while it is paused", func(t *testing.T) {
		s := ran(t)
		paused := rested
		paused.State = fleet.TaskPaused
		s.at("12:21:00", plan(paused), "wake 12:30:00")
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		s.at("10:55:00", plan(rested), "skipped paused 12:20:00.001 to 12:20:00.003, 3", "wake 11:00:00")
		s.at("11:00:00", Tick{}, open("10:20:00"), "begin 12:20:00.004")
	})
	t.Run("and it is changed", func(t *testing.T) {
		s := ran(t)
		s.at("10:24:00", back, base("10:20:00"), "wake 10:30:00")
		often := every(time.Minute, func(t *fleet.Task) { t.On.AfterEnd = true })
		often.Generation = 2
		s.at("10:24:30", plan(often), "wake 10:25:00")
		s.at("10:25:00", Tick{}, open("10:20:00"), "begin 12:20:00.001")
	})
	t.Run("and it is changed to what was due before", func(t *testing.T) {
		s := ran(t)
		s.at("12:22:00", ClockJumped{By: -3 * time.Minute}, base("12:17:00"), "wake 12:27:00")
		s.at("12:27:00", Tick{}, open("12:17:00"), "begin 12:27:00")
		s.at("12:29:00", s.ends(1), base("12:29:00"), "wake 12:39:00")
		often := every(2*time.Minute, func(t *fleet.Task) { t.On.AfterEnd = true })
		often.Generation = 2
		s.at("12:36:30", plan(often), "missed spec_late 12:31:00 to 12:35:00, 3", "wake 12:37:00")
	})
}
