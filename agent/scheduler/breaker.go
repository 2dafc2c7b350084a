package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The values that a zero field of fleet.Breaker stands for.
const (
	breakerWindow = time.Hour
	breakerOpen   = 30 * time.Minute
)

// breaker stops its tasks while they keep failing: closed, then open for a while,
// then half-open, when one run tries.
type breaker struct {
	id    fleet.TaskID // of its memo: the task's own, or "namespace/@key"
	tasks []*task      // that it is of
	state fleet.BreakerState
	since time.Time // of the state

	until    time.Time     // of an open one
	open     time.Duration // how long it was to be
	trial    fleet.RunID   // of a half-open one; empty: the next that is due
	failures []time.Time   // the last ones, oldest first, as many as could open it
	passed   counter       // that succeeded, only where a rate is asked for
	lost     counter       // that failed, likewise

	window time.Duration // the longest of its tasks
	most   int           // failures that need to be known
}

func windowOf(rule *fleet.Breaker) time.Duration {
	if rule.Window > 0 {
		return time.Duration(rule.Window)
	}
	return breakerWindow
}

// joinBreaker gives the task the breaker that its definition asks for, in place
// of the one it had.
func (s *State) joinBreaker(now time.Time, t *task) {
	id := breakerID(&t.assignment.Task)
	if t.breaker != nil && t.breaker.id == id {
		t.breaker.measure()
		return
	}
	s.leaveBreaker(t)
	if id == "" {
		return
	}
	b := s.breakers[id]
	if b == nil {
		b = s.recallBreaker(id)
		s.breakers[id] = b
	}
	t.breaker = b
	b.tasks = append(b.tasks, t)
	b.measure()
	b.refresh(now)
	s.showBreaker(now, t)
}

// breakerID is where the task's breaker is kept; empty: it has none.
func breakerID(task *fleet.Task) fleet.TaskID {
	switch {
	case task.Breaker.Failures == 0 || task.Supervised():
		return ""
	case task.Breaker.Key != "":
		return fleet.NewTaskID(task.Namespace, keyPrefix+task.Breaker.Key)
	}
	return task.ID()
}

// leaveBreaker takes the task's breaker away. What nobody has is forgotten.
func (s *State) leaveBreaker(t *task) {
	b := t.breaker
	if b == nil {
		return
	}
	t.breaker = nil
	s.unstand(t)
	if len(b.tasks) == 1 {
		if b.memo() != nil {
			b.forget()
			s.saveBreaker(b)
		}
		delete(s.breakers, b.id)
	}
	b.tasks = slices.DeleteFunc(b.tasks, func(other *task) bool { return other == t })
	b.measure()
}

// refresh lets pass what time has changed: an open breaker becomes half-open,
// failures leave the window. A clock that was set back keeps none of both longer.
func (b *breaker) refresh(now time.Time) {
	if b.state == fleet.BreakerOpen {
		if latest := now.Add(b.open); b.until.After(latest) {
			b.until = latest
		}
		if !b.until.After(now) {
			b.state, b.since, b.trial = fleet.BreakerHalfOpen, b.until, ""
		}
	}
	if b.state != fleet.BreakerClosed {
		return
	}
	for i, at := range b.failures { // by a clock that was ahead
		b.failures[i] = earlier(at, now)
	}
	gone := 0
	for gone < len(b.failures) && now.Sub(b.failures[gone]) >= b.window {
		gone++
	}
	b.failures = b.failures[gone:]
}

// measure notes what the rules of its tasks need to be known.
func (b *breaker) measure() {
	b.window, b.most = 0, 0
	for _, t := range b.tasks {
		rule := &t.assignment.Task.Breaker
		b.window, b.most = max(b.window, windowOf(rule)), max(b.most, rule.Failures)
	}
}

// blocked reports whether the task's breaker lets nothing begin, and says why.
func (s *State) blocked(now time.Time, t *task) (why string, blocked bool) {
	b := t.breaker
	if b == nil {
		return "", false
	}
	if was := b.state; b.state == fleet.BreakerOpen {
		if b.refresh(now); b.state != was {
			s.showAll(now, b)
		}
	}
	switch {
	case b.state == fleet.BreakerOpen:
		return fmt.Sprintf("the breaker is open until %s", b.until.Format(time.RFC3339)), true
	case b.state == fleet.BreakerHalfOpen && b.trial != "":
		return "the breaker is half-open, and one run tries already", true
	}
	return "", false
}

// try notes the run that a half-open breaker lets begin.
func (s *State) try(now time.Time, t *task, run fleet.RunID) {
	if b := t.breaker; b != nil && b.state == fleet.BreakerHalfOpen {
		b.trial = run
		s.saveBreaker(b)
		s.showAll(now, b)
	}
}

// releaseTrials lets the next run try where nobody will hear how the one that
// tries ends: its task has left, or has another breaker by now.
func (s *State) releaseTrials(now time.Time) {
	var lost []*breaker
	for _, b := range s.breakers {
		hears := func(t *task) bool {
			return slices.ContainsFunc(t.running, func(r running) bool { return r.id == b.trial })
		}
		if b.trial != "" && !slices.ContainsFunc(b.tasks, hears) {
			lost = append(lost, b)
		}
	}
	slices.SortFunc(lost, func(a, b *breaker) int { return cmp.Compare(a.id, b.id) })
	for _, b := range lost {
		b.trial = ""
		s.saveBreaker(b)
		s.showAll(now, b)
	}
}

