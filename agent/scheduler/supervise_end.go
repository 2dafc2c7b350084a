package scheduler

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fell takes in the end of an instance, which proves that nothing of it is left,
// and settles whether and when another one follows.
func (s *State) fell(now time.Time, t *task, over running, run *fleet.Run) {
	s.touch(t)
	if len(t.running) > 0 || !t.planned {
		return // there were several, from before it was supervised; or nothing follows
	}
	u := t.up
	leaving, condemned := u.Leaving, u.Condemned
	if leaving == "" && run.Cancelled {
		leaving = u.left
		if s.ending && leaving == "" { // the agent stopped it, which is no failure of its own
			leaving = cmp.Or(run.Detail, "the agent ended")
		}
	}
	u.Leaving, u.left, u.waits, u.detail, u.healthy, u.answer = "", "", "", "", "", ""
	u.Began = time.Time{}
	u.Condemned = nil
	u.Run, u.Replace, u.Held, u.away = "", nil, "", u.before(over, run) && run.Ended.Before(s.life.Started)
	u.Ended = endOf(now, run)
	if leaving != "" {
		u.End = "it was stopped: " + leaving
		if strings.HasPrefix(leaving, "stopped by ") {
			u.End = "it was " + leaving
		}
		u.Wait, u.Restart = 0, time.Time{}
		return
	}
	u.End = ending(run, condemned)
	s.follow(now, t, over, run, condemned != nil || !run.Succeeded())
}

// endOf is when the run ended; zero: nobody saw it.
func endOf(now time.Time, run *fleet.Run) time.Time {
	switch {
	case run.State == fleet.RunUnknown:
		return time.Time{}
	case run.Ended == nil || run.Ended.After(now):
		return now
	}
	return wall(*run.Ended)
}

// follow applies the restart policy to an instance that ended by itself.
func (s *State) follow(now time.Time, t *task, over running, run *fleet.Run, failed bool) {
	u, r := t.up, &t.assignment.Task.Restart
	base, most, reset := paces(r)
	if t.upFor(now, over, run) >= reset {
		u.Restarts, u.Wait = 0, 0
	}
	ran := run.State == fleet.RunRan || run.State == fleet.RunUnknown || run.State == fleet.RunMissed
	policy := t.policy()
	switch {
	case ran && (policy == fleet.RestartNever || policy == fleet.RestartOnFailure && !failed):
		u.Done, u.Wait, u.Restart = true, 0, time.Time{}
		return
	case (!ran || run.Reason == fleet.MissedRefused) && len(u.Starts) > 0: // it was not started at all
		u.Starts = u.Starts[:len(u.Starts)-1]
	case r.GiveUp.Times > 0 && len(u.recent(now, r.GiveUp)) >= min(r.GiveUp.Times, mostStarts):
		u.GaveUp = fmt.Sprintf("%d starts within %s, the last ended with %s", r.GiveUp.Times, r.GiveUp.Per, u.End)
		u.Wait, u.Restart = 0, time.Time{}
		return
	}
	switch {
	case run.Reason == fleet.UnknownHostDied: // not by its own fault
		u.Wait = 0
	case u.Wait == 0:
		u.Wait = base
	default:
		u.Wait = min(2*u.Wait, most)
	}
	since := u.Ended
	if since.IsZero() {
		since = now
	}
	u.Restart = since.Add(u.Wait)
}

// upFor is how long the instance was up. One that ended while no agent ran is
// measured by what was noted of it.
func (t *task) upFor(now time.Time, over running, run *fleet.Run) time.Duration {
	if t.up.before(over, run) {
		return run.Ended.Sub(over.began)
	}
	return now.Sub(over.began)
}

// before reports whether the run of an earlier agent ended before this one saw
// it.
func (u *upkeep) before(over running, run *fleet.Run) bool {
	return over.due.Assignment == nil && run.Ended != nil && run.Ended.Before(u.watched)
}

