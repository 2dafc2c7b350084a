package blackout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// frequency is how often a rule comes.
type frequency byte

const (
	daily frequency = iota
	weekly
	monthly
	yearly
)

// rule is an RRULE of RFC 5545, as far as it speaks of days.
type rule struct {
	every     frequency
	interval  int
	count     int       // zero: no bound
	until     time.Time // zero: no bound
	months    uint16    // bits 1-12; zero: all
	monthDays []int     // 1-31, or from the end of the month: -1 is its last
	yearDays  []int     // 1-366, or from the end of the year
	weekDays  []weekDay
	positions []int // of the days of a period, from 1, or from its end
	weekStart time.Weekday
}

// weekDay is a day of the week, or the n-th of them in its month or year.
type weekDay struct {
	day time.Weekday
	n   int // zero: each
}

// parts is every part of a rule there is, and how it is read.
var parts = map[string]func(r *rule, value string, zone *time.Location) error{
	"FREQ":       func(r *rule, v string, _ *time.Location) error { return r.readFrequency(v) },
	"INTERVAL":   func(r *rule, v string, _ *time.Location) (err error) { r.interval, err = whole(v, 1, 1000); return },
	"COUNT":      func(r *rule, v string, _ *time.Location) (err error) { r.count, err = whole(v, 1, maxCounted); return },
	"UNTIL":      func(r *rule, v string, zone *time.Location) (err error) { r.until, err = readUntil(v, zone); return },
	"BYMONTH":    func(r *rule, v string, _ *time.Location) error { return r.readMonths(v) },
	"BYMONTHDAY": func(r *rule, v string, _ *time.Location) (err error) { r.monthDays, err = signed(v, 31); return },
	"BYYEARDAY":  func(r *rule, v string, _ *time.Location) (err error) { r.yearDays, err = signed(v, 366); return },
	"BYDAY":      func(r *rule, v string, _ *time.Location) error { return r.readWeekDays(v) },
	"BYSETPOS":   func(r *rule, v string, _ *time.Location) (err error) { r.positions, err = signed(v, 366); return },
	"WKST":       func(r *rule, v string, _ *time.Location) (err error) { r.weekStart, err = readDay(v); return },
}

// parseRule reads a rule. What a part leaves open is taken from its first day.
func parseRule(text string, zone *time.Location) (*rule, error) {
	r := &rule{interval: 1, weekStart: time.Monday}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(strings.ToUpper(text), ";") {
		name, value, _ := strings.Cut(part, "=")
		read, known := parts[name]
		switch {
		case !known:
			return nil, fmt.Errorf("%s is not understood: a rule is of FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYYEARDAY, BYDAY, BYSETPOS and WKST", clip(part))
		case seen[name]:
			return nil, fmt.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if err := read(r, value, zone); err != nil {
			return nil, fmt.Errorf("%s: %w", clip(part), err)
		}
	}
	return r, r.check(seen)
}

// check refuses parts that do not go together.
func (r *rule) check(seen map[string]bool) error {
	numbered := slices.ContainsFunc(r.weekDays, func(d weekDay) bool { return d.n != 0 })
	switch {
	case !seen["FREQ"]:
		return fmt.Errorf("FREQ is missing: want DAILY, WEEKLY, MONTHLY or YEARLY")
	case seen["COUNT"] && seen["UNTIL"]:
		return fmt.Errorf("COUNT and UNTIL do not go together")
	case numbered && r.every != monthly && r.every != yearly:
		return fmt.Errorf("BYDAY with a number belongs to MONTHLY and YEARLY")
	case r.every == yearly && r.interval > 10:
		return fmt.Errorf("INTERVAL of YEARLY is at most 10")
	case seen["BYYEARDAY"] && r.every != yearly:
		return fmt.Errorf("BYYEARDAY belongs to YEARLY")
	case seen["BYMONTHDAY"] && r.every == weekly:
		return fmt.Errorf("BYMONTHDAY does not go with WEEKLY")
	case seen["BYSETPOS"] && len(r.monthDays)+len(r.yearDays)+len(r.weekDays) == 0 && r.months == 0:
		return fmt.Errorf("BYSETPOS needs another BY part to choose from")
	}
	return nil
}

func (r *rule) readFrequency(value string) error {
	i := slices.Index([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}, value)
	if i < 0 {
		return fmt.Errorf("want DAILY, WEEKLY, MONTHLY or YEARLY; for more often than daily write cron and for")
	}
	r.every = frequency(i)
	return nil
}

func (r *rule) readMonths(value string) error {
	months, err := signed(value, 12)
	for _, m := range months {
		if m < 0 {
			return fmt.Errorf("want months 1–12")
		}
		r.months |= 1 << m
	}
	return err
}

func (r *rule) readWeekDays(value string) error {
	for word := range strings.SplitSeq(value, ",") {
		if len(word) < 2 {
			return fmt.Errorf("want days such as MO, 1MO or -1FR")
		}
		day, err := readDay(word[len(word)-2:])
		if err != nil {
			return err
		}
		d := weekDay{day: day}
		if number := word[:len(word)-2]; number != "" {
			n, err := strconv.Atoi(number)
			if err != nil || n == 0 || n < -53 || n > 53 {
				return fmt.Errorf("want days such as MO, 1MO or -1FR")
			}
			d.n = n
		}
		r.weekDays = append(r.weekDays, d)
	}
	return nil
}

func readDay(word string) (time.Weekday, error) {
	i := slices.Index([]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}, word)
	if i < 0 {
		return 0, fmt.Errorf("want days of SU, MO, TU, WE, TH, FR and SA")
	}
	return time.Weekday(i), nil
}

// readUntil reads an instant, a local time or a day, which counts to its end.
func readUntil(value string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse("20060102T150405Z", value); err == nil {
		return at, nil
	}
	if at, err := time.ParseInLocation("20060102T150405", value, zone); err == nil {
		return at, nil
	}
	day, err := time.ParseInLocation("20060102", value, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("want an instant such as 20261231T220000Z or a day such as 20261231")
	}
	return day.AddDate(0, 0, 1).Add(-1), nil
}

func whole(value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("want %d–%d", least, most)
	}
	return n, nil
}

// signed reads numbers from 1 up to a bound, or counted from the end.
func signed(value string, most int) ([]int, error) {
	var numbers []int
	for word := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n == 0 || n < -most || n > most {
			return nil, fmt.Errorf("want numbers from 1 to %d, or from -1 to -%d", most, most)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) > most {
		return nil, fmt.Errorf("want at most %d numbers", most)
	}
	return numbers, nil
}

// clip shortens what is shown of a hostile text.
func clip(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}
