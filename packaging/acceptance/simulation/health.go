package simulation

import (
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// health is how a daemon is looked after: three bad answers in a row end it.
var health = fleet.Health{TCP: "127.0.0.1:80", Every: fleet.Duration(10 * time.Second), Timeout: fleet.Duration(2 * time.Second), Fail: 3}

// sicken lets a daemon that runs answer no more.
func (h *host) sicken() {
	for _, id := range h.going() {
		c := h.commands[id]
		if on := &h.plan.tasks[h.plan.number(c.run.Task)].versions[0].On; on.Daemon && !c.over && !c.doomed && !c.sick {
			c.sick = true
			h.open(checker.Unwell, c.run.Task)
			h.probe(c)
			return
		}
	}
}

// probe lets the agent, if there is one, find out whether a daemon answers.
func (h *host) probe(c *command) {
	if h.Mutant == Deaf || h.state == nil {
		return
	}
	h.after(time.Duration(health.Fail)*time.Duration(health.Every)+h.spell(0, time.Duration(health.Timeout)), h.alive(func() {
		switch {
		case c.over || c.doomed || h.commands[c.run.ID] != c:
		case h.frozen:
			h.probe(c)
		default:
			h.put(scheduler.Condemned{Task: c.run.Task, Run: c.run.ID, Reason: fleet.RanUnhealthy, Detail: "it does not answer"})
			h.turn()
		}
	}))
}

// probeAll begins anew with what an earlier agent looked after: bad answers count
// from zero.
func (h *host) probeAll() {
	for _, id := range h.going() {
		if c := h.commands[id]; c.sick && !c.over {
			h.probe(c)
		}
	}
}
