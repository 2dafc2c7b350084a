package calendar

import (
	"strings"
	"time"
)

// Separator stands between the triggers in the schedule of a timer.
const Separator = "; "

// Events come whenever one of them does. None never come.
type Events []Event

// ParseEvents reads the calendar events in the schedule of a timer, which are
// in normal form, and leaves out its other triggers, such as OnBootSec=5min.
func ParseEvents(schedule string) Events {
	var events Events
	for one := range strings.SplitSeq(schedule, Separator) {
		if event, err := Parse(one); err == nil {
			events = append(events, event)
		}
	}
	return events
}

// Next returns the first instant after the given one at which one of them
// comes, as [Event.Next] does.
func (l Events) Next(after time.Time) (time.Time, bool) {
	var first time.Time
	found := false
	for _, e := range l {
		if at, ok := e.Next(after); ok && (!found || at.Before(first)) {
			first, found = at, true
		}
	}
	return first, found
}
