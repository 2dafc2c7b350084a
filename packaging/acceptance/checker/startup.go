package checker

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Life is one agent's: when it started, and whether it was the first since the
// host came up.
type Life struct {
	Host fleet.HostID
	At   time.Time
	Boot bool
}

// startups checks that a task that is due when the host or the agent starts has
// one occurrence for each of those that found it there, and no other.
func (s *story) startups() {
	d := s.defined(0)
	if d == nil || d.Task.On.Startup == "" || d.Task.Supervised() || len(s.Lives) == 0 {
		return
	}
	var lives []Life
	for _, l := range s.Lives {
		if l.Host == s.host && (l.Boot || d.Task.On.Startup == fleet.StartupAgent) {
			lives = append(lives, l)
		}
	}
	found, others := map[time.Time]bool{}, 0
	for i := range s.claims {
		c := &s.claims[i]
		if c.ordered() {
			continue
		}
		s.compared(Nothing, 1)
		if slices.ContainsFunc(lives, func(l Life) bool { return l.At.Equal(c.from) }) {
			found[c.from] = true
		} else if others++; !s.windows.overlap([]Kind{ClockBack}, "", s.host, c.from, c.from.Add(time.Second)) {
			s.violate(Nothing, c.from, "nothing started then at which the task is due")
		}
	}
	if all := len(found) + others; all > len(lives) {
		s.violate(AtMostOnce, s.Until, "%d occurrences of %d starts", all, len(lives))
	}
	for i, l := range lives {
		if !s.mustStart(l) || found[l.At] {
			continue
		}
		s.compared(Exhaustive, 1)
		if others == 0 {
			s.violate(Exhaustive, l.At, "start %d of the host, and no record tells what became of the task", i+1)
		}
	}
}

// mustStart reports whether the host had the task when it started, and the agent
// lived long enough to say what became of it.
func (s *story) mustStart(l Life) bool {
	had := false
	for _, a := range s.applied {
		if a.At.Before(l.At) {
			had = a.Generation != 0
		} else if a.At.Before(l.At.Add(s.tolerance.Settle)) {
			return false // it was changed in that moment
		}
	}
	killed := s.windows.overlap([]Kind{AgentDown, HostDown, DiskFull, AgentStopped, Suspended}, "", s.host, l.At.Add(2*s.tolerance.Late), l.At.Add(2*s.tolerance.Settle))
	return had && !killed && !s.windows.overlap(steps, "", s.host, l.At.Add(-s.tolerance.Queue), l.At.Add(s.tolerance.Settle)) && l.At.Add(s.tolerance.Settle).Before(s.Until)
}
