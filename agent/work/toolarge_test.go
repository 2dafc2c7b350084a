package work

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAPlanOfTooManyThingsIsNotRead: whoever gives plans must not keep this part
// from its work with what they hold, whatever that is.
func TestAPlanOfTooManyThingsIsNotRead(t *testing.T) {
	many := make([][]byte, maxPlan+1)
	for name, plan := range map[string]fleet.Plan{
		"assignments": {Assignments: make([]fleet.Assignment, maxPlan+1)}, "orders": {Orders: make([]fleet.Order, maxPlan+1)}, "adoptions": {Adoptions: make([]fleet.Adoption, maxPlan+1)},
		"calendars": {Sealed: many}, "tombstones": {Tombstones: many}, "revoked collectors": {Revoked: many},
	} {
		k := &keeper{id: thisHost} // it has nothing to read with
		plan.Host = thisHost
		if err := k.Take(&plan); fleet.KindOf(err) != fleet.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}
