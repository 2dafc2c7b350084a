package calendar

import (
	"strings"
	"time"
)

// Event is a calendar expression that was read. The zero Event is no
// expression: it is written as nothing and never comes. An Event is not
// changed by its use and may be used by many goroutines.
type Event struct {
	years    components
	months   components
	days     components
	hours    components
	minutes  components
	seconds  components // in microseconds
	end      bool       // days count from the end of the month
	weekdays uint8      // bit 0 is Monday
	zone     string     // as written; empty: the one Next is asked in
	location *time.Location

	// the same as bits, for the search
	monthSet, daySet, hourSet, minuteSet uint64
}

const everyWeekday = 1<<7 - 1

// IsZero reports whether the event is the zero Event, which no text stands for.
func (e Event) IsZero() bool { return e.weekdays == 0 }

// Zone is the zone the expression itself names, such as Europe/Berlin or UTC;
// empty if it is read in the zone of whoever asks.
func (e Event) Zone() string { return e.zone }

// String is the event in systemd's normal form, as systemd-analyze calendar
// prints it; reading it again gives the same event.
func (e Event) String() string {
	if e.IsZero() {
		return ""
	}
	var b strings.Builder
	if e.weekdays != everyWeekday {
		writeWeekdays(&b, e.weekdays)
		b.WriteByte(' ')
	}
	e.years.write(&b, yearField)
	b.WriteByte('-')
	e.months.write(&b, monthField)
	if e.end {
		b.WriteByte('~')
	} else {
		b.WriteByte('-')
	}
	e.days.write(&b, dayField)
	b.WriteByte(' ')
	e.hours.write(&b, hourField)
	b.WriteByte(':')
	e.minutes.write(&b, minuteField)
	b.WriteByte(':')
	if len(e.seconds) == 1 && e.seconds[0] == everySecond {
		b.WriteByte('*')
	} else {
		e.seconds.write(&b, secondField)
	}
	if e.zone != "" {
		b.WriteString(" " + e.zone)
	}
	return b.String()
}

// everySecond is what a star means where seconds are: whole ones.
var everySecond = component{start: 0, stop: -1, repeat: second}

// weekdays are their names from Monday on.
var weekdays = [7]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// writeWeekdays appends a set of weekdays, three and more in a row as a range.
func writeWeekdays(b *strings.Builder, set uint8) {
	comma := ""
	for day := 0; day < 7; day++ {
		if set>>day&1 == 0 {
			continue
		}
		last := day
		for last < 6 && set>>(last+1)&1 == 1 {
			last++
		}
		b.WriteString(comma + weekdays[day][:3])
		comma = ","
		if last > day+1 {
			b.WriteString(".." + weekdays[last][:3])
			day = last
		}
	}
}
