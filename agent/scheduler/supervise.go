package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// upkeep is what is known of a supervised task beyond the run that goes on: what
// is wanted of it, and how it fared. What is exported outlives the agent, in the
// task's memo.
type upkeep struct {
	Generation uint64      `json:"generation"`          // that the rest is about
	Made       string      `json:"made,omitempty"`      // a fingerprint of what the last instance was made of
	Startup    time.Time   `json:"startup,omitzero"`    // of a startup task: the startup that it came with; zero: none yet
	Past       time.Time   `json:"past,omitzero"`       // the startup that passed before the host had it
	Run        fleet.RunID `json:"run,omitempty"`       // of the instance
	Began      time.Time   `json:"began,omitzero"`      // when it did, by the clock as it is now
	Stopped    string      `json:"stopped,omitempty"`   // a person stopped it, in these words
	Replace    *replace    `json:"replace,omitempty"`   // a person wants another instance in place of one
	Leaving    string      `json:"leaving,omitempty"`   // why the instance must go; it is stopped when those that need it are
	Condemned  *sentence   `json:"condemned,omitempty"` // why the instance is stopped for what it does
	GaveUp     string      `json:"gave_up,omitempty"`   // it is in a crash loop, for this reason
	Done       bool        `json:"done,omitempty"`      // it ended, and its policy wants no more

	Restarts int           `json:"restarts,omitempty"`
	Starts   []time.Time   `json:"starts,omitempty"` // those that count for giving up, oldest first
	Wait     time.Duration `json:"wait,omitempty"`   // before the last restart; zero: none yet
	Restart  time.Time     `json:"restart,omitzero"` // not started before; zero: at once

	Ended time.Time `json:"ended,omitzero"`  // when the last instance did; zero: none did, or nobody saw it
	End   string    `json:"end,omitempty"`   // how, in words that follow "after"
	Asked string    `json:"asked,omitempty"` // who wished the start that comes next

	Phase fleet.Phase `json:"phase,omitempty"` // told last
	Since time.Time   `json:"since,omitzero"`
	Held  string      `json:"held,omitempty"` // why it was down beyond its backoff since it ended

	made    string            // a fingerprint of what the task says now
	left    string            // that, as the agent before had it
	watched time.Time         // since when this agent sees it
	fresh   bool              // this step begins the instance
	waits   string            // what the instance waits for before it becomes a process
	detail  string            // how it came that the instance was started
	healthy fleet.HealthState // of the instance
	answer  string            // its last bad answer
	away    bool              // it ended, and then no agent ran for a while
	shown   shown             // what its neighbours know of it
	written string            // the memo that was written last
}

// sentence is why an instance is stopped for what it does.
type sentence struct {
	Reason fleet.Reason `json:"reason"`
	Detail string       `json:"detail,omitempty"`
}

// String says it in words that follow "after".
func (c *sentence) String() string { return verdict(c.Reason, c.Detail) }

// replace is a person's wish for another instance.
type replace struct {
	Run   fleet.RunID `json:"run"` // the one that must go
	Asked string      `json:"asked"`
}

// A supervised command is started again after DefaultBase, twice as long each
// time up to DefaultCap, and from the beginning once it was up for DefaultReset,
// where its task does not say otherwise.
const (
	defaultBase  = time.Second
	defaultCap   = 5 * time.Minute
	defaultReset = 10 * time.Minute
)

// paces returns how the task's restarts are spaced.
func paces(r *fleet.Restart) (base, most, reset time.Duration) {
	base, most, reset = time.Duration(r.Base), time.Duration(r.Cap), time.Duration(r.Reset)
	if base == 0 {
		base = defaultBase
	}
	if most == 0 {
		most = max(base, defaultCap)
	}
	if reset == 0 {
		reset = defaultReset
	}
	return base, most, reset
}

// touch has a supervised task looked at in this step.
func (s *State) touch(t *task) {
	if t.up != nil {
		s.touched[t.id] = t
	}
}

