package calendar

import (
	"math/bits"
	"time"
)

// Next returns the first instant after the given one at which the event comes,
// in the given one's location, which is also where the event is read unless it
// names a zone itself. It is false where none comes before the year 2200.
//
// Around a change of the clock the event follows systemd: what the clock skips
// does not come, and what it shows twice comes the first time only, unless one
// begins to wait during the second.
func (e Event) Next(after time.Time) (time.Time, bool) {
	if e.IsZero() {
		return time.Time{}, false
	}
	loc := after.Location()
	if e.location != nil {
		loc = e.location
	}
	probe := after.Truncate(0)
	if probe.Unix() < 0 {
		probe = time.Unix(0, 0).Add(-time.Microsecond)
	}
	at, ok := e.search(probe, loc)
	if !ok {
		return time.Time{}, false
	}
	return at.In(after.Location()), true
}

// farAway is more than any zone is from UTC, twice over.
const farAway = 30 * time.Hour

// search goes from one stretch of constant offset to the next; inside one, the
// search is on the wall clock, which is kept in UTC.
func (e *Event) search(after time.Time, loc *time.Location) (time.Time, bool) {
	from := time.UnixMicro(after.UnixMicro() + 1).UTC() // the first instant that may be due
	for probe := after.In(loc); ; {
		_, seconds := probe.Zone()
		offset := time.Duration(seconds) * time.Second
		_, end := probe.ZoneBounds()
		if !end.IsZero() && !end.After(probe) {
			// On the last day of a leap year past the zone's table the standard
			// library gives an end that has been. No zone changes its clock then.
			end = probe.Add(24 * time.Hour)
		}
		wall, ok := e.seek(from.Add(offset))
		if !ok {
			return time.Time{}, false
		}
		at := wall.Add(-offset)
		if end.IsZero() || at.Before(end) {
			return at, true
		}
		// No stretch can bring the match much nearer than it is.
		next := end
		if far := at.Add(-farAway); far.After(next) {
			probe, from = far.In(loc), far.UTC()
			continue
		}
		probe = next.In(loc)
		from = next.UTC()
		if _, now := probe.Zone(); now < seconds { // the clock shows again what it showed
			from = from.Add(time.Duration(seconds-now) * time.Second)
		}
	}
}

// seek returns the first time on a wall clock, from the given one on, that the
// event fits.
func (e *Event) seek(wall time.Time) (time.Time, bool) {
	year, month, day := wall.Date()
	clock := sinceMidnight(wall)
	for y, ok := e.years.from(year, yearField.high); ok; y, ok = e.years.from(y+1, yearField.high) {
		if y > year {
			month, day, clock = time.January, 1, 0
		}
		for months := e.monthSet &^ (1<<month - 1); months != 0; months &= months - 1 {
			m := time.Month(bits.TrailingZeros64(months))
			if m > month {
				day, clock = 1, 0
			}
			for days := e.daysOf(y, m) &^ (1<<day - 1); days != 0; days &= days - 1 {
				d := bits.TrailingZeros64(days)
				if d > day {
					clock = 0
				}
				if micro, ok := e.clock(clock); ok {
					return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Add(time.Duration(micro) * time.Microsecond), true
				}
			}
		}
	}
	return time.Time{}, false
}

// sinceMidnight is a time of day in microseconds.
func sinceMidnight(t time.Time) int {
	hour, minute, sec := t.Clock()
	return ((hour*60+minute)*60+sec)*second + t.Nanosecond()/1000
}

// daysOf is the set of the days of a month that fit.
func (e *Event) daysOf(year int, month time.Month) uint64 {
	last := monthLength(year, month)
	set := e.daySet
	if e.end {
		set = e.daysBefore(last)
	}
	set &= 1<<(last+1) - 1
	if set == 0 || e.weekdays == everyWeekday {
		return set
	}
	first := int(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()+6) % 7 // 0 is Monday
	week := uint64(e.weekdays)>>first | uint64(e.weekdays)<<(7-first)&everyWeekday
	return set & (week * (1 | 1<<7 | 1<<14 | 1<<21 | 1<<28) << 1)
}

// daysBefore is the set of the days counted back from the last of a month. A
// range runs towards the end, and so does a repetition.
func (e *Event) daysBefore(last int) uint64 {
	var back [maxComponents]component
	list := components(back[:0])
	for _, c := range e.days {
		start, stop := last+1-c.start, -1
		if c.stop >= 0 {
			start, stop = last+1-c.stop, start
		}
		list = append(list, component{start: start, stop: stop, repeat: c.repeat})
	}
	return list.set(field{low: 1, high: last})
}

// monthLength is 28 to 31.
func monthLength(year int, month time.Month) int {
	if month == time.February {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + int(month+month>>3)&1
}

// clock returns the first time of day, from the given one on, that fits; all
// in microseconds since midnight.
func (e *Event) clock(from int) (int, bool) {
	hour, minute, micro := from/(3600*second), from/(60*second)%60, from%(60*second)
	for hours := e.hourSet &^ (1<<hour - 1); hours != 0; hours &= hours - 1 {
		h := bits.TrailingZeros64(hours)
		if h > hour {
			minute, micro = 0, 0
		}
		for minutes := e.minuteSet &^ (1<<minute - 1); minutes != 0; minutes &= minutes - 1 {
			m := bits.TrailingZeros64(minutes)
			if m > minute {
				micro = 0
			}
			if s, ok := e.seconds.from(micro, secondField.high); ok {
				return (h*60+m)*60*second + s, true
			}
		}
	}
	return 0, false
}
