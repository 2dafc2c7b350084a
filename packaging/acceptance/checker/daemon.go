package checker

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The values that a zero field of fleet.Restart stands for.
const (
	restartBase  = time.Second
	restartCap   = 5 * time.Minute
	restartReset = 10 * time.Minute
)

// resting are the windows in which no instance need be up.
var resting = []Kind{AgentDown, AgentStopped, HostDown, Suspended, ClockBack, ClockForward, DiskFull, StartsFail, Paused, Stopped, Cancelled, PlanLate, Overload, Unready}

// daemon checks that a supervised command has one instance, and is away no
// longer than its backoff says.
func (s *story) daemon() {
	d := s.defined(0)
	if d == nil || !d.Task.Supervised() {
		return
	}
	all := s.going()
	s.compared(OneDaemon, len(all))
	sweep(all, 1, func(g going, others []going) {
		s.violate(OneDaemon, g.Occurrence.Nominal, "instance %d started while %s was up", g.PID, processes(others))
	})
	s.looked(d, all)
	pause := time.Duration(0)
	if len(all) > 0 { // starts may have come to nothing before the first that was seen
		pause, _ = s.backedOff(d, 0, time.Unix(0, 0), all[0].At)
	}
	for i, g := range all {
		gap, from := time.Duration(0), g.At.Add(g.end-g.Start)
		to := s.Until
		if i+1 < len(all) {
			gap, to = all[i+1].Start-g.end, all[i+1].At
		} else if g.End != 0 {
			gap = to.Sub(from)
		}
		if s.windows.overlap(steps, s.task, s.host, earlier(g.At, to), later(g.At, to)) { // and so it is not known when that was
			from, to = earlier(g.At, to).Add(-s.tolerance.Queue), later(g.At, to).Add(s.tolerance.Queue)
		}
		up := g.end - g.Start
		if s.windows.overlap([]Kind{Suspended, AgentDown}, s.task, s.host, g.At, g.At.Add(up)) {
			up = 0 // nothing is up on a host that sleeps, and an agent counts what it has seen itself
		}
		pause = d.backoff(pause, up)
		if row := s.row(g.Probe); g.End == 0 && row != nil && row.State == fleet.RunUnknown {
			pause, _ = s.backedOff(d, pause, earlier(g.At, to), to)
			continue // nobody saw when it ended
		}
		failed, before := s.failed(from, to), pause
		last, due := s.backedOff(d, pause, from, to)
		pause, due = last, due+before
		if gap > due+time.Duration(1+failed)*s.tolerance.Late && !s.windows.overlap(resting, s.task, s.host, from, to) && !s.done(d, g.Probe) {
			s.violate(OneDaemon, to, "no instance was up for %s after %s, a backoff of %s is due", gap, from, due)
		}
	}
}

// backedOff is the backoff after starts between two instants that came to
// nothing, and how long they were waited for: each is followed by a longer wait.
func (s *story) backedOff(d *definition, pause time.Duration, from, to time.Time) (last, all time.Duration) {
	for range s.failed(from, to) {
		pause = d.backoff(pause, 0)
		all += pause
	}
	if s.windows.overlap([]Kind{DiskFull}, s.task, s.host, from, to) {
		for next := d.backoff(pause, 0); next > pause; next = d.backoff(pause, 0) {
			pause = next // how many starts came to nothing may be written nowhere
		}
	}
	return pause, all
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// backoff is how long to wait after an instance was up for so long.
func (d *definition) backoff(before, up time.Duration) time.Duration {
	r := d.Task.Restart
	base, most, reset := time.Duration(r.Base), time.Duration(r.Cap), time.Duration(r.Reset)
	if base == 0 {
		base = restartBase
	}
	if most == 0 {
		most = restartCap
	}
	if reset == 0 {
		reset = restartReset
	}
	if before == 0 || up >= reset {
		return base
	}
	return min(2*before, most)
}

// failed counts starts between two instants that no probe saw.
func (s *story) failed(from, to time.Time) (n int) {
	for i := range s.claims {
		c := &s.claims[i]
		if c.from.After(from) && c.from.Before(to) && len(probesOf(s.probes, c.from)) == 0 {
			n++
		}
	}
	return n
}

// done reports whether the policy wants no instance after one that ended so.
func (s *story) done(d *definition, p *Probe) bool {
	row := s.row(p)
	if row == nil || row.Cancelled {
		return true
	}
	policy := d.Task.Restart.Policy
	return policy == fleet.RestartNever || policy == fleet.RestartOnFailure && row.Succeeded()
}
