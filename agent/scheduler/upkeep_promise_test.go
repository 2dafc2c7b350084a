package scheduler

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// carryOut does what the runner and the journal would, and holds every action
// to what was promised.
func (w *world) carryOut(a Action) {
	w.memory.note(a)
	switch a := a.(type) {
	case Begin:
		w.begin(a.Due)
	case Remember:
		if a.Memo == nil { // an agent saw that it was taken away
			w.tasks[a.Task].stopped = false
		}
	case Cancel:
		w.cancel(a)
	case Did:
		w.did(a)
	case Stand:
		w.stand(a.Standing)
	case Wake:
		w.wake = a.At
	}
}

func (w *world) begin(due Due) {
	id := due.Task()
	a, truth := w.assignment(id), w.tasks[id]
	switch {
	case a == nil || a.State != fleet.TaskEnabled:
		w.fail("%s is started though it is paused or gone", id)
	case w.alive(id) != nil:
		w.fail("%s is started twice", id)
	case !due.Whole:
		w.fail("%s is not started as a whole", id)
	case truth.stopped && due.Order == "":
		w.fail("%s is started though it was stopped", id)
	}
	if due.Order != "" {
		truth.wished()
	}
	w.checkNeeds(a)
	w.checkBackoff(a, truth, due)
	truth.starts = append(truth.starts, w.passed)
	if g := a.Task.Restart.GiveUp; g.Times > 0 && len(truth.starts) > g.Times {
		if within := w.passed - truth.starts[len(truth.starts)-1-g.Times]; within < time.Duration(g.Per) {
			w.fail("%s is started for the %dth time within %s", id, g.Times+1, within)
		}
	}
	if truth.standing != nil && truth.standing.Phase == fleet.PhaseCrashLoop && !truth.freed {
		w.fail("%s is started out of its crash loop by nobody", id)
	}
	w.seen["start"]++
	run := due.Record(host)
	at := w.now()
	run.Started = &at
	life := time.Duration(w.rand.Int64N(int64(pick(w.rand, time.Second, 5*time.Second, time.Minute, 20*time.Minute))))
	w.process[run.ID] = &instance{run: run, began: w.passed, ends: w.passed + life}
	truth.freed, truth.plain, truth.standing = false, false, nil // until it is told anew
}

// checkNeeds: what is needed is up, and healthy where that is asked.
func (w *world) checkNeeds(a *fleet.Assignment) {
	for _, name := range a.Task.Needs {
		need := fleet.NewTaskID("", name)
		p, def := w.alive(need), w.assignment(need)
		if def != nil && def.Task.Health.IsZero() && w.unheard[need] {
			continue // for all the agent can know it is up
		}
		if p == nil || def == nil || p.going || !def.Task.Health.IsZero() && !p.healthy {
			w.fail("%s is started without %s", a.Task.ID(), need)
		}
	}
}

// checkBackoff: where nothing else kept it down, the gap is as long as the rule
// says, whatever was done to the clock.
func (w *world) checkBackoff(a *fleet.Assignment, truth *truth, due Due) {
	if truth.ended == 0 {
		return
	}
	gap := w.passed - truth.ended
	if truth.plain && due.Order == "" && !truth.unsure {
		if off := gap - truth.backoff; off < 0 || off > 2*modelTick {
			w.fail("%s is started %s after its end, by the rule it is %s", a.Task.ID(), gap, truth.backoff)
		}
		w.seen["exact backoff"]++
	}
}

func (w *world) cancel(a Cancel) {
	p := w.process[a.Run]
	if p == nil {
		return // it has ended by itself
	}
	if p.going && a.Because == "" {
		// stopped for what it did, or by an agent that died since
		p.wish = true
	}
	p.going, p.wish = true, p.wish || a.Because == ""
	if a.Because != "" {
		p.verdict = a.Because
	}
	p.ends = min(p.ends, w.passed+time.Duration(w.rand.Int64N(int64(3*time.Second))))
	if a.Because != "" {
		return
	}
	def := w.assignment(a.Task)
	if def == nil || !def.Task.Health.IsZero() {
		return
	}
	for _, other := range w.plan { // both are wished away: the one that needs the other goes first
		q := w.alive(other.Task.ID())
		if q != nil && !q.going && w.unwished(&other) && w.unwished(def) && slices.Contains(other.Task.Needs, def.Task.Name) {
			w.fail("%s is stopped before %s, which needs it", a.Task, other.Task.ID())
		}
	}
}

