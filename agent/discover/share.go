package discover

import (
	"fmt"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What the table of one user, the timers of one, or one container may take of a
// report. Whoever fills these hides nothing of others.
const (
	shareJobs     = fleet.MaxReportJobs / 4
	shareBytes    = 2 << 20
	shareProblems = 200
)

// amount is how much had been found at some time.
type amount struct{ jobs, problems, left int }

func (f *found) amount() amount { return amount{len(f.jobs), len(f.problems), f.left} }

// share cuts what was found in one place since a mark down to a share of the
// report, and says so.
func (f *found) share(place string, since amount) {
	f.level()
	bytes := 0
	for i := since.jobs; i < len(f.jobs); i++ {
		n := size(&f.jobs[i])
		if bytes += n; bytes <= shareBytes && i-since.jobs < shareJobs {
			continue
		}
		for k := i; k < len(f.jobs); k++ {
			f.bytes -= min(f.bytes, size(&f.jobs[k]))
		}
		left := len(f.jobs) - i + f.left - since.left
		clear(f.jobs[i:])
		f.jobs, f.asides, f.left = f.jobs[:i], f.asides[:i], since.left
		defer f.problem(place, 0, "", fmt.Sprintf("%d jobs of it are left out: what others than root set up has a share of a report, which is %d jobs and %d MiB", left, shareJobs, shareBytes>>20))
		break
	}
	if more := len(f.problems) - since.problems - shareProblems; more > 0 {
		f.problems = f.problems[:since.problems+shareProblems]
		f.problem(place, 0, "", fmt.Sprintf("%d more problems of it are not told", more))
	}
}
