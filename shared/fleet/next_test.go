package fleet_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const anyHost = fleet.HostID("0123456789abcdef0123456789abcdef")

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTaskNext(t *testing.T) {
	at := func(text string) *time.Time { moment := instant(t, text); return &moment }
	for name, test := range map[string]struct {
		on    fleet.Trigger
		after string
		want  string // empty: never
	}{
		"cron in UTC":                {fleet.Trigger{Cron: "30 2 * * *"}, "2026-03-01T02:30:00Z", "2026-03-02T02:30:00Z"},
		"cron in a zone":             {fleet.Trigger{Cron: "30 2 * * *", Timezone: "Europe/Berlin"}, "2026-07-01T00:30:00Z", "2026-07-02T00:30:00Z"},
		"cron in a gap":              {fleet.Trigger{Cron: "30 2 * * *", Timezone: "Europe/Berlin"}, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		"cron with seconds":          {fleet.Trigger{Cron: "*/10 * * * * *"}, "2026-03-01T00:00:09.5Z", "2026-03-01T00:00:10Z"},
		"cron that never comes":      {fleet.Trigger{Cron: "0 0 30 2 *"}, "2026-03-01T00:00:00Z", ""},
		"every from 1970":            {fleet.Trigger{Every: fleet.Duration(10 * time.Minute)}, "2026-03-01T00:10:00Z", "2026-03-01T00:20:00Z"},
		"every with anchor":          {fleet.Trigger{Every: fleet.Duration(time.Hour), Anchor: at("2026-01-01T00:07:00Z")}, "2026-03-01T00:00:00Z", "2026-03-01T00:07:00Z"},
		"every before its anchor":    {fleet.Trigger{Every: fleet.Duration(time.Hour), Anchor: at("2030-01-01T00:07:00Z")}, "2026-03-01T00:07:00Z", "2026-03-01T01:07:00Z"},
		"every with a broken period": {fleet.Trigger{Every: fleet.Duration(1500 * time.Millisecond), Anchor: at("2026-03-01T00:00:00Z")}, "2026-03-01T00:00:01.5Z", "2026-03-01T00:00:03Z"},
		"every far from its anchor":  {fleet.Trigger{Every: fleet.Duration(7 * time.Second), Anchor: at("0002-01-01T00:00:00Z")}, "9000-01-01T00:00:00Z", "9000-01-01T00:00:01Z"},
		"at, before":                 {fleet.Trigger{At: at("2026-03-01T12:00:00Z")}, "2026-03-01T11:59:59Z", "2026-03-01T12:00:00Z"},
		"at, reached":                {fleet.Trigger{At: at("2026-03-01T12:00:00Z")}, "2026-03-01T12:00:00Z", ""},
		"manual":                     {fleet.Trigger{Manual: true}, "2026-03-01T12:00:00Z", ""},
		"daemon":                     {fleet.Trigger{Daemon: true}, "2026-03-01T12:00:00Z", ""},
		"starts counts itself":       {fleet.Trigger{Cron: "0 * * * *", Starts: at("2026-03-02T00:00:00Z")}, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		"starts long ago":            {fleet.Trigger{Cron: "0 * * * *", Starts: at("2020-03-02T00:00:00Z")}, "2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"},
		"ends does not count itself": {fleet.Trigger{Cron: "0 * * * *", Ends: at("2026-03-01T02:00:00Z")}, "2026-03-01T01:00:00Z", ""},
		"before ends":                {fleet.Trigger{Cron: "0 * * * *", Ends: at("2026-03-01T02:00:00Z")}, "2026-03-01T00:30:00Z", "2026-03-01T01:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			task := fleet.Task{Name: "t", On: test.on}
			next, ok := task.Next(anyHost, instant(t, test.after))
			got := ""
			if ok {
				got = next.Format(time.RFC3339Nano)
			}
			if got != test.want {
				t.Errorf("next after %s = %q, want %q", test.after, got, test.want)
			}
		})
	}
}

func TestSpreadIsTheSameForEver(t *testing.T) {
	task := fleet.Task{Name: "backup", Namespace: "data", On: fleet.Trigger{Cron: "0 3 * * *", Spread: fleet.Duration(5 * time.Minute)}}
	clock, err := task.Clock(anyHost)
	if err != nil {
		t.Fatal(err)
	}
	// The value rides in no message: collectors and agents each compute it, so
	// a change of the rule would let them disagree.
	if got, want := clock.Spread(), 3*time.Second; got != want {
		t.Errorf("spread = %v, want %v for ever", got, want)
	}
	other, err := task.Clock("fedcba9876543210fedcba9876543210")
	if err != nil {
		t.Fatal(err)
	}
	if other.Spread() == clock.Spread() {
		t.Error("two hosts have the same spread")
	}
	first, _ := clock.Next(instant(t, "2026-03-01T00:00:00Z"))
	if want := instant(t, "2026-03-01T03:00:00Z").Add(clock.Spread()); !first.Equal(want) {
		t.Errorf("first = %v, want %v", first, want)
	}
	if second, _ := clock.Next(first); !second.Equal(first.Add(24 * time.Hour)) {
		t.Errorf("second = %v after %v", second, first)
	}
}

func TestBoundsCutTheSameInstantsOnEveryHost(t *testing.T) {
	starts, ends := instant(t, "2026-03-01T10:00:00Z"), instant(t, "2026-03-01T12:00:30Z")
	task := fleet.Task{Name: "t", On: fleet.Trigger{Cron: "0 * * * *", Spread: fleet.Duration(30 * time.Minute), Starts: &starts, Ends: &ends}}
	for _, host := range []fleet.HostID{anyHost, "fedcba9876543210fedcba9876543210", "00000000000000000000000000000000"} {
		clock, err := task.Clock(host)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for at, ok := clock.Next(time.Unix(0, 0)); ok; at, ok = clock.Next(at) {
			count++
		}
		if count != 3 {
			t.Errorf("host %s has %d instants, want 3", host, count)
		}
	}
}

func TestNextMovesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anchor := time.Unix(rapid.Int64Range(-60_000_000_000, 200_000_000_000).Draw(t, "anchor"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))
		period := time.Duration(rapid.Int64Range(int64(time.Second), int64(400*24*time.Hour)).Draw(t, "period"))
		task := fleet.Task{Name: "t", On: fleet.Trigger{Every: fleet.Duration(period), Anchor: &anchor, Spread: fleet.Duration(rapid.Int64Range(0, int64(period)-1).Draw(t, "spread"))}}
		after := time.Unix(rapid.Int64Range(0, 100_000_000_000).Draw(t, "after"), rapid.Int64Range(0, 999_999_999).Draw(t, "after nanos"))
		next, ok := task.Next(anyHost, after)
		if !ok || !next.After(after) || next.Sub(after) > period {
			t.Fatalf("next after %v = %v, %v; period %v", after, next, ok, period)
		}
		if again, _ := task.Next(anyHost, next.Add(-1)); !again.Equal(next) {
			t.Fatalf("%v is due, but one nanosecond before it %v is next", next, again)
		}
		if second, _ := task.Next(anyHost, next); second.Sub(next) != period {
			t.Fatalf("%v follows %v, want a period of %v", second, next, period)
		}
	})
}

func TestClockOfAnInvalidTask(t *testing.T) {
	for _, on := range []fleet.Trigger{{Cron: "61 * * * *"}, {Cron: "0 0 * * *", Timezone: "Mars/Base"}} {
		task := fleet.Task{Name: "t", On: on}
		if _, err := task.Clock(anyHost); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("clock of %+v: %v", on, err)
		}
		if _, ok := task.Next(anyHost, time.Unix(0, 0)); ok {
			t.Errorf("an invalid task is due: %+v", on)
		}
	}
}
