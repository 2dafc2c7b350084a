package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Describe says in plain English when the schedule is due, without its zone:
// "every weekday at 02:30", "every 5 minutes", "at 03:00 on the 1st of every
// month", "never".
func (s Schedule) Describe() string {
	switch {
	case s.Reboot():
		return "at boot"
	case s.flags&never != 0 || s.second == 0:
		return "never"
	case s.Random():
		return "at a time drawn from " + s.text + " when cron loads the file"
	}
	times, fixed := s.times()
	days, prefix := s.dates()
	months := s.months()
	var text string
	switch {
	case days == "" && !fixed:
		text = times
	case days == "":
		text = "every day " + times
	case prefix && fixed:
		text = "every " + days + " " + times
	case prefix:
		text = times + " on " + plurals(days)
	default:
		text = times + " on " + days
		if s.dayOnly() {
			return text // the months are in it
		}
	}
	if months != "" {
		text += " " + months
	}
	return text
}

// fewTimes is how many times of day are listed one by one.
const fewTimes = 6

// times describes the time of day; fixed means it starts with "at" and wants a
// day.
func (s Schedule) times() (text string, fixed bool) {
	if bits.OnesCount64(s.second) > 1 {
		return s.secondTimes(), false
	}
	hours, minutes := bits.OnesCount32(s.hour), bits.OnesCount64(s.minute)
	second := bits.TrailingZeros64(s.second)
	hour := run(uint64(s.hour), 0, 23)
	minute := run(s.minute, 0, 59)
	switch {
	case hours == 24:
		return everyHour(minute, second), false
	case minutes == 1 && hour.full && hours > 2:
		return everyHours(hour.step) + atMinute(minute.first, second), false
	case hours*minutes <= fewTimes:
		return "at " + enumerate(s.clocks()), true
	case minutes == 1 && hour.regular:
		return fmt.Sprintf("%s from %s to %s", everyHours(hour.step),
			clockText(hour.first, minute.first, second), clockText(hour.last, minute.first, second)), false
	case minute.full && (hours == 1 || hour.regular && hour.step == 1):
		return fmt.Sprintf("%s from %s to %s", everyMinutes(minute.step)+atSecond(second),
			clockText(hour.first, minute.first, second), clockText(hour.last, minute.last, second)), false
	case minutes == 1:
		return "at " + enumerate(s.clocks()), true
	}
	return fmt.Sprintf("%s in the %s %s", minutesOf(minute)+atSecond(second),
		plural(hours, "hour"), enumerate(numbers(uint64(s.hour), 0, 23, two))), false
}

// secondTimes describes schedules that are due more than once a minute.
func (s Schedule) secondTimes() string {
	second := run(s.second, 0, 59)
	text := "every " + ordinalStep(second.step, "second")
	if !second.full {
		text = "at the seconds " + enumerate(numbers(s.second, 0, 59, strconv.Itoa))
	}
	if setText(s.minute, 0, 59) != "*" {
		text += " in minute " + enumerate(numbers(s.minute, 0, 59, strconv.Itoa))
	}
	if setText(uint64(s.hour), 0, 23) != "*" {
		text += " of hour " + enumerate(numbers(uint64(s.hour), 0, 23, strconv.Itoa))
	}
	return text
}

// everyHour describes minutes when all hours count.
func everyHour(minute progression, second int) string {
	switch {
	case minute.count == 1:
		return "every hour" + atMinute(minute.first, second)
	case minute.full:
		return everyMinutes(minute.step) + atSecond(second)
	}
	return minutesOf(minute) + " of every hour" + atSecond(second)
}

func everyHours(step int) string   { return "every " + ordinalStep(step, "hour") }
func everyMinutes(step int) string { return "every " + ordinalStep(step, "minute") }

// ordinalStep is "hour" or "2 hours".
func ordinalStep(step int, noun string) string {
	if step == 1 {
		return noun
	}
	return strconv.Itoa(step) + " " + noun + "s"
}

// minutesOf lists minutes that are not evenly spread over the hour.
func minutesOf(minute progression) string {
	switch {
	case minute.count == 60:
		return "every minute"
	case minute.count == 1:
		return "at minute " + strconv.Itoa(minute.first)
	case minute.regular && minute.count > fewTimes && minute.step == 1:
		return fmt.Sprintf("every minute from %d to %d", minute.first, minute.last)
	case minute.regular && minute.count > fewTimes:
		return fmt.Sprintf("every %d minutes from minute %d to %d", minute.step, minute.first, minute.last)
	}
	return "at the minutes " + enumerate(numbers(minute.set, 0, 59, strconv.Itoa))
}

func atMinute(minute, second int) string {
	if minute == 0 && second == 0 {
		return ""
	}
	if second == 0 {
		return fmt.Sprintf(" at minute %d", minute)
	}
	return fmt.Sprintf(" at minute %d, second %d", minute, second)
}

func atSecond(second int) string {
	if second == 0 {
		return ""
	}
	return fmt.Sprintf(" at second %d", second)
}

// clocks lists the times of day.
func (s Schedule) clocks() []string {
	var list []string
	second := bits.TrailingZeros64(s.second)
	for h := range 24 {
		for m := range 60 {
			if s.hour&(1<<h) != 0 && s.minute&(1<<m) != 0 {
				list = append(list, clockText(h, m, second))
			}
		}
	}
	return list
}

func clockText(h, m, second int) string {
	if second == 0 {
		return fmt.Sprintf("%02d:%02d", h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, second)
}

// progression is a set seen as first, first+step, …, last.
type progression struct {
	set               uint64
	first, last, step int
	count             int
	regular           bool // it is one
	full              bool // it is one that goes on evenly over the next low
}

func run(set uint64, low, high int) progression {
	set &= span(low, high)
	p := progression{set: set, first: bits.TrailingZeros64(set), last: 63 - bits.LeadingZeros64(set), count: bits.OnesCount64(set)}
	if p.count < 2 {
		return p
	}
	p.step = bits.TrailingZeros64(set>>(p.first+1)) + 1
	p.regular = true
	for n := p.first; n <= p.last; n += p.step {
		set &^= 1 << n
	}
	p.regular = set == 0 && (p.last-p.first)/p.step+1 == p.count
	p.full = p.regular && p.first == low && p.count*p.step == high-low+1
	return p
}

// numbers renders the members of a set.
func numbers(set uint64, low, high int, text func(int) string) []string {
	var list []string
	for n := low; n <= high; n++ {
		if set&(1<<n) != 0 {
			list = append(list, text(n))
		}
	}
	return list
}

// ranges renders the members of a set, three or more in a row as "a to b".
func ranges(set uint64, low, high int, text func(int) string) []string {
	var list []string
	for n := low; n <= high; n++ {
		if set&(1<<n) == 0 {
			continue
		}
		last := n
		for last < high && set&(1<<(last+1)) != 0 {
			last++
		}
		if last >= n+2 {
			list = append(list, text(n)+" to "+text(last))
			n = last
		} else {
			list = append(list, text(n))
		}
	}
	return list
}

// series is like ranges, with a long regular series shortened: "1, 3, 5 … 31".
func series(set uint64, low, high int, text func(int) string) []string {
	p := run(set, low, high)
	if !p.regular || p.step == 1 || p.count <= fewTimes {
		return ranges(set, low, high, text)
	}
	return []string{fmt.Sprintf("%s, %s, %s … %s", text(p.first), text(p.first+p.step), text(p.first+2*p.step), text(p.last))}
}

// enumerate is "a", "a and b" or "a, b and c".
func enumerate(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

func two(n int) string { return fmt.Sprintf("%02d", n) }

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
