package seal

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Serial returns the serial of a statement that is made now about something whose
// last statement had the previous one; zero: there was none. A previous one more
// than MaxAhead ahead of the clock is a Conflict: one of the two clocks is wrong,
// and going on from it would make that last.
func Serial(previous uint64, now time.Time) (uint64, error) {
	clock := uint64(max(now.UnixMilli(), 1))
	next := max(previous+1, clock)
	if previous == 1<<64-1 || next > clock+uint64(MaxAhead.Milliseconds()) {
		return 0, fleet.Errorf(fleet.Conflict, "the last statement was made at %s by its author's clock, and here it is %s",
			time.UnixMilli(int64(min(previous, 1<<62))).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)).
			WithCode("serial_ahead").WithHint("set this machine's clock; if it is right, wait until it passed that time, or give the thing another name")
	}
	return next, nil
}
