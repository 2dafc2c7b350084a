package simulation

import (
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
)

// plague is something that befalls a host again and again.
type plague struct {
	name  string
	every time.Duration // on the average
	do    func(h *host)
}

// nemesis is all that befalls hosts.
var nemesis = []plague{
	{"the agent is killed", 3 * time.Hour, func(h *host) {
		h.kill()
		h.after(h.pause(), h.start)
	}},
	{"agent and guardian are killed", 12 * time.Hour, func(h *host) {
		h.orphans()
		h.kill()
		h.after(h.pause(), h.start)
	}},
	{"the guardian is killed", 12 * time.Hour, (*host).orphans},
	{"the host is restarted", 12 * time.Hour, (*host).reboot},
	{"the agent is stopped", 6 * time.Hour, (*host).freeze},
	{"the host is suspended", 12 * time.Hour, (*host).suspend},
	{"the clock is set", 8 * time.Hour, func(h *host) {
		by := h.spell(-3*time.Hour, 3*time.Hour)
		if h.chance(2) {
			by = h.spell(-time.Minute, time.Minute)
		}
		h.set(by)
	}},
	{"the disk is full", 8 * time.Hour, (*host).fill},
	{"nothing can be started", 12 * time.Hour, func(h *host) {
		h.openedFor(checker.StartsFail, h.spell(time.Minute, 20*time.Minute))
	}},
	{"a daemon answers no more", 4 * time.Hour, (*host).sicken},
	{"what tasks wait for is away", 4 * time.Hour, func(h *host) {
		h.openedFor(checker.Unready, h.spell(time.Minute, 20*time.Minute))
	}},
	{"the plan is changed", 2 * time.Hour, func(h *host) { h.plan.change() }},
	{"somebody gives an order", 90 * time.Minute, func(h *host) { h.plan.command() }},
}

// plague lets something befall the host, until everything is to be well again.
func (h *host) plague(p plague) {
	h.after(time.Duration(h.rand.ExpFloat64()*float64(p.every)), func() {
		if h.calm() {
			return
		}
		if _, asleep := h.opened[opening{checker.Suspended, ""}]; !asleep {
			p.do(h)
		}
		h.plague(p)
	})
}

// pause is how long an agent is away.
func (h *host) pause() time.Duration {
	switch h.rand.IntN(3) {
	case 0:
		return h.spell(0, 3*time.Second)
	case 1:
		return h.spell(0, 3*time.Minute)
	}
	return h.spell(0, 2*time.Hour)
}

func (h *host) openedFor(kind checker.Kind, d time.Duration) {
	h.open(kind, "")
	h.after(d, func() { h.close(kind, "") })
}

// orphans kills the guardian: nobody will know how what goes on now ends.
func (h *host) orphans() {
	h.moment(checker.GuardianDown, "")
	for _, c := range h.commands {
		if !c.over {
			c.orphan = true
		}
	}
}

// reboot ends everything on the host.
func (h *host) reboot() {
	if _, down := h.opened[opening{checker.HostDown, ""}]; down {
		return
	}
	h.kill()
	h.open(checker.AgentDown, "")
	// If the agent was away already, nobody can tell which of the two it was.
	h.openFrom(checker.HostDown, "", h.opened[opening{checker.AgentDown, ""}].From)
	for _, id := range h.going() {
		if c := h.commands[id]; c.sick {
			h.close(checker.Unwell, c.run.Task)
		}
	}
	clear(h.commands)
	h.frozen = false
	h.down++
	down := h.down
	h.after(h.spell(10*time.Second, 20*time.Minute), func() {
		h.close(checker.HostDown, "")
		h.booted, h.seen = h.now, time.Time{}
		h.boot++
		h.after(h.spell(time.Second, time.Minute), func() {
			if h.down == down {
				h.start()
			}
		})
	})
}

// freeze stops the agent, and lets it go on.
func (h *host) freeze() {
	if h.state == nil || h.frozen {
		return
	}
	h.frozen = true
	h.open(checker.AgentStopped, "")
	h.after(h.spell(time.Second, 30*time.Minute), h.alive(func() {
		h.close(checker.AgentStopped, "")
		h.thaw()
	}))
}

func (h *host) thaw() {
	h.frozen = false
	for _, id := range h.going() {
		if c := h.commands[id]; c.over && !c.settled {
			h.conclude(c)
		}
	}
	if h.writing {
		return // and then it goes on
	}
	h.turn()
}

// suspend lets the host sleep: its clock goes on, and nothing else does.
func (h *host) suspend() {
	if h.frozen || h.state == nil {
		return
	}
	d := h.spell(10*time.Second, 2*time.Hour)
	h.frozen = true
	h.open(checker.Suspended, "")
	for _, id := range h.going() {
		if c := h.commands[id]; !c.over {
			h.ends(c, c.ends-h.now+d)
		}
	}
	h.after(d, h.alive(func() {
		h.close(checker.Suspended, "")
		h.lastTime += d // the other clock stood still
		h.thaw()
	}))
}

// fill lets the disk be full for a while.
func (h *host) fill() {
	if h.disk.full {
		return
	}
	h.disk.full = true
	h.open(checker.DiskFull, "")
	h.after(h.spell(time.Minute, 40*time.Minute), func() {
		h.close(checker.DiskFull, "")
		h.disk.space()
	})
}
