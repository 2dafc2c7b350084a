package cron

import (
	"testing"
	"time"
)

// TestClockChanges is every rule about a change of the clock, one row a trap.
func TestClockChanges(t *testing.T) {
	for _, c := range []struct {
		name, expr, zone, from string
		dialect                Dialect
		wall                   bool
		want                   []string // local, with offset
	}{
		{"a fixed time in the gap runs at its end", "15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"}},
		{"also when asked one second before", "15 2 * * *", "Europe/Berlin", "2026-03-29T00:59:59Z", Debian, false,
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"and no more when asked at its end", "15 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", Cronie, false,
			[]string{"2026-03-30T02:15:00+02:00"}},
		{"many fixed times in one gap are one instant", "0-59 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"the gap's end may be due by itself", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"a wildcard is not caught up", "*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-30T02:00:00+02:00"}},
		{"a star in the hour is a wildcard too", "10 */2 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", Strict, false,
			[]string{"2026-03-29T04:10:00+02:00"}},
		{"a star further back is none", "5,*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"a fixed time runs the first time only", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", Strict, false,
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"asked between, it has been", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", Strict, false,
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"a wildcard runs both times", "*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", Strict, false,
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"}},
		{"also when no other day of the year has it", "*/30 2 25 10 *", "Europe/Berlin", "2026-10-25T00:45:00Z", Strict, false,
			[]string{"2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2027-10-25T02:00:00+02:00"}},
		{"@hourly runs 25 times that day", "@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", Strict, false,
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"@daily at a midnight that does not exist", "@daily", "America/Havana", "2026-03-07T12:00:00Z", Debian, false,
			[]string{"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"}},
		{"@daily at a midnight that comes twice", "@daily", "America/Havana", "2026-10-31T12:00:00Z", Debian, false,
			[]string{"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"}},
		{"half an hour's gap", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", Strict, false,
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"by the wall the gap is left out", "15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Cronie, true,
			[]string{"2026-03-30T02:15:00+02:00"}},
		{"by the wall the repetition runs twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", Cronie, true,
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"}},
		{"busybox goes by the wall", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", Busybox, false,
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"}},
		{"a day that does not exist is a correction", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", Strict, false,
			[]string{"2012-12-30T12:00:00+14:00"}},
		{"three hours forward are a correction", "30 3 18 10 *", "Antarctica/Casey", "2009-10-01T00:00:00Z", Strict, false,
			[]string{"2010-10-18T03:30:00+08:00"}},
		{"three hours back are a repetition", "30 0 5 3 *", "Antarctica/Casey", "2010-03-01T00:00:00Z", Strict, false,
			[]string{"2010-03-05T00:30:00+11:00", "2011-03-05T00:30:00+08:00"}},
		{"two hours forward are caught up", "30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"seconds in a gap are one instant", "*/10 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-30T02:30:10+02:00"}},
		{"negative summer time", "30 1 * * *", "Europe/Dublin", "2026-03-28T12:00:00Z", Strict, false,
			[]string{"2026-03-29T02:00:00+01:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, c.dialect, c.expr)
			if c.wall {
				s = s.Wall()
			}
			at := instant(t, c.from).In(mustLoad(t, c.zone))
			for _, want := range c.want {
				var ok bool
				if at, ok = s.Next(at); !ok || at.Format(time.RFC3339) != want {
					t.Fatalf("got %s (%v), want %s", at.Format(time.RFC3339), ok, want)
				}
			}
		})
	}
}

// TestLastDayOfLeapYear holds Next to the calendar where the standard library's
// ZoneBounds gives an end that has been.
func TestLastDayOfLeapYear(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Europe/Berlin", "Asia/Kolkata"} {
		loc := mustLoad(t, zone)
		for year := 2036; year < 2110; year += 4 {
			s := mustParse(t, Strict, "30 4 * * *")
			at := time.Date(year, 12, 30, 5, 0, 0, 0, loc)
			for day := range 4 {
				at, _ = s.Next(at)
				if want := time.Date(year, 12, 31+day, 4, 30, 0, 0, loc); !at.Equal(want) {
					t.Fatalf("%s: got %s, want %s", zone, at, want)
				}
			}
		}
	}
}
