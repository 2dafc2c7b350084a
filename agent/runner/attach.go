package runner

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Attach takes up a run that an earlier agent began and did not end. A process
// that still runs is accompanied to its end; otherwise the run is settled as
// what can be proved about it; one whose outcome was decided already (Before) is
// settled as that. It returns at once.
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
	c.tmp = tmpOf(c.handle.Tmp)
	switch {
	case c.run.State.Terminal():
		r.settle(c)
		return
	case c.run.State == fleet.RunPending:
		c.run.Again = nil
		r.giveUp(c, fleet.RunMissed, fleet.MissedAgentDown, "it waited for its turn when the agent ended")
		return
	case err != nil:
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownAgentDied, "its process was not recorded")
		return
	case c.handle.Boot != r.boot:
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownHostDied, "the host was restarted while it ran")
		return
	}
	if c.handle.Guard != nil {
		if !r.outlast(c) {
			return // and the next agent does this
		}
		if refused := r.consult(c); refused != nil {
			r.giveUp(c, fleet.RunMissed, fleet.MissedForkFailed, "the command could not be executed: "+refused.err().Error())
			return
		}
	}
	files, err := r.openCaptures(c)
	if c.handle.PID == 0 {
		// The files are made right before the process. Both survive the agent,
		// so without files there was no process. Neither was there one that a
		// guardian, which ended in good order, does not know.
		if errors.Is(err, os.ErrNotExist) || c.handle.Guard != nil && r.sealed(c) {
			r.giveUp(c, fleet.RunMissed, fleet.MissedAgentDown, "the agent ended before the command was started")
			return
		}
		r.findProcess(c)
	}
	if errors.Is(err, os.ErrNotExist) && c.handle.Guard != nil && c.handle.PID != 0 {
		// Empty files serve another run as soon as an outcome is on disk; this
		// disk says that none is, and the guardian knows more than the files.
		files, err = r.renewCaptures(c)
	}
	if err != nil {
		r.giveUp(c, fleet.RunUnknown, fleet.UnknownAgentDied, "its output cannot be opened: "+err.Error())
		return
	}
	c.captures, c.notes = files, r.openNotes(&c.run)
	if c.handle.Guard != nil && c.handle.PID != 0 {
		c.process = r.stranger(c)
	} else {
		c.process = attach(c.handle.PID, c.handle.Start)
	}
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

// outlast waits until the guardian of a run that was begun and no more can no
// longer start it. It is false when the runner is closing.
func (r *Runner) outlast(c *companion) bool {
	if c.handle.PID != 0 || r.guards(c) {
		return true
	}
	by := attach(c.handle.Guard.PID, c.handle.Guard.Start)
	if by == nil {
		return true
	}
	defer by.release()
	for wait := time.Millisecond; !r.sealed(c); wait = min(2*wait, time.Second) {
		select {
		case <-by.gone:
			return true
		case <-time.After(wait):
		case <-r.closing:
			return false
		}
	}
	return true
}

// sealed reports whether the run's guardian has said that it starts nothing
// more.
func (r *Runner) sealed(c *companion) bool {
	_, is := findStatus(r.bookOf(c), sealed, &handle{Boot: c.handle.Boot})
	return is
}

// guards reports whether the run's guardian is one of this runner.
func (r *Runner) guards(c *companion) bool {
	r.guarding.Lock()
	defer r.guarding.Unlock()
	return r.guard != nil && r.guard.keeper == *c.handle.Guard || r.second != nil && r.second.keeper == *c.handle.Guard
}

// consult takes from the guardian's book what the agent had no time to record.
func (r *Runner) consult(c *companion) *refusal {
	s, noted := findStatus(r.bookOf(c), c.run.ID, &c.handle)
	if !noted {
		return nil
	}
	if s.Refused != nil && c.run.State == fleet.RunBegun {
		return s.Refused
	}
	started := s.Started
	c.handle.PID, c.handle.Start = s.PID, s.Start
	c.run.PID, c.run.Started = s.PID, &started
	return nil
}

// bookOf returns the book that a run stands in.
func (r *Runner) bookOf(c *companion) string {
	return filepath.Join(r.config.Dir, booksName, filepath.Base(c.handle.Guard.Book))
}

// stranger accompanies a run that the guardian of another agent has started.
func (r *Runner) stranger(c *companion) *process {
	by := attach(c.handle.Guard.PID, c.handle.Guard.Start)
	return accompanyStranger(c.handle.PID, c.handle.Start, by, c.lookUp(r.bookOf(c)))
}

// findProcess looks for the process of a run whose start was not recorded.
func (r *Runner) findProcess(c *companion) {
	found, is := processOf(c.handle.Mark)
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

// renewCaptures makes those files of a run that are not there any more.
func (r *Runner) renewCaptures(c *companion) (captures, error) {
	dir := taskDir(r.config.Dir, c.run.Task)
	for _, stream := range []string{Stdout, Stderr} {
		file, err := os.OpenFile(streamPath(dir, c.run.ID, stream), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return captures{}, err
		}
		file.Close()
	}
	return r.openCaptures(c)
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
	return captures{out, stderr, r.marked(c.run.ID, openMarks(streamPath(dir, c.run.ID, marksName)))}, nil
}