// judge counts how a run of the task ended.
func (s *State) judge(now time.Time, t *task, run *fleet.Run) {
	b := t.breaker
	if b == nil {
		return
	}
	at := now
	if run.Ended != nil && run.Ended.Before(now) {
		at = wall(*run.Ended)
	}
	b.refresh(now)
	trial := b.trial == run.ID
	switch {
	case run.Succeeded():
		if b.state == fleet.BreakerHalfOpen && trial {
			s.closeBreaker(now, b)
			return
		}
		if t.assignment.Task.Breaker.Rate > 0 {
			b.passed.add(at, b.window)
		}
	case counts(run):
		s.failed(now, t, b, at, trial)
	case trial:
		b.trial = "" // it says nothing: the next one tries
		s.saveBreaker(b)
		s.showAll(now, b)
	}
}

// counts reports whether the run failed at what the task does. One that was
// cancelled, skipped, or never had its turn says nothing of that.
func counts(run *fleet.Run) bool {
	if run.State == fleet.RunMissed {
		return run.Reason == fleet.MissedForkFailed
	}
	return run.Failed() && !run.Cancelled
}

// failed counts a failure, and opens the breaker where it is one too many.
func (s *State) failed(now time.Time, t *task, b *breaker, at time.Time, trial bool) {
	rule := &t.assignment.Task.Breaker
	b.failures = append(b.failures, at)
	if rule.Rate > 0 {
		b.lost.add(at, b.window)
	}
	if over := len(b.failures) - b.most; over > 0 {
		b.failures = slices.Delete(b.failures, 0, over)
	}
	switch {
	case b.state == fleet.BreakerHalfOpen && trial, b.state == fleet.BreakerClosed && b.tooMany(now, rule):
		b.state, b.since, b.trial = fleet.BreakerOpen, now, ""
		b.open = breakerOpen
		if rule.Open > 0 {
			b.open = time.Duration(rule.Open)
		}
		b.until = now.Add(b.open)
	}
	s.saveBreaker(b)
	s.showAll(now, b)
}

// tooMany reports whether the failures within the window are as many as the rule
// allows, and as large a part of the runs.
func (b *breaker) tooMany(now time.Time, rule *fleet.Breaker) bool {
	within := 0
	for _, at := range b.failures {
		if now.Sub(at) < windowOf(rule) {
			within++
		}
	}
	if within < rule.Failures {
		return false
	}
	if rule.Rate == 0 {
		return true
	}
	failed := max(within, b.lost.within(now, windowOf(rule))) // failures holds the last ones only
	return float64(failed) >= rule.Rate*float64(failed+b.passed.within(now, windowOf(rule)))
}

// closeBreaker lets everything begin again, and forgets what failed.
func (s *State) closeBreaker(now time.Time, b *breaker) {
	b.forget()
	b.since = now
	s.saveBreaker(b)
	s.showAll(now, b)
}

func (b *breaker) forget() {
	b.state, b.trial, b.failures, b.passed, b.lost = fleet.BreakerClosed, "", nil, counter{}, counter{}
}

// resetBreaker carries out the order to close a task's breaker.
func (s *State) resetBreaker(now time.Time, t *task, o fleet.Order) {
	if t.breaker != nil {
		s.closeBreaker(now, t.breaker)
	}
	s.do(Did{Order: o})
}

// showAll tells how the breaker of all its tasks stands. They are to be looked at
// when that changes by itself.
func (s *State) showAll(now time.Time, b *breaker) {
	for _, t := range b.tasks {
		s.showBreaker(now, t)
		if t.planned {
			s.arm(now, t)
		}
	}
}

// showBreaker tells how the task's breaker stands; of a closed one that counts
// nothing there is nothing to tell.
func (s *State) showBreaker(now time.Time, t *task) {
	b, rule := t.breaker, &t.assignment.Task.Breaker
	is := fleet.Standing{Since: b.since, Breaker: b.state, Failures: len(b.failures)}
	switch {
	case b.state == fleet.BreakerOpen:
		until := b.until
		is.At = &until
		is.Detail = fmt.Sprintf("runs failed: %d within %s, nothing begins until %s", len(b.failures), fleet.Duration(windowOf(rule)), until.Format(time.RFC3339))
	case b.state == fleet.BreakerHalfOpen && b.trial != "":
		is.Detail = "one run tries whether it succeeds again"
	case b.state == fleet.BreakerHalfOpen:
		is.Detail = "the next run tries whether it succeeds again"
	case len(b.failures) == 0:
		s.unstand(t)
		return
	}
	s.stand(now, t, is)
}

// wake is when the breaker changes by itself.
func (b *breaker) wake() time.Time {
	switch {
	case b.state == fleet.BreakerOpen:
		return b.until
	case b.state == fleet.BreakerClosed && len(b.failures) > 0:
		return b.failures[0].Add(b.window)
	}
	return farFuture
}

// advanceBreaker shows what time has changed.
func (s *State) advanceBreaker(now time.Time, t *task) {
	b := t.breaker
	if b == nil {
		return
	}
	state, failures := b.state, len(b.failures)
	b.refresh(now)
	if b.state != state || len(b.failures) != failures {
		s.showAll(now, b)
	}
}
