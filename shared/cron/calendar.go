package cron

import "math/bits"

const (
	daySeconds = 24 * 60 * 60
	lastYear   = 9999 // RFC 3339 has no later one
)

// span is the set of the numbers low to high.
func span(low, high int) uint64 {
	return (1<<(high-low+1) - 1) << low
}

// floorDiv is a/b rounded down, for b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar. Its
// years begin in March, so that a leap day is the last of its year.
func civil(day int64) (year, month, dom int) {
	day += 719468 // days from 0000-03-01 to 1970-01-01
	era := floorDiv(day, 146097)
	doe := day - era*146097 // day of the era, 400 years
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153 // March is 0
	dom = int(doy - (153*mp+2)/5 + 1)
	month = int(mp) + 3
	if month > 12 {
		month -= 12
	}
	year = int(yoe + era*400)
	if month <= 2 {
		year++
	}
	return year, month, dom
}

// dayNumber turns the first of a month into days since 1970-01-01.
func dayNumber(year, month int) int64 {
	y := int64(year)
	mp := int64(month) - 3
	if mp < 0 {
		mp += 12
		y--
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	doe := yoe*365 + yoe/4 - yoe/100 + (153*mp+2)/5
	return era*146097 + doe - 719468
}

// monthLength is 28 to 31.
func monthLength(year, month int) int {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}

// weekday is 0 for Sunday.
func weekday(day int64) int {
	return int(day + 4 - 7*floorDiv(day+4, 7))
}

// days is the set of the days of a month that satisfy both day fields, as the
// dialect combines them. first is the number of the month's first day.
func (s *Schedule) days(year, month int, first int64) uint32 {
	length := monthLength(year, month)
	w := weekday(first)
	week := uint64(s.dow)>>w | uint64(s.dow)<<(7-w)&0x7f // bit k: does the weekday of day 1+k count
	week *= 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	match := uint32(week << 1)
	if s.flags&(domStar|dowStar) != 0 && s.dialect != Busybox {
		match &= s.dom
	} else {
		match |= s.dom
	}
	return match & uint32(span(1, length))
}

// seek finds the first match at or after a local time, both in seconds since
// 1970-01-01 on the wall clock. It is false past the last year.
func (s *Schedule) seek(local int64) (int64, bool) {
	day := floorDiv(local, daySeconds)
	year, month, dom := civil(day)
	first := day - int64(dom) + 1
	var left uint32
	if s.month&(1<<month) != 0 {
		left = s.days(year, month, first)
		if left&(1<<dom) != 0 {
			if clock, ok := s.clock(int(local - day*daySeconds)); ok {
				return day*daySeconds + int64(clock), true
			}
		}
		left &^= 1<<(dom+1) - 1
	}
	for left == 0 {
		later := s.month &^ (1<<(month+1) - 1)
		if later == 0 {
			if year++; year > lastYear {
				return 0, false
			}
			later = s.month
		}
		month = bits.TrailingZeros16(later)
		first = dayNumber(year, month)
		left = s.days(year, month, first)
	}
	day = first + int64(bits.TrailingZeros32(left)) - 1
	return day*daySeconds + int64(s.firstClock()), true
}

// clock finds the first match at or after a second of the day, the same day.
func (s *Schedule) clock(from int) (int, bool) {
	h, m, sec := from/3600, from/60%60, from%60
	if s.hour&(1<<h) != 0 {
		if s.minute&(1<<m) != 0 {
			if left := s.second >> sec; left != 0 {
				return from + bits.TrailingZeros64(left), true
			}
		}
		if left := s.minute >> (m + 1); left != 0 {
			m += 1 + bits.TrailingZeros64(left)
			return h*3600 + m*60 + bits.TrailingZeros64(s.second), true
		}
	}
	left := s.hour >> (h + 1)
	if left == 0 {
		return 0, false
	}
	h += 1 + bits.TrailingZeros32(left)
	return h*3600 + bits.TrailingZeros64(s.minute)*60 + bits.TrailingZeros64(s.second), true
}

// firstClock is the first match of a day.
func (s *Schedule) firstClock() int {
	return bits.TrailingZeros32(s.hour)*3600 + bits.TrailingZeros64(s.minute)*60 + bits.TrailingZeros64(s.second)
}

// sealed returns the schedule with what Next must know before it starts: that
// a day exists which satisfies the sets. Every date of the calendar, 29
// February too, falls on every day of the week sooner or later, so a look at
// the lengths of the months is enough.
func (s Schedule) sealed() Schedule {
	possible := false
	for month := 1; month <= 12; month++ {
		if s.month&(1<<month) == 0 {
			continue
		}
		dom := uint64(s.dom)&span(1, monthLength(2000, month)) != 0
		dow := s.dow&0x7f != 0
		if s.flags&(domStar|dowStar) != 0 && s.dialect != Busybox {
			possible = possible || dom && dow
		} else {
			possible = possible || dom || dow
		}
	}
	if !possible || s.second == 0 || s.minute == 0 || s.hour == 0 {
		s.flags |= never
	}
	return s
}
