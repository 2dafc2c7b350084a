package adopt

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// TestDecide is the protocol as a table: what the record says, what the plan
// wishes, whether it was asked anew, and what follows.
func TestDecide(t *testing.T) {
	early := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	record := func(p phase) *record { return &record{Phase: p, Asked: early, Job: fleet.Job{ID: "1"}} }
	wish := func(state fleet.AdoptionState, after time.Duration) *fleet.Adoption {
		return &fleet.Adoption{State: state, Asked: early.Add(after), Job: fleet.Job{ID: "1"}}
	}
	another := wish(fleet.AdoptionWanted, 1)
	another.Job.ID = "2"
	for _, c := range []struct {
		name string
		k    knowledge
		want move
	}{
		{"nothing", knowledge{}, rest},
		{"a wish", knowledge{wish: wish(fleet.AdoptionWanted, 0)}, begin},
		{"a lost record", knowledge{wish: wish(fleet.AdoptionAdopted, 0)}, rebuild},
		{"a lost record, to be released", knowledge{wish: wish(fleet.AdoptionReleasing, 0)}, rebuild},
		{"an intent to silence", knowledge{record: record(silencing), wish: wish(fleet.AdoptionWanted, 0)}, settle},
		{"an intent to restore", knowledge{record: record(restoring)}, settle},
		{"done", knowledge{record: record(silent), wish: wish(fleet.AdoptionWanted, 0)}, rest},
		{"done and known", knowledge{record: record(silent), wish: wish(fleet.AdoptionAdopted, 0)}, rest},
		{"refused", knowledge{record: record(refused), wish: wish(fleet.AdoptionWanted, 0)}, rest},
		{"refused, asked again", knowledge{record: record(refused), wish: wish(fleet.AdoptionWanted, 1)}, begin},
		{"restored, asked again", knowledge{record: record(restored), wish: wish(fleet.AdoptionWanted, 1)}, begin},
		{"silent, asked again", knowledge{record: record(silent), wish: wish(fleet.AdoptionWanted, 1)}, concede},
		{"silent, the name is another job's", knowledge{record: record(silent), wish: another}, goBack},
		{"to be released", knowledge{record: record(silent), wish: wish(fleet.AdoptionReleasing, 1)}, goBack},
		{"stuck", knowledge{record: record(stuck), wish: wish(fleet.AdoptionReleasing, 0)}, rest},
		{"stuck, asked again", knowledge{record: record(stuck), wish: wish(fleet.AdoptionReleasing, 1)}, goBack},
		{"released, said", knowledge{record: record(restored), wish: wish(fleet.AdoptionReleasing, 0)}, rest},
		{"released by hand before", knowledge{record: record(restored), wish: wish(fleet.AdoptionReleasing, 1)}, concede},
		{"refused, to be released", knowledge{record: record(refused), wish: wish(fleet.AdoptionReleasing, 1)}, concede},
		{"forgotten on disk", knowledge{record: record(silent)}, rest},
		{"forgotten by the collectors", knowledge{record: record(silent), fresh: true}, goBack},
		{"forgotten, but its task is given", knowledge{record: record(silent), fresh: true, assigned: true}, rest},
		{"over", knowledge{record: record(restored), fresh: true}, forget},
		{"over, as far as the disk knows", knowledge{record: record(refused)}, rest},
	} {
		if got := decide(c.k); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestWindow walks through the minutes of an hour in seconds.
func TestWindow(t *testing.T) {
	minutely := takeover.Next(func(after time.Time) (time.Time, bool) { return after.Truncate(time.Minute).Add(time.Minute), true })
	never := takeover.Next(func(time.Time) (time.Time, bool) { return time.Time{}, false })
	g := guard{after: 10 * time.Second, before: 15 * time.Second}
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for second := range 3600 {
		now := start.Add(time.Duration(second) * time.Second)
		until, open := g.window(now, minutely, never)
		in := second % 60
		if want := in >= 10 && in < 45; open != want {
			t.Fatalf("at second %d it is open: %v", in, open)
		}
		if open && until != now.Truncate(time.Minute).Add(45*time.Second) {
			t.Fatalf("at second %d it closes at %s", in, until)
		}
		if again, opens := g.window(until.Add(time.Millisecond), minutely); !open && (!opens || until.Before(now)) {
			t.Fatalf("at second %d it opens at %s: %v %v", in, until, opens, again)
		}
	}
	if _, open := g.window(start, never); !open {
		t.Error("what never comes keeps the window shut")
	}
}
