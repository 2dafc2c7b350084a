package cron

import (
	"fmt"
	"strconv"
	"strings"
)

var longDays = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

var longMonths = [...]string{"", "January", "February", "March", "April", "May", "June",
	"July", "August", "September", "October", "November", "December"}

const (
	allDays   = 1<<7 - 1
	weekDays  = 0b0111110
	allMonths = 1<<13 - 2
)

// both reports whether a day must satisfy both day fields, not either.
func (s Schedule) both() bool {
	return s.flags&(domStar|dowStar) != 0 && s.dialect != Busybox
}

// dates describes which days count: nothing for all of them; prefix means that
// "every" can stand before it.
func (s Schedule) dates() (text string, prefix bool) {
	dom := uint64(s.dom) & span(1, 31)
	allDom, allDow := dom == span(1, 31), s.dow == allDays
	switch {
	case allDom && allDow, !s.both() && (allDom || allDow):
		return "", false
	case s.dayOnly():
		return s.monthDays(dom), false
	case allDom || dom == 0:
		return weekDayText(s.dow), true
	case s.both():
		return fmt.Sprintf("%s that fall on %s of the month", plurals(weekDayText(s.dow)), dayNumbers(dom, "or")), false
	}
	return fmt.Sprintf("%s of the month and on %s", dayNumbers(dom, "and"), plurals(weekDayText(s.dow))), false
}

// dayOnly reports whether the days of the month alone decide.
func (s Schedule) dayOnly() bool {
	dom := uint64(s.dom) & span(1, 31)
	return dom != span(1, 31) && (s.both() && s.dow == allDays || !s.both() && s.dow == 0)
}

// monthDays is "the 1st of every month", "the 1st and 15th of May", "29 February".
func (s Schedule) monthDays(dom uint64) string {
	months := numbers(uint64(s.month), 1, 12, func(n int) string { return longMonths[n] })
	if len(months) == 1 {
		return enumerate(series(dom, 1, 31, strconv.Itoa)) + " " + months[0]
	}
	days := "the " + enumerate(series(dom, 1, 31, ordinal)) + " of "
	if s.month == allMonths {
		return days + "every month"
	}
	return days + enumerate(months)
}

// months describes a restriction to some months.
func (s Schedule) months() string {
	if s.month == allMonths {
		return ""
	}
	list := ranges(uint64(s.month), 1, 12, func(n int) string { return longMonths[n] })
	if len(list) == 1 && s.month&(s.month-1) != 0 {
		return "from " + list[0]
	}
	return "in " + enumerate(list)
}

// weekDayText is "weekday", "Monday" or "Monday, Wednesday and Friday"; weeks
// begin on Monday here, so that a weekend stays together.
func weekDayText(dow uint8) string {
	if dow == weekDays {
		return "weekday"
	}
	mondayFirst := uint64(dow>>1 | dow&1<<6)
	return enumerate(ranges(mondayFirst, 0, 6, func(n int) string { return longDays[(n+1)%7] }))
}

// plurals turns each day of a text of weekDayText into its plural.
func plurals(days string) string {
	words := strings.Fields(days)
	for i, w := range words {
		bare := strings.TrimSuffix(w, ",")
		if strings.HasSuffix(bare, "day") {
			words[i] = bare + "s" + w[len(bare):]
		}
	}
	return strings.Join(words, " ")
}

// dayNumbers is "day 1" or "days 1, 3 and 8 to 12", with the given conjunction.
func dayNumbers(dom uint64, conjunction string) string {
	list := series(dom, 1, 31, strconv.Itoa)
	text := enumerate(list)
	if len(list) == 1 && dom&(dom-1) == 0 {
		return "day " + text
	}
	if len(list) > 1 {
		last := len(list) - 1
		text = strings.Join(list[:last], ", ") + " " + conjunction + " " + list[last]
	}
	if conjunction == "or" {
		return "day " + text
	}
	return "days " + text
}

// ordinal is "1st", "2nd", "23rd", "11th".
func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
