package policy

import (
	"testing"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestACommandThatIsKeptUpIsNotRunAndCancelled: a key that is for that alone would
// start, and start anew, what it is not for.
func TestACommandThatIsKeptUpIsNotRunAndCancelled(t *testing.T) {
	b := newBed(t, clearing)
	one := task()
	one.On, one.Run.Command.Argv = fleet.Trigger{Daemon: true}, []string{"/bin/echo", "fast", "a"}
	one.Limits.Timeout = 0
	stands := given(one, sign(t, b.says(one), b.anna))
	want(t, b.refusal(b.takes(stands)), "")
	for _, kind := range []fleet.OrderKind{fleet.OrderRun, fleet.OrderCancel} {
		for _, by := range []struct {
			key  seal.Signer
			code string
		}{{b.bert, codeMay}, {b.anna, ""}} {
			said := b.orders(kind, uuid.NewString())
			want(t, b.refusal(b.order(stands, b.ordered(said, sign(t, said, by.key)))), by.code)
		}
	}
}
