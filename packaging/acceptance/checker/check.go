package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Check judges a history. The error is a VoidError where too little happened,
// or says what cannot be made sense of; the verdict is complete all the same.
func Check(h *History) (Verdict, error) {
	c, err := newCheck(h)
	if err != nil {
		return Verdict{}, err
	}
	for _, p := range c.order {
		c.stories[p].judge()
	}
	c.fleetwide()
	c.slots()
	c.deliveries()
	c.samples()
	c.leftovers()
	c.absences()
	return c.verdict, h.Minima.Void(&c.verdict.Tally)
}

// check is a check under way.
type check struct {
	*History
	tolerance Tolerance
	windows   windows
	dark      map[place]cover
	given     map[generation]*definition
	stories   map[pair]*story
	order     []pair
	verdict   Verdict
}

type pair struct {
	task fleet.TaskID
	host fleet.HostID
}

type generation struct {
	task   fleet.TaskID
	number uint64
}

// definition is one generation of a task, its clocks ready to be used.
type definition struct {
	*Given
	clocks func(fleet.HostID) fleet.Clock
}

func newCheck(h *History) (*check, error) {
	c := &check{
		History: h, tolerance: h.Tolerance.withDefaults(),
		given: map[generation]*definition{}, stories: map[pair]*story{}, verdict: newVerdict(),
	}
	c.windows, c.dark = newWindows(h.Windows, c.tolerance), darkness(h.Windows)
	for i := range h.Given {
		g := &h.Given[i]
		clocks, err := g.Task.Clocks()
		if err != nil {
			return nil, fmt.Errorf("task %s, generation %d: %w", g.Task.ID(), g.Generation, err)
		}
		c.given[generation{g.Task.ID(), g.Generation}] = &definition{g, clocks}
	}
	c.sort()
	for _, w := range h.Windows {
		c.verdict.Tally.Windows[w.Kind]++
	}
	c.verdict.Tally.Probes, c.verdict.Tally.Samples = len(h.Probes), len(h.Samples)
	return c, nil
}

// sort gives each task on each host what is known of it.
func (c *check) sort() {
	newest := map[fleet.RunID]int{}
	for i := range c.Deliveries {
		d := &c.Deliveries[i]
		if d.Stint != nil {
			s := c.story(d.Stint.Task, d.Host)
			s.stints = append(s.stints, *d.Stint)
			continue
		}
		newest[d.Run.ID] = i
	}
	for i := range c.Deliveries {
		if d := &c.Deliveries[i]; d.Stint == nil && newest[d.Run.ID] == i {
			s := c.story(d.Run.Task, d.Host)
			s.rows = append(s.rows, &d.Run)
		}
	}
	for i := range c.Probes {
		p := &c.Probes[i]
		s := c.story(p.Occurrence.Task, p.Occurrence.Scope)
		s.probes = append(s.probes, p)
	}
	for _, a := range c.Applied {
		s := c.story(a.Task, a.Host)
		s.applied = append(s.applied, a)
	}
	c.order = slices.SortedFunc(maps.Keys(c.stories), func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.task, b.task), cmp.Compare(a.host, b.host))
	})
}

// story returns what is known of a task on a host, which may be nothing yet.
func (c *check) story(task fleet.TaskID, host fleet.HostID) *story {
	p := pair{task, host}
	if c.stories[p] == nil {
		c.stories[p] = &story{check: c, pair: p}
	}
	return c.stories[p]
}

// absences says what could not be checked.
func (c *check) absences() {
	why := map[Invariant]string{
		Exhaustive: "no clocked task was due", AtMostOnce: "no probe", Truthful: "no probe", OnTime: "no probe", Nothing: "no probe",
		Explained: "nothing was skipped, missed or unknown", Matched: "no probe of a clocked task", Apart: "no two probes of a task on a host",
		Fenced: "no task with a bound for the fleet", Delivered: "no record with a sequence number", OneDaemon: "no supervised task",
		Heals: "nothing is due after everything healed", Balanced: "no sample of the account", Clean: "nobody looked for leftovers",
	}
	for invariant, reason := range why {
		if c.verdict.Compared[invariant] == 0 {
			c.verdict.Absent[invariant] = reason
		}
	}
	c.verdict.Absent["I10"] = "about writes to collectors, tested with them"
	c.verdict.Absent["I12"] = "about replicas, tested with the ledger"
	c.verdict.Absent["I14"] = "about found jobs, tested with scans"
}

// story is all that is known of one task on one host.
type story struct {
	*check
	pair
	applied []Applied
	stints  []fleet.Stint
	rows    []*fleet.Run // the newest record of each run
	probes  []*Probe
	claims  []claim
	busy    cover       // when runs of it went on, by the host's clock
	starts  []time.Time // of its runs, in order
	ends    []time.Time // of its occurrences, in order
	last    *definition
	counts  Tally
}

// judge checks one task on one host.
func (s *story) judge() {
	slices.SortStableFunc(s.rows, func(a, b *fleet.Run) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Attempt, b.Attempt))
	})
	slices.SortStableFunc(s.probes, func(a, b *Probe) int {
		return cmp.Or(a.Occurrence.Nominal.Compare(b.Occurrence.Nominal), cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Start, b.Start))
	})
	s.claim()
	s.occupy()
	s.stinted()
	s.exhaustive()
	s.occurrences()
	s.reasons()
	s.matched()
	s.apart()
	s.daemon()
	s.startups()
	s.rests()
}

func (s *story) violate(invariant Invariant, at time.Time, format string, args ...any) {
	s.verdict.violate(Violation{invariant, s.task, s.host, at, fmt.Sprintf(format, args...)})
}

func (s *story) compared(invariant Invariant, n int) { s.verdict.Compared[invariant] += n }

// defined returns the task as a generation has it, or as the latest known one
// does where a record names none.
func (s *story) defined(number uint64) *definition {
	if d := s.given[generation{s.task, number}]; d != nil {
		return d
	}
	if s.last == nil {
		for at, d := range s.given {
			if at.task == s.task && (s.last == nil || d.Generation > s.last.Generation) {
				s.last = d
			}
		}
	}
	return s.last
}

// deadline is how long after the instant its run may begin.
func (d *definition) deadline(host fleet.HostID, nominal time.Time) time.Duration {
	on := &d.Task.On
	switch {
	case on.Deadline > 0:
		return time.Duration(on.Deadline)
	case on.At != nil:
		return fleet.DefaultExpiry
	}
	if next, more := d.clocks(host).Next(nominal); more {
		return min(fleet.MaxDeadline, next.Sub(nominal)/2)
	}
	return fleet.MaxDeadline
}

// queues reports whether an instant may wait for a run to end.
func (d *definition) queues() bool {
	overlap := d.Task.Limits.Overlap
	return overlap == fleet.OverlapQueue || overlap == fleet.OverlapReplace || d.Task.On.Missed.Policy == fleet.MissedAll
}