// keepUp brings every supervised task that something happened to where it is
// wanted: first it is settled which instances must go, so that those which need
// each other go in order, then they are stopped and others started. What changes
// for its neighbours has them looked at as well. It returns false where there was
// nothing to look at.
func (s *State) keepUp(now time.Time) (changed bool) {
	looked := map[fleet.TaskID]*task{}
	for len(s.touched) > 0 {
		these := slices.Sorted(maps.Keys(s.touched))
		for _, id := range these {
			looked[id] = s.touched[id]
			s.intend(now, looked[id])
		}
		clear(s.touched)
		for _, id := range these {
			s.move(now, looked[id])
			s.showNeighbours(now, looked[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(looked)) {
		s.report(now, looked[id])
	}
	return len(looked) > 0
}

// intend settles whether the instance must go.
func (s *State) intend(now time.Time, t *task) {
	u := t.up
	if len(t.running) == 0 {
		u.Leaving = ""
		return
	}
	why := s.unwanted(now, t)
	switch {
	case why != "":
	case u.Replace != nil:
		why = u.Replace.Asked + " asked for another instance"
	case u.Made != u.made:
		why = "the task was changed"
	}
	if why != "" || t.uncancelled() {
		u.Leaving = why // one that is being stopped already goes, whatever is wished by now
	}
}

// move stops the instance that must go, or starts the one that is wanted.
func (s *State) move(now time.Time, t *task) {
	u := t.up
	switch {
	case len(t.running) > 0 && u.Leaving != "":
		if len(s.leaveFirst(t)) == 0 && t.uncancelled() {
			s.noteUpkeep(t) // first: if this agent dies, the next one knows that it did not end by itself
			s.cancelAll(now, t, u.Leaving)
		}
	case len(t.running) > 0:
		s.forgive(now, t)
	case s.down(now, t) != nil || t.restartAt(now).After(now) || s.unmet(t) != "":
	default:
		s.bringUp(now, t)
	}
}

// forgive forgets the restarts of an instance that has been up for long enough. Of
// one that an earlier agent left nobody can say so before this one has seen it for
// as long: it may have ended, and the news of it be under way.
func (s *State) forgive(now time.Time, t *task) {
	u := t.up
	_, _, reset := paces(&t.assignment.Task.Restart)
	if t.restless() && now.Sub(u.watched) >= reset {
		u.Restarts, u.Wait = 0, 0
	}
}

// restless reports whether there are restarts to forget.
func (t *task) restless() bool { return t.up.Restarts > 0 || t.up.Wait > 0 }

// rest is a phase in which a supervised task is down, beyond a backoff.
type rest struct {
	phase fleet.Phase
	why   string
}

// unwanted says why no instance may be up now, so that one which is must go.
func (s *State) unwanted(now time.Time, t *task) string {
	if r := s.off(now, t); r != nil {
		return r.why
	}
	return ""
}

// off returns the rest in which no instance may be up.
func (s *State) off(now time.Time, t *task) *rest {
	if !t.planned {
		return &rest{fleet.PhaseStopped, "the task is no longer assigned to this host"}
	}
	switch {
	case t.assignment.State != fleet.TaskEnabled:
		return &rest{fleet.PhaseStopped, "the task is paused"}
	case t.up.Stopped != "":
		return &rest{fleet.PhaseStopped, t.up.Stopped}
	}
	return outside(now, &t.assignment.Task.On)
}

// outside returns the rest of a task that is not within its time.
func outside(now time.Time, on *fleet.Trigger) *rest {
	switch {
	case on.Starts != nil && now.Before(*on.Starts):
		return &rest{fleet.PhaseWaiting, "its time begins at " + on.Starts.UTC().Format(time.RFC3339)}
	case on.Ends != nil && !now.Before(*on.Ends):
		return &rest{fleet.PhaseDone, "its time ended at " + on.Ends.UTC().Format(time.RFC3339)}
	}
	return nil
}

// down returns the rest in which no instance is started.
func (s *State) down(now time.Time, t *task) *rest {
	if r := s.off(now, t); r != nil {
		return r
	}
	on, u := &t.assignment.Task.On, t.up
	switch {
	case !on.Daemon && u.Startup.IsZero() && on.Startup == fleet.StartupBoot:
		return &rest{fleet.PhaseWaiting, "for the next boot of the host"}
	case !on.Daemon && u.Startup.IsZero():
		return &rest{fleet.PhaseWaiting, "for the next start of the agent"}
	case u.GaveUp != "":
		return &rest{fleet.PhaseCrashLoop, u.GaveUp}
	case u.Done:
		return &rest{fleet.PhaseDone, "it ended with " + u.End + ", and its restart policy is " + string(t.policy())}
	}
	return nil
}

// policy is the task's restart policy.
func (t *task) policy() fleet.RestartPolicy {
	if p := t.assignment.Task.Restart.Policy; p != "" {
		return p
	}
	return fleet.RestartAlways
}

// restartAt is when the next instance may start. A clock that was set back a
// little does not make it wait for longer than it was meant.
func (t *task) restartAt(now time.Time) time.Time {
	if latest := now.Add(t.up.Wait); t.up.Restart.After(latest) {
		t.up.Restart = latest
	}
	return t.up.Restart
}

// upkeepWake is when the task is to be looked at if nothing happens.
func (s *State) upkeepWake(now time.Time, t *task) time.Time {
	on := &t.assignment.Task.On
	at := farFuture
	soonest := func(other time.Time) {
		if other.After(now) && other.Before(at) {
			at = other
		}
	}
	if on.Starts != nil {
		soonest(wall(*on.Starts))
	}
	if on.Ends != nil {
		soonest(wall(*on.Ends))
	}
	if len(t.running) == 0 {
		soonest(t.restartAt(now))
	} else if t.restless() {
		_, _, reset := paces(&t.assignment.Task.Restart)
		soonest(t.up.watched.Add(reset))
	}
	return at
}

func (t *task) uncancelled() bool {
	return slices.ContainsFunc(t.running, func(r running) bool { return !r.cancelled })
}
