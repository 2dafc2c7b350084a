package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Memory is what outlives the agent.
type Memory interface {
	// LastDecided returns the last nominal instant of the task that was begun,
	// settled or passed over, and false when none was.
	LastDecided(task fleet.TaskID) (time.Time, bool)
	// Counted returns the generation that the task is due under since the last
	// stint; zero: there was none, or it is not due.
	Counted(task fleet.TaskID) uint64
	// Counting returns the tasks that are due since their last stints, in any
	// order.
	Counting() []fleet.TaskID
	// OrderDecided reports whether the order was carried out or settled.
	OrderDecided(order fleet.OrderID) bool
	// Recall returns what was remembered of the task last; nil: nothing.
	Recall(task fleet.TaskID) []byte
}

// Life is when this agent and its host came up, by the wall clock.
type Life struct {
	Started time.Time // this agent
	Booted  time.Time // the host; zero: not known
	// BootSeen is when an agent first started in this boot: Started, if it is
	// this one. Zero: not known, and what is due at a boot is not due.
	BootSeen time.Time
}

// State is everything the scheduler knows. Only Step changes it; it belongs to
// one goroutine.
type State struct {
	host    fleet.HostID
	memory  Memory
	life    Life
	last    time.Time // now, of the step before
	planned time.Time // when the last plan came from a collector; zero: none did yet
	stored  bool      // the last plan was the first one, and what an earlier agent saved
	jumped  time.Time // where the clock last left off to jump forward; zero: it did not in this step

	tasks   map[fleet.TaskID]*task
	orders  map[fleet.OrderID]fleet.Order // wishes to run, not yet begun
	ripe    map[fleet.OrderID]bool        // of those, the last ones of bursts that are over
	decided map[fleet.OrderID]bool        // wishes to run of the last plan that have an outcome or began
	stopped map[fleet.OrderID]bool        // wishes to cancel, carried out
	early   []RunEnded                    // before there was a plan to go by
	ready   bool                          // there was one
	ending  bool                          // nothing begins any more, only ends are noted

	breakers  map[fleet.TaskID]*breaker
	calendars map[string]calendar
	touched   map[fleet.TaskID]*task          // supervised, and something happened to them in this step
	needers   map[fleet.TaskID][]fleet.TaskID // the supervised tasks that need that one
	fresh     []*task                         // whose instances this step begins
	heap      wakeHeap
	actions   []Action
}

// NewState returns the state of an agent at its start.
func NewState(host fleet.HostID, memory Memory, life Life) *State {
	life = Life{wall(life.Started), wall(life.Booted), wall(life.BootSeen)}
	return &State{
		host: host, memory: memory, life: life, last: life.Started,
		tasks: map[fleet.TaskID]*task{}, orders: map[fleet.OrderID]fleet.Order{}, ripe: map[fleet.OrderID]bool{},
		decided: map[fleet.OrderID]bool{}, stopped: map[fleet.OrderID]bool{},
		breakers: map[fleet.TaskID]*breaker{},
		touched:  map[fleet.TaskID]*task{}, needers: map[fleet.TaskID][]fleet.TaskID{},
	}
}

// wall strips the monotonic reading and the zone, which would make equal
// instants differ.
func wall(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Round(0).UTC()
}

