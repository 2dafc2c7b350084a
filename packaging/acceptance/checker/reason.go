package checker

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// reasons checks that whatever did not run has a cause that was there at the
// time, each instant of a range its own.
func (s *story) reasons() {
	for i := range s.claims {
		c := &s.claims[i]
		row := c.last()
		if row.State != fleet.RunSkipped && row.State != fleet.RunMissed && row.State != fleet.RunUnknown {
			continue
		}
		s.compared(Explained, c.count)
		if at, why := s.unexplained(c, row); why != "" {
			s.violate(Explained, at, "%s(%s): %s", row.State, row.Reason, why)
		}
	}
}

// unexplained returns the first instant of a claim that nothing explains, and
// what is missing.
func (s *story) unexplained(c *claim, row *fleet.Run) (time.Time, string) {
	d := s.defined(row.Generation)
	switch {
	case fleet.Reasons[row.Reason] != row.State:
		return c.from, "the reason is none of that outcome"
	case d == nil:
		return c.from, "nobody gave the task"
	case row.Reason == fleet.SkippedOverlap:
		return s.untaken(c)
	case row.Reason == fleet.SkippedReplaced:
		return s.unreplaced(c)
	case row.Reason == fleet.MissedDeadline && c.ordered() && s.taken(c.from.Add(s.expiry(row.Order, c.from))):
		return time.Time{}, ""
	}
	kinds := causes[row.Reason]
	clock, ranged := d.clocks(s.host), c.count > 1
	for at := c.from; !at.After(c.to); {
		until, was := s.windows.until(kinds, s.task, s.host, at)
		if !was && !s.later(d, row, kinds, at) {
			return at, "nothing of that kind was going on then"
		}
		if !ranged {
			break
		}
		if !was || until.Before(at) {
			until = at
		}
		next, more := clock.Next(until)
		if !more {
			break
		}
		at = next
	}
	return time.Time{}, ""
}

// later reports whether the cause may have come while the occurrence waited, or
// while it ran.
func (s *story) later(d *definition, row *fleet.Run, kinds []Kind, at time.Time) bool {
	wait := d.deadline(s.host, at)
	switch {
	case row.Order != "":
		wait = s.expiry(row.Order, at)
	case d.queues(), d.Task.Limits.Fleet > 0, !d.Task.WaitFor.IsZero(), row.Attempt > 1, row.State == fleet.RunUnknown:
		wait = s.tolerance.Queue
	case row.Reason == fleet.MissedAgentDown && row.Attempt > 0:
		// it had begun, and the command had not
	case row.Reason == fleet.MissedAgentDown, row.Reason == fleet.MissedHostDown, row.Reason == fleet.MissedClockJump:
		wait = d.within()
	case row.Reason == fleet.SkippedCancelled:
		wait = s.tolerance.Queue
	}
	return s.windows.overlap(kinds, s.task, s.host, at, at.Add(wait))
}

// untaken looks for an instant that was skipped for overlap, when no run of the
// task was going on.
func (s *story) untaken(c *claim) (time.Time, string) {
	for _, at := range []time.Time{c.from, c.to} {
		if !s.taken(at) && !s.windows.overlap(steps, s.task, s.host, at, at) {
			return at, "no run of the task was going on then"
		}
	}
	return time.Time{}, ""
}

// unreplaced looks for what took the place of an instant: a later one, or an
// order.
func (s *story) unreplaced(c *claim) (time.Time, string) {
	for i := len(s.claims) - 1; i >= 0; i-- {
		if other := &s.claims[i]; other.to.After(c.to) || other.ordered() && !other.from.Equal(c.from) {
			return time.Time{}, ""
		}
	}
	for i := range s.Orders {
		if o := &s.Orders[i]; o.Task == s.task && o.Host == s.host && o.Due.After(c.from) {
			return time.Time{}, ""
		}
	}
	return c.to, "nothing took its place"
}
