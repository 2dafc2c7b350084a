package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// book is one journal of one host.
type book struct {
	host fleet.HostID
	id   fleet.JournalID
}

// deliveries checks that what the agents wrote has arrived, in order and once,
// and that no outcome was changed afterwards.
func (c *check) deliveries() {
	arrived := map[book][]*Delivery{}
	latest := map[fleet.RunID]*fleet.Run{}
	for i := range c.Deliveries {
		d := &c.Deliveries[i]
		if d.Stint == nil {
			c.moves(latest[d.Run.ID], d)
			latest[d.Run.ID] = &d.Run
		}
		if d.Sequence > 0 {
			b := book{d.Host, d.Journal}
			arrived[b] = append(arrived[b], d)
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(arrived), compareBooks) {
		list := arrived[b]
		c.verdict.Compared[Delivered] += len(list)
		for i := 1; i < len(list); i++ {
			if list[i].Sequence <= list[i-1].Sequence {
				c.undelivered(b, list[i], "sequence %d is counted after %d", list[i].Sequence, list[i-1].Sequence)
			}
		}
	}
	for i := range c.Journals {
		c.journal(&c.Journals[i], arrived[book{c.Journals[i].Host, c.Journals[i].ID}])
	}
}

func compareBooks(a, b book) int { return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.id, b.id)) }

func (c *check) undelivered(b book, d *Delivery, format string, args ...any) {
	v := Violation{Invariant: Delivered, Host: b.host, Evidence: fmt.Sprintf(format, args...)}
	if d != nil && d.Stint != nil {
		v.Task, v.At = d.Stint.Task, d.Stint.After
	} else if d != nil {
		v.Task, v.At = d.Run.Task, d.Run.Due
	}
	c.verdict.violate(v)
}

// moves checks that a run's records tell one story.
func (c *check) moves(before *fleet.Run, d *Delivery) {
	if before == nil {
		return
	}
	if before.State == d.Run.State && !d.Run.State.Terminal() || before.State.MayMoveTo(d.Run.State) {
		return
	}
	c.undelivered(book{d.Host, d.Journal}, d, "run %s was %s(%s), and is %s(%s) in sequence %d", d.Run.ID, before.State, before.Reason, d.Run.State, d.Run.Reason, d.Sequence)
}

// journal compares a journal with what arrived of it.
func (c *check) journal(j *Journal, list []*Delivery) {
	b := book{j.Host, j.ID}
	c.verdict.Compared[Delivered]++
	newest := uint64(0)
	if len(list) > 0 {
		newest = list[len(list)-1].Sequence
	}
	if j.Tail != newest && j.Tail != 0 {
		c.undelivered(b, nil, "its newest record is %d, the newest that arrived is %d", j.Tail, newest)
	}
	if j.Entries == nil {
		return
	}
	c.verdict.Compared[Delivered] += len(j.Entries)
	written := make(map[uint64]*Delivery, len(j.Entries))
	last := map[fleet.RunID]uint64{}
	for i := range j.Entries {
		e := &j.Entries[i]
		written[e.Sequence] = e
		if e.Stint == nil {
			last[e.Run.ID] = e.Sequence
		}
	}
	seen := make(map[uint64]bool, len(list))
	for _, d := range list {
		seen[d.Sequence] = true
		switch e := written[d.Sequence]; {
		case e == nil:
			c.undelivered(b, d, "sequence %d arrived, and the journal never had it", d.Sequence)
		case !sameRecord(e, d):
			c.undelivered(b, d, "sequence %d arrived as something else than was written", d.Sequence)
		}
	}
	for i := range j.Entries {
		e := &j.Entries[i]
		superseded := e.Stint == nil && last[e.Run.ID] != e.Sequence && seen[last[e.Run.ID]]
		if !seen[e.Sequence] && !superseded && e.Sequence <= max(newest, j.Tail) {
			c.undelivered(b, e, "sequence %d was written and never arrived", e.Sequence)
		}
	}
}

func sameRecord(a, b *Delivery) bool {
	if a.Stint != nil || b.Stint != nil {
		return a.Stint != nil && b.Stint != nil && *a.Stint == *b.Stint
	}
	x, y := &a.Run, &b.Run
	return x.ID == y.ID && x.Task == y.Task && x.Due.Equal(y.Due) && x.State == y.State && x.Reason == y.Reason &&
		x.Attempt == y.Attempt && x.Instants() == y.Instants() && sameTime(x.Again, y.Again) && sameTime(x.Until, y.Until)
}

func sameTime(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

// samples checks that the account balanced whenever somebody asked, and that no
// outcome went away again. An answer from the very end is compared with the
// records.
func (c *check) samples() {
	type asked struct {
		task fleet.TaskID
		host fleet.HostID
	}
	before := map[asked]*Sample{}
	for i := range c.Samples {
		s := &c.Samples[i]
		c.verdict.Compared[Balanced]++
		violate := func(format string, args ...any) {
			c.verdict.violate(Violation{Balanced, s.Task, s.Host, s.At, fmt.Sprintf(format, args...)})
		}
		if sum := s.Ran + s.Skipped + s.Missed + s.Unknown + s.Pending; s.Due != sum {
			violate("%d due, %d ran + %d skipped + %d missed + %d unknown + %d pending = %d", s.Due, s.Ran, s.Skipped, s.Missed, s.Unknown, s.Pending, sum)
		}
		if b := before[asked{s.Task, s.Host}]; b != nil && (s.Ran < b.Ran || s.Skipped < b.Skipped || s.Missed < b.Missed || s.Unknown < b.Unknown) {
			violate("fewer outcomes than at %s: %d/%d/%d/%d, then %d/%d/%d/%d", b.At, b.Ran, b.Skipped, b.Missed, b.Unknown, s.Ran, s.Skipped, s.Missed, s.Unknown)
		}
		if story := c.stories[pair{s.Task, s.Host}]; story != nil && s.At.Equal(c.Until) {
			if r := &story.counts; r.Ran != s.Ran || r.Skipped != s.Skipped || r.Missed != s.Missed || r.Unknown != s.Unknown {
				violate("%d ran, %d skipped, %d missed, %d unknown at the end, by the records %d, %d, %d, %d", s.Ran, s.Skipped, s.Missed, s.Unknown, r.Ran, r.Skipped, r.Missed, r.Unknown)
			}
		}
		before[asked{s.Task, s.Host}] = s
	}
}

// leftovers are violations as they are.
func (c *check) leftovers() {
	if c.Looked {
		c.verdict.Compared[Clean]++
	}
	for _, l := range c.Leftovers {
		c.verdict.violate(Violation{Invariant: Clean, Evidence: fmt.Sprintf("%s %d: %s", l.Kind, l.PID, l.Detail)})
	}
}
