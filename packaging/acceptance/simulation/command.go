package simulation

import (
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// command is a process, which outlives the agent that began it.
type command struct {
	run     fleet.Run
	first   int64
	probe   int // its line
	ends    time.Duration
	plan    int  // how often its end was planned anew
	orphan  bool // its guardian is dead: nobody will know how it ends
	over    bool
	settled bool // its outcome is on its way to the disk
	doomed  bool // it is being stopped
	sick    bool // it does not answer its probes
}

// launch makes a process, or fails to.
func (h *host) launch(e entry) {
	run := h.runOf(&e)
	task := h.plan.tasks[e.task]
	now := h.wall()
	if _, broken := h.opened[opening{checker.StartsFail, ""}]; broken {
		run.State, run.Reason = fleet.RunMissed, fleet.MissedForkFailed
		h.settle(run, e.first)
		return
	}
	if e.bound > 0 && h.now > e.bound { // somebody else may have its place
		run.State, run.Reason = fleet.RunMissed, fleet.MissedNoLease
		h.settle(run, e.first)
		return
	}
	h.pid++
	run.State, run.Started, run.PID = fleet.RunRunning, &now, h.pid
	c := &command{run: run, first: e.first, probe: len(h.probes)}
	h.commands[run.ID] = c
	h.probes = append(h.probes, checker.Probe{Occurrence: run.Occurrence(), Attempt: run.Attempt, Fence: e.fence, PID: h.pid, At: now, Start: h.now})
	h.recordRunning(c)
	code := 0
	if h.rand.IntN(100) < task.fails {
		code = 1
	}
	c.run.Exit = &code
	h.ends(c, h.spell(task.least, task.most))
	if task.versions[0].On.Daemon && h.Mutant == Hypochondriac && h.chance(10) {
		h.probe(c)
	}
	if h.doomed[run.ID] {
		delete(h.doomed, run.ID)
		h.stop(run.ID, "")
	}
}

func (h *host) recordRunning(c *command) {
	c.run.State = fleet.RunRunning
	e := h.entryOf(&c.run)
	e.boot, e.first, e.exit = h.boot, c.first, -1
	h.write([][]item{{item{entry: e}}}, nil)
}

// ends lets a command end in a while.
func (h *host) ends(c *command, in time.Duration) {
	c.plan++
	plan := c.plan
	c.ends = h.now + in
	h.at(c.ends, func() {
		if c.plan == plan && h.commands[c.run.ID] == c && !c.over {
			h.end(c)
		}
	})
}

// end is the end of a process. One that was stopped does not come to write its
// own.
func (h *host) end(c *command) {
	now := h.wall()
	c.over, c.run.Ended = true, &now
	if c.sick {
		h.close(checker.Unwell, c.run.Task)
	}
	if !c.doomed {
		h.probes[c.probe].End = h.now
	}
	if h.state != nil && !h.frozen {
		h.conclude(c)
	}
}

// conclude settles a run whose process is over. The guardian's book knows how it
// ended, unless the guardian had died before.
func (h *host) conclude(c *command) {
	c.settled = true
	run := c.run
	run.State = fleet.RunRan
	if c.orphan {
		run.State, run.Reason, run.Exit, run.Ended, run.Cancelled = fleet.RunUnknown, fleet.UnknownAgentDied, nil, nil, false
	}
	h.settle(run, c.first)
}

// stop ends a command soon: it is asked to go, and goes.
func (h *host) stop(id fleet.RunID, because fleet.Reason) {
	c := h.commands[id]
	if c == nil && h.leave(id, because) {
		return
	}
	if c == nil {
		h.doomed[id] = true // it is about to be launched
		return
	}
	if c.over || c.doomed {
		return
	}
	c.doomed = true
	c.run.Signal, c.run.Exit, c.run.Cancelled, c.run.Reason = "SIGTERM", nil, because == "", because
	h.ends(c, h.spell(time.Millisecond, 5*time.Second))
}
