package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// startupMemo is what became of a boot where its instant alone does not say so.
type startupMemo struct {
	Boot    time.Time `json:"boot"`             // BootSeen
	Nominal time.Time `json:"nominal,omitzero"` // when the task was due in that boot; zero: it was not
}

// startsUp finds the one instant at which a startup task is due in this life of
// the host or of the agent, when the task enters the state: the one is
// BootSeen, the other the agent's start. It is due only if the host had it
// before, and starts anew only if it has not been decided.
func (s *State) startsUp(t *task) {
	on := &t.assignment.Task.On
	at := s.life.Started
	if on.Startup == fleet.StartupBoot {
		if at = s.life.BootSeen; at.IsZero() || s.bootDecided(t, at) {
			return
		}
	}
	due := (t.bootMemo(at) != nil || s.hadAt(t, at)) && (on.Starts == nil || !at.Before(*on.Starts)) && (on.Ends == nil || at.Before(*on.Ends))
	switch {
	case !due && on.Startup == fleet.StartupBoot && !wall(t.assignment.Since).After(at):
		s.rememberBoot(t, time.Time{}) // it came later, which the next agent could not tell
	case due:
		s.dueAtStart(t, at)
	}
}

// hadAt reports whether the host had the task at that start: from the disk, or
// because it was accepted before and has matched since. At a boot the clock may
// be wrong, so what the first agent has on disk counts, whatever it says; and for
// the agents after it, while the clock has not come to the acceptance, what was
// decided at an instant that is yet to come. What is given again from the same
// plan may begin only now: it was adopted.
func (s *State) hadAt(t *task, at time.Time) bool {
	since := wall(t.assignment.Since)
	if s.stored && (at.Equal(s.life.Started) || t.seen.After(at) && since.After(s.life.Started)) {
		return true
	}
	return !since.After(at) && (s.planned.IsZero() || since.After(s.planned))
}

// bootDecided reports whether it is decided what becomes of the task in this boot.
func (s *State) bootDecided(t *task, at time.Time) bool {
	if m := t.bootMemo(at); m != nil {
		return m.Nominal.IsZero() || !t.seen.Before(m.Nominal)
	}
	return t.seen.Equal(at)
}

// bootMemo is what is remembered of this boot, if anything is.
func (t *task) bootMemo(at time.Time) *startupMemo {
	if t.memo == nil || t.memo.Startup == nil || !t.memo.Startup.Boot.Equal(at) {
		return nil
	}
	return t.memo.Startup
}

// dueAtStart makes the task due. If the clock was set back since it was due last,
// its instant is the first one after that.
func (s *State) dueAtStart(t *task, at time.Time) {
	t.next, t.hasNext = at, true
	if at.After(t.seen) {
		return
	}
	t.next = t.seen.Add(time.Millisecond)
	if t.assignment.Task.On.Startup == fleet.StartupBoot {
		if m := t.bootMemo(at); m != nil {
			t.next = wall(m.Nominal)
			return
		}
		s.rememberBoot(t, t.next)
	}
}

func (s *State) rememberBoot(t *task, nominal time.Time) {
	t.note().Startup = &startupMemo{s.life.BootSeen, nominal}
	s.remember(t)
}

// advanceStartup decides the instant of a startup task, which has come when the
// task has.
func (s *State) advanceStartup(now time.Time, t *task) {
	if !t.hasNext {
		return
	}
	nominal := t.advance()
	if t.assignment.State == fleet.TaskEnabled {
		s.due(now, t, item{nominal: nominal})
	} else {
		s.settle(now, t, instants{nominal, nominal, 1}, fleet.RunSkipped, fleet.SkippedPaused, "")
	}
}
