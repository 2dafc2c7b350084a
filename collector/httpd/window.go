package httpd

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// window is a span of time in minutes.
type window struct {
	from  time.Time // on a minute
	until time.Time
}

// newWindow reads the window that a query asks about: from now for 24 hours,
// unless it says otherwise.
func newWindow(from, until, now time.Time) (window, error) {
	if from.IsZero() {
		from = now
	}
	if until.IsZero() {
		until = from.Add(maxUpcoming)
	}
	if err := checkSpan(from, until); err != nil {
		return window{}, err
	}
	return window{from.UTC().Truncate(time.Minute), until.UTC()}, nil
}

// checkSpan refuses spans of time that cannot be asked about.
func checkSpan(from, until time.Time) error {
	switch {
	case from.Year() < 1970 || from.Year() > 2200:
		return fleet.Invalidf("from", from.Format(time.RFC3339), "want an instant between 1970 and 2200")
	case !until.After(from):
		return fleet.Invalidf("until", until.Format(time.RFC3339), "must be after from")
	case until.Sub(from) > maxUpcoming:
		return fleet.Invalidf("until", until.Format(time.RFC3339), "at most 24 hours after from")
	}
	return nil
}

// minutes returns how many minutes the window has, begun ones included.
func (w window) minutes() int {
	return int((w.until.Sub(w.from) + time.Minute - 1) / time.Minute)
}

// at returns when a minute of the window begins.
func (w window) at(minute int) time.Time { return w.from.Add(time.Duration(minute) * time.Minute) }

// load is how many starts there are in each minute of a window.
type load []int

// each calls fn with the minute of every instant in the window, and with how
// many instants lie in that minute.
func (w window) each(next func(time.Time) (time.Time, bool), fn func(minute, times int)) {
	minute, times := -1, 0
	for at, ok := next(w.from.Add(-1)); ok && at.Before(w.until); at, ok = next(at) {
		if m := int(at.Sub(w.from) / time.Minute); m != minute {
			if times > 0 {
				fn(minute, times)
			}
			minute, times = m, 0
		}
		times++
	}
	if times > 0 {
		fn(minute, times)
	}
}

// load counts the starts of everything that is asked about, found and given.
func (all sown) load(w window) load {
	starts := make(load, w.minutes())
	all.unfold(w.from, w.until, func(one *stem) {
		size := 0
		w.each(one.next, func(minute, times int) {
			if size == 0 {
				size = one.size()
			}
			starts[minute] += times * size
		})
	})
	return starts
}

// unfold visits the stems that may bear in a span, those that fork replaced by
// what they fork into.
func (all sown) unfold(from, until time.Time, visit func(*stem)) {
	for _, one := range all {
		if at, ok := one.next(from.Add(-1)); !ok || !at.Before(until) {
			continue
		}
		if one.forks != nil {
			one.forks(visit)
		} else {
			visit(one)
		}
	}
}

// fullest returns the minute with the most starts, the earliest of them.
func (l load) fullest() (minute int) {
	for i, n := range l {
		if n > l[minute] {
			minute = i
		}
	}
	return minute
}
