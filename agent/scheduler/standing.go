package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// stand tells how a task stands, if it stands otherwise than it was told last.
// Since may be left out: then it is that of the last one, or now if the phase or
// the breaker is another.
func (s *State) stand(now time.Time, t *task, is fleet.Standing) {
	is.Task = t.id
	was := t.standing
	if is.Since.IsZero() {
		is.Since = now
		if was != nil && was.Phase == is.Phase && was.Breaker == is.Breaker {
			is.Since = was.Since
		}
	}
	if was != nil && sameStanding(*was, is) {
		return
	}
	t.standing = &is
	s.do(Stand{is})
}

// unstand tells that nothing is to be said of the task any more.
func (s *State) unstand(t *task) {
	if t.standing != nil {
		t.standing = nil
		s.do(Unstand{t.id})
	}
}

// sameStanding compares the instants by what they are.
func sameStanding(a, b fleet.Standing) bool {
	if !a.Since.Equal(b.Since) || (a.At == nil) != (b.At == nil) || a.At != nil && !a.At.Equal(*b.At) {
		return false
	}
	a.Since, a.At = b.Since, b.At
	return a == b
}
