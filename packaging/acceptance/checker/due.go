package checker

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// stinted compares the stints that a host told of with what it was given: it
// must not make what is due smaller by telling none, or late ones.
func (s *story) stinted() {
	for i, stint := range s.stints {
		if stint.Generation == 0 {
			continue
		}
		s.compared(Exhaustive, 1)
		d := s.given[generation{s.task, stint.Generation}]
		if d == nil {
			s.violate(Nothing, stint.After, "a stint under generation %d, which nobody gave", stint.Generation)
			continue
		}
		latest := d.Since
		if i > 0 && s.stints[i-1].After.After(latest) {
			latest = s.stints[i-1].After
		}
		if stint.Last.After(latest) {
			latest = stint.Last
		}
		had := len(s.applied) == 0
		for _, a := range s.applied {
			if a.Generation == stint.Generation {
				if had = true; a.At.After(latest) {
					latest = a.At
				}
			}
		}
		switch {
		case !had:
			s.violate(Nothing, stint.After, "a stint under generation %d, which the host never had", stint.Generation)
		case stint.After.Before(d.Since) && !s.had(stint):
			s.violate(Nothing, stint.After, "it counts from before its acceptance at %s", d.Since)
		case len(s.applied) > 0 && stint.After.After(latest.Add(s.tolerance.Late)) &&
			!s.windows.overlap(slices.Concat(steps, gathers), s.task, s.host, latest, stint.After):
			s.violate(Exhaustive, stint.After, "it counts from then on only, and the host had generation %d at %s", stint.Generation, latest)
		}
	}
	for i, a := range s.applied {
		d := s.given[generation{s.task, a.Generation}]
		until := s.Until
		if i+1 < len(s.applied) {
			until = s.applied[i+1].At
		}
		if d == nil || !d.Task.On.Clocked() || until.Sub(a.At) < s.tolerance.Settle ||
			s.windows.overlap(slices.Concat(steps, gathers), s.task, s.host, a.At, a.At.Add(s.tolerance.Settle)) ||
			d.queues() && s.windows.overlap(gathers, s.task, s.host, a.At, until.Add(s.tolerance.Queue)) {
			continue // it was killed before it could say so
		}
		if !slices.ContainsFunc(s.stints, func(stint fleet.Stint) bool { return stint.Generation == a.Generation }) {
			s.violate(Exhaustive, a.At, "generation %d was there for %s, and no stint tells of it", a.Generation, until.Sub(a.At))
		}
	}
}

// exhaustive walks every due instant beside the records: each has one, and no
// record is of anything else.
func (s *story) exhaustive() {
	clocked := slices.DeleteFunc(slices.Clone(s.claims), func(c claim) bool {
		d := s.defined(c.last().Generation)
		return c.ordered() || d == nil || !d.Task.On.Clocked()
	})
	w := walk{story: s, claims: clocked}
	w.overlapping()
	for i, stint := range s.stints {
		if stint.Generation == 0 {
			continue
		}
		if d := s.given[generation{s.task, stint.Generation}]; d != nil {
			w.stint(d, stint.After, s.bound(i))
		}
	}
	w.rest()
	s.compared(Exhaustive, w.due)
	s.verdict.Tally.Due += w.due
}

// bound is the last instant that may be due under a stint.
func (s *story) bound(i int) time.Time {
	if i+1 < len(s.stints) {
		next := s.stints[i+1]
		if next.Last.IsZero() {
			return next.After
		}
		until := next.After
		lost := until.After(next.Last) && next.Generation != 0
		if lost && !s.windows.overlap(slices.Concat(steps, gathers), s.task, s.host, next.Last, s.waits(next, until)) {
			return until // nothing explains a hole between the two
		}
		return next.Last
	}
	end := s.Until
	for i := len(s.claims) - 1; i >= 0; i-- {
		if c := &s.claims[i]; !c.ordered() {
			if c.to.After(end) {
				end = c.to // the clock once showed that
			}
			break
		}
	}
	return end
}

// waits is until when instants from before a stint may have waited in an agent's
// memory. They are nobody's if it was killed then: the next agent knows the new
// generation only.
func (s *story) waits(stint fleet.Stint, until time.Time) time.Time {
	if d := s.given[generation{s.task, stint.Generation}]; d != nil && d.queues() {
		return until.Add(s.tolerance.Queue)
	}
	return until
}

// had reports whether the host had the generation of a stint by its own clock
// when it began: that may be behind the one that accepted it.
func (s *story) had(stint fleet.Stint) bool {
	for _, a := range s.applied {
		if a.Generation == stint.Generation && !a.At.After(stint.After.Add(s.tolerance.Late)) {
			return true
		}
	}
	return false
}

// walk is a walk along due instants and claims.
type walk struct {
	*story
	claims []claim // those not yet passed
	seen   int     // instants of the first claim
	due    int
}

// overlapping finds instants that two records tell of.
func (w *walk) overlapping() {
	for i := 1; i < len(w.claims); i++ {
		if before := &w.claims[i-1]; !w.claims[i].from.After(before.to) {
			w.violate(Exhaustive, w.claims[i].from, "%s is also in the record of %s to %s", w.claims[i].last().State, before.from, before.to)
		}
	}
}

// stint walks the instants after the one and up to the other.
func (w *walk) stint(d *definition, after, until time.Time) {
	clock := d.clocks(w.host)
	for at, ok := clock.Next(after); ok && !at.After(until); at, ok = clock.Next(at) {
		w.due++
		w.pass(at)
		switch {
		case len(w.claims) > 0 && !w.claims[0].from.After(at):
			w.seen++
		case w.open(d, at):
		default:
			w.violate(Exhaustive, at, "due under generation %d, and no record tells what became of it", d.Generation)
		}
	}
}

// pass drops the claims that end before an instant.
func (w *walk) pass(at time.Time) {
	for len(w.claims) > 0 && w.claims[0].to.Before(at) {
		w.drop()
	}
}

func (w *walk) drop() {
	c := &w.claims[0]
	switch {
	case w.seen == 0:
		w.violate(Nothing, c.from, "%s(%s), %d instants, none of which was due", c.last().State, c.last().Reason, c.count)
	case w.seen != c.count:
		w.violate(Exhaustive, c.from, "the record up to %s counts %d instants, %d were due", c.to, c.count, w.seen)
	}
	w.claims, w.seen = w.claims[1:], 0
}

func (w *walk) rest() {
	for len(w.claims) > 0 {
		w.drop()
	}
}

// open reports whether an instant without a record may still be without one.
func (w *walk) open(d *definition, at time.Time) bool {
	settle := w.tolerance.Settle
	if w.windows.overlap([]Kind{Paused}, w.task, w.host, at, at) {
		settle += pausedEvery
	}
	if at.Add(d.deadline(w.host, at) + settle).After(w.Until) {
		return true
	}
	return d.queues() && w.taken(w.Until)
}

// pausedEvery is how often the skipped instants of a paused task are told.
const pausedEvery = 10 * time.Minute
