package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// bursts is a plan with an event's task that merges for ten seconds, and an
// order for each of the offsets from noon.
func bursts(overlap fleet.Overlap, seconds ...int) PlanChanged {
	a := given(func(a *fleet.Assignment) {
		a.Task.On = fleet.Trigger{Event: "deployed", Merge: fleet.Duration(10 * time.Second)}
		a.Task.Limits.Overlap = overlap
	})
	e := plan(a)
	for i, second := range seconds {
		e.Orders = append(e.Orders, fleet.Order{
			ID: fleet.OrderID(fmt.Sprint("o", i+1)), Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: fleet.RunID(fmt.Sprint("r", i+1)),
			Due: noon.Add(time.Duration(second) * time.Second), Expires: noon.Add(time.Hour), Cause: "event deployed", Payload: fmt.Sprint(i + 1),
		})
	}
	return e
}

func TestBurstsAreMerged(t *testing.T) {
	t.Run("into the run of the last", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:00", bursts("", 0), "wake 12:00:10")
		s.at("12:00:05", bursts("", 0, 5), "wake 12:00:10")
		s.at("12:00:09", bursts("", 0, 5, 9), "wake 12:00:10")
		s.at("12:00:10", Tick{}, "skipped merged 12:00:00 for o1", "skipped merged 12:00:05 for o2", "begin 12:00:09 for o3")
		if s.dues[0].Payload != "3" {
			t.Errorf("it gets the payload %q", s.dues[0].Payload)
		}
		s.at("12:00:11", bursts("", 0, 5, 9))
	})
	t.Run("each apart from the next", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:12", bursts(fleet.OverlapAllow, 0, 10, 11), "skipped merged 12:00:00 for o1", "begin 12:00:10 for o2", "wake 12:00:21")
		s.at("12:00:12", s.ends(0), "wake 12:00:21")
		s.at("12:00:21", Tick{}, "begin 12:00:11 for o3")
	})
	t.Run("and wait no second time for their turn", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:10", bursts(fleet.OverlapQueue, 0), "begin 12:00:00 for o1")
		s.at("12:00:30", bursts(fleet.OverlapQueue, 0, 15, 20), "skipped merged 12:00:15 for o2", "wake 13:00:00")
		s.at("12:00:31", bursts(fleet.OverlapQueue, 0, 15, 20, 31), "wake 12:00:41")
		s.at("12:00:35", s.ends(0), "begin 12:00:20 for o3", "wake 12:00:41")
	})
	t.Run("and a run knows its parent", func(t *testing.T) {
		e := bursts("", 0)
		e.Orders[0].Cause, e.Orders[0].Parent = "", "r0"
		s := tell(t, "11:00:00")
		s.at("12:00:00", e, "begin 12:00:00 for o1")
		if record := s.dues[0].Record(host); record.Parent != "r0" {
			t.Errorf("the record says %q", record.Parent)
		}
	})
	t.Run("not what a person orders", func(t *testing.T) {
		e := bursts("", 0)
		e.Orders[0].Cause = ""
		tell(t, "11:00:00").at("12:00:00", e, "begin 12:00:00 for o1")
	})
	t.Run("by the next agent as well", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:09", bursts("", 0, 5), "wake 12:00:10")
		s.restart("12:00:20", "")
		s.at("12:00:20", bursts("", 0, 5), "skipped merged 12:00:00 for o1", "begin 12:00:05 for o2")
	})
	t.Run("unless they expire", func(t *testing.T) {
		e := bursts("", 0)
		e.Orders[0].Expires = noon.Add(5 * time.Second)
		s := tell(t, "11:00:00")
		s.at("12:00:00", e, "wake 12:00:05")
		s.at("12:00:06", Tick{}, "missed deadline 12:00:00 for o1")
	})
}