// Step takes one event in at the given wall-clock time and returns what to do.
// The slice is valid until the next step.
func (s *State) Step(now time.Time, event Event) []Action {
	now = wall(now)
	s.actions = s.actions[:0]
	if s.ending {
		s.afterwards(now, event)
		return s.actions
	}
	s.settleFresh(now)
	switch e := event.(type) {
	case ClockJumped:
		s.shift(e.By)
		if now.After(s.last) {
			s.jumped = s.last
		}
		s.moveRests(now, e.By)
		s.advanceAll(now) // what a task waits for may be further away now
	case Stopping:
		s.advanceAll(now)
	case RunFound:
		s.found(now, e)
	case RunEnded:
		s.ended(now, e)
	case RunWaits:
		s.waits(e)
	case Probed:
		s.probed(e)
	case Condemned:
		s.condemn(e)
	case PlanChanged:
		s.stored = e.Stored && !s.ready
		s.plan(now, e)
		if !e.Stored {
			s.planned = now
		}
	}
	s.advance(now)
	s.advanceOrders(now)
	if s.keepUp(now) { // an order may have waited for that
		s.advanceOrders(now)
		s.keepUp(now)
	}
	if _, stopping := event.(Stopping); stopping {
		s.flushAll(now)
		s.ending = true
	}
	s.last, s.jumped = now, time.Time{}
	s.wake(now)
	return s.actions
}

// afterwards notes, when nothing begins any more, what the next agent is to know
// of a run that ends.
func (s *State) afterwards(now time.Time, event Event) {
	e, is := event.(RunEnded)
	if !is {
		return
	}
	s.ended(now, e)
	for _, t := range s.touched {
		if t.planned {
			s.noteUpkeep(t)
		}
	}
	clear(s.touched)
}

// advanceAll looks at every task, whatever it waits for.
func (s *State) advanceAll(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		s.advanceTask(now, s.tasks[id])
	}
}

func (s *State) do(a Action) { s.actions = append(s.actions, a) }

// advance decides every instant that has come.
func (s *State) advance(now time.Time) {
	for {
		t := s.heap.peek()
		if t == nil || t.wake.After(now) {
			return
		}
		s.advanceTask(now, t)
	}
}

func (s *State) advanceTask(now time.Time, t *task) {
	s.advanceBreaker(now, t)
	s.attempts(now, t)
	switch {
	case !t.planned:
	case t.up != nil:
		s.touch(t)
	case t.assignment.Task.On.Startup != "":
		s.advanceStartup(now, t)
	case t.assignment.State == fleet.TaskEnabled:
		t.catchUpWith(now)
		s.decide(now, t)
	default:
		t.catchUpWith(now)
		s.pass(now, t)
	}
	if len(t.waiting) == 0 {
		s.countBefore(now, t, farFuture)
	}
	s.flushOld(now, t)
	s.arm(now, t)
}

// wake asks for the next step.
func (s *State) wake(now time.Time) {
	var at time.Time
	if t := s.heap.peek(); t != nil {
		at = t.wake
	}
	for _, o := range s.orders {
		if at.IsZero() || o.Expires.Before(at) {
			at = wall(o.Expires).Add(1)
		}
	}
	if burst := s.mergeBursts(now); !burst.IsZero() && (at.IsZero() || burst.Before(at)) {
		at = burst
	}
	if s.freshNeeded() {
		at = now
	}
	if !at.IsZero() {
		s.do(Wake{At: later(at, now)})
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// plan puts the new assignments and orders in place of the old.
func (s *State) plan(now time.Time, e PlanChanged) {
	s.advance(now) // by the calendars until now
	s.planCalendars(e.Calendars)
	wanted := make(map[fleet.TaskID]*fleet.Assignment, len(e.Assignments))
	for i := range e.Assignments {
		wanted[e.Assignments[i].Task.ID()] = &e.Assignments[i]
	}
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		switch t := s.tasks[id]; {
		case wanted[id] != nil:
		case t.planned:
			s.remove(now, t)
		default:
			s.forsake(now, t)
		}
	}
	if !s.ready {
		s.bury(wanted)
	}
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		s.assign(now, id, wanted[id])
	}
	s.releaseTrials(now)
	s.linkNeeds()
	s.planOrders(now, e.Orders)
	s.ready = true
	early := s.early
	s.early = nil
	for _, e := range early {
		s.ended(now, e)
	}
}

// task returns the task's entry, made if need be.
func (s *State) task(id fleet.TaskID) *task {
	t := s.tasks[id]
	if t == nil {
		t = &task{id: id, index: -1}
		s.tasks[id] = t
	}
	return t
}

