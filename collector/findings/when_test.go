package findings

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestUnknownAnchors: a job that is due again and again from an instant that
// nobody knows, or that lies centuries away, is not due at any.
func TestUnknownAnchors(t *testing.T) {
	now := time.Date(2026, time.March, 6, 12, 0, 0, 0, time.UTC)
	for name, next := range map[string][]time.Time{"unknown": nil, "centuries away": {now.AddDate(-900, 0, 0)}} {
		job := fleet.Job{Kind: fleet.KindAnacron, Schedule: "1 5", Timezone: "UTC", Next: next}
		when, _ := WhenOf(&job, &fleet.Host{})
		if clock, due := when.Clock(); due {
			t.Errorf("%s: it has instants: %+v", name, clock)
		}
	}
	first := periodic{now.AddDate(-900, 0, 0), 24 * time.Hour}
	if at, ok := first.Next(now); ok {
		t.Errorf("from centuries away: %s", at)
	}
	if at, ok := (periodic{now.Add(-time.Hour), 24 * time.Hour}).Next(now); !ok || !at.Equal(now.Add(23*time.Hour)) {
		t.Errorf("from an hour ago: %s %v", at, ok)
	}
}
