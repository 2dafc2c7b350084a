package checker

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// working are the windows in which a task with a period after its end need not
// run. A clock that was set back is none of them.
var working = []Kind{AgentDown, AgentStopped, HostDown, Suspended, ClockForward, DiskFull, StartsFail, Paused, Cancelled, PlanLate, Overload, Unready, Blackout}

// rests checks a task whose period is counted from the end of the run before: it
// never rests for less, and for more only where something kept it.
func (s *story) rests() {
	least, most := time.Duration(0), time.Duration(0)
	for at, d := range s.given {
		if at.task != s.task {
			continue
		}
		if !d.Task.On.AfterEnd || d.Task.Retry.Attempts > 1 {
			return
		}
		period := time.Duration(d.Task.On.Every)
		if most = max(most, period); least == 0 || period < least {
			least = period
		}
	}
	all := s.going()
	for i := 1; i < len(all); i++ {
		before, g := all[i-1], all[i]
		row := s.row(g.Probe)
		if before.End == 0 || row == nil || row.Order != "" {
			continue
		}
		s.compared(OnTime, 1)
		gap, from, to := g.Start-before.End, earlier(before.At, g.At), later(before.At.Add(before.End-before.Start), g.At)
		switch {
		case gap+s.tolerance.Early < least && !s.windows.overlap(steps, s.task, s.host, from, to):
			s.violate(OnTime, g.Occurrence.Nominal, "it rested for %s, and is to rest for %s", gap, least)
		case gap > most+2*s.tolerance.Late && !s.windows.overlap(working, s.task, s.host, from, to) && !s.gaveUp(from, to):
			s.violate(OnTime, g.Occurrence.Nominal, "it rested for %s after it ended at %s, and is to rest for %s", gap, before.At.Add(before.End-before.Start), most)
		}
	}
}

// gaveUp reports whether an occurrence came to nothing between two instants.
func (s *story) gaveUp(from, to time.Time) bool {
	for i := range s.claims {
		c := &s.claims[i]
		if row := c.last(); (row.State == fleet.RunSkipped || row.State == fleet.RunMissed) && !c.to.Before(from) && !c.from.After(to.Add(s.tolerance.Late)) {
			return true
		}
	}
	return false
}
