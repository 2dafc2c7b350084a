package turn

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestPatienceIsNoLongerByAClockThatWasAhead resumes runs that came, and were due,
// at an instant that is yet to come: the clock was set back between two agents.
func TestPatienceIsNoLongerByAClockThatWasAhead(t *testing.T) {
	for _, test := range []struct {
		name   string
		task   *fleet.Task
		reason fleet.Reason
	}{
		{"for a place in the fleet", leased(time.Hour), fleet.MissedNoLease},
		{"for what the task needs", need(fleet.WaitFor{Unit: []string{"a.service"}, Timeout: fleet.Duration(time.Hour)}), fleet.MissedPrecondition},
		{"for a slot", plainTask("a"), fleet.MissedLoad},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
				defer r.Close()
				r.begin(t, r.ask("long", plainTask("long")))
				came := time.Now().Add(365 * 24 * time.Hour)
				handle, err := json.Marshal(held{Came: came})
				if err != nil {
					t.Fatal(err)
				}
				ask := r.ask("r1", test.task)
				ask.Run.Due, ask.Run.State, ask.Deadline = came, fleet.RunPending, within(time.Hour)
				r.Resume(ask, handle)
				time.Sleep(time.Hour + time.Minute)
				synctest.Wait()
				r.want(t, "r1", fleet.RunMissed, test.reason)
			})
		})
	}
}
