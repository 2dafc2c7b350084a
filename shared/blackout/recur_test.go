package blackout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teambition/rrule-go"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func load(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := cron.Load(zone)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// starts lists the first windows that a rule makes.
func starts(t testing.TB, text string, first time.Time, zone *time.Location, n int) []time.Time {
	t.Helper()
	var found problems
	left := maxCounted
	end := first.Add(time.Hour)
	r := reader{w: &fleet.Window{From: &first, To: &end, Rule: text}, zone: zone, found: &found, left: &left}
	b, ok := r.rule()
	if !ok {
		t.Fatalf("%s from %s: %v", text, first, found.err())
	}
	var all []time.Time
	for s, more := b.next(first.Add(-1)); more && len(all) < n; s, more = b.next(s.from) {
		all = append(all, s.from)
	}
	return all
}

// TestRules holds rules of all kinds to what another reader makes of them.
func TestRules(t *testing.T) {
	zone := load(t, "Europe/Berlin")
	rapid.Check(t, func(t *rapid.T) {
		first := time.Date(rapid.IntRange(1970, 2060).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")),
			rapid.IntRange(1, 28).Draw(t, "day"), rapid.IntRange(4, 23).Draw(t, "hour"), 30, 0, 0, zone)
		text := drawRule(t)
		var found problems
		left, end := maxCounted, first.Add(time.Hour)
		b, ok := (&reader{w: &fleet.Window{From: &first, To: &end, Rule: text}, zone: zone, found: &found, left: &left}).rule()
		option, err := rrule.StrToROptionInLocation(text, zone)
		if err != nil {
			t.Fatal(err)
		}
		option.Dtstart = first
		other, err := rrule.NewRRule(*option)
		if err != nil {
			t.Fatal(err)
		}
		want := until(other.Iterator(), first.AddDate(25, 0, 0), 30)
		if !ok {
			if len(want) > 0 {
				t.Fatalf("%s from %s: %v, want %s", text, first, found.err(), want[0])
			}
			return
		}
		var got []time.Time
		for s, more := b.next(first.Add(-1)); more && len(got) < len(want); s, more = b.next(s.from) {
			got = append(got, s.from)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s from %s:\n got %s\nwant %s", text, first, got, want)
		}
		if len(got) == 0 {
			return
		}
		// Asked in between, it answers the same.
		i := rapid.IntRange(0, len(got)-1).Draw(t, "i")
		if s, more := b.next(got[i].Add(-1)); !more || !s.from.Equal(got[i]) {
			t.Fatalf("%s from %s: after %s comes %s", text, first, got[i].Add(-1), s.from)
		}
	})
}

func until(next rrule.Next, end time.Time, most int) (all []time.Time) {
	for at, ok := next(); ok && at.Before(end) && len(all) < most; at, ok = next() {
		all = append(all, at)
	}
	return all
}

// drawRule draws a rule without what the two readers are known to see otherwise:
// numbered and plain days mixed, and positions within a week that has begun.
func drawRule(t *rapid.T) string {
	every := rapid.SampledFrom([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}).Draw(t, "freq")
	parts := []string{"FREQ=" + every}
	maybe := func(name string, chance int, values *rapid.Generator[string]) bool {
		if rapid.IntRange(0, 9).Draw(t, name+"?") >= chance {
			return false
		}
		parts = append(parts, name+"="+values.Draw(t, name))
		return true
	}
	numbers := func(low, high int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			some := rapid.SliceOfNDistinct(rapid.IntRange(low, high).Filter(func(n int) bool { return n != 0 }), 1, 3, rapid.ID).Draw(t, "numbers")
			return strings.Trim(strings.ReplaceAll(fmt.Sprint(some), " ", ","), "[]")
		})
	}
	maybe("INTERVAL", 4, numbers(1, 5).Filter(func(s string) bool { return !strings.Contains(s, ",") }))
	switch {
	case maybe("COUNT", 2, rapid.SampledFrom([]string{"1", "7", "20"})):
	case maybe("UNTIL", 2, rapid.SampledFrom([]string{"20300101T000000Z", "20610312T070000Z"})):
	}
	maybe("BYMONTH", 3, numbers(1, 12))
	by := false
	if every != "WEEKLY" {
		by = maybe("BYMONTHDAY", 3, numbers(-31, 31))
	}
	if every == "YEARLY" {
		by = maybe("BYYEARDAY", 1, numbers(-366, 366)) || by
	}
	days := []string{"MO", "TU,TH", "SA,SU", "FR"}
	if every == "MONTHLY" || every == "YEARLY" {
		days = append(days, "1MO", "-1FR", "2TU,-2TU", "5SA")
	}
	by = maybe("BYDAY", 4, rapid.SampledFrom(days)) || by
	if by && (every == "MONTHLY" || every == "YEARLY") {
		maybe("BYSETPOS", 2, numbers(-3, 3))
	}
	maybe("WKST", 2, rapid.SampledFrom([]string{"SU", "MO", "WE"}))
	return strings.Join(parts, ";")
}

func TestRuleTraps(t *testing.T) {
	for _, c := range []struct{ rule, zone, first, want string }{
		{"FREQ=DAILY;COUNT=3", "Europe/Berlin", "2026-03-28T02:30:00+01:00", "28T02:30:00+01:00 29T03:30:00+02:00 30T02:30:00+02:00"},
		{"FREQ=DAILY;UNTIL=20260330", "Europe/Berlin", "2026-03-28T22:00:00+01:00", "28T22:00:00+01:00 29T22:00:00+02:00 30T22:00:00+02:00"},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;COUNT=4", "UTC", "2026-03-02T00:00:00Z", "02T00:00:00Z 08T00:00:00Z 16T00:00:00Z 22T00:00:00Z"},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU;COUNT=4", "UTC", "2026-03-02T00:00:00Z", "02T00:00:00Z 15T00:00:00Z 16T00:00:00Z 29T00:00:00Z"},
		{"FREQ=MONTHLY;BYMONTHDAY=31;COUNT=3", "UTC", "2026-01-31T00:00:00Z", "31T00:00:00Z 31T00:00:00Z 31T00:00:00Z"},
		{"FREQ=MONTHLY;BYDAY=MO,1FR;UNTIL=20260315", "UTC", "2026-03-01T00:00:00Z", "02T00:00:00Z 06T00:00:00Z 09T00:00:00Z"},
		{"FREQ=YEARLY;COUNT=2", "UTC", "2024-02-29T00:00:00Z", "29T00:00:00Z 29T00:00:00Z"},
		{"freq=monthly;byday=mo,tu,we,th,fr;bysetpos=-1;count=2", "UTC", "2026-05-01T00:00:00Z", "29T00:00:00Z 30T00:00:00Z"},
	} {
		first, err := time.Parse(time.RFC3339, c.first)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, at := range starts(t, c.rule, first, load(t, c.zone), 10) {
			got = append(got, at.Format("02T15:04:05Z07:00"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.rule, strings.Join(got, " "), c.want)
		}
	}
}
