package web

import (
	"fmt"
	"strconv"
	"time"
)

// moment is an instant as a page shows it: in UTC, with how far away it is.
type moment struct {
	ISO      string // for <time datetime>
	Day      string // "21 Nov"; empty today
	Clock    string // "02:30", with seconds where there are any
	Relative string // "in 12 min"
}

// momentOf describes t as seen at now; nil for the zero instant.
func momentOf(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t, now = t.UTC(), now.UTC()
	m := &moment{ISO: t.Format(time.RFC3339), Clock: t.Format("15:04"), Relative: relative(t.Sub(now))}
	if t.Second() != 0 {
		m.Clock = t.Format("15:04:05")
	}
	switch {
	case t.Year() != now.Year():
		m.Day = t.Format("2 Jan 2006")
	case t.YearDay() != now.YearDay():
		m.Day = t.Format("2 Jan")
	}
	return m
}

// relative says how far ahead (positive) or ago an instant is.
func relative(d time.Duration) string {
	distance := d.Abs()
	switch {
	case distance < 5*time.Second:
		return "now"
	case d > 0:
		return "in " + span(distance)
	}
	return span(distance) + " ago"
}

// span says a duration roughly, in one unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 2*day:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d < 365*day:
		return strconv.Itoa(int(d/day)) + " days"
	}
	return fmt.Sprintf("%.1f years", d.Hours()/24/365)
}

// elapsed says how long a command ran.
func elapsed(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Second:
		return strconv.Itoa(int(d/time.Millisecond)) + " ms"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}
