package discover

import (
	"fmt"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// runs is the verdict on a job that nothing keeps from running.
var runs = fleet.Verdict{Runs: true}

// no is the verdict on a job that does not run: a sentence that says what is
// wrong, what follows and, in brackets, what to do.
func no(code fleet.VerdictCode, format string, args ...any) fleet.Verdict {
	return fleet.Verdict{Code: code, Why: fmt.Sprintf(format, args...)}
}
