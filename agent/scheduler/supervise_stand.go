package scheduler

import (
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// report tells how a supervised task stands after it was brought to where it is
// wanted, and remembers what has to be. One that is out of the plan and gone is
// forgotten.
func (s *State) report(now time.Time, t *task) {
	if t.up == nil {
		return
	}
	if !t.planned && len(t.running) == 0 {
		s.unstand(t)
		s.forget(t)
		s.heap.remove(t)
		delete(s.tasks, t.id)
		return
	}
	u := t.up
	is := fleet.Standing{Restarts: u.Restarts, Health: u.healthy, HealthDetail: u.answer}
	is.Phase, is.Detail = s.phase(now, t)
	if len(t.running) > 0 {
		is.Run = t.running[0].id
	}
	if is.Phase == fleet.PhaseBackoff {
		at := u.Restart
		is.At = &at
	}
	if is.Phase != u.Phase || u.Since.IsZero() {
		u.Phase, u.Since = is.Phase, now
	}
	is.Since = u.Since
	if is.Phase != fleet.PhaseWaiting || s.down(now, t) != nil || !s.soon(t) {
		u.hold(is.Phase, is.Detail)
	}
	s.stand(now, t, is)
	s.noteUpkeep(t)
	s.arm(now, t)
}

// phase says where the task stands, and a sentence on it.
func (s *State) phase(now time.Time, t *task) (fleet.Phase, string) {
	u := t.up
	switch {
	case len(t.running) > 0 && (u.Leaving != "" || !t.uncancelled()):
		return fleet.PhaseStopping, s.farewell(t)
	case len(t.running) > 0 && u.waits != "":
		return fleet.PhaseWaiting, u.waits
	case len(t.running) > 0:
		return fleet.PhaseRunning, u.detail
	}
	if r := s.down(now, t); r != nil {
		return r.phase, r.why
	}
	if t.restartAt(now).After(now) {
		return fleet.PhaseBackoff, u.End + "; restart " + strconv.Itoa(u.Restarts+1) + " follows"
	}
	return fleet.PhaseWaiting, s.unmet(t)
}

// farewell says why an instance goes, and for which others it still waits.
func (s *State) farewell(t *task) string {
	u := t.up
	why := u.Leaving
	if why == "" && u.Condemned != nil {
		why = u.Condemned.String()
	}
	if first := s.leaveFirst(t); len(first) > 0 && t.uncancelled() {
		why += "; " + strings.Join(first, " and ") + " stops first"
	}
	return why
}

// hold notes why the task is down, for its next start to tell.
func (u *upkeep) hold(phase fleet.Phase, why string) {
	switch phase {
	case fleet.PhaseWaiting:
		u.Held = "it waited: " + why
	case fleet.PhaseCrashLoop:
		u.Held = "it was in a crash loop"
	case fleet.PhaseStopped:
		if !strings.HasSuffix(u.End, why) {
			u.Held = why
		}
	}
}

// noteUpkeep writes the task's memo down if it says anything new.
func (s *State) noteUpkeep(t *task) {
	m := t.note()
	m.Upkeep = t.up
	if text := string(m.text()); text != t.up.written {
		t.up.written = text
		s.remember(t)
	}
}

// recallUpkeep returns how the task stood when the agent before knew of it.
func (s *State) recallUpkeep(t *task) *upkeep {
	u := &upkeep{}
	if m := t.memo; m != nil && m.Upkeep != nil {
		u = m.Upkeep
		u.written, u.away = string(m.text()), u.End != ""
	}
	u.left, u.Leaving = u.Leaving, ""
	return u
}

// attach takes up the instance that the agent before left. One of which nothing
// is remembered is taken for what the plan says, if that is as old.
func (s *State) attach(t *task) {
	u, r := t.up, &t.running[0]
	u.Phase, u.Since = fleet.PhaseRunning, r.began
	if u.Run != r.id {
		u.Replace, u.Condemned = nil, nil
		if u.Made = ""; r.generation == t.assignment.Generation {
			u.Made = fingerprint(&t.assignment.Task)
		}
		return
	}
	r.began = wall(u.Began) // the clock may have been set since
	if c := u.Condemned; c != nil {
		s.sentence(t, r, c.Reason, c.Detail)
	}
}