// found takes in a run that survived the agent before.
func (s *State) found(now time.Time, e RunFound) {
	run := &e.Run
	t := s.task(run.Task)
	began := run.Due
	if run.Started != nil {
		began = *run.Started
	}
	r := running{id: run.ID, began: wall(began), generation: run.Generation, due: Due{
		Run: run.ID, Nominal: wall(run.Due), Order: run.Order, Parent: run.Parent, Params: run.Params, Cause: e.Cause, Payload: e.Payload,
		Attempt: max(1, run.Attempt), First: wall(e.First),
	}}
	if run.State == fleet.RunPending && run.Again != nil {
		r.wait(now, *run.Again)
	}
	t.running = append(t.running, r)
}

// assign takes in an assignment that is new, changed or the same.
func (s *State) assign(now time.Time, id fleet.TaskID, a *fleet.Assignment) {
	t := s.task(id)
	same := t.planned && t.assignment.Generation == a.Generation
	if same && t.assignment.State == a.State {
		// A newer agent reads what the one before could not, and the host's
		// policy may have changed its mind.
		if t.assignment.Unread != a.Unread || (t.assignment.Refused == nil) != (a.Refused == nil) || a.Refused != nil && *t.assignment.Refused != *a.Refused {
			t.assignment = a
			s.allow(t)
		}
		return
	}
	if t.planned {
		s.advanceTask(now, t) // under what was in force until now
	}
	old, last, fresh := t.assignment, t.seen, !t.planned
	t.assignment = a
	switch {
	case same: // paused or resumed
		s.touch(t)
	case t.planned:
		s.flush(now, t)
		t.reload(s.host)
		since := earlier(wall(a.Since), now)
		t.seen, t.cursor = later(t.seen, since), later(t.cursor, since)
		t.receive(now)
		s.supervise(now, t, false)
		if old.Task.On.Clocked() || a.Task.On.Clocked() {
			s.count(now, t, fleet.Stint{Task: id, Generation: a.Generation, After: t.seen, Last: last})
		}
	default:
		t.planned = true
		t.bound(now)
		t.memo = s.recall(id)
		t.reload(s.host)
		s.begins(now, t)
		s.supervise(now, t, true)
	}
	s.joinBreaker(now, t)
	if a.State != fleet.TaskEnabled {
		s.drop(now, t, fleet.SkippedPaused, "the task was paused while it waited for its turn")
		s.flush(now, t)
		s.giveUpAttempts(now, t, fleet.SkippedPaused, "the task was paused before this attempt")
	}
	s.tidy(t)
	if a.Task.On.AfterEnd && (fresh || !old.Task.On.AfterEnd) {
		s.countFrom(now, t)
	}
	t.findNext()
	if fresh && a.Task.On.Startup != "" && !a.Task.Supervised() {
		s.startsUp(t)
	}
	s.arm(now, t)
}

// newcomer is how long after it was accepted a recurring task may reach a host
// and still be counted from its acceptance. A host that meets it later came to
// it later, by a new label or its enrolment, and missed nothing.
const newcomer = 24 * time.Hour

// begins finds the instant after which a task counts on this host that enters
// the state.
func (s *State) begins(now time.Time, t *task) {
	since := earlier(wall(t.assignment.Since), now) // a clock that is behind has not come to it yet
	on := &t.assignment.Task.On
	decided, known := s.memory.LastDecided(t.id)
	t.seen, t.received = wall(decided), time.Time{}
	counted := s.memory.Counted(t.id)
	if !on.Clocked() && counted == 0 {
		return
	}
	switch {
	case !s.planned.IsZero() && !since.After(s.planned):
		// A plan newer than the task was without it: the host now matches.
		t.seen = later(t.seen, now)
	case known && counted == 0 && on.Clocked() && !since.After(decided):
		// It had left the host, and came back while no agent looked.
		t.seen = later(t.seen, now)
	case known && counted == 0 && on.Clocked():
		t.seen, t.received = since, now
	case known && counted == t.assignment.Generation:
		return // where it left off
	case known:
		t.seen = later(t.seen, since)
	case since.IsZero() || on.At == nil && now.Sub(since) > newcomer:
		t.seen = now
	default:
		t.seen, t.received = since, now
	}
	stint := fleet.Stint{Task: t.id, Generation: t.assignment.Generation, After: t.seen}
	if counted != 0 {
		stint.Last = wall(decided)
	}
	s.count(now, t, stint)
}

