package cron

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// zones are those the brute force walks: with an hour, half an hour and a day
// of change, at midnight and at two, to the east and west, and with none.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana",
	"Africa/Cairo", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Europe/Dublin", "Antarctica/Casey", "Antarctica/Troll",
}

func mustLoad(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := Load(zone)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustParse(t testing.TB, d Dialect, expr string) Schedule {
	t.Helper()
	s, err := d.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// model is the daemon's main loop, minute by minute (second by second for six
// fields): slow, and written without a thought of bit sets or segments.
type model struct {
	second, minute, hour, dom, month, dow [60]bool
	and, wildcard, wall                   bool
}

func modelOf(t *testing.T, s Schedule) model {
	t.Helper()
	f := s.Fields()
	return model{
		second: members(t, f.Second, 0, 59), minute: members(t, f.Minute, 0, 59), hour: members(t, f.Hour, 0, 23),
		dom: members(t, f.DayOfMonth, 1, 31), month: members(t, f.Month, 1, 12), dow: members(t, f.DayOfWeek, 0, 6),
		and:      f.DayOfMonthStar || f.DayOfWeekStar,
		wildcard: f.MinuteStar || f.HourStar,
	}
}

func members(t *testing.T, text string, low, high int) (set [60]bool) {
	t.Helper()
	if text == "*" {
		text = fmt.Sprintf("%d-%d", low, high)
	}
	if text == "" {
		return set
	}
	for part := range strings.SplitSeq(text, ",") {
		var a, b int
		if n, _ := fmt.Sscanf(part, "%d-%d", &a, &b); n < 2 {
			b = a
		}
		for ; a <= b; a++ {
			set[a] = true
		}
	}
	return set
}

// matches compares with a reading of the wall clock, given as a time in UTC.
func (m *model) matches(wall time.Time) bool {
	if !m.second[wall.Second()] || !m.minute[wall.Minute()] || !m.hour[wall.Hour()] {
		return false // before the date is worked out, which is what costs
	}
	day := m.dom[wall.Day()] || m.dow[int(wall.Weekday())]
	if m.and {
		day = m.dom[wall.Day()] && m.dow[int(wall.Weekday())]
	}
	return day && m.month[wall.Month()]
}

// next is the first instant after the given one, if one comes before the limit.
func (m *model) next(after time.Time, step time.Duration, limit time.Duration) (time.Time, bool) {
	for at := range m.walk(after, after.Add(limit), step) {
		return at, true
	}
	return time.Time{}, false
}

// walk goes from one instant to the next and stops wherever the schedule is due,
// after the one and up to the other.
func (m *model) walk(after, until time.Time, step time.Duration) iter.Seq[time.Time] {
	var ahead time.Duration // of the wall clock, until it changes
	var changes time.Time
	wall := func(at time.Time) time.Time {
		if changes.IsZero() || !at.Before(changes) {
			_, offset := at.Zone()
			ahead = time.Duration(offset) * time.Second
			if _, changes = at.ZoneBounds(); changes.IsZero() {
				changes = until.AddDate(1, 0, 0) // it never changes again
			}
		}
		return at.UTC().Add(ahead)
	}
	return func(yield func(time.Time) bool) {
		// Start early enough to know how far the wall clock had come.
		at := after.Truncate(step).Add(-4 * time.Hour)
		shown := wall(at)
		furthest := shown
		for at.Before(until) {
			at = at.Add(step)
			now := wall(at)
			jump := now.Sub(shown)
			shown = now
			due := m.matches(now)
			if !m.wildcard && !m.wall {
				switch {
				case jump > 3*time.Hour, jump < -3*time.Hour:
					furthest = now // a correction
				case jump > step:
					for skipped := now.Add(step - jump); skipped.Before(now); skipped = skipped.Add(step) {
						due = due || m.matches(skipped)
					}
					furthest = now
				case !now.After(furthest):
					due = false // a repetition
				default:
					furthest = now
				}
			}
			if due && at.After(after) && !at.After(until) && !yield(at) {
				return
			}
		}
	}
}

// randomField writes an item list within the bounds, favouring stars and what
// falls near a change of the clock.
func randomField(r *rand.Rand, low, high int) string {
	item := func() string {
		a, b := low+r.IntN(high-low+1), low+r.IntN(high-low+1)
		a, b = min(a, b), max(a, b)
		switch r.IntN(6) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+r.IntN(high+3))
		case 2:
			return fmt.Sprintf("%d-%d", a, b)
		case 3:
			return fmt.Sprintf("%d-%d/%d", a, b, 1+r.IntN(7))
		}
		return fmt.Sprint(a)
	}
	text := item()
	for r.IntN(3) == 0 {
		text += "," + item()
	}
	return text
}

