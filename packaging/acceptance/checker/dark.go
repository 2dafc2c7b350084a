package checker

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// darkness is when tasks are not meant to run: exactly, for a calendar knows
// neither early nor late.
func darkness(all []Window) map[place]cover {
	lists := map[place][]interval{}
	for _, w := range all {
		if w.Kind == Blackout {
			at := place{Blackout, w.Host, w.Task}
			lists[at] = append(lists[at], interval{w.From.UnixNano(), w.To.UnixNano()})
		}
	}
	found := map[place]cover{}
	for at, list := range lists {
		found[at] = newCover(list)
	}
	return found
}

// darkAt reports whether an instant of the task is not meant.
func (s *story) darkAt(at time.Time) bool {
	nano := at.UnixNano()
	for _, where := range []place{{Blackout, s.host, s.task}, {Blackout, s.host, ""}, {Blackout, "", s.task}, {Blackout, "", ""}} {
		if s.dark[where].overlaps(nano, nano) {
			return true
		}
	}
	return false
}

// dimmed checks that an instant that is not meant is skipped, whoever was there,
// and that nothing else is for that reason.
func (s *story) dimmed(c *claim) {
	d := s.defined(c.last().Generation)
	if d == nil || c.ordered() || !d.Task.On.Clocked() || len(d.Task.On.Blackout) == 0 {
		return
	}
	s.compared(Nothing, 1)
	row := c.last()
	for _, at := range []time.Time{c.from, c.to} {
		switch dark := s.darkAt(at); {
		case dark && row.Reason != fleet.SkippedBlackout && row.Reason != fleet.SkippedPaused && row.Reason != fleet.SkippedCancelled:
			s.violate(Nothing, at, "%s(%s), and it lies in a window in which the task is not meant to run", row.State, row.Reason)
		case !dark && row.Reason == fleet.SkippedBlackout:
			s.violate(Explained, at, "skipped(blackout), and it lies in no window")
		}
	}
}
