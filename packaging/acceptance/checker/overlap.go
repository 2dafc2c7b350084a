package checker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// going is one process, on the shared clock.
type going struct {
	*Probe
	end time.Duration
}

// going returns the processes of a story in the order in which they started.
// One that did not write its end was stopped by then, if its record knows when.
func (s *story) going() []going {
	all := make([]going, 0, len(s.probes))
	for _, p := range s.probes {
		g := going{p, max(p.End, p.Start)}
		if p.End == 0 {
			if row := s.row(p); row != nil && row.Started != nil && row.Ended != nil && !s.windows.overlap(steps, s.task, s.host, *row.Started, *row.Ended) {
				g.end = max(p.Start, p.Start+row.Ended.Sub(p.At)-s.tolerance.Record)
			}
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b going) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// row returns the record of a probe.
func (s *story) row(p *Probe) *fleet.Run {
	if c := s.at(p.Occurrence.Nominal); c != nil && c.count == 1 {
		for _, row := range c.rows {
			if max(1, row.Attempt) == p.Attempt {
				return row
			}
		}
	}
	return nil
}

// apart checks that no more runs of a task go on at once on a host than may.
func (s *story) apart() {
	most := 1
	for at, d := range s.given {
		if at.task == s.task && d.Task.Limits.Overlap == fleet.OverlapAllow {
			most = max(most, d.Task.Limits.PerHost)
		}
	}
	all := s.going()
	s.compared(Apart, max(0, len(all)-1))
	sweep(all, most, func(g going, others []going) {
		s.violate(Apart, g.Occurrence.Nominal, "process %d started while %d were going on, at most %d may: %s", g.PID, len(others), most, processes(others))
	})
}

// sweep calls found for each process that starts while too many others go on.
func sweep(all []going, most int, found func(going, []going)) {
	var live []going
	for _, g := range all {
		live = slices.DeleteFunc(live, func(other going) bool { return other.end <= g.Start })
		if len(live) >= most {
			found(g, live)
		}
		live = append(live, g)
	}
}

func processes(all []going) string {
	text := ""
	for i, g := range all {
		if i == 3 {
			return text + " …"
		}
		text += " " + g.Occurrence.String()
	}
	return text[1:]
}

// fleetwide checks the tasks that are bounded over all hosts: how many run at
// once, and that a later grant has a higher fence.
func (c *check) fleetwide() {
	bounds := map[fleet.TaskID]int{}
	for _, d := range c.given {
		if id := d.Task.ID(); d.Task.Limits.Fleet > 0 {
			bounds[id] = max(bounds[id], d.Task.Limits.Fleet)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(bounds)) {
		var all []going
		for _, p := range c.order {
			if p.task == id {
				all = append(all, c.stories[p].going()...)
			}
		}
		all = slices.DeleteFunc(all, func(g going) bool { // nobody stops what sleeps with its host: for that there is the fence
			return c.windows.overlap([]Kind{Suspended}, "", g.Occurrence.Scope, g.At, g.At.Add(g.end-g.Start))
		})
		slices.SortFunc(all, func(a, b going) int { return cmp.Compare(a.Start, b.Start) })
		c.verdict.Compared[Fenced] += len(all)
		violate := func(g going, evidence string) {
			c.verdict.violate(Violation{Fenced, id, g.Occurrence.Scope, g.Occurrence.Nominal, evidence})
		}
		sweep(all, bounds[id], func(g going, others []going) {
			violate(g, "started beside "+processes(others)+", more than the fleet may run at once")
		})
		fences := map[uint64]going{}
		for _, g := range all {
			if g.Fence == 0 {
				violate(g, "started without a fence")
			} else if other, twice := fences[g.Fence]; twice {
				violate(g, "has the fence of "+other.Occurrence.String())
			}
			fences[g.Fence] = g
		}
		if bounds[id] == 1 {
			for i := 1; i < len(all); i++ {
				if all[i].Fence < all[i-1].Fence {
					violate(all[i], "started after "+all[i-1].Occurrence.String()+", which has a higher fence")
				}
			}
		}
	}
}
