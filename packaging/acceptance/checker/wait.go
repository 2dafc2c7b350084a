package checker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// defaultAwait is what a zero field of fleet.WaitFor stands for.
const defaultAwait = 5 * time.Minute

// patience is how long a run of the task may wait before it begins, for what it
// needs and for its place in the fleet.
func (d *definition) patience() (limit time.Duration) {
	if d.Task.Limits.Fleet > 0 {
		limit += cmp.Or(time.Duration(d.Task.Limits.Wait), fleet.DefaultLeaseWait) + fleet.LeaseBegin
	}
	if !d.Task.WaitFor.IsZero() { // and then for a slot
		limit += cmp.Or(time.Duration(d.Task.WaitFor.Timeout), defaultAwait) + fleet.MaxDeadline
	}
	return limit
}

// ready checks that what a task waits for was there shortly before it started.
func (s *story) ready(p *Probe) {
	d := s.defined(0)
	if d == nil || d.Task.WaitFor.IsZero() || p.Attempt > 1 {
		return
	}
	s.compared(Nothing, 1)
	from := p.At.Add(-2*fleet.MaxDeadline - s.tolerance.Late)
	for _, c := range s.windows.of([]Kind{Unready}, s.task, s.host) {
		if w, is := c.first(p.At.UnixNano()); is && w.from < from.UnixNano() && w.to > p.At.Add(2*s.tolerance.Late).UnixNano() &&
			!s.windows.overlap(steps, s.task, s.host, time.Unix(0, w.from), time.Unix(0, w.to)) { // else nobody knows what was when
			s.violate(Nothing, p.Occurrence.Nominal, "process %d started, and what the task waits for was not there since %s", p.PID, time.Unix(0, w.from).UTC())
		}
	}
}

// slots checks that no more runs go on at once on a host than it has slots.
func (c *check) slots() {
	for _, host := range slices.Sorted(maps.Keys(c.Slots)) {
		var all []going
		for _, p := range c.order {
			s := c.stories[p]
			if d := s.defined(0); p.host != host || d == nil || d.Task.Supervised() {
				continue
			}
			all = append(all, s.going()...)
		}
		slices.SortFunc(all, func(a, b going) int { return cmp.Compare(a.Start, b.Start) })
		c.verdict.Compared[Apart] += len(all)
		sweep(all, c.Slots[host], func(g going, others []going) {
			c.verdict.violate(Violation{Apart, g.Occurrence.Task, host, g.Occurrence.Nominal, "started beside " + processes(others) + ", more than the host has slots"})
		})
	}
}
