package evidence

import (
	"bytes"
	"time"
)

// clock reads the instants of one log. What a line leaves out, it completes:
// the year from when the file was written last, the zone from the host's, and
// which of two equal hours in autumn from the line before.
type clock struct {
	zone *time.Location
	last time.Time // when the log was written last, at most
	prev time.Time // the instant read before; zero: none
}

// slack is how much earlier than the line before it a line may be: several
// processes write to one log.
const slack = time.Minute

var months = map[string]time.Month{
	"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}

// read reads the text of an instant: "Nov  1 02:30:00", or ISO 8601 with zone.
func (c *clock) read(text []byte) (time.Time, bool) {
	at, ok := c.iso(text)
	if !ok {
		at, ok = c.classic(text)
	}
	if ok {
		c.prev = at
	}
	return at, ok
}

// isoForms are the ISO 8601 forms that syslog daemons write.
var isoForms = []string{time.RFC3339, "2006-01-02T15:04:05-0700"}

func (c *clock) iso(text []byte) (time.Time, bool) {
	if len(text) < len("2006-01-02T15:04:05Z") || text[4] != '-' {
		return time.Time{}, false
	}
	for _, form := range isoForms {
		if at, err := time.Parse(form, string(text)); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// classicLength is that of "Nov  1 02:30:00".
const classicLength = 15

// classic reads RFC 3164's form, which knows neither year nor zone.
func (c *clock) classic(text []byte) (time.Time, bool) {
	if len(text) != classicLength || text[3] != ' ' || text[6] != ' ' || text[9] != ':' || text[12] != ':' {
		return time.Time{}, false
	}
	month := months[string(text[:3])]
	day, ok := number(bytes.TrimLeft(text[4:6], " "))
	hour, ok2 := number(text[7:9])
	minute, ok3 := number(text[10:12])
	second, ok4 := number(text[13:15])
	if month == 0 || !ok || !ok2 || !ok3 || !ok4 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	// The year is the latest in which the day exists and is not yet to come.
	latest := c.last.Add(24 * time.Hour)
	for year := latest.In(c.zone).Year(); year > latest.Year()-9; year-- {
		at := time.Date(year, month, day, hour, minute, second, 0, c.zone)
		if at.Month() == month && at.Day() == day && !at.After(latest) {
			return c.settle(at), true
		}
	}
	return time.Time{}, false
}

// settle chooses between the two instants that one wall clock time may be.
func (c *clock) settle(at time.Time) time.Time {
	early, late := at, at
	for _, shift := range []time.Duration{time.Hour, 30 * time.Minute} {
		for _, other := range []time.Time{at.Add(-shift), at.Add(shift)} {
			if other.Hour() != at.Hour() || other.Minute() != at.Minute() {
				continue
			}
			if other.Before(early) {
				early = other
			} else if other.After(late) {
				late = other
			}
		}
	}
	if !c.prev.IsZero() && early.Before(c.prev.Add(-slack)) && !late.After(c.last.Add(slack)) {
		return late
	}
	return early
}

// number reads one or more digits.
func number(text []byte) (int, bool) {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(text) > 0
}
