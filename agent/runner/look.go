package runner

import (
	"os"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The output of a run is looked at soon after its start and then about as often
// as it grows: a flood must be found while it is small, and a look tells apart
// what was written before and after it.
const (
	floodLook = time.Millisecond // while it pours
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second

	pours = 1 << 20 // bytes between two looks
)

// pace says how long to wait before the next look at a run's output.
type pace struct {
	seen int64
	wait time.Duration
}

func newPace() *pace { return &pace{wait: firstLook} }

func (p *pace) next(stdout, stderr int64, err error) time.Duration {
	size := stdout + stderr
	switch {
	case err != nil: // a disk that does not answer is not asked often
		p.wait = lastLook
	case size-p.seen > pours:
		p.wait = floodLook
	case size-p.seen > minQuota:
		p.wait = firstLook
	case size > p.seen:
		p.wait = max(p.wait/2, firstLook)
	default:
		p.wait = min(2*p.wait, lastLook)
	}
	p.seen = size
	return p.wait
}

// noteOutput takes what there is to say about a run's output into its record,
// and marks that of a failed one, which is kept longer.
func (c *companion) noteOutput(r *Runner) {
	stdout, stderr, err := c.captures.trim()
	if err != nil {
		r.log.Warn("output not trimmed", "run", c.run.ID, "task", c.run.Task, "error", err)
	}
	c.run.Stdout, c.run.Stderr = stdout, stderr
	c.run.Dropped = c.captures.out.dropped() + c.captures.err.dropped()
	r.grown(stdout + stderr - c.run.Dropped)
	if !c.run.Failed() {
		return
	}
	c.run.Tail = c.captures.tail()
	if stdout+stderr > 0 {
		r.markFailed(taskDir(r.config.Dir, c.run.Task), c.run.ID)
	}
}

// markFailed notes beside the output of a run that it failed.
func (r *Runner) markFailed(dir string, run fleet.RunID) {
	err := os.WriteFile(streamPath(dir, run, failedName), nil, 0o600)
	if err != nil { // then it is kept as long as any other
		r.log.Debug("failed run not marked", "run", run, "error", err)
	}
}
