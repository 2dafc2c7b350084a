package calendar

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustLoad(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// coming returns the next n instants as a person would write them, in UTC.
func coming(e Event, after time.Time, n int) []string {
	var list []string
	for at, ok := e.Next(after); ok && len(list) < n; at, ok = e.Next(at) {
		list = append(list, at.UTC().Format("2006-01-02T15:04:05.999999Z"))
	}
	return list
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ expr, zone, after, want string }{
		{"*:*:*", "UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z 2026-03-01T00:00:02Z"},
		{"*:*:0/0.5", "UTC", "2026-03-01T00:00:00.25Z", "2026-03-01T00:00:00.5Z 2026-03-01T00:00:01Z"},
		{"Mon *-*-1", "UTC", "2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z 2027-02-01T00:00:00Z"},
		{"*-*~1", "UTC", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z 2028-03-31T00:00:00Z"},
		{"*-*~5/2", "UTC", "2026-02-25T00:00:00Z", "2026-02-26T00:00:00Z 2026-02-28T00:00:00Z 2026-03-27T00:00:00Z"},
		{"*-*~2..5/2", "UTC", "2026-03-01T00:00:00Z", "2026-03-28T00:00:00Z 2026-03-30T00:00:00Z"},
		{"Mon *-05~07/1", "UTC", "2026-03-01T00:00:00Z", "2026-05-25T00:00:00Z 2027-05-31T00:00:00Z"},
		{"*-*-25/3", "UTC", "2026-04-25T00:00:00Z", "2026-04-28T00:00:00Z 2026-05-25T00:00:00Z"},
		{"2026/2-*-1", "UTC", "2026-12-01T00:00:00Z", "2028-01-01T00:00:00Z"},
		{"Mon *-02-29", "UTC", "2026-03-01T00:00:00Z", "2044-02-29T00:00:00Z 2072-02-29T00:00:00Z 2112-02-29T00:00:00Z"},
		{"2199-12-31 23:59:59", "UTC", "1969-01-01T00:00:00Z", "2199-12-31T23:59:59Z"},
		{"1970-1-1", "UTC", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"*-02-30", "UTC", "2026-03-01T00:00:00Z", ""},
		{"2012-1-1", "UTC", "2026-03-01T00:00:00Z", ""},
		{"*:0/10", "UTC", "2199-12-31T23:50:00Z", ""},
		{"*-2-29", "UTC", "9999-01-01T00:00:00Z", ""},
		// a gap: what it skips does not come
		{"02:30", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-09T06:30:00Z"},
		{"daily", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-07T03:00:00Z"},
		{"*-12-30", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-29T10:00:00Z"},
		// a repetition: the first pass alone
		{"*:0/30", "America/New_York", "2026-11-01T05:10:00Z", "2026-11-01T05:30:00Z 2026-11-01T07:00:00Z"},
		{"01:30", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		// unless the wait begins in the second
		{"01:30", "America/New_York", "2026-11-01T06:10:00Z", "2026-11-01T06:30:00Z 2026-11-02T06:30:00Z"},
		{"00:00 Europe/Berlin", "America/New_York", "2026-03-01T00:00:00Z", "2026-03-01T23:00:00Z"},
		{"*-*-* 00:00", "Europe/Berlin", "2188-12-31T12:00:00Z", "2188-12-31T23:00:00Z 2189-01-01T23:00:00Z"},
	} {
		after, err := time.Parse(time.RFC3339Nano, c.after)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(c.want)
		n := max(1, len(want))
		if got := coming(mustParse(t, c.expr), after.In(mustLoad(t, c.zone)), n); !slices.Equal(got, want) {
			t.Errorf("%s in %s after %s: %q, want %q", c.expr, c.zone, c.after, got, want)
		}
	}
}

// numbers draws a list of a field's numbers as an expression may have it.
func numbers(f field) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 2).Draw(t, "star") == 0 {
			return "*"
		}
		var list []string
		for range rapid.IntRange(1, 3).Draw(t, "items") {
			start := rapid.IntRange(f.low, f.high).Draw(t, "start")
			item := fmt.Sprint(start)
			room := f.room(start)
			kind := rapid.IntRange(0, 3).Draw(t, "kind")
			if kind&1 == 1 {
				item += fmt.Sprintf("..%d", rapid.IntRange(start, f.high).Draw(t, "stop"))
				room = f.high
			}
			if kind&2 == 2 && room > 0 {
				item += fmt.Sprintf("/%d", rapid.IntRange(1, room).Draw(t, "step"))
			}
			list = append(list, item)
		}
		return strings.Join(list, ",")
	})
}

// expressions draws calendar expressions that Parse takes, most of them.
var expressions = rapid.Custom(func(t *rapid.T) string {
	days := rapid.SampledFrom([]string{"", "", "Mon ", "Tue,Sat ", "Wed..Sun ", "Mon,Wed..Fri,Sun "}).Draw(t, "weekdays")
	year := rapid.SampledFrom([]string{"*", "*", "2026", "2026..2028", "2027/3"}).Draw(t, "year")
	date := "-" + numbers(dayField).Draw(t, "day")
	if rapid.Bool().Draw(t, "end") {
		date = "~" + numbers(field{"day", 1, 22, 1, true}).Draw(t, "day")
	}
	return days + year + "-" + numbers(monthField).Draw(t, "month") + date + " " + numbers(hourField).Draw(t, "hour") + ":" +
		numbers(minuteField).Draw(t, "minute") + ":" + rapid.SampledFrom([]string{"00", "30", "0/20", "5,50"}).Draw(t, "second")
})

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "Asia/Kolkata", "Europe/Dublin"}

