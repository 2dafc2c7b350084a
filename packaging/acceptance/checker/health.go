package checker

import (
	"cmp"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The values that zero fields of fleet.Health stand for.
const (
	healthEvery   = 10 * time.Second
	healthTimeout = 2 * time.Second
	healthFail    = 3
)

// looked checks that an instance which does not answer its probes is stopped for
// that in time, and no other.
func (s *story) looked(d *definition, all []going) {
	h := d.Task.Health
	if h.IsZero() {
		return
	}
	each := cmp.Or(time.Duration(h.Every), healthEvery)
	within := time.Duration(cmp.Or(h.Fail, healthFail)+1)*each + cmp.Or(time.Duration(h.Timeout), healthTimeout) +
		cmp.Or(time.Duration(d.Task.Limits.Grace), fleet.DefaultGrace) + s.tolerance.Late
	for _, g := range all {
		to := g.At.Add(g.end - g.Start)
		if row := s.row(g.Probe); row != nil && row.Reason == fleet.RanUnhealthy && row.Ended != nil {
			s.compared(Explained, 1)
			from, until := earlier(g.At, *row.Ended), later(to, *row.Ended)
			if !s.windows.overlap([]Kind{Unwell}, s.task, s.host, from, until) && !s.windows.overlap(steps, s.task, s.host, from, until) {
				s.violate(Explained, g.Occurrence.Nominal, "ran(unhealthy), and it answered all the time")
			}
		}
		for _, w := range s.Windows {
			if w.Kind != Unwell || w.Task != s.task || w.Host != s.host || w.From.Before(g.At) || w.From.After(to) || w.To.Sub(w.From) <= within {
				continue
			}
			s.compared(OneDaemon, 1)
			if !s.windows.overlap(resting, s.task, s.host, w.From, w.To) {
				s.violate(OneDaemon, w.From, "instance %d answered no more for %s, and is to be stopped within %s", g.PID, w.To.Sub(w.From), within)
			}
		}
	}
}