func randomExpression(r *rand.Rand, seconds bool) string {
	fields := []string{
		randomField(r, 0, 59), randomField(r, 0, 23), "*", "*", "*",
	}
	if r.IntN(2) == 0 {
		fields[1] = fmt.Sprint(r.IntN(4)) // where the clock changes
	}
	if r.IntN(3) == 0 {
		fields[2] = randomField(r, 1, 31)
	}
	if r.IntN(6) == 0 {
		fields[3] = randomField(r, 1, 12)
	}
	if r.IntN(3) == 0 {
		fields[4] = randomField(r, 0, 7)
	}
	if seconds {
		fields = append([]string{randomField(r, 0, 59)}, fields...)
	}
	return strings.Join(fields, " ")
}

// changes lists instants near which clocks of the zone change.
func changes(loc *time.Location) []time.Time {
	var list []time.Time
	at := time.Date(2009, 1, 1, 0, 0, 0, 0, loc)
	for at.Year() < 2030 {
		_, end := at.ZoneBounds()
		if end.IsZero() {
			break
		}
		list = append(list, end)
		at = end
	}
	return list
}

func TestNextAgainstMinuteWalk(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 300
	}
	walk(t, rounds, false, time.Minute, 40*24*time.Hour)
}

func TestNextAgainstSecondWalk(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	walk(t, rounds, true, time.Second, 30*time.Hour)
}

// walk compares Next with the model at random instants, most of them within a
// few hours of a change of the clock.
func walk(t *testing.T, rounds int, seconds bool, step, limit time.Duration) {
	r := rand.New(rand.NewPCG(1, uint64(step)))
	found := 0
	for range rounds {
		loc := mustLoad(t, zones[r.IntN(len(zones))])
		expr := randomExpression(r, seconds)
		s := mustParse(t, Strict, expr)
		m := modelOf(t, s)
		if r.IntN(3) == 0 {
			s, m.wall = s.Wall(), true
		}
		after := time.Unix(1230768000+r.Int64N(20*365*86400), r.Int64N(1e9)).In(loc)
		if list := changes(loc); len(list) > 0 && r.IntN(4) > 0 {
			after = list[r.IntN(len(list))].Add(time.Duration(r.Int64N(int64(30*time.Hour))) - 26*time.Hour)
		}
		want, ok := m.next(after, step, limit)
		got, gotOK := s.Next(after)
		if !ok {
			if gotOK && got.Before(after.Add(limit-time.Hour)) {
				t.Fatalf("%q (wall %v) in %s after %s: got %s, want none in %s", expr, m.wall, loc, after, got, limit)
			}
			continue
		}
		found++
		if !gotOK || !got.Equal(want) {
			t.Fatalf("%q (wall %v) in %s after %s:\n got %s\nwant %s", expr, m.wall, loc, after, got, want)
		}
		if got.Location() != loc {
			t.Fatalf("%q: result is in %s, not %s", expr, got.Location(), loc)
		}
	}
	if found < rounds/2 {
		t.Fatalf("only %d of %d rounds found an instant: the test proves little", found, rounds)
	}
}
