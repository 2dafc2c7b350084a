package vitals

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// mostAsked is how many probes go on at once on a host.
	mostAsked = 32
	// patience is how much later than its timeout a probe may end before it
	// counts as hanging.
	patience = time.Second
)

// The values that a zero field of Health stands for.
const (
	defaultEvery   = 10 * time.Second
	defaultTimeout = 2 * time.Second
	defaultFail    = 3
	defaultStart   = 30 * time.Second
	// startEvery is how often a command is asked that is still starting, so that
	// those who need it need not wait long.
	startEvery = time.Second
)

func orDefault(d fleet.Duration, zero time.Duration) time.Duration {
	if d == 0 {
		return zero
	}
	return time.Duration(d)
}

func timeout(h *fleet.Health) time.Duration { return orDefault(h.Timeout, defaultTimeout) }

// checkup is what the probes of one run say.
type checkup struct {
	health fleet.HealthState
	detail string    // the last bad answer; empty once there was a good one
	failed int       // bad answers in a row that count
	next   time.Time // when to ask
	asked  ask       // the probe that is not answered; zero: none
	hangs  bool      // and that is given up
}

func (c *checkup) outstanding() bool { return !c.asked.at.IsZero() }

// pending reports whether a probe takes a place among those that go on.
func (c *checkup) pending() bool { return c.outstanding() && !c.hangs }

// begin spreads the first probes of runs that begin together.
func (c *checkup) begin(u *subject) { c.next = u.began.Add(u.share(startEvery)) }

// share is a part of d that is the run's own.
func (u *subject) share(d time.Duration) time.Duration {
	hash := fnv.New64a()
	hash.Write([]byte(u.going.Run.ID))
	return time.Duration(hash.Sum64() % uint64(d))
}

// probed returns what is asked about the run; nil: nothing, or no longer.
func (u *subject) probed() *fleet.Health {
	if u.doomed || u.going.Task == nil || u.going.Task.Health.IsZero() || !u.going.Task.Supervised() {
		return nil
	}
	return &u.going.Task.Health
}

// starting reports whether bad answers do not count yet.
func (u *subject) starting(now time.Time, h *fleet.Health) bool {
	return !u.pulse.ready && now.Sub(u.began) < orDefault(h.Start, defaultStart)
}

// checkUp gives up a probe that hangs, and says whether one is to be begun. A
// run whose last probe has not ended is not asked again: that it hangs is the
// answer.
func (s *state) checkUp(now time.Time, u *subject) (all []action, wants bool) {
	c, h := &u.checkup, u.probed()
	if h == nil {
		return nil, false
	}
	if c.pending() && now.Sub(c.asked.at) > timeout(&c.asked.health)+patience {
		c.hangs = true
		s.asking--
		all = u.bad(now, h, noAnswer(h))
	}
	if now.Before(c.next) || u.doomed {
		return all, false
	}
	if c.hangs {
		c.next = now.Add(u.interval(now, h))
		return append(all, u.bad(now, h, asked(h)+": the probe before has not ended yet")...), false
	}
	return all, !c.outstanding()
}

// ask begins a probe.
func (u *subject) ask(now time.Time) action {
	h, c := u.probed(), &u.checkup
	every := u.interval(now, h)
	c.asked = ask{run: u.going.Run.ID, at: now, health: *h, execute: u.going.Task.Run}
	if c.next = c.next.Add(every); !c.next.After(now) { // it had to wait
		c.next = now.Add(every)
	}
	return c.asked
}

// interval is how long until the next probe.
func (u *subject) interval(now time.Time, h *fleet.Health) time.Duration {
	every := orDefault(h.Every, defaultEvery)
	if u.checkup.health != fleet.Healthy && u.starting(now, h) {
		return min(every, startEvery)
	}
	return every
}

// answer takes in what a probe found.
func (s *state) answer(now time.Time, e answered) []action {
	u := s.subjects[e.ask.run]
	if u == nil || !u.checkup.asked.at.Equal(e.ask.at) {
		return nil
	}
	c := &u.checkup
	late := c.hangs
	if !late {
		s.asking--
	}
	c.asked, c.hangs = ask{}, false
	h := u.probed()
	switch {
	case late || h == nil: // it was judged already
		return nil
	case e.problem != "":
		return u.bad(now, h, e.problem)
	}
	return u.good(now, h)
}

func (u *subject) good(now time.Time, h *fleet.Health) []action {
	c := &u.checkup
	c.failed, c.detail = 0, ""
	if c.health == fleet.Healthy {
		return nil
	}
	c.health = fleet.Healthy
	// From now on it is asked as often as the task says, at an instant of its own.
	every := orDefault(h.Every, defaultEvery)
	c.next = now.Add(every - u.share(every)/2)
	return []action{tell{u.going.Run.Task, u.going.Run.ID, fleet.Healthy, ""}}
}

func (u *subject) bad(now time.Time, h *fleet.Health, problem string) (all []action) {
	c := &u.checkup
	c.detail = problem
	if u.starting(now, h) {
		return nil
	}
	most := h.Fail
	if most == 0 {
		most = defaultFail
	}
	if c.failed++; c.failed < most {
		return nil
	}
	if c.health != fleet.Unhealthy {
		c.health = fleet.Unhealthy
		all = append(all, tell{u.going.Run.Task, u.going.Run.ID, fleet.Unhealthy, problem})
	}
	detail := problem
	if most > 1 {
		detail = fmt.Sprintf("%d bad answers in a row, the last: %s", c.failed, problem)
	}
	return append(all, u.condemn(fleet.RanUnhealthy, detail)...)
}