// ending says how an instance ended, in words that follow "after".
func ending(run *fleet.Run, condemned *sentence) string {
	detail := func(text string) string {
		if run.Detail == "" {
			return text
		}
		return text + ": " + run.Detail
	}
	switch {
	case condemned != nil:
		return condemned.String()
	case run.State == fleet.RunUnknown && run.Reason == "":
		return "an end that no agent noted"
	case run.State == fleet.RunUnknown:
		return "an end that nobody saw (" + string(run.Reason) + ")"
	case run.State == fleet.RunSkipped, run.State == fleet.RunMissed:
		return detail(nothing(run.Reason))
	case run.State != fleet.RunRan:
		return "a start that could not be written down"
	case run.Reason != "" && run.Reason != fleet.RanExhausted:
		return verdict(run.Reason, "")
	case run.TimedOut:
		return "its timeout"
	case run.Cancelled:
		return "it was cancelled"
	case run.Signal != "":
		return "signal " + run.Signal
	case run.Exit != nil:
		return "exit " + strconv.Itoa(*run.Exit)
	}
	return "its end"
}

// nothing says that an instance was not started.
func nothing(reason fleet.Reason) string {
	return "a start that came to nothing (" + string(reason) + ")"
}

// verdict says why an instance was stopped for what it did.
func verdict(reason fleet.Reason, detail string) string {
	text := map[fleet.Reason]string{
		fleet.RanUnhealthy: "it was unhealthy",
		fleet.RanStalled:   "it was stalled",
		fleet.RanUsage:     "it used too much",
		fleet.RanMemory:    "it was killed for memory",
	}[reason]
	if text == "" {
		text = "it was stopped (" + string(reason) + ")"
	}
	if detail != "" {
		text += ": " + detail
	}
	return text
}

// condemn stops a run for what it does. It ends as ran for that reason, which is
// a failure.
func (s *State) condemn(e Condemned) {
	t := s.tasks[e.Task]
	if t == nil {
		return
	}
	for i := range t.running {
		if r := &t.running[i]; r.id == e.Run && !r.cancelled {
			if t.up != nil { // an agent that comes after this one is to know
				t.up.Condemned = &sentence{e.Reason, e.Detail}
				s.noteUpkeep(t)
				s.touch(t)
			}
			s.sentence(t, r, e.Reason, e.Detail)
		}
	}
}

func (s *State) sentence(t *task, r *running, reason fleet.Reason, detail string) {
	r.cancelled = true
	s.do(Cancel{Task: t.id, Run: r.id, Reason: detail, Because: reason})
}

// probed takes in how an instance answered.
func (s *State) probed(e Probed) {
	if t := s.instance(e.Task, e.Run); t != nil {
		t.up.healthy, t.up.answer = e.Health, e.Detail
		s.touch(t)
	}
}

// waits takes in what an instance waits for before it becomes a process.
func (s *State) waits(e RunWaits) {
	if t := s.instance(e.Task, e.Run); t != nil {
		t.up.waits = e.Detail
		s.touch(t)
	}
}

// instance returns the supervised task whose instance is that run; nil: none.
func (s *State) instance(id fleet.TaskID, run fleet.RunID) *task {
	t := s.tasks[id]
	if t == nil || t.up == nil || len(t.running) == 0 || t.running[0].id != run {
		return nil
	}
	return t
}

// shift moves what is counted in time that passes along with a clock that was
// set, so that no backoff becomes shorter or longer by it.
func (s *State) shift(by time.Duration) {
	for _, t := range s.tasks {
		if t.up == nil {
			continue
		}
		u := t.up
		for _, at := range []*time.Time{&u.Restart, &u.Ended, &u.Began, &u.watched} {
			if !at.IsZero() {
				*at = at.Add(by)
			}
		}
		for i := range u.Starts {
			u.Starts[i] = u.Starts[i].Add(by)
		}
		for i := range t.running {
			t.running[i].began = t.running[i].began.Add(by)
		}
		s.touch(t)
	}
}
