package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// decide finds an outcome for every instant of an enabled task up to now: those
// in time become runs or wait their turn, the others are missed or caught up.
func (s *State) decide(now time.Time, t *task) {
	s.decideOld(now, t)
	var late []item
	for t.hasNext && !t.next.After(now) {
		nominal := t.advance()
		if _, why, is := s.blackout(t, nominal); is {
			late = s.keep(now, t, append(late, item{nominal: nominal, last: nominal, count: 1, window: why}))
			continue
		}
		if now.Sub(nominal) <= t.deadline(nominal, t.next, t.hasNext) {
			s.catchUp(now, t, late, true)
			late = nil
			s.due(now, t, item{nominal: nominal})
			continue
		}
		reason, _ := s.late(t, nominal)
		late = append(late, item{nominal: nominal, late: reason})
		late = s.keep(now, t, late)
	}
	s.catchUp(now, t, late, false)
}

// decideOld settles what is too old to be in time or to be caught up, as many
// instants at once as share a reason.
func (s *State) decideOld(now time.Time, t *task) {
	if t.assignment.Task.On.At != nil {
		return
	}
	deadline := max(fleet.MaxDeadline, time.Duration(t.assignment.Task.On.Deadline))
	limit := now.Add(-max(deadline, t.within()) - 1)
	for t.hasNext && !t.next.After(limit) {
		if end, why, is := s.blackout(t, t.next); is {
			s.skipOver(now, t, t.take(earlier(end.Add(-1), limit)), why)
			continue
		}
		reason, until := s.late(t, t.next)
		until = earlier(earlier(until, limit), s.nextBlackout(t, t.next).Add(-1))
		s.settle(now, t, t.take(until), fleet.RunMissed, reason, "")
	}
}

// farFuture is after every instant there is.
var farFuture = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// late says why an instant was not begun in time, and up to when the same is
// true.
func (s *State) late(t *task, nominal time.Time) (fleet.Reason, time.Time) {
	switch {
	case !t.moved.IsZero() && !nominal.Before(t.moved): // the agent was there since, whatever the clock said then
	case !nominal.After(t.received):
		return fleet.MissedSpecLate, t.received
	case nominal.Before(s.life.Booted) && !nominal.After(s.life.Started):
		until := s.life.Booted.Add(-1)
		if until.After(s.life.Started) {
			until = s.life.Started
		}
		return fleet.MissedHostDown, until
	case !nominal.After(s.life.Started):
		return fleet.MissedAgentDown, s.life.Started
	}
	switch {
	case s.jumped.IsZero():
		return fleet.MissedDeadline, farFuture
	case nominal.After(s.jumped):
		return fleet.MissedClockJump, farFuture
	}
	return fleet.MissedDeadline, s.jumped
}

// keep settles from a list of late instants those that will not be caught up.
func (s *State) keep(now time.Time, t *task, late []item) []item {
	most := 0
	switch t.assignment.Task.On.Missed.Policy {
	case fleet.MissedOnce:
		most = 1
	case fleet.MissedAll:
		most = fleet.MaxCatchUp
	}
	wanted := 0
	for _, i := range late {
		if i.window == "" {
			wanted++
		}
	}
	for len(late) > 0 && (late[0].window != "" || wanted > most || now.Sub(late[0].nominal) > t.within()) {
		if i := late[0]; i.window != "" {
			s.skipOver(now, t, instants{i.nominal, i.last, i.count}, i.window)
		} else {
			wanted--
			s.giveUp(now, t, i, "", "")
		}
		late = late[1:]
	}
	return late
}

// catchUp begins late instants, or makes them wait for each other. Under the
// policy "once" an instant in time right after them is the one run they get.
func (s *State) catchUp(now time.Time, t *task, late []item, inTimeFollows bool) {
	if len(late) == 0 {
		return
	}
	if t.assignment.Task.On.Missed.Policy == fleet.MissedAll {
		t.waiting = append(t.waiting, late...)
		s.trim(now, t)
		s.drain(now, t)
		return
	}
	for _, i := range late {
		switch {
		case i.window != "":
			s.skipOver(now, t, instants{i.nominal, i.last, i.count}, i.window)
		case inTimeFollows:
			s.giveUp(now, t, i, "", "")
		default:
			s.due(now, t, i)
		}
	}
}

// due begins an instant, or does with it what the overlap policy says.
func (s *State) due(now time.Time, t *task, i item) {
	on, limits := &t.assignment.Task.On, &t.assignment.Task.Limits
	why, blocked := s.blocked(now, t)
	switch no := t.assignment.Refused; {
	case no != nil: // in ranges, as all that comes to nothing: who gives it is not believed
		s.settle(now, t, instants{i.nominal, i.nominal, 1}, fleet.RunMissed, fleet.MissedRefused, no.String())
	case blocked:
		s.giveUp(now, t, i, fleet.SkippedBreaker, why)
	case len(t.waiting) == 0 && !t.full():
		s.begin(now, t, i)
	case len(t.waiting) > 0 && on.Missed.Policy == fleet.MissedAll:
		t.waiting = append(t.waiting, i) // all are wanted, in order
		s.trim(now, t)
	case limits.Overlap == fleet.OverlapQueue, limits.Overlap == fleet.OverlapReplace:
		if limits.Overlap == fleet.OverlapReplace {
			s.cancelAll(now, t, "a later run of the task takes its place")
		}
		s.drop(now, t, fleet.SkippedReplaced, "a later run of the task took its place in the queue")
		t.waiting = append(t.waiting, i)
		s.drain(now, t)
	default:
		s.giveUp(now, t, i, fleet.SkippedOverlap, t.busy())
	}
}

