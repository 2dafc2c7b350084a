package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestNoEventRunsAPausedTask: while a task is paused only a person's word begins
// it, however long ago the event came, and whatever attempts it has left.
func TestNoEventRunsAPausedTask(t *testing.T) {
	task := retried(fleet.OverlapQueue)
	task.Task.On = fleet.Trigger{Event: "deployed"}
	paused := task
	paused.State = fleet.TaskPaused
	wishes := func(a fleet.Assignment, ids ...fleet.OrderID) PlanChanged {
		e := plan(a)
		for _, id := range ids {
			e.Orders = append(e.Orders, fleet.Order{
				ID: id, Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: fleet.RunID(id + "r"), Due: noon, Expires: noon.Add(time.Hour), Cause: "event deployed",
			})
		}
		return e
	}
	t.Run("that waits for its turn", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", wishes(task, "o1", "o2"), "begin 12:00:00 for o1", "wake 13:00:00")
		s.at("12:00:10", wishes(paused, "o1", "o2"), "skipped paused 12:00:00 for o2")
		s.at("12:00:20", s.ends(0))
	})
	t.Run("that comes then", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", wishes(paused, "o1"), "skipped paused 12:00:00 for o1")
	})
	t.Run("whose attempt is pending", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", wishes(task, "o1"), "begin 12:00:00 for o1")
		s.at("12:00:10", s.fails(0, "12:00:30"), "wake 12:00:30")
		s.at("12:00:20", plan(paused), "skipped paused 12:00:00 for o1 again, 2")
	})
	t.Run("whose attempt follows", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", wishes(task, "o1"), "begin 12:00:00 for o1")
		s.at("12:00:10", plan(paused))
		s.at("12:00:20", s.fails(0, "12:00:30"), "skipped paused 12:00:00 for o1 again, 2")
	})
}
