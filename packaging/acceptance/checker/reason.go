package checker

import (
	"fmt"
	"slices"
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
	case c.ordered():
		return s.unordered(d, c, row)
	case row.Reason == fleet.SkippedOverlap:
		return s.untaken(d, c)
	case row.Reason == fleet.SkippedReplaced:
		return s.unreplaced(c)
	case row.Reason == fleet.SkippedBreaker:
		return s.unbroken(d, c)
	case row.Reason == fleet.SkippedCancelled && d.Task.Limits.Overlap == fleet.OverlapReplace: // while it waited
		if at, why := s.unreplaced(c); why == "" {
			return at, ""
		}
	}
	kinds := causes[row.Reason]
	if row.Reason == fleet.MissedSpecLate && &s.claims[0] == c { // that it came was not written, and the agent killed
		kinds = slices.Concat(kinds, gathers, []Kind{DiskFull})
	}
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
	case d.queues(), d.Task.Limits.Fleet > 0, !d.Task.WaitFor.IsZero(), row.Attempt > 1, row.State == fleet.RunUnknown:
		wait = s.tolerance.Queue
	case row.Reason == fleet.SkippedCancelled:
		wait = s.tolerance.Queue
	case row.Reason == fleet.SkippedPaused: // the agent that came back does not know since when
		if until, away := s.windows.until(gathers, s.task, s.host, at); away {
			wait = until.Sub(at)
		}
	case s.excused(d, at): // it may have been caught up
		wait = max(wait, d.within())
	}
	wide := s.widen(interval{at.UnixNano(), at.Add(wait).UnixNano()})
	return s.windows.overlap(kinds, s.task, s.host, time.Unix(0, wide.from), time.Unix(0, wide.to))
}

// unordered says why an order came to nothing without a cause. It may have been
// given up at any time from when it reached the host until it expired.
func (s *story) unordered(d *definition, c *claim, row *fleet.Run) (time.Time, string) {
	from, expires := s.ordered(row.Order, c.from)
	to := expires.Add(s.tolerance.Late)
	if from.After(to) || row.Attempt > 1 || row.State == fleet.RunUnknown || s.waitsFor(c) > 0 {
		to = later(from, to).Add(s.tolerance.Queue)
	}
	nanos := interval{from.Add(-s.tolerance.Late).UnixNano(), to.UnixNano()}
	kinds := causes[row.Reason]
	switch taken := s.busy.overlaps(nanos.from, nanos.to); row.Reason {
	case fleet.SkippedOverlap:
		if taken {
			return time.Time{}, ""
		}
	case fleet.SkippedReplaced:
		return s.unreplaced(c)
	case fleet.SkippedCancelled: // while it waited for its slot
		if _, why := s.unreplaced(c); why == "" && d.Task.Limits.Overlap == fleet.OverlapReplace && s.waitsFor(c) > 0 {
			return time.Time{}, ""
		}
	case fleet.SkippedBreaker:
		return s.unbroken(d, c)
	case fleet.MissedDeadline:
		if taken || from.After(expires) {
			return time.Time{}, ""
		}
		kinds = slices.Concat(faults, []Kind{Cancelled, CollectorAway})
	}
	if s.windows.overlap(kinds, s.task, s.host, from, to) {
		return time.Time{}, ""
	}
	return c.from, "nothing of that kind was going on while it waited"
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// untaken looks for an instant that was skipped for overlap, when no run of the
// task was going on at any time at which it might have begun.
func (s *story) untaken(d *definition, c *claim) (time.Time, string) {
	for _, at := range []time.Time{c.from, c.to} {
		latest := at.Add(d.deadline(s.host, at) + s.tolerance.Late)
		if s.Slots[s.host] > 0 && s.windows.overlap([]Kind{Overload}, s.task, s.host, at.Add(-s.tolerance.Settle), latest) {
			continue // a run of it may have waited for its slot
		}
		if !s.busy.overlaps(at.UnixNano(), latest.UnixNano()) && !s.windows.overlap(steps, s.task, s.host, at, at) {
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
	if c.to.Add(s.tolerance.Queue).After(s.Until) && s.taken(s.Until) {
		return time.Time{}, "" // what did so waits for a run that goes on
	}
	return c.to, "nothing took its place"
}

// unbroken looks for the failures that open the breaker of a task, or of all
// that share its key. They may be long ago: a breaker is half-open until a run
// tries, and a task may be paused for hours.
func (s *story) unbroken(d *definition, c *claim) (time.Time, string) {
	b := d.Task.Breaker
	if b.Failures == 0 {
		return c.from, "the task has no breaker"
	}
	at, n := c.from, 0
	if c.ordered() {
		at, _ = s.ordered(c.first().Order, at)
	}
	to := later(at, c.to).Add(s.tolerance.Queue) // it may have waited, or the clock was set back
	for _, other := range s.check.stories {
		if other.host != s.host || other.task != s.task && (b.Key == "" || !other.shares(s.task.Namespace(), b.Key)) {
			continue
		}
		for _, run := range other.attempted() {
			if ended := over(run); run.Failed() && ended.Before(to) {
				n++
			}
		}
	}
	if n < b.Failures {
		return c.from, fmt.Sprintf("%d failures before it, %d open the breaker", n, b.Failures)
	}
	return time.Time{}, ""
}

func (s *story) shares(namespace, key string) bool {
	d := s.defined(0)
	return d != nil && s.task.Namespace() == namespace && d.Task.Breaker.Key == key
}

// attempted are the runs of the task that ended well or badly.
func (s *story) attempted() (runs []*fleet.Run) {
	for _, row := range s.rows {
		if row.Attempt > 0 && !row.Cancelled && (row.State == fleet.RunRan || row.State == fleet.RunUnknown || row.Reason == fleet.MissedForkFailed) {
			runs = append(runs, row)
		}
	}
	return runs
}

// over is when a run ended, or was to begin.
func over(run *fleet.Run) time.Time {
	if run.Ended != nil {
		return *run.Ended
	}
	return run.Due
}
