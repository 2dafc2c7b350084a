package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instant writes a time for people: in their zone, which it names.
func (p *program) instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.In(p.zone)
	if t.Second() == 0 {
		return t.Format("2006-01-02 15:04 MST")
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

// exact writes a time for people to the second.
func (p *program) exact(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(p.zone).Format("2006-01-02 15:04:05 MST")
}

func (p *program) maybe(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return p.instant(*t)
}

// instants writes times for people, the zone named once where it is the same.
func (p *program) instants(times []time.Time) string {
	if len(times) == 0 {
		return "-"
	}
	parts := make([]string, len(times))
	for i, t := range times {
		parts[i] = p.instant(t)
	}
	zone, _ := times[0].In(p.zone).Zone()
	for i := range parts[:len(parts)-1] {
		if other, _ := times[i+1].In(p.zone).Zone(); other != zone {
			return strings.Join(parts, ", ")
		}
	}
	for i := range parts[:len(parts)-1] {
		parts[i] = strings.TrimSuffix(parts[i], " "+zone)
	}
	return strings.Join(parts, ", ")
}

// short writes a duration as people say it: "350ms", "12s", "2m5s".
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		d = d.Round(time.Millisecond)
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	return fleet.Duration(d).String()
}

// layouts are the ways people write an instant, read in their zone.
var layouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseInstant reads an instant: RFC 3339, or a date with or without a time in
// the zone of people.
func (p *program) parseInstant(flag, text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, p.zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fleet.Errorf(fleet.Usage, "--%s %q: want an instant such as 2026-12-01T02:00:00Z or \"2026-12-01 02:00\"", flag, text)
}

// parseSince reads an instant, or how long ago it was.
func (p *program) parseSince(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := fleet.ParseDuration(text); err == nil {
		return p.now().Add(-time.Duration(ago)), nil
	}
	t, err := p.parseInstant(flag, text)
	if err != nil {
		return t, fleet.Errorf(fleet.Usage, "--%s %q: want how long ago, such as 24h or 7d, or an instant such as 2026-12-01T02:00:00Z", flag, text)
	}
	return t, nil
}

// parsePast is parseSince of what cannot lie in the future.
func (p *program) parsePast(flag, text string) (time.Time, error) {
	t, err := p.parseSince(flag, text)
	if err == nil && t.After(p.now()) {
		err = fleet.Errorf(fleet.Usage, "--%s %q lies in the future", flag, text).WithHint("fleetctl when --from … --to … foretells; --%s 24h is a day ago", flag)
	}
	return t, err
}

// clockTime is a time of day.
type clockTime struct{ hour, minute int }

func parseClock(text string) (clockTime, bool) {
	t, err := time.Parse("15:04", text)
	return clockTime{t.Hour(), t.Minute()}, err == nil && strings.Contains(text, ":")
}

// on returns the time of day on the date of day, some days later.
func (c clockTime) on(day time.Time, later int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+later, c.hour, c.minute, 0, 0, day.Location())
}

// window reads --from and --to: instants, or times of day, which mean the
// window that goes on now or comes next.
func (p *program) window(from, to string) (time.Time, time.Time, error) {
	now := p.now().In(p.zone)
	begin, beginIsClock := parseClock(from)
	end, endIsClock := parseClock(to)
	if beginIsClock && endIsClock {
		for later := -1; ; later++ {
			first, last := begin.on(now, later), end.on(now, later)
			if !last.After(first) {
				last = end.on(now, later+1)
			}
			if last.After(now) {
				return first, last, nil
			}
		}
	}
	start, err := p.edge("from", from, now)
	if err != nil {
		return start, start, err
	}
	if to == "" {
		return start, start.Add(time.Hour), nil
	}
	stop, err := p.edge("to", to, start)
	if err == nil && !stop.After(start) {
		err = fleet.Errorf(fleet.Usage, "--to %q is not after --from", to)
	}
	return start, stop, err
}

// edge reads one end of a window: nothing is after itself, a time of day is
// the first one from then on.
func (p *program) edge(flag, text string, after time.Time) (time.Time, error) {
	if text == "" {
		return after, nil
	}
	if clock, ok := parseClock(text); ok {
		for later := 0; ; later++ {
			if t := clock.on(after.In(p.zone), later); !t.Before(after) {
				return t, nil
			}
		}
	}
	return p.parseInstant(flag, text)
}

// durationFlag is a duration as tasks write it: 90s, 5m, 1h30m, 2d.
type durationFlag fleet.Duration

// String returns the default for the help.
func (d *durationFlag) String() string {
	if *d == 0 {
		return ""
	}
	return fleet.Duration(*d).String()
}

// Set reads the flag.
func (d *durationFlag) Set(text string) error {
	value, err := fleet.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("want a duration such as 90s, 5m, 1h30m or 2d")
	}
	*d = durationFlag(value)
	return nil
}

// Type names the flag's value in the help.
func (d *durationFlag) Type() string { return "duration" }
