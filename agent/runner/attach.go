package runner

import (
	"errors"
	"os"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Attach takes up a run that an earlier agent began and did not end. A process
// that still runs is accompanied to its end; otherwise the run is settled as
// what can be proved about it. It returns at once.
func (r *Runner) Attach(run fleet.Run, noted []byte) {
	c := r.enter(&run)
	r.work.Go(func() {
		r.takeUp(c, noted)
		r.leave(c)
	})
}

func (r *Runner) takeUp(c *companion, noted []byte) {
	var err error
	c.handle, err = decodeHandle(noted)
	switch {
	case c.run.State == fleet.RunPending:
		r.giveUp(c, fleet.RunMissed, fleet.MissedAgentDown, "it waited for its turn when the agent ended")
		return
	case err != nil:
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownAgentDied, "its process was not recorded")
		return
	case c.handle.Boot != r.boot:
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownHostDied, "the host was restarted while it ran")
		return
	}
	files, err := r.openCaptures(c)
	if c.handle.PID == 0 {
		// The files are made right before the process. Both survive the agent,
		// so without files there was no process.
		if errors.Is(err, os.ErrNotExist) {
			r.giveUp(c, fleet.RunMissed, fleet.MissedAgentDown, "the agent ended before the command was started")
			return
		}
		r.findProcess(c)
	}
	if err != nil {
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownAgentDied, "its output cannot be opened: "+err.Error())
		return
	}
	c.captures = files
	c.process = attach(c.handle.PID, c.handle.Start)
	if c.process == nil {
		defer files.close()
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownAgentDied, "it ended while no agent was watching, its exit status is not known")
		return
	}
	if c.run.State == fleet.RunBegun {
		r.recordRunning(c)
	}
	r.log.Info("run found again", "run", c.run.ID, "task", c.run.Task, "pid", c.handle.PID)
	r.accompany(c)
}

// findProcess looks for the process of a run whose start was not recorded.
func (r *Runner) findProcess(c *companion) {
	found, is := processOf(string(c.run.ID))
	if !is {
		return
	}
	now := time.Now().UTC()
	c.handle.PID, c.handle.Start = found.pid, found.start
	c.run.PID, c.run.Started = found.pid, &now
}

func (r *Runner) giveUp(c *companion, state fleet.RunState, reason fleet.Reason, detail string) {
	c.run.State, c.run.Reason, c.run.Detail = state, reason, detail
	if c.captures.out != nil {
		c.noteOutput(r)
	}
	r.settle(c)
}

func (r *Runner) openCaptures(c *companion) (captures, error) {
	dir := taskDir(r.config.Dir, c.run.Task)
	out, err := openCapture(streamPath(dir, c.run.ID, Stdout), c.handle.Quota)
	if err != nil {
		return captures{}, err
	}
	stderr, err := openCapture(streamPath(dir, c.run.ID, Stderr), c.handle.Quota)
	if err != nil {
		out.file.Close()
		return captures{}, err
	}
	return captures{out, stderr}, nil
}
