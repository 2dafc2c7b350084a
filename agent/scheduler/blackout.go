package scheduler

import (
	"fmt"
	"reflect"
	"time"

	"github.com/fleetcron/fleetcron/shared/blackout"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// calendar is one of the plan's. One that was refused where it was put never
// comes here; if one cannot be read all the same, it has no windows.
type calendar struct {
	is      fleet.Calendar
	windows *blackout.Blackout // nil: none
}

// planCalendars puts the calendars of a plan in place of the old. Those that did
// not change are not read again.
func (s *State) planCalendars(given []fleet.Calendar) {
	next := make(map[string]calendar, len(given))
	for i := range given {
		name := given[i].Name
		if old, known := s.calendars[name]; known && reflect.DeepEqual(old.is, given[i]) {
			next[name] = old
			continue
		}
		windows, err := blackout.New(given[i])
		if err != nil {
			windows = nil
		}
		next[name] = calendar{given[i], windows}
	}
	s.calendars = next
}

// blackout reports whether an instant of the task lies within a window of one of
// its calendars, until when the same is true, and says which.
func (s *State) blackout(t *task, at time.Time) (until time.Time, why string, is bool) {
	for _, name := range t.assignment.Task.On.Blackout {
		windows := s.calendars[name].windows
		if windows == nil {
			continue
		}
		end, summary, covered := windows.Covers(at)
		if !covered || is && !end.After(until) {
			continue
		}
		if summary != "" {
			summary += ", "
		}
		until, is = end, true
		why = fmt.Sprintf("calendar %s: %suntil %s", name, summary, end.Format(time.RFC3339))
	}
	return until, why, is
}

// nextBlackout is when the next window of the task's calendars begins.
func (s *State) nextBlackout(t *task, after time.Time) time.Time {
	next := farFuture
	for _, name := range t.assignment.Task.On.Blackout {
		if windows := s.calendars[name].windows; windows != nil {
			if from, comes := windows.Next(after); comes && from.Before(next) {
				next = from
			}
		}
	}
	return next
}

// skipOver settles instants that lie within a window. While older ones wait for
// their turn, they wait behind those: the order on disk is that of the instants.
func (s *State) skipOver(now time.Time, t *task, these instants, why string) {
	last := len(t.waiting) - 1
	switch {
	case last < 0:
		s.settle(now, t, these, fleet.RunSkipped, fleet.SkippedBlackout, why)
	case t.waiting[last].window == why:
		t.waiting[last].last = these.last
		t.waiting[last].count += these.count
	default:
		t.waiting = append(t.waiting, item{nominal: these.first, last: these.last, count: these.count, window: why})
	}
}
