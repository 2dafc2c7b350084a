package checker

import (
	"slices"
	"sort"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// occurrences compares the records of each occurrence with each other and with
// the probes.
func (s *story) occurrences() {
	for i := range s.claims {
		c := &s.claims[i]
		s.attempts(c)
		probes := probesOf(s.probes, c.from)
		if c.count > 1 {
			probes = s.within(c)
		}
		s.once(c, probes)
		s.truthful(c, probes)
		s.onTime(c, probes)
		s.dimmed(c)
		s.healed(c)
	}
	for _, p := range s.probes {
		s.compared(Nothing, 1)
		s.ready(p)
		if s.at(p.Occurrence.Nominal) == nil {
			s.unrecorded(p)
		}
	}
}

// within returns the probes of a range's instants. An order may lie within it,
// and is none of them.
func (s *story) within(c *claim) (found []*Probe) {
	from := sort.Search(len(s.probes), func(i int) bool { return !s.probes[i].Occurrence.Nominal.Before(c.from) })
	for _, p := range s.probes[from:] {
		at := p.Occurrence.Nominal
		if at.After(c.to) {
			break
		}
		if s.at(at) == c {
			found = append(found, p)
		}
	}
	return found
}

// unrecorded is a probe that no record knows.
func (s *story) unrecorded(p *Probe) {
	at := p.Occurrence.Nominal
	switch {
	case s.due(at):
		if p.At.Add(s.tolerance.Settle).Before(s.Until) {
			s.violate(Truthful, at, "the probe saw it start at %s, and no record tells of it", p.At)
		}
	case !s.applies(at):
		s.violate(Nothing, at, "it ran at %s and was not due", p.At)
	case p.At.Add(s.tolerance.Settle).Before(s.Until):
		s.violate(Truthful, at, "the probe saw it start at %s, and no record tells of it", p.At)
	}
}

// applies reports whether the task is one that no clock makes due.
func (s *story) applies(time.Time) bool {
	d := s.defined(0)
	return d != nil && !d.Task.On.Clocked()
}

// due reports whether an instant is due under some stint.
func (s *story) due(nominal time.Time) bool {
	for i, stint := range s.stints {
		d := s.given[generation{s.task, stint.Generation}]
		if d == nil || !nominal.After(stint.After) || nominal.After(s.bound(i)) {
			continue
		}
		if next, ok := d.clocks(s.host).Next(nominal.Add(-1)); ok && next.Equal(nominal) {
			return true
		}
	}
	return false
}

// attempts checks that an occurrence has one outcome, and that its attempts
// lead to it.
func (s *story) attempts(c *claim) {
	s.compared(Exhaustive, 1)
	for i, row := range c.rows {
		last := i == len(c.rows)-1
		switch {
		case i > 0 && row.Attempt == c.rows[i-1].Attempt:
			s.violate(Exhaustive, c.from, "two records, %s and %s, %s(%s) and %s(%s)", c.rows[i-1].ID, row.ID, c.rows[i-1].State, c.rows[i-1].Reason, row.State, row.Reason)
		case i > 0 && row.Attempt != c.rows[i-1].Attempt+1:
			s.violate(Exhaustive, c.from, "attempt %d follows attempt %d", row.Attempt, c.rows[i-1].Attempt)
		case !last && !row.Attempted():
			s.violate(Exhaustive, c.from, "attempt %d is %s, which is final, and attempt %d follows", row.Attempt, row.State, row.Attempt+1)
		case last && row.Attempted():
			s.violate(Exhaustive, c.from, "attempt %d says that another follows at %s, and none does", row.Attempt, *row.Again)
		}
	}
	if last := c.last(); !last.State.Terminal() && !s.mayBeOpen(c) {
		s.violate(Exhaustive, c.from, "still %s at the end", last.State)
	}
	if d := s.defined(c.last().Generation); d != nil && len(c.rows) > max(1, d.Task.Retry.Attempts) {
		s.violate(AtMostOnce, c.from, "%d attempts, at most %d are allowed", len(c.rows), max(1, d.Task.Retry.Attempts))
	}
}

// mayBeOpen reports whether an occurrence without an outcome is one at the end.
func (s *story) mayBeOpen(c *claim) bool {
	row := c.last()
	since := c.from
	for _, at := range []*time.Time{row.Again, row.Started} {
		if at != nil && at.After(since) {
			since = *at
		}
	}
	if since.Add(s.tolerance.Settle).After(s.Until) {
		return true
	}
	if row.State == fleet.RunPending {
		d := s.defined(row.Generation)
		wait := time.Duration(0)
		if d != nil {
			wait = d.patience() + d.deadline(s.host, c.from) + s.tolerance.Settle
			if d.queues() { // it came to wait when the one before it had ended
				since = later(since, s.endedBefore(c))
			}
		}
		return d != nil && (d.Task.Limits.Fleet > 0 || !d.Task.WaitFor.IsZero()) && since.Add(s.tolerance.Queue).After(s.Until) || since.Add(wait).After(s.Until)
	}
	return slices.ContainsFunc(probesOf(s.probes, c.from), func(p *Probe) bool {
		return p.End == 0 || p.At.Add(p.End-p.Start+s.tolerance.Settle).After(s.Until)
	})
}

// endedBefore is when the last run of another occurrence ended that was due
// before one.
func (s *story) endedBefore(c *claim) (last time.Time) {
	for _, row := range s.rows {
		if row.Ended != nil && row.Due.Before(c.from) {
			last = later(last, *row.Ended)
		}
	}
	return last
}

// once counts the starts of each attempt.
func (s *story) once(c *claim, probes []*Probe) {
	s.compared(AtMostOnce, len(probes))
	for i := 1; i < len(probes); i++ {
		before, p := probes[i-1], probes[i]
		if !before.Occurrence.Nominal.Equal(p.Occurrence.Nominal) {
			continue
		}
		switch {
		case before.Attempt == p.Attempt:
			s.violate(AtMostOnce, c.from, "attempt %d started twice, as processes %d at %s and %d at %s", p.Attempt, before.PID, before.At, p.PID, p.At)
		case p.Start < before.End:
			s.violate(AtMostOnce, c.from, "attempt %d started %s before attempt %d had ended", p.Attempt, before.End-p.Start, before.Attempt)
		}
	}
	for _, p := range probes {
		if !slices.ContainsFunc(c.rows, func(row *fleet.Run) bool { return max(1, row.Attempt) == p.Attempt }) {
			s.violate(Truthful, c.from, "process %d is attempt %d, of which there is no record", p.PID, p.Attempt)
		}
	}
}

// truthful compares what each record says with what the probes saw.
func (s *story) truthful(c *claim, probes []*Probe) {
	for _, row := range c.rows {
		s.compared(Truthful, 1)
		var own []*Probe
		for _, p := range probes {
			if p.Attempt == max(1, row.Attempt) {
				own = append(own, p)
			}
		}
		s.agrees(row, own)
	}
}

func (s *story) agrees(row *fleet.Run, probes []*Probe) {
	killed := row.TimedOut || row.Cancelled || row.Signal != "" || row.Reason != ""
	switch {
	case row.State == fleet.RunSkipped || row.State == fleet.RunMissed:
		if len(probes) > 0 {
			p := probes[0]
			s.violate(Truthful, p.Occurrence.Nominal, "%s(%s) by the record, and process %d started at %s", row.State, row.Reason, p.PID, p.At)
		}
	case row.State == fleet.RunRan && len(probes) == 0:
		if !killed && len(s.probes) > 0 {
			s.violate(Truthful, row.Due, "ran by the record, and no probe saw attempt %d", row.Attempt)
		}
	case row.State == fleet.RunRan && probes[0].End == 0:
		if row.Succeeded() {
			s.violate(Truthful, row.Due, "exit 0 by the record, and process %d did not come to its end", probes[0].PID)
		}
	case row.State == fleet.RunRan && row.Started != nil:
		if off := probes[0].At.Sub(*row.Started); (off > s.tolerance.Record || off < -s.tolerance.Record) && !s.windows.overlap(slices.Concat(steps, []Kind{AgentStopped, Overload}), s.task, s.host, *row.Started, probes[0].At) {
			s.violate(OnTime, row.Due, "started at %s by the record, at %s by the probe", *row.Started, probes[0].At)
		}
	}
}

// healed checks that nothing is missed when everything is well again.
func (s *story) healed(c *claim) {
	from := c.from
	if c.ordered() {
		from, _ = s.ordered(c.first().Order, c.from)
	}
	if s.Healed.IsZero() || !from.After(s.Healed.Add(s.tolerance.Settle)) {
		return
	}
	s.compared(Heals, c.count)
	if row := c.last(); row.State == fleet.RunMissed || row.State == fleet.RunUnknown {
		own := []Kind{StartsFail, Unready, Taken, Overload} // the task's fault, not the fleet's
		if c.ordered() {
			own = append(own, Cancelled) // nobody has the task that was ordered
		}
		if s.windows.overlap(own, s.task, s.host, c.from, c.to) {
			return
		}
		s.violate(Heals, c.from, "%s(%s), and everything was well since %s", row.State, row.Reason, s.Healed)
	}
}
