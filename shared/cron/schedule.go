package cron

import (
	"strconv"
	"strings"
)

// Schedule is a parsed expression. It is comparable and safe to copy and to
// share. Its zero value is no schedule: it never comes.
type Schedule struct {
	text    string
	second  uint64 // bits 0-59; bit 0 alone for five fields
	minute  uint64 // bits 0-59
	hour    uint32 // bits 0-23
	dom     uint32 // bits 1-31; busybox knows a day 0
	month   uint16 // bits 1-12
	dow     uint8  // bits 0-6, Sunday first
	dialect Dialect
	flags   flag
}

// flag holds what a field's text says beyond its set.
type flag uint16

const (
	minuteStar flag = 1 << iota // the minute's text starts with a star
	hourStar                    // the hour's text starts with a star, or the word is @hourly
	domStar                     // the day of month's text starts with a star
	dowStar                     // the day of week's text starts with a star
	atReboot
	withSeconds
	drawn    // a set holds the window of a value cronie draws at load
	wallOnly // plain wall-clock matching around a change of the clock
	never    // no day of the calendar satisfies the sets
	complained
)

// Reboot reports whether the schedule is @reboot: it is due when the daemon
// starts after a boot, at no instant of the clock.
func (s Schedule) Reboot() bool { return s.flags&atReboot != 0 }

// Seconds reports whether the expression had six fields, seconds first.
func (s Schedule) Seconds() bool { return s.flags&withSeconds != 0 }

// Random reports whether cronie draws a value of this schedule when it loads
// the file (~). Its next instant cannot be known from outside: Next says false,
// and Fields shows the whole window the value is drawn from.
func (s Schedule) Random() bool { return s.flags&drawn != 0 }

// Wildcard reports whether the text of the minute or of the hour starts with a
// star. Around a change of the clock such a job follows elapsed time, any other
// one follows the wall clock.
func (s Schedule) Wildcard() bool { return s.flags&(minuteStar|hourStar) != 0 }

// Wall returns the schedule with plain wall-clock matching: what the clock
// skips is not run, what it repeats is run twice. cronie does this to jobs
// under CRON_TZ, busybox to all.
func (s Schedule) Wall() Schedule {
	s.flags |= wallOnly
	return s
}

// Complaint is what busybox logs about a field it did not understand while it
// keeps the line with the bits set so far, which may be all of them. It is
// empty for a clean line and for every other dialect.
func (s Schedule) Complaint() string {
	if s.flags&complained == 0 {
		return ""
	}
	return busyboxComplaint(s.text)
}

// String returns the expression as written, with one blank between fields.
func (s Schedule) String() string { return s.text }

// Fields is a schedule's sets as canonical text: "*" for everything, "" for
// nothing, otherwise numbers in order with three or more in a row as a range
// ("0,30", "1-5"). Days of the week are 0 to 6 from Sunday.
type Fields struct {
	Second, Minute, Hour, DayOfMonth, Month, DayOfWeek string

	// The star flags: whether the field's text starts with a star. They decide
	// how the two day fields combine and what a change of the clock does.
	MinuteStar, HourStar, DayOfMonthStar, DayOfWeekStar bool
}

// Fields returns the sets and star flags. Second is "0" for five fields.
func (s Schedule) Fields() Fields {
	return Fields{
		Second:         setText(s.second, 0, 59),
		Minute:         setText(s.minute, 0, 59),
		Hour:           setText(uint64(s.hour), 0, 23),
		DayOfMonth:     setText(uint64(s.dom), 1, 31),
		Month:          setText(uint64(s.month), 1, 12),
		DayOfWeek:      setText(uint64(s.dow), 0, 6),
		MinuteStar:     s.flags&minuteStar != 0,
		HourStar:       s.flags&hourStar != 0,
		DayOfMonthStar: s.flags&domStar != 0,
		DayOfWeekStar:  s.flags&dowStar != 0,
	}
}

// setText renders the bits low to high of a set.
func setText(set uint64, low, high int) string {
	set &= span(low, high)
	if set == span(low, high) {
		return "*"
	}
	var b strings.Builder
	for n := low; n <= high; n++ {
		if set&(1<<n) == 0 {
			continue
		}
		last := n
		for last < high && set&(1<<(last+1)) != 0 {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		n = writeRun(&b, n, last)
	}
	return b.String()
}

// writeRun writes the numbers first to last and returns the last one written.
func writeRun(b *strings.Builder, first, last int) int {
	b.WriteString(strconv.Itoa(first))
	if last < first+2 {
		return first
	}
	b.WriteByte('-')
	b.WriteString(strconv.Itoa(last))
	return last
}
