package findings

import (
	"strings"
	"time"
)

// almanac keeps what was worked out about each When: a fleet has many jobs and
// few schedules. It belongs to one goroutine.
type almanac struct {
	pages map[When]*page
	from  time.Time // the day that pages were worked out for
}

// page is what is known of a When. Its zero value is never due.
type page struct {
	clock   Clock
	due     bool // the clock knows instants
	minutes *day // nil: not worked out yet
	dst     *shift
}

// maxPages is how many schedules are kept; beyond, all are worked out again.
const maxPages = 50_000

func newAlmanac() *almanac { return &almanac{pages: map[When]*page{}} }

// turn forgets what holds for another day.
func (a *almanac) turn(now time.Time) {
	today := now.UTC().Truncate(24 * time.Hour)
	if !today.Equal(a.from) || len(a.pages) > maxPages {
		a.from, a.pages = today, map[When]*page{}
	}
}

func (a *almanac) page(w When) *page {
	known := a.pages[w]
	if known == nil {
		known = new(page)
		known.clock, known.due = w.Clock()
		a.pages[w] = known
	}
	return known
}

// day is the minutes of a day, UTC, as a set.
type day [24*60/64 + 1]uint64

func (d *day) add(minute int)      { d[minute/64] |= 1 << (minute % 64) }
func (d *day) has(minute int) bool { return d[minute/64]&(1<<(minute%64)) != 0 }

// minutesOf returns the minutes of the almanac's day in which something is due.
func (a *almanac) minutesOf(w When) *day {
	known := a.page(w)
	if known.minutes != nil {
		return known.minutes
	}
	known.minutes = new(day)
	if !known.due {
		return known.minutes
	}
	end := a.from.Add(24 * time.Hour)
	for at, ok := known.clock.Next(a.from.Add(-1)); ok && at.Before(end); at, ok = known.clock.Next(at) {
		known.minutes.add(int(at.Sub(a.from) / time.Minute))
		at = at.Truncate(time.Minute).Add(time.Minute - 1) // one a minute is enough
	}
	return known.minutes
}

// shift is what the changes of the clock within a year do to a schedule.
type shift struct {
	skipped, doubled time.Time // the first change that does so; zero: none
}

func (s *shift) harmless() bool { return s.skipped.IsZero() && s.doubled.IsZero() }

// dstOf returns what the changes of the clock do in the year after the
// almanac's day.
func (a *almanac) dstOf(w When) *shift {
	known := a.page(w)
	if known.dst == nil {
		known.dst = new(shift)
		if known.due && w.Rules != Once && w.Rules != Period {
			known.dst.look(w, known.clock, a.from)
		}
	}
	return known.dst
}

// rare is how far apart the starts of a job are for one more or one less to
// matter.
const rare = 6 * time.Hour

// look walks the changes of the clock in the year after an instant. What a
// schedule would do without them is what it does on a clock that never
// changes and shows the same: UTC.
func (s *shift) look(w When, clock Clock, from time.Time) {
	still, ok := w.steady().Clock()
	if !ok {
		return
	}
	until := from.AddDate(1, 0, 0)
	for at := from.In(clock.location); ; {
		_, change := at.ZoneBounds()
		if change.IsZero() || !change.After(at) || change.After(until) {
			return
		}
		at = change.In(clock.location)
		_, before := change.Add(-1).In(clock.location).Zone()
		_, after := at.Zone()
		switch by := time.Duration(after-before) * time.Second; {
		case by > 0 && s.skipped.IsZero() && skips(clock, still, change, before, by):
			s.skipped = change
		case by < 0 && s.doubled.IsZero() && doubles(clock, still, change, before, -by):
			s.doubled = change
		}
	}
}

// steady is the same schedule on a clock that never changes.
func (w When) steady() When {
	if w.Rules == Systemd {
		w.Schedule = strings.ReplaceAll(w.Schedule, " "+w.Zone, "")
	}
	w.Zone, w.Wall = "UTC", false
	return w
}

// skips reports whether a gap in the clock makes a rare start fail to come:
// the next one after the gap comes later than it should by more than the gap.
func skips(clock, still Clock, gap time.Time, offset int, by time.Duration) bool {
	wall := gap.Add(time.Duration(offset) * time.Second) // what the clock shows when the gap begins, in UTC
	due, ok := still.Next(wall.Add(-1))
	if !ok || !due.Before(wall.Add(by)) {
		return false // nothing is due in the gap
	}
	next, ok := still.Next(wall.Add(by - 1))
	if !ok || next.Sub(due) < rare {
		return false
	}
	came, ok := clock.Next(gap.Add(-1))
	return !ok || came.Sub(gap) > by
}

// doubles reports whether a repetition of the clock makes a rare start come
// twice.
func doubles(clock, still Clock, repeats time.Time, offset int, by time.Duration) bool {
	wall := repeats.Add(time.Duration(offset)*time.Second - by)
	due, ok := still.Next(wall.Add(-1))
	if !ok || !due.Before(wall.Add(by)) {
		return false
	}
	next, ok := still.Next(wall.Add(by - 1))
	if !ok || next.Sub(due) < rare {
		return false
	}
	first := repeats.Add(due.Sub(wall) - by)
	came := 0 // a timer that waits through both comes once
	for at, ok := clock.Next(first.Add(-1)); ok && !at.After(first.Add(by)); at, ok = clock.Next(at) {
		if at.Equal(first) || at.Equal(first.Add(by)) {
			came++
		}
	}
	return came == 2
}
