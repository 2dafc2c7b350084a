package checker

import (
	"slices"
	"sort"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// claim is what the records say about one occurrence, or about a range.
type claim struct {
	from, to time.Time
	count    int
	rows     []*fleet.Run // the attempts, in order
}

// first and last attempts.
func (c *claim) first() *fleet.Run { return c.rows[0] }
func (c *claim) last() *fleet.Run  { return c.rows[len(c.rows)-1] }

func (c *claim) ordered() bool { return c.rows[0].Order != "" }

// claim joins the attempts of each occurrence.
func (s *story) claim() {
	for i := 0; i < len(s.rows); {
		row, next := s.rows[i], i+1
		for next < len(s.rows) && s.rows[next].Due.Equal(row.Due) && s.rows[next].Order == row.Order {
			next++
		}
		c := claim{from: row.Due, to: row.Due, count: row.Instants(), rows: s.rows[i:next]}
		if row.Until != nil {
			c.to = *row.Until
		}
		s.claims = append(s.claims, c)
		s.tally(&c)
		i = next
	}
}

func (s *story) tally(c *claim) {
	t, outcome := Tally{}, c.last()
	switch outcome.State {
	case fleet.RunRan:
		t.Ran = c.count
	case fleet.RunSkipped:
		t.Skipped = c.count
	case fleet.RunMissed:
		t.Missed = c.count
	case fleet.RunUnknown:
		t.Unknown = c.count
	default:
		t.Open = c.count
	}
	if d := s.defined(outcome.Generation); c.ordered() || d != nil && !d.Task.On.Clocked() {
		t.Due = c.count
	}
	s.counts.count(&t)
	t.Retries = len(c.rows) - 1
	s.verdict.Tally.add(t)
	if outcome.Reason != "" {
		s.verdict.Tally.Reasons[outcome.Reason] += c.count
	}
}

// at returns the claim that an instant lies in.
func (s *story) at(nominal time.Time) *claim {
	i := sort.Search(len(s.claims), func(i int) bool { return s.claims[i].from.After(nominal) }) - 1
	for ; i >= 0; i-- {
		c := &s.claims[i]
		if !c.to.Before(nominal) {
			return c
		}
		if !c.ordered() { // an order may stand within a range
			return nil
		}
	}
	return nil
}

// occupy finds when the task was taken by one of its occurrences: from the
// start of the first attempt to the end of the last. Where the clock was set
// meanwhile, readings of it prove little, and the time is wider.
func (s *story) occupy() {
	for _, row := range s.rows {
		if row.Started != nil {
			s.starts = append(s.starts, *row.Started)
		}
	}
	slices.SortFunc(s.starts, time.Time.Compare)
	var all []interval
	for i := range s.claims {
		c := &s.claims[i]
		if first := c.first(); first.Attempt == 0 && first.Started == nil && first.State != fleet.RunPending {
			continue // it never took the place
		}
		from, to := c.from, s.Until
		if c.ordered() { // it may have come to nothing when it came
			from, _ = s.ordered(c.first().Order, c.from)
		}
		waits := s.waitsFor(c)
		if started := c.first().Started; started != nil && (waits == 0 || !s.windows.overlap(away, s.task, s.host, from, *started)) {
			from = later(from, started.Add(-waits))
		}
		if last := c.last(); last.State.Terminal() {
			to = from
			if last.Started == nil && waits > 0 { // it waited for as long as it may, perhaps after the one before
				to = from
				if n := len(s.ends); n > 0 {
					to = later(to, s.ends[n-1])
				}
				to = to.Add(waits)
			}
			for _, row := range c.rows {
				for _, at := range []*time.Time{row.Started, row.Ended, row.Again} {
					if at != nil && at.After(to) {
						to = *at
					}
				}
			}
			for _, row := range c.rows {
				if row.State == fleet.RunUnknown && row.Ended == nil {
					to = s.afterUnknown(to)
				}
			}
		}
		s.ends = append(s.ends, to)
		all = append(all, s.widen(interval{from.UnixNano(), s.heard(to).UnixNano()}))
	}
	s.busy = newCover(all)
	slices.SortFunc(s.ends, time.Time.Compare)
}

// waitsFor is how long an occurrence may have had its place before it started.
func (s *story) waitsFor(c *claim) time.Duration {
	d := s.defined(c.last().Generation)
	if d == nil || s.Slots[s.host] == 0 && d.patience() == 0 {
		return 0
	}
	return d.patience() + d.deadline(s.host, c.from)
}

// afterUnknown is until when a run may have gone on whose end nobody knows: the
// start of the next one.
func (s *story) afterUnknown(to time.Time) time.Time {
	i := sort.Search(len(s.starts), func(i int) bool { return s.starts[i].After(to) })
	if i == len(s.starts) {
		return s.Until
	}
	return s.starts[i]
}

// heard is when the agent heard of what happened at an instant: not while it was
// away or stopped.
func (s *story) heard(at time.Time) time.Time {
	if until, was := s.windows.until([]Kind{AgentStopped, AgentDown, HostDown, Suspended}, s.task, s.host, at); was && until.After(at) {
		return until
	}
	return at
}

// steps are the windows in which the clock was set.
var steps = []Kind{ClockBack, ClockForward, Suspended}

func (s *story) widen(i interval) interval {
	slack := s.tolerance.Late.Nanoseconds()
	i.from, i.to = i.from-slack, i.to+slack
	if i.to < i.from {
		i.from, i.to = i.to, i.from
	}
	for _, c := range s.windows.of(steps, s.task, s.host) {
		for at := i.from; ; {
			w, ok := c.first(at)
			if !ok || w.from > i.to {
				break
			}
			length := w.to - w.from
			i.from, i.to = min(i.from, w.from), max(i.to, w.to)+length
			at = w.to + 1
		}
	}
	return i
}

// taken reports whether a run of the task went on at an instant.
func (s *story) taken(at time.Time) bool { return s.busy.overlaps(at.UnixNano(), at.UnixNano()) }

// probesOf returns the probes of one occurrence.
func probesOf(probes []*Probe, nominal time.Time) []*Probe {
	from, found := slices.BinarySearchFunc(probes, nominal, func(p *Probe, at time.Time) int { return p.Occurrence.Nominal.Compare(at) })
	if !found {
		return nil
	}
	to := from
	for to < len(probes) && probes[to].Occurrence.Nominal.Equal(nominal) {
		to++
	}
	return probes[from:to]
}