// count gives a stint out: at once, or as soon as what waits from before it has
// its outcome, for the order on disk is the order of the instants.
func (s *State) count(now time.Time, t *task, stint fleet.Stint) {
	if len(t.waiting) == 0 {
		s.countBefore(now, t, farFuture)
		s.flush(now, t)
		s.do(Count{stint})
		return
	}
	t.stints = append(t.stints, stint)
}

// countBefore gives out the stints that began before an instant, which is the
// next to have an outcome.
func (s *State) countBefore(now time.Time, t *task, nominal time.Time) {
	for len(t.stints) > 0 && t.stints[0].After.Before(nominal) {
		s.flush(now, t)
		s.do(Count{t.stints[0]})
		t.stints = t.stints[1:]
	}
}

// gone is why nothing of a task that has left the plan begins.
const gone = "the task is no longer assigned to this host"

// bury ends the stints of tasks that left the plan when the agent before had no
// time to say so. What was due from the last instant that it decided is nobody's:
// its definition is gone.
func (s *State) bury(wanted map[fleet.TaskID]*fleet.Assignment) {
	for _, id := range slices.Sorted(slices.Values(s.memory.Counting())) {
		if wanted[id] == nil {
			decided, _ := s.memory.LastDecided(id)
			s.do(Count{fleet.Stint{Task: id, After: wall(decided), Last: wall(decided)}})
		}
	}
}

// remove takes a task out of the plan. Its runs go on, but for the instance of a
// supervised one.
func (s *State) remove(now time.Time, t *task) {
	s.advanceTask(now, t)
	s.drop(now, t, fleet.SkippedCancelled, gone)
	s.flush(now, t)
	s.giveUpAttempts(now, t, fleet.SkippedCancelled, gone)
	if t.assignment.Task.On.Clocked() {
		s.count(now, t, fleet.Stint{Task: t.id, After: t.seen, Last: t.seen})
	}
	t.planned = false
	if s.touch(t); t.up == nil {
		s.leaveBreaker(t)
		s.unstand(t)
		s.forget(t)
	}
	s.heap.remove(t)
	if t.up == nil && len(t.running) == 0 {
		delete(s.tasks, t.id)
	}
}

// ended takes a run out and lets the next one in. What follows from it is known
// only when the plan is.
func (s *State) ended(now time.Time, e RunEnded) {
	if !s.ready {
		s.early = append(s.early, e)
		return
	}
	t := s.tasks[e.Run.Task]
	if t == nil {
		return
	}
	i := slices.IndexFunc(t.running, func(r running) bool { return r.id == e.Run.ID })
	if i < 0 {
		return
	}
	over := t.running[i]
	s.judge(now, t, &e.Run)
	if e.Run.Again != nil && s.keepPlace(now, t, i, &e.Run) {
		s.arm(now, t)
		return
	}
	t.running = slices.Delete(t.running, i, i+1)
	switch {
	case t.up != nil:
		s.fell(now, t, over, &e.Run)
		return
	case !t.planned:
		if len(t.running) == 0 {
			delete(s.tasks, t.id)
		}
		return
	default:
		s.restAfter(now, t, &e.Run)
		if !s.ending {
			s.drain(now, t)
		}
	}
	s.arm(now, t)
}
