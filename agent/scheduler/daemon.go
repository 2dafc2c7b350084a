package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A daemon that ends is started again after backoffBase, twice as long each
// time up to backoffMost, and from the beginning once it was up for healthy.
const (
	backoffBase = time.Second
	backoffMost = 5 * time.Minute
	healthy     = 10 * time.Minute
)

// advanceDaemon starts the one instance that is wanted, or stops the one that
// is not.
func (s *State) advanceDaemon(now time.Time, t *task) {
	if !t.wanted(now) {
		s.cancelAll(now, t, "the task is paused or over")
		return
	}
	if len(t.running) > 0 || t.restartAt(now).After(now) {
		return
	}
	// Each start is an occurrence of its own, also after the clock was set back.
	nominal := now
	if !nominal.After(t.seen) {
		nominal = t.seen.Add(time.Millisecond)
	}
	t.seen = nominal
	s.begin(now, t, item{nominal: nominal})
}

// wanted reports whether an instance is to run now.
func (t *task) wanted(now time.Time) bool {
	on := &t.assignment.Task.On
	return t.assignment.State == fleet.TaskEnabled &&
		(on.Starts == nil || !now.Before(*on.Starts)) && (on.Ends == nil || now.Before(*on.Ends))
}

// backOff sets when a daemon that just ended is started again.
func (t *task) backOff(now time.Time, ended running) {
	switch {
	case ended.cancelled: // by us: what takes its place may start at once
		t.backoff, t.restart = 0, time.Time{}
		return
	case now.Sub(ended.began) >= healthy, t.backoff == 0:
		t.backoff = backoffBase
	default:
		t.backoff = min(2*t.backoff, backoffMost)
	}
	t.restart = now.Add(t.backoff)
}

// restartAt is when the daemon may start; a clock that was set back does not
// make it wait longer than its backoff.
func (t *task) restartAt(now time.Time) time.Time {
	if latest := now.Add(t.backoff); t.restart.After(latest) {
		t.restart = latest
	}
	return t.restart
}

// daemonWake is when the daemon is to be looked at: to be started, or because
// its time begins or is over.
func (s *State) daemonWake(now time.Time, t *task) time.Time {
	on := &t.assignment.Task.On
	switch {
	case on.Starts != nil && now.Before(*on.Starts):
		return wall(*on.Starts)
	case t.wanted(now) && len(t.running) == 0:
		return later(t.restartAt(now), now)
	case t.wanted(now) && on.Ends != nil:
		return wall(*on.Ends)
	case !t.wanted(now) && t.uncancelled():
		return now
	}
	return farFuture
}

func (t *task) uncancelled() bool {
	for _, r := range t.running {
		if !r.cancelled {
			return true
		}
	}
	return false
}