// trim keeps the queue within its bound, the latest instants in it.
func (s *State) trim(now time.Time, t *task) {
	for len(t.waiting) > fleet.MaxCatchUp {
		oldest := t.waiting[0]
		t.waiting = t.waiting[1:]
		s.giveUp(now, t, oldest, fleet.SkippedOverlap, "too many wait for their turn")
	}
}

// drain begins what waits, as far as there is room.
func (s *State) drain(now time.Time, t *task) {
	for len(t.waiting) > 0 && (t.waiting[0].window != "" || !t.full()) {
		i := t.waiting[0]
		t.waiting = t.waiting[1:]
		if i.window != "" {
			s.giveUp(now, t, i, "", "")
			continue
		}
		if why, blocked := s.blocked(now, t); blocked {
			s.giveUp(now, t, i, fleet.SkippedBreaker, why)
			continue
		}
		s.begin(now, t, i)
	}
}

// drop settles all that waits.
func (s *State) drop(now time.Time, t *task, reason fleet.Reason, detail string) {
	waiting := t.waiting
	t.waiting = nil
	for _, i := range waiting {
		s.giveUp(now, t, i, reason, detail)
	}
}

// giveUp settles an instant that comes to nothing: one that was late is missed
// for the reason that made it late, another is skipped.
func (s *State) giveUp(now time.Time, t *task, i item, reason fleet.Reason, detail string) {
	one := instants{i.nominal, i.nominal, 1}
	switch {
	case i.window != "":
		s.settle(now, t, instants{i.nominal, i.last, i.count}, fleet.RunSkipped, fleet.SkippedBlackout, i.window)
	case i.late != "":
		s.settle(now, t, one, fleet.RunMissed, i.late, "")
	default:
		s.settle(now, t, one, fleet.RunSkipped, reason, detail)
	}
}

func (s *State) begin(now time.Time, t *task, i item) {
	s.flush(now, t)
	s.countBefore(now, t, i.nominal)
	occurrence := fleet.Occurrence{Task: t.id, Scope: s.host, Nominal: i.nominal}
	s.start(now, t, Due{Run: RunID(occurrence), Assignment: t.assignment, Nominal: i.nominal, Attempt: 1})
}

func (s *State) start(now time.Time, t *task, due Due) {
	s.holdRest(t, due.Run)
	s.try(now, t, due.Run)
	t.running = append(t.running, running{id: due.Run, began: now, due: due, generation: due.Assignment.Generation})
	s.do(Begin{due})
}

// pass skips every instant of a paused task up to now.
func (s *State) pass(now time.Time, t *task) {
	if t.hasNext && !t.next.After(now) {
		s.settle(now, t, t.take(now), fleet.RunSkipped, fleet.SkippedPaused, "")
		s.flush(now, t)
	}
}

// cancelAll stops all runs of a task, each once, to make room for another; no
// attempt follows.
func (s *State) cancelAll(now time.Time, t *task, reason string) {
	s.giveUpAttempts(now, t, fleet.SkippedReplaced, reason)
	for i := range t.running {
		if r := &t.running[i]; !r.cancelled {
			r.cancelled, r.doom = true, fleet.SkippedReplaced
			s.do(Cancel{Task: t.id, Run: r.id, Reason: reason})
		}
	}
}

const (
	// flushEvery is how long outcomes of the same kind are gathered into one
	// range after one was given out.
	flushEvery = time.Minute
	// passEvery is how often the skipped instants of a paused task are counted.
	passEvery = 10 * time.Minute
)

// arm puts the task where it belongs in the heap.
func (s *State) arm(now time.Time, t *task) {
	if !t.planned {
		s.heap.remove(t)
		return
	}
	at := farFuture
	by := func(other time.Time) { at = earlier(at, other) }
	paused := t.assignment.State != fleet.TaskEnabled
	switch {
	case t.up != nil:
		by(s.upkeepWake(now, t))
	case t.hasNext && t.assignment.Task.On.Startup != "":
		by(now) // whatever the clock said when the host came up
	case !t.hasNext:
	case paused && !t.flushed.IsZero() && !t.flushed.After(now):
		by(later(t.next, t.flushed.Add(passEvery)))
	default:
		by(t.next)
	}
	if t.breaker != nil {
		by(t.breaker.wake())
	}
	for i := range t.running {
		if r := &t.running[i]; r.pending {
			by(later(r.again, now))
		}
	}
	if t.open.count > 0 {
		by(later(t.flushed.Add(flushEvery), now))
	}
	if at.Equal(farFuture) {
		s.heap.remove(t)
		return
	}
	t.wake = at
	s.heap.set(t)
}
