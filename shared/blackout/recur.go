package blackout

import (
	"slices"
	"time"
)

// day is a day of the calendar, in days since 1970-01-01.
type day int64

const daySeconds = 24 * 60 * 60

func dayOf(year int, month time.Month, dom int) day {
	return day(time.Date(year, month, dom, 0, 0, 0, 0, time.UTC).Unix() / daySeconds)
}

// on is the day that an instant has on the wall.
func on(t time.Time) day { return dayOf(t.Date()) }

func (d day) date() (int, time.Month, int) {
	return time.Unix(int64(d)*daySeconds, 0).UTC().Date()
}

func (d day) weekday() time.Weekday { return time.Weekday(((int64(d)+4)%7 + 7) % 7) }

// byRule comes again by a rule.
type byRule struct {
	rule  *rule
	first time.Time // in the zone of the calendar
	why   string

	days   int           // that it ends after it begins, on the wall
	clock  time.Duration // on the wall of that day
	lasts  time.Duration // if not zero: for that long instead
	except []int64       // the instants at which it does not begin, in order
}

// patience is how long nothing may come before a rule is taken never to come.
// The slowest that come at all are on a 29 February of one weekday.
const patience = 40 * 366

// rule reads the window's rule.
func (r *reader) rule() (*byRule, bool) {
	from := r.w.From.In(r.zone)
	parsed, err := parseRule(r.w.Rule, r.zone)
	if err != nil {
		return nil, r.that(false, ".rule", clip(r.w.Rule), err.Error())
	}
	parsed.complete(from)
	b := &byRule{rule: parsed, first: from, why: r.w.Summary, lasts: time.Duration(r.w.For)}
	if r.w.To != nil {
		to := r.w.To.In(r.zone)
		b.days, b.clock = int(on(to)-on(from)), sinceMidnight(to)
	}
	if !r.bound(b) {
		return nil, false
	}
	for _, at := range r.w.Except {
		b.except = append(b.except, at.Unix())
	}
	slices.Sort(b.except)
	return b, true
}

// bound finds the end of a rule that is counted, and that it comes at all.
func (r *reader) bound(b *byRule) bool {
	count := b.rule.count
	if *r.left -= count; *r.left < 0 {
		return r.that(false, ".rule", clip(r.w.Rule), "the counts of all rules of a calendar are too many: write UNTIL")
	}
	s, ok := b.next(b.first.Add(-1))
	if !ok {
		return r.that(false, ".rule", clip(r.w.Rule), "never comes")
	}
	for n := 1; n < count; n++ {
		following, more := b.next(s.from)
		if !more {
			break
		}
		s = following
	}
	if count > 0 {
		b.rule.until = s.from
	}
	return true
}

// complete takes from the first day what the rule leaves open.
func (r *rule) complete(first time.Time) {
	if len(r.monthDays)+len(r.yearDays)+len(r.weekDays) > 0 {
		return
	}
	switch r.every {
	case yearly:
		if r.months == 0 {
			r.months = 1 << first.Month()
		}
		r.monthDays = []int{first.Day()}
	case monthly:
		r.monthDays = []int{first.Day()}
	case weekly:
		r.weekDays = []weekDay{{day: first.Weekday()}}
	}
}

func (b *byRule) most() time.Duration {
	if b.lasts > 0 {
		return b.lasts
	}
	return time.Duration(b.days+2) * daySeconds * time.Second // a zone may change its clock meanwhile
}

// next returns the first window that begins after an instant.
func (b *byRule) next(after time.Time) (span, bool) {
	if early := b.first.Add(-1); after.Before(early) {
		after = early
	}
	from := max(on(after.In(b.first.Location())), on(b.first))
	for period := b.rule.periodOf(on(b.first), from); ; period++ {
		first, last := b.rule.period(on(b.first), period)
		if first > from+patience || !b.rule.until.IsZero() && b.at(first).After(b.rule.until.Add(2*daySeconds*time.Second)) {
			return span{}, false
		}
		for _, d := range b.rule.days(first, last) {
			at := b.at(d)
			switch {
			case !at.After(after):
			case !b.rule.until.IsZero() && at.After(b.rule.until), at.Year() > lastYear:
				return span{}, false
			case !b.excepted(at):
				return b.from(d, at), true
			}
		}
	}
}

func (b *byRule) excepted(at time.Time) bool {
	_, is := slices.BinarySearch(b.except, at.Unix())
	return is
}

// at is when the window of a day begins.
func (b *byRule) at(d day) time.Time { return wall(d, sinceMidnight(b.first), b.first.Location()) }

