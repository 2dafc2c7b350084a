package blackout

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Blackout is the windows of a calendar. It does not change, so any goroutine may
// ask it.
type Blackout struct {
	once  fixed
	again []recurring
}

// recurring is a window that comes again and again.
type recurring interface {
	// next returns the first window that begins after an instant.
	next(after time.Time) (span, bool)
	// most is at least as long as any of them lasts.
	most() time.Duration
}

// span is a window, from its first instant to the first after it.
type span struct {
	from, to time.Time
	summary  string
}

// New returns the windows of the calendar, or an Invalid error with every field of
// it that is wrong.
func New(calendar fleet.Calendar) (*Blackout, error) {
	var found problems
	found.that(fleet.ValidName(calendar.Name), "calendar", calendar.Name, "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	b := read(&calendar, &found)
	if err := found.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// Covers reports whether the instant lies within a window. Then it also returns
// the end of one, the latest of those it looked at, and why that is.
func (b *Blackout) Covers(t time.Time) (until time.Time, summary string, ok bool) {
	best := b.once.around(t)
	for _, w := range b.again {
		if s, is := around(w, t); is && s.to.After(best.to) {
			best = s
		}
	}
	return best.to.UTC(), best.summary, !best.to.IsZero()
}

// around is the first of the windows that lies around an instant.
func around(w recurring, t time.Time) (span, bool) {
	for s, more := w.next(t.Add(-w.most())); more && !s.from.After(t); s, more = w.next(s.from) {
		if s.to.After(t) {
			return s, true
		}
	}
	return span{}, false
}

// Next returns when the next window begins after the instant, and false when none
// does.
func (b *Blackout) Next(t time.Time) (from time.Time, ok bool) {
	from, ok = b.once.after(t)
	for _, w := range b.again {
		if s, more := w.next(t); more && (!ok || s.from.Before(from)) {
			from, ok = s.from, true
		}
	}
	return from.UTC(), ok
}
