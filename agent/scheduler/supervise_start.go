package scheduler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// mostStarts bounds how many starts outlive the agent. A task that gives up
// later than that counts from its last agent's start.
const mostStarts = 500

// bringUp starts the one instance that is wanted. Each start is an occurrence of
// its own, also after the clock was set back.
func (s *State) bringUp(now time.Time, t *task) {
	nominal := now
	if !nominal.After(t.seen) {
		nominal = t.seen.Add(time.Millisecond)
	}
	t.seen = nominal
	s.flush(now, t)
	s.countBefore(now, t, nominal)
	id := RunID(fleet.Occurrence{Task: t.id, Scope: s.host, Nominal: nominal})
	s.launch(now, t, Due{Run: id, Assignment: t.assignment, Nominal: nominal, Attempt: 1})
}

// launch begins an instance. That it starts is remembered before it does: an
// agent that is killed in between counts a start too many, not one too few.
func (s *State) launch(now time.Time, t *task, due Due) {
	u := t.up
	if !u.Restart.IsZero() {
		u.Restarts++
	}
	due.Whole, due.Detail = true, s.gap(now, u)
	if most := t.assignment.Task.Restart.GiveUp; most.Times > 0 {
		u.Starts = append(u.recent(now, most), now)
	}
	u.Began = now
	u.Run, u.Made, u.Asked, u.Replace, u.Restart = due.Run, u.made, "", nil, time.Time{}
	u.Ended, u.End, u.Held, u.away = time.Time{}, "", "", false
	u.detail, u.watched, u.fresh = due.Detail, now, true
	s.fresh = append(s.fresh, t)
	u.Phase, u.Since = fleet.PhaseRunning, now
	s.noteUpkeep(t)
	s.start(now, t, due)
}

// recent returns the starts that still count for giving up.
func (u *upkeep) recent(now time.Time, most fleet.Frequency) []time.Time {
	var still []time.Time
	for _, at := range u.Starts {
		if now.Sub(at) < time.Duration(most.Per) {
			still = append(still, at)
		}
	}
	return still[max(0, len(still)-min(most.Times, mostStarts)):]
}

// gap says for how long nothing ran before a start, and why.
func (s *State) gap(now time.Time, u *upkeep) string {
	var text strings.Builder
	switch {
	case u.End == "" && u.Held == "" && u.Asked == "":
		return ""
	case u.End == "":
		text.WriteString("started")
	case u.Ended.IsZero():
		text.WriteString("started again after " + u.End)
	default:
		text.WriteString("started again " + roughly(now.Sub(u.Ended)) + " after " + u.End)
	}
	if u.away {
		text.WriteString(", no agent ran until " + s.life.Started.Format(time.RFC3339))
	}
	if u.Held != "" {
		text.WriteString(", " + u.Held)
	}
	if u.Asked != "" {
		text.WriteString(", as " + u.Asked + " asked")
	}
	if u.Restarts > 0 {
		text.WriteString("; restart " + strconv.Itoa(u.Restarts))
	}
	return clip(text.String())
}

// roughly writes a duration as people say it.
func roughly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return max(0, d).Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// fingerprint tells apart what instances are made of: one made otherwise is
// started anew.
func fingerprint(t *fleet.Task) string {
	parts := []any{t.Run, t.Limits}
	if len(t.Params) > 0 { // their defaults stand in what runs
		parts = append(parts, t.Params)
	}
	text, _ := json.Marshal(parts) // a valid task's: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// supervise takes in what the plan says of a task: a supervised one is taken up
// where it stood, or begins anew with a new generation.
func (s *State) supervise(now time.Time, t *task, entered bool) {
	a := t.assignment
	if !a.Task.Supervised() {
		s.unsupervise(now, t)
		return
	}
	if t.up == nil {
		t.up = s.recallUpkeep(t)
		if t.up.watched = now; len(t.running) > 0 {
			s.attach(t)
		}
		s.drop(now, t, fleet.SkippedCancelled, keptUp) // nobody would let it in any more
		s.giveUpAttempts(now, t, fleet.SkippedCancelled, keptUp)
	}
	u := t.up
	u.made = fingerprint(&a.Task)
	if u.Generation != a.Generation {
		u.anew()
		u.Done = u.Done && !a.Task.On.Daemon
		u.Generation = a.Generation
	}
	s.come(t, entered)
	s.touch(t)
	if u.Run != "" && len(t.running) == 0 {
		// It ended, or was not even begun, and that agent did not live to note it.
		s.fell(now, t, running{began: now}, &fleet.Run{State: fleet.RunUnknown, Cancelled: u.left != ""})
	}
}

// keptUp is why nothing is left of what was due before.
const keptUp = "the task is a command that is kept up from now on"

// come notes the startup that a startup task came with: from then on it is
// wanted. One that the host was given after its last startup waits for the next.
func (s *State) come(t *task, entered bool) {
	u, on := t.up, &t.assignment.Task.On
	at := s.life.startup(on.Startup)
	switch {
	case on.Daemon || at.IsZero() || u.Startup.Equal(at) || u.Past.Equal(at):
	case !entered && !u.Startup.IsZero():
		u.Startup = at // the trigger was changed, it has come all the same
	case entered && (!u.Startup.IsZero() || s.hadAt(t, at)):
		if u.Startup = at; u.Done {
			u.Done = false
			u.anew()
		}
	default:
		u.Past = at // which the next agent could not tell
	}
}

// startup is when that startup was last; zero: not known, or there is none.
func (l *Life) startup(which fleet.Startup) time.Time {
	switch which {
	case fleet.StartupAgent:
		return l.Started
	case fleet.StartupBoot:
		return l.BootSeen
	}
	return time.Time{}
}

// anew forgets how past instances fared.
func (u *upkeep) anew() {
	u.GaveUp, u.Starts, u.Restarts = "", nil, 0
	u.Wait, u.Restart = 0, time.Time{}
}

// allow starts a command that only the host's policy kept from starting: what it
// was refused before is no fault of its own.
func (s *State) allow(t *task) {
	if t.up == nil || t.assignment.Refused != nil || len(t.running) > 0 || !strings.HasPrefix(t.up.End, nothing(fleet.MissedRefused)) {
		return
	}
	t.up.anew()
	s.touch(t)
}

// unsupervise lets go of a task that is supervised no more; its instance goes.
func (s *State) unsupervise(now time.Time, t *task) {
	if s.adopt(t); t.up == nil {
		return
	}
	t.up = nil
	delete(s.touched, t.id)
	s.unstand(t)
	t.note().Upkeep = nil
	s.remember(t)
	s.cancelAll(now, t, "the task was changed")
}

// adopt gives a task the upkeep that the agent before remembered of it.
func (s *State) adopt(t *task) {
	if t.memo == nil {
		t.memo = s.recall(t.id)
	}
	if t.up == nil && t.memo != nil {
		t.up = t.memo.Upkeep
	}
}