// from is the window that begins on a day.
func (b *byRule) from(d day, at time.Time) span {
	if b.lasts > 0 {
		return span{at, at.Add(b.lasts), b.why}
	}
	to := wall(d+day(b.days), b.clock, b.first.Location())
	if !to.After(at) { // the clocks went forward over all of it
		to = at
	}
	return span{at, to, b.why}
}

func sinceMidnight(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	return time.Duration(hour*3600+minute*60+second)*time.Second + time.Duration(t.Nanosecond())
}

// wall is a time of a day on the wall; one that the clocks leave out is the
// instant as long after the last one before.
func wall(d day, clock time.Duration, zone *time.Location) time.Time {
	year, month, dom := d.date()
	return time.Date(year, month, dom, 0, 0, int(clock/time.Second), int(clock%time.Second), zone)
}

// periodOf is the number of a period at or shortly before the one that a day lies
// in; the first is 0.
func (r *rule) periodOf(first, d day) int {
	var units int
	switch r.every {
	case daily:
		units = int(d - first)
	case weekly:
		units = int(d-r.weekOf(first)) / 7
	default:
		y0, m0, _ := first.date()
		y, m, _ := d.date()
		units = y - y0
		if r.every == monthly {
			units = units*12 + int(m-m0)
		}
	}
	return max(0, units/r.interval)
}

// weekOf is the first day of a day's week.
func (r *rule) weekOf(d day) day { return d - day((d.weekday()-r.weekStart+7)%7) }

// period is the first and the last day of a period.
func (r *rule) period(first day, number int) (day, day) {
	units := number * r.interval
	year, month, _ := first.date()
	switch r.every {
	case daily:
		return first + day(units), first + day(units)
	case weekly:
		start := r.weekOf(first) + day(7*units)
		return start, start + 6
	case monthly:
		return dayOf(year, month+time.Month(units), 1), dayOf(year, month+time.Month(units)+1, 0)
	}
	return dayOf(year+units, time.January, 1), dayOf(year+units, time.December, 31)
}

// days are the days of a period that the rule chooses, in order.
func (r *rule) days(first, last day) []day {
	if r.months != 0 && !r.inMonths(first) && !r.inMonths(last) && last-first < 28 {
		return nil
	}
	var chosen []day
	year, month, dom := first.date()
	for d := first; d <= last; d++ {
		length := monthLength(year, month)
		if r.months != 0 && r.months&(1<<month) == 0 { // on to the next month
			d += day(length - dom)
			dom = length
		} else if r.matches(d, year, month, dom, length) {
			chosen = append(chosen, d)
		}
		if dom++; dom > length {
			dom, month = 1, month+1
		}
		if month > time.December {
			month, year = time.January, year+1
		}
	}
	return r.positioned(chosen)
}

func (r *rule) inMonths(d day) bool {
	_, month, _ := d.date()
	return r.months&(1<<month) != 0
}

func (r *rule) positioned(days []day) []day {
	if len(r.positions) == 0 {
		return days
	}
	var chosen []day
	for i, d := range days {
		if slices.Contains(r.positions, i+1) || slices.Contains(r.positions, i-len(days)) {
			chosen = append(chosen, d)
		}
	}
	return chosen
}

func (r *rule) matches(d day, year int, month time.Month, dom, length int) bool {
	if len(r.monthDays) > 0 && !slices.Contains(r.monthDays, dom) && !slices.Contains(r.monthDays, dom-length-1) {
		return false
	}
	if len(r.yearDays) == 0 && len(r.weekDays) == 0 {
		return true
	}
	begins, days := dayOf(year, time.January, 1), 365
	if isLeap(year) {
		days = 366
	}
	ofYear := int(d-begins) + 1
	if len(r.yearDays) > 0 && !slices.Contains(r.yearDays, ofYear) && !slices.Contains(r.yearDays, ofYear-days-1) {
		return false
	}
	if len(r.weekDays) == 0 {
		return true
	}
	at, of := dom, length // the n-th of its month, or of its year
	if r.every == yearly && r.months == 0 {
		at, of = ofYear, days
	}
	return slices.ContainsFunc(r.weekDays, func(w weekDay) bool {
		return w.day == d.weekday() && (w.n == 0 || w.n == (at-1)/7+1 || w.n == -((of-at)/7+1))
	})
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func monthLength(year int, month time.Month) int {
	switch month {
	case time.February:
		if isLeap(year) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	}
	return 31
}
