package scheduler

import (
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// shown is what the neighbours of a supervised task know of it: the tasks that
// it needs, and those that need it.
type shown struct {
	phase   fleet.Phase
	up      bool // there is an instance that does its work
	here    bool // there is one
	leaving bool // which goes
}

// needs lists the tasks that t needs. One that has left the plan needs those
// still that it needed.
func (t *task) needs() []fleet.TaskID {
	if t.assignment == nil {
		return nil
	}
	task := &t.assignment.Task
	ids := make([]fleet.TaskID, len(task.Needs))
	for i, name := range task.Needs {
		ids[i] = fleet.NewTaskID(task.Namespace, name)
	}
	return ids
}

// isUp reports whether there is an instance that does its work: what needs the
// task may be started.
func (t *task) isUp() bool {
	u := t.up
	return len(t.running) > 0 && !u.fresh && u.Leaving == "" && t.uncancelled() && u.waits == "" &&
		(!t.probed() || u.healthy == fleet.Healthy)
}

// probed reports whether the task says how its health is found out.
func (t *task) probed() bool {
	return t.assignment != nil && !t.assignment.Task.Health.IsZero()
}

// comesUp reports whether this step begins an instance that will do its work.
func (t *task) comesUp() bool { return t.up.fresh && !t.probed() }

// settleFresh takes the instances for up that the step before began: only now
// that is done. What needs them is begun after them.
func (s *State) settleFresh(now time.Time) {
	for _, t := range s.fresh {
		if t.up != nil {
			t.up.fresh = false
			s.showNeighbours(now, t)
		}
	}
	s.fresh = s.fresh[:0]
}

// freshNeeded reports whether somebody waits for the next step, in which what
// this one begins is up.
func (s *State) freshNeeded() bool {
	return slices.ContainsFunc(s.fresh, func(t *task) bool {
		return t.up != nil && t.comesUp() && slices.ContainsFunc(s.needers[t.id], func(id fleet.TaskID) bool {
			d := s.tasks[id]
			return d != nil && len(d.running) == 0
		})
	})
}

// soon reports whether t waits for nothing but instances that this step begins.
func (s *State) soon(t *task) bool {
	return !slices.ContainsFunc(t.needs(), func(id fleet.TaskID) bool {
		need := s.tasks[id]
		return need == nil || !need.planned || need.up == nil || !need.isUp() && !need.comesUp()
	})
}

// unmet says what t waits for before it may be started; empty: for nothing.
func (s *State) unmet(t *task) string {
	var missing []string
	for _, id := range t.needs() {
		if why := s.notUp(t, id); why != "" {
			missing = append(missing, why)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	if around := s.cycle(t); len(around) > 0 {
		return "for itself: " + strings.Join(around, " needs ")
	}
	return clip("for " + strings.Join(missing, ", and for "))
}

// notUp says why a task that t needs does not let it start.
func (s *State) notUp(t *task, id fleet.TaskID) string {
	name := id.Name()
	need := s.tasks[id]
	switch {
	case need == nil || !need.planned:
		return name + ", which is not given to this host"
	case need.up == nil:
		return name + ", which is neither a daemon nor kept up"
	case need.isUp():
		return ""
	case need.comesUp():
		return name + ", which begins now"
	case need.up.shown.phase == fleet.PhaseRunning:
		return name + ", which is not healthy yet"
	case need.up.shown.phase == "":
		return name
	}
	return name + ", which is in phase " + string(need.up.shown.phase)
}

// cycle returns the names of the tasks that need each other, from t to t; empty:
// t does not need itself.
func (s *State) cycle(t *task) []string {
	seen := map[fleet.TaskID]bool{}
	var back func(at *task) []string
	back = func(at *task) []string {
		for _, id := range at.needs() {
			name := id.Name()
			if id == t.id {
				return []string{name}
			}
			next := s.tasks[id]
			if seen[id] || next == nil || !next.planned || next.up == nil {
				continue
			}
			seen[id] = true
			if way := back(next); way != nil {
				return append([]string{name}, way...)
			}
		}
		return nil
	}
	if way := back(t); way != nil {
		return append([]string{t.id.Name()}, way...)
	}
	return nil
}

// leaveFirst returns the names of the tasks that need t and go as well: it is
// stopped after them. Tasks that need each other do not wait.
func (s *State) leaveFirst(t *task) []string {
	var names []string
	for _, id := range s.needers[t.id] {
		d := s.tasks[id]
		if d == nil || d.up == nil || len(d.running) == 0 || d.up.Leaving == "" && d.uncancelled() || s.reaches(t, id) {
			continue
		}
		name := id.Name()
		names = append(names, name)
	}
	return names
}

// reaches reports whether t needs the task, directly or through others.
func (s *State) reaches(t *task, id fleet.TaskID) bool {
	seen := map[fleet.TaskID]bool{}
	var reach func(at *task) bool
	reach = func(at *task) bool {
		return slices.ContainsFunc(at.needs(), func(need fleet.TaskID) bool {
			next := s.tasks[need]
			if need == id {
				return true
			}
			if seen[need] || next == nil {
				return false
			}
			seen[need] = true
			return reach(next)
		})
	}
	return reach(t)
}

// showNeighbours lets the tasks that t needs, and those that need it, be looked
// at if it stands otherwise than they know.
func (s *State) showNeighbours(now time.Time, t *task) {
	if t.up == nil {
		return
	}
	phase, _ := s.phase(now, t)
	is := shown{
		phase: phase, up: t.isUp(), here: len(t.running) > 0,
		leaving: t.up.Leaving != "" || !t.uncancelled(),
	}
	if is == t.up.shown {
		return
	}
	t.up.shown = is
	for _, id := range slices.Concat(t.needs(), s.needers[t.id]) {
		if n := s.tasks[id]; n != nil {
			s.touch(n)
		}
	}
}

// linkNeeds notes which tasks need which, as the new plan has it.
func (s *State) linkNeeds() {
	clear(s.needers)
	for id, t := range s.tasks {
		if t.up == nil {
			continue
		}
		for _, need := range t.needs() {
			s.needers[need] = append(s.needers[need], id)
			s.touch(t)
		}
	}
	for _, ids := range s.needers {
		slices.Sort(ids)
	}
}