// unwished reports whether no instance is wanted, as far as it was told.
func (w *world) unwished(a *fleet.Assignment) bool {
	return a.State != fleet.TaskEnabled || w.tasks[a.Task.ID()].stopped
}

func (w *world) did(a Did) {
	truth := w.tasks[a.Order.Task]
	if a.Expired {
		return
	}
	w.seen[string(a.Order.Kind)]++
	if w.seen[string(a.Order.ID)]++; w.seen[string(a.Order.ID)] > 1 {
		w.fail("order %s is carried out twice", a.Order.ID)
	}
	truth.stopped = a.Order.Kind == fleet.OrderStop
	truth.plain = false
	if !truth.stopped {
		truth.wished()
	}
}

// wished forgets what a person's wish to have it up makes good.
func (t *truth) wished() {
	t.stopped, t.freed, t.starts, t.torn, t.backoff, t.unsure = false, true, nil, 0, 0, false
}

func (w *world) stand(is fleet.Standing) {
	if truth := w.tasks[is.Task]; truth != nil {
		if is.Phase == fleet.PhaseCrashLoop && (truth.standing == nil || truth.standing.Phase != is.Phase) {
			w.seen["crash loop"]++
		}
		truth.standing = &is
		truth.plain = truth.plain && is.Phase == fleet.PhaseBackoff
	}
}

// look holds what is told against what is: every moment in which a task is down
// is explained by its phase, and truly.
func (w *world) look() {
	if w.state == nil {
		return
	}
	for i := range w.plan {
		a := &w.plan[i]
		truth, p := w.tasks[a.Task.ID()], w.alive(a.Task.ID())
		is := truth.standing
		if is == nil {
			w.fail("%s: nothing is told of it", a.Task.ID())
		}
		bad := ""
		switch is.Phase {
		case fleet.PhaseRunning:
			if p == nil || p.run.ID != is.Run {
				bad = "there is no such instance"
			}
		case fleet.PhaseStopping:
			if p == nil {
				bad = "there is nothing to stop"
			}
		case fleet.PhaseBackoff:
			if is.At == nil || is.At.Sub(w.now()) > modelCap || w.now().Sub(*is.At) > 2*modelTick {
				bad = fmt.Sprintf("it should start %v", is.At)
			}
		case fleet.PhaseWaiting:
			w.seen["waited"]++
			bad = w.nothingMissing(a)
		case fleet.PhaseStopped:
			if !w.unwished(a) {
				bad = "nobody stopped it"
			}
		case fleet.PhaseCrashLoop:
			if g := a.Task.Restart.GiveUp; len(truth.starts)+truth.torn < g.Times {
				bad = fmt.Sprintf("it was started %d times", len(truth.starts))
			}
		case fleet.PhaseDone:
			w.seen["done"]++
			if truth.failed || a.Task.Restart.Policy != fleet.RestartOnFailure {
				bad = "it failed, or is to be started always"
			}
		default:
			bad = "there is no such phase"
		}
		if p != nil && is.Phase != fleet.PhaseRunning && is.Phase != fleet.PhaseStopping {
			bad = "it runs"
		}
		if bad != "" {
			w.fail("%s stands %+v, but %s", a.Task.ID(), *is, bad)
		}
	}
}

// nothingMissing is empty if something is that the task needs.
func (w *world) nothingMissing(a *fleet.Assignment) string {
	if a.Task.On.Startup != "" {
		return "" // it came back after the startup
	}
	for _, name := range a.Task.Needs {
		need := fleet.NewTaskID("", name)
		p, def := w.alive(need), w.assignment(need)
		if p == nil || def == nil || p.going || !def.Task.Health.IsZero() && !p.healthy {
			return ""
		}
	}
	return "everything that it needs is up"
}
