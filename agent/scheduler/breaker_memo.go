package scheduler

import (
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// breakerMemo is a breaker on disk.
type breakerMemo struct {
	State fleet.BreakerState `json:"state"`
	Since time.Time          `json:"since"`
	Until time.Time          `json:"until,omitzero"`
	Open  time.Duration      `json:"open,omitempty"`
	Trial fleet.RunID        `json:"trial,omitempty"`
	// Failed are failures, in milliseconds before the last one, at Last.
	Last   time.Time `json:"last,omitzero"`
	Failed []int64   `json:"failed,omitempty"`
	Passed counter   `json:"passed,omitzero"`
	Lost   counter   `json:"lost,omitzero"`
}

// keyPrefix begins the name under which a breaker is remembered that tasks share:
// no task is called so.
const keyPrefix = "@"

// isKey reports whether it is the name of such a breaker.
func isKey(id fleet.TaskID) bool { return strings.HasPrefix(id.Name(), keyPrefix) }

// saveBreaker writes the breaker down: with what else is known of its task, or by
// itself if tasks share it.
func (s *State) saveBreaker(b *breaker) {
	m := b.memo()
	if t := b.tasks[0]; t.id == b.id {
		t.note().Breaker = m
		s.remember(t)
		return
	}
	s.write(b.id, &memo{Breaker: m})
}

// memo is nil for a breaker that has nothing to remember.
func (b *breaker) memo() *breakerMemo {
	if b.state == fleet.BreakerClosed && len(b.failures) == 0 {
		return nil
	}
	m := &breakerMemo{State: b.state, Since: b.since, Until: b.until, Open: b.open, Trial: b.trial, Passed: b.passed, Lost: b.lost}
	if n := len(b.failures); n > 0 {
		m.Last = b.failures[n-1]
		for _, at := range b.failures {
			m.Failed = append(m.Failed, m.Last.Sub(at).Milliseconds())
		}
	}
	return m
}

// recallBreaker returns the breaker as the agent before left it. A run that tried
// and ended meanwhile has said nothing.
func (s *State) recallBreaker(id fleet.TaskID) *breaker {
	b := &breaker{id: id, state: fleet.BreakerClosed}
	kept := s.recall(id)
	if kept == nil || kept.Breaker == nil {
		return b
	}
	m := kept.Breaker
	b.state, b.since, b.until, b.open, b.passed, b.lost = m.State, wall(m.Since), wall(m.Until), m.Open, m.Passed, m.Lost
	for _, before := range m.Failed {
		b.failures = append(b.failures, wall(m.Last).Add(-time.Duration(before)*time.Millisecond))
	}
	if m.Trial != "" && s.goesOn(m.Trial) {
		b.trial = m.Trial
	}
	return b
}

// goesOn reports whether a run does.
func (s *State) goesOn(run fleet.RunID) bool {
	for _, t := range s.tasks {
		for i := range t.running {
			if t.running[i].id == run {
				return true
			}
		}
	}
	return false
}

// counter counts runs by sixteenths of a window.
type counter struct {
	Width time.Duration `json:"width,omitempty"` // of a slot
	Slots []slot        `json:"slots,omitempty"` // oldest first
}

type slot struct {
	At    int64 `json:"at"` // since 1970, in widths
	Count int   `json:"count"`
}

// IsZero reports whether none is counted.
func (c counter) IsZero() bool { return len(c.Slots) == 0 }

const slotsPerWindow = 16

func (c *counter) add(at time.Time, window time.Duration) {
	if width := window / slotsPerWindow; width != c.Width {
		*c = counter{Width: width}
	}
	n := at.UnixNano() / int64(c.Width)
	if last := len(c.Slots) - 1; last >= 0 && c.Slots[last].At == n {
		c.Slots[last].Count++
		return
	}
	c.Slots = append(c.Slots, slot{n, 1})
	if len(c.Slots) > slotsPerWindow+1 {
		c.Slots = c.Slots[1:]
	}
}

func (c *counter) within(now time.Time, window time.Duration) (n int) {
	for _, s := range c.Slots {
		begins, ends := time.Unix(0, s.At*int64(c.Width)), time.Unix(0, (s.At+1)*int64(c.Width))
		if now.Sub(ends) < window && !begins.After(now) { // or the clock was ahead
			n += s.Count
		}
	}
	return n
}
