package checker

import (
	"container/heap"
	"slices"
	"sort"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// onTime checks when the first attempt of an occurrence started.
func (s *story) onTime(c *claim, probes []*Probe) {
	d := s.defined(c.last().Generation)
	if d == nil || d.Task.Supervised() || d.Task.On.Startup != "" || c.count > 1 { // late is better than not
		return
	}
	for _, p := range probes {
		if p.Attempt > 1 {
			continue
		}
		s.compared(OnTime, 1)
		late := p.At.Sub(c.from)
		switch {
		case late < -s.tolerance.Early && !c.ordered() && !s.shown(p, c.from):
			s.violate(OnTime, c.from, "process %d started %s too early", p.PID, -late)
		case late > s.allowed(d, c, p)+s.tolerance.Late && !s.windows.overlap(steps, s.task, s.host, c.from, p.At):
			s.violate(OnTime, c.from, "process %d started %s late, %s is allowed", p.PID, late, s.allowed(d, c, p))
		}
	}
}

// shown reports whether the clock had shown the instant before it was set back
// to what the probe read.
func (s *story) shown(p *Probe, nominal time.Time) bool {
	until, was := s.windows.until([]Kind{ClockBack}, s.task, s.host, p.At)
	return was && !until.Before(nominal)
}

// allowed is how late an occurrence may start.
func (s *story) allowed(d *definition, c *claim, p *Probe) time.Duration {
	limit := d.deadline(s.host, c.from)
	if c.ordered() {
		_, expires := s.ordered(c.first().Order, c.from)
		limit = expires.Sub(c.from)
	}
	if s.waitsFor(c) > 0 {
		limit += d.patience()
		if late := p.At.Sub(c.from); late > limit && s.windows.overlap(away, s.task, s.host, c.from, p.At) {
			limit = late // the agent that came back went on where the one before had waited
		}
	}
	if within := d.within(); within > limit && s.excused(d, c.from) {
		limit = within
	}
	if s.Slots[s.host] > 0 { // and then it waits for its slot
		limit += d.deadline(s.host, c.from)
	}
	if late := p.At.Sub(c.from); late > limit && d.queues() && s.waited(p) {
		limit = late
	}
	return limit
}

// ordered is until when an order of the task may be carried out, and from when
// on, by the host's clock.
func (s *story) ordered(order fleet.OrderID, due time.Time) (from, to time.Time) {
	for i := range s.Orders {
		if o := &s.Orders[i]; o.ID == order {
			if from = o.At; from.IsZero() {
				from = o.Due
			}
			return from, o.Expires
		}
	}
	return due, due.Add(s.tolerance.Queue)
}

// within is how far back the task's missed instants are caught up.
func (d *definition) within() time.Duration {
	missed := d.Task.On.Missed
	switch {
	case missed.Policy != fleet.MissedOnce && missed.Policy != fleet.MissedAll:
		return 0
	case missed.Within > 0:
		return time.Duration(missed.Within)
	}
	return fleet.DefaultWithin
}

// away are the windows in which nobody looks at what waits.
var away = []Kind{AgentDown, AgentStopped, HostDown, Suspended}

// faults are the windows in which an instant may pass unused.
var faults = []Kind{AgentDown, AgentStopped, HostDown, ClockForward, ClockBack, Suspended, DiskFull, Overload, PlanLate}

// excused reports whether something kept the instant from being begun in time.
func (s *story) excused(d *definition, nominal time.Time) bool {
	return s.windows.overlap(faults, s.task, s.host, nominal, nominal.Add(d.deadline(s.host, nominal)))
}

// waited reports whether another occurrence of the task was at it until shortly
// before the probe started.
func (s *story) waited(p *Probe) bool {
	for _, row := range s.rows {
		if row.State == fleet.RunUnknown && row.Started != nil && row.Ended == nil && row.Started.Before(p.At) && p.At.Sub(*row.Started) < s.tolerance.Queue {
			return true // it may have ended right then
		}
	}
	i := sort.Search(len(s.ends), func(i int) bool { return s.ends[i].After(p.At.Add(s.tolerance.Late)) }) - 1
	for ; i >= 0; i-- {
		switch ended := s.ends[i]; {
		case p.At.Sub(ended) < 2*s.tolerance.Late:
			return true
		case p.At.Sub(ended) > s.tolerance.Queue:
			return false
		default: // the last that ended before it
			return s.windows.overlap(faults, s.task, s.host, ended, p.At)
		}
	}
	return false
}

// matched forgets all names, and finds an instant for each start: the one with
// the nearest deadline, which is the best that can be done.
func (s *story) matched() {
	targets, points := s.targets()
	if len(targets)+len(points) == 0 {
		return
	}
	s.compared(Matched, len(points))
	var open deadlines
	for _, p := range points {
		for len(targets) > 0 && !targets[0].from.After(p) {
			heap.Push(&open, targets[0])
			targets = targets[1:]
		}
		for len(open) > 0 && open[0].until.Before(p) {
			s.violate(Matched, open[0].from, "it ran by the records, and no start is left that fits it")
			heap.Pop(&open)
		}
		if len(open) == 0 {
			s.violate(Matched, p, "a start, and no instant is left that it fits")
			continue
		}
		heap.Pop(&open)
	}
	for _, t := range append(targets, open...) {
		s.violate(Matched, t.from, "it ran by the records, and no start is left that fits it")
	}
}

// target is an instant that has run, and when its run may have started.
type target struct{ from, until time.Time }

// targets returns the instants that ran and the starts that were seen, each in
// order. What lies where the clock was set is left out of both.
func (s *story) targets() (targets []target, points []time.Time) {
	for _, p := range s.probes {
		if c := s.at(p.Occurrence.Nominal); p.Attempt > 1 || c != nil && (c.ordered() || !s.clocked(c)) || s.blurred(p) {
			continue
		}
		points = append(points, p.At)
	}
	if len(s.probes) == 0 {
		return nil, nil
	}
	for i := range s.claims {
		c := &s.claims[i]
		if c.ordered() || c.count > 1 || !s.clocked(c) {
			continue
		}
		d, row := s.defined(c.last().Generation), c.first()
		probes := probesOf(s.probes, c.from)
		until := c.from.Add(d.deadline(s.host, c.from))
		switch sure := row.State == fleet.RunRan && !row.TimedOut && !row.Cancelled && row.Signal == "" && row.Reason == ""; {
		case len(probes) > 0 && probes[0].Attempt <= 1:
			if s.blurred(probes[0]) {
				continue
			}
			until = c.from.Add(s.allowed(d, c, probes[0]))
		case !sure:
			continue
		}
		targets = append(targets, target{c.from.Add(-s.tolerance.Early), until.Add(s.tolerance.Late)})
	}
	slices.SortFunc(points, time.Time.Compare)
	return targets, points
}

func (s *story) clocked(c *claim) bool {
	d := s.defined(c.last().Generation)
	return d != nil && d.Task.On.Clocked()
}

// blurred reports whether the clock was set between an instant and its start.
func (s *story) blurred(p *Probe) bool {
	from, to := p.Occurrence.Nominal, p.At
	if to.Before(from) {
		from, to = to, from
	}
	return s.windows.overlap(steps, s.task, s.host, from, to)
}

// deadlines is a heap of targets, the nearest deadline first.
type deadlines []target

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].until.Before(d[j].until) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push adds a target; container/heap calls it.
func (d *deadlines) Push(x any) { *d = append(*d, x.(target)) }

// Pop takes the last target; container/heap calls it.
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
