package httpd

import (
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/blackout"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// closures knows the windows in which tasks are not due, as they were read last.
type closures struct {
	mu      sync.Mutex
	read    []*fleet.CalendarRecord
	windows map[string]*blackout.Blackout
}

// of returns the windows of calendars by name, those that there are.
func (c *closures) of(all []*fleet.CalendarRecord, names []string) []*blackout.Blackout {
	if len(names) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sameList(all, c.read) {
		c.read, c.windows = all, make(map[string]*blackout.Blackout, len(all))
		for _, record := range all {
			if windows, err := blackout.New(record.Calendar); err == nil { // it was valid when it was put
				c.windows[record.Name] = windows
			}
		}
	}
	var found []*blackout.Blackout
	for _, name := range names {
		if windows := c.windows[name]; windows != nil {
			found = append(found, windows)
		}
	}
	return found
}

// windowsSkipped bounds how many windows one look for an instant leaves behind:
// there are tasks that are due in nothing but windows.
const windowsSkipped = 1000

// open returns when the task is due after an instant, by a clock of its own,
// leaving out what lies within the windows of its calendars.
func (s *Server) open(task *fleet.Task, next func(time.Time) (time.Time, bool)) func(time.Time) (time.Time, bool) {
	windows := s.closures.of(s.Ledger.Calendars(everywhere), task.On.Blackout)
	if len(windows) == 0 {
		return next
	}
	return func(after time.Time) (time.Time, bool) {
		for range windowsSkipped {
			at, due := next(after)
			if !due {
				return at, false
			}
			until := coveredUntil(windows, at)
			if until.IsZero() {
				return at, true
			}
			after = until.Add(-1) // the end is no part of a window
		}
		return time.Time{}, false
	}
}

// coveredUntil is the end of a window around the instant; zero: there is none.
func coveredUntil(windows []*blackout.Blackout, at time.Time) (until time.Time) {
	for _, one := range windows {
		if end, _, covered := one.Covers(at); covered && end.After(until) {
			until = end
		}
	}
	return until
}