// TestNextAgainstEverySecond compares with a walk over every second of a few
// hours, each looked at on the wall clock, first passes only.
func TestNextAgainstEverySecond(t *testing.T) {
	starts := []string{"2026-03-08T05:00:00Z", "2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z", "2026-11-01T04:00:00Z", "2026-04-04T14:00:00Z",
		"2026-10-03T14:30:00Z", "2026-09-06T03:00:00Z", "2026-04-23T21:00:00Z", "2028-02-29T22:00:00Z", "2026-12-31T21:00:00Z"}
	rapid.Check(t, func(t *rapid.T) {
		expr := expressions.Draw(t, "expression")
		e, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, rapid.SampledFrom(starts).Draw(t, "start"))
		if err != nil {
			t.Fatal(err)
		}
		after = after.In(loc)
		seen := make(map[string]bool) // what the wall clock has shown
		var want time.Time
		for s := range 4 * 3600 {
			at := after.Add(time.Duration(s+1) * time.Second)
			wall := at.Format("2006-01-02 15:04:05")
			if !seen[wall] && fits(e, at) {
				want = at
				break
			}
			seen[wall] = true
		}
		got, ok := e.Next(after)
		end := after.Add(4 * time.Hour)
		switch {
		case !want.IsZero() && (!ok || !got.Equal(want)):
			t.Fatalf("%s after %v: %v, want %v", expr, after, got, want)
		case want.IsZero() && ok && !got.After(end):
			t.Fatalf("%s after %v: %v, want none before %v", expr, after, got, end)
		}
	})
}

// fits asks of every field by itself whether the instant's wall clock is in it.
func fits(e Event, at time.Time) bool {
	in := func(l components, n, high int) bool {
		least, ok := l.from(n, high)
		return ok && least == n
	}
	day := in(e.days, at.Day(), 31)
	if e.end {
		day = false
		for _, c := range e.days {
			back := monthLength(at.Year(), at.Month()) - at.Day() + 1 // the last is 1
			switch {
			case c.stop >= 0:
				day = day || back >= c.start && back <= c.stop && (c.stop-back)%c.repeat == 0
			case c.repeat > 0:
				day = day || back <= c.start && (c.start-back)%c.repeat == 0
			default:
				day = day || back == c.start
			}
		}
	}
	weekday := (int(at.Weekday()) + 6) % 7
	return day && e.weekdays>>weekday&1 == 1 && in(e.years, at.Year(), 2199) && in(e.months, int(at.Month()), 12) &&
		in(e.hours, at.Hour(), 23) && in(e.minutes, at.Minute(), 59) && in(e.seconds, at.Second()*second, secondField.high)
}

func TestEvents(t *testing.T) {
	events := ParseEvents("Mon *-*-* 02:00:00; OnBootSec=5min; *-*-01 03:00:00 Europe/Berlin; OnCalendar=5min; ")
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	at := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	for _, want := range []string{"2026-03-30T02:00:00Z", "2026-04-01T01:00:00Z", "2026-04-06T02:00:00Z"} {
		next, ok := events.Next(at)
		if !ok || next.Format(time.RFC3339) != want {
			t.Fatalf("after %v: %v %v, want %s", at, next, ok, want)
		}
		at = next
	}
	if next, ok := ParseEvents("OnBootSec=1h").Next(at); ok {
		t.Errorf("no events come at %v", next)
	}
}
