package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// gathers reports whether an order waits for others that may come with it. What
// a person orders does not.
func (s *State) gathers(t *task, o fleet.Order) bool {
	return o.Kind == fleet.OrderRun && o.Cause != "" && t.assignment.Task.On.Merge > 0 && !s.ripe[o.ID]
}

// mergeBursts ends the bursts whose time is over: what was caused within
// on.merge after the first becomes one run, that of the last; the others are
// settled. It returns when the next burst is over; zero: there is none.
func (s *State) mergeBursts(now time.Time) (next time.Time) {
	byTask := map[fleet.TaskID][]fleet.Order{}
	for _, o := range s.orders {
		if t := s.tasks[o.Task]; t != nil && t.planned && s.gathers(t, o) {
			byTask[o.Task] = append(byTask[o.Task], o)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byTask)) {
		orders := byTask[id]
		slices.SortFunc(orders, func(a, b fleet.Order) int {
			return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
		})
		within := time.Duration(s.tasks[id].assignment.Task.On.Merge)
		for len(orders) > 0 {
			end := wall(orders[0].Due).Add(within)
			if end.After(now) {
				if next.IsZero() || end.Before(next) {
					next = end
				}
				break // what comes later is over later
			}
			n := 1
			for n < len(orders) && !wall(orders[n].Due).After(end) {
				n++
			}
			s.merge(orders[:n])
			orders = orders[n:]
		}
	}
	return next
}

// merge settles a burst but for its last order, which is ripe to be run.
func (s *State) merge(burst []fleet.Order) {
	last := len(burst) - 1
	for _, o := range burst[:last] {
		s.refuse(o, fleet.RunSkipped, fleet.SkippedMerged, fmt.Sprintf("the last of the %d that came together runs for all of them", len(burst)))
	}
	s.ripe[burst[last].ID] = true
}
