package scheduler

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Starter carries out runs.
type Starter interface {
	// Begin begins a run. It returns as soon as the beginning is on disk, or
	// the run has found another outcome; either way Ended is called once, then
	// or later. An error means that nothing was begun and nothing is on disk.
	Begin(ctx context.Context, due Due) error
	// Cancel stops a run that was begun, and does not wait for its end.
	Cancel(run fleet.RunID, detail string)
	// Stop is Cancel of a run that ends as ran, for a reason of its own.
	Stop(run fleet.RunID, because fleet.Reason, detail string)
}

// Recorder makes decisions durable. It returns when they are on disk.
type Recorder interface {
	// Settle records an outcome.
	Settle(ctx context.Context, run fleet.Run) error
	// Count records from when on a task is due, and that nothing up to there is.
	Count(ctx context.Context, stint fleet.Stint) error
	// Remember records what Memory.Recall returns of the task from then on; no
	// memo forgets it.
	Remember(ctx context.Context, task fleet.TaskID, memo []byte) error
	// Did records that an order was carried out, for Memory.OrderDecided and for
	// whoever gave it.
	Did(ctx context.Context, order fleet.Order) error
}

// Board shows how tasks stand. Its methods do not wait.
type Board interface {
	Stand(standing fleet.Standing)
	Unstand(task fleet.TaskID)
}

// Config is what a Scheduler works with.
type Config struct {
	Host     fleet.HostID
	Memory   Memory
	Starter  Starter
	Recorder Recorder
	Board    Board
	Open     []RunFound // runs of an earlier agent that go on, and attempts that are pending
	Life     Life       // its Started zero: now
	Logger   *slog.Logger
}

// Scheduler begins runs when they are due. Its methods may be called from any
// goroutine, and never wait.
type Scheduler struct {
	cfg   Config
	state *State

	mu     sync.Mutex
	events []Event
	signal chan struct{} // holds one when events do
}

// New returns a scheduler that counts from now: what was due before and is not
// decided was missed because the agent was down.
func New(cfg Config) *Scheduler {
	if cfg.Life.Started.IsZero() {
		cfg.Life.Started = time.Now()
	}
	s := &Scheduler{
		cfg:    cfg,
		state:  NewState(cfg.Host, cfg.Memory, cfg.Life),
		signal: make(chan struct{}, 1),
	}
	for _, found := range cfg.Open {
		s.put(found)
	}
	return s
}

// Plan replaces what the host has to do. A stored plan is the one that an
// earlier agent saved.
func (s *Scheduler) Plan(plan *fleet.Plan, stored bool) {
	s.put(PlanChanged{Assignments: plan.Assignments, Orders: plan.Orders, Calendars: plan.Calendars, Stored: stored})
}

// Ended tells that a run is over.
func (s *Scheduler) Ended(run *fleet.Run) { s.put(RunEnded{*run}) }

// Waits tells what the instance of a supervised task waits for. It is heard
// before all but what an earlier agent left: any other event may let those
// begin that need the instance.
func (s *Scheduler) Waits(e RunWaits) {
	s.mu.Lock()
	at := slices.IndexFunc(s.events, func(other Event) bool {
		switch other.(type) {
		case RunFound, RunWaits:
			return false
		}
		return true
	})
	if at < 0 {
		at = len(s.events)
	}
	s.events = slices.Insert(s.events, at, Event(e))
	s.mu.Unlock()
	s.wake()
}

// Probed tells how a supervised command answered.
func (s *Scheduler) Probed(e Probed) { s.put(e) }

// Condemn lets a run be stopped for what it does.
func (s *Scheduler) Condemn(e Condemned) { s.put(e) }

// CaughtUp returns when everything that was put before is decided and on disk,
// or with the context's error. Run must be running.
func (s *Scheduler) CaughtUp(ctx context.Context) error {
	reached := Mark{make(chan struct{})}
	s.put(reached)
	select {
	case <-reached.reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Scheduler) put(event Event) {
	s.mu.Lock()
	s.events = append(s.events, event)
	s.mu.Unlock()
	s.wake()
}

func (s *Scheduler) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// get takes the oldest event.
func (s *Scheduler) get() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		s.events = nil
		return nil, false
	}
	event := s.events[0]
	s.events = s.events[1:]
	return event, true
}

const (
	// longestSleep bounds how long a change of the wall clock goes unnoticed.
	longestSleep = 30 * time.Second
	// jump is by how much the wall clock may differ from elapsed time before
	// it is said to have been set.
	jump = 2 * time.Second
	// together is how many tasks' actions are made durable at once; the journal
	// writes them with one fsync.
	together = 64
)

// Run decides and begins until ctx ends. What was decided by then is recorded;
// runs go on.
func (s *Scheduler) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	before := time.Now()
	// What is decided is carried out whole: when ctx is over, the disk is not.
	// A begin without the outcomes before it would hide that they are missing.
	whole := context.WithoutCancel(ctx)
	for {
		select {
		case <-ctx.Done():
			s.carryOut(whole, s.state.Step(time.Now(), Stopping{}))
			return nil
		case <-s.signal:
		case <-timer.C:
		}
		now := time.Now()
		wake := s.step(whole, now, s.tick(before, now))
		for event, ok := s.get(); ok && ctx.Err() == nil; event, ok = s.get() {
			wake = s.step(whole, time.Now(), event)
			if mark, is := event.(Mark); is {
				close(mark.reached)
			}
		}
		before = now
		timer.Reset(sleep(time.Now(), wake))
	}
}

// Hear notes, after Run, which runs end until ctx does: the next agent takes up
// from there. Nothing begins any more. What was told before it returns is on disk.
func (s *Scheduler) Hear(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	for over := false; !over; {
		select {
		case <-s.signal:
		case <-ctx.Done():
			over = true
		}
		for event, ok := s.get(); ok; event, ok = s.get() {
			s.step(whole, time.Now(), event)
			if mark, is := event.(Mark); is {
				close(mark.reached)
			}
		}
	}
	return nil
}

// tick says whether the wall clock went its way since the step before.
func (s *Scheduler) tick(before, now time.Time) Event {
	ahead := stepped(now.Round(0).Sub(before.Round(0)), now.Sub(before))
	if ahead == 0 {
		return Tick{}
	}
	s.cfg.Logger.Warn("clock stepped", "by", ahead, "now", now.UTC())
	return ClockJumped{By: ahead}
}

// stepped is by how much the wall clock was set, given how far it and the
// monotonic clock went; zero if it was not.
func stepped(wall, elapsed time.Duration) time.Duration {
	if ahead := wall - elapsed; ahead > jump || ahead < -jump {
		return ahead
	}
	return 0
}

// sleep is how long to wait for the instant at.
func sleep(now, at time.Time) time.Duration {
	if at.IsZero() {
		return longestSleep
	}
	return min(longestSleep, max(0, at.Sub(now.Round(0))))
}

// step feeds one event and carries out what follows; it returns when to wake.
func (s *Scheduler) step(ctx context.Context, now time.Time, event Event) time.Time {
	return s.carryOut(ctx, s.state.Step(now, event))
}

// carryOut makes the actions happen, those of one task in order, and waits
// until all are on disk. What several tasks share is there before the rest.
func (s *Scheduler) carryOut(ctx context.Context, actions []Action) (wake time.Time) {
	byTask := map[fleet.TaskID][]Action{}
	var order []fleet.TaskID
	for _, a := range actions {
		id, last := taskOf(a)
		if m, is := a.(Remember); is && isKey(id) {
			s.do(ctx, m)
			continue
		}
		if last {
			wake = a.(Wake).At
			continue
		}
		if byTask[id] == nil {
			order = append(order, id)
		}
		byTask[id] = append(byTask[id], a)
	}
	var group errgroup.Group
	group.SetLimit(together)
	for _, id := range order {
		group.Go(func() error {
			for _, a := range byTask[id] {
				s.do(ctx, a)
			}
			return nil
		})
	}
	group.Wait()
	return wake
}

// taskOf is the task that an action is about; Wake is about none.
func taskOf(a Action) (id fleet.TaskID, wake bool) {
	switch a := a.(type) {
	case Begin:
		return a.Due.Task(), false
	case Settle:
		return a.Run.Task, false
	case Count:
		return a.Stint.Task, false
	case Remember:
		return a.Task, false
	case Did:
		return a.Order.Task, false
	case Cancel:
		return a.Task, false
	case Stand:
		return a.Standing.Task, false
	case Unstand:
		return a.Task, false
	}
	return "", true
}

// do carries out one action. What cannot be recorded is logged here, because
// nobody above can do anything about it.
func (s *Scheduler) do(ctx context.Context, a Action) {
	log := s.cfg.Logger
	switch a := a.(type) {
	case Begin:
		if err := s.cfg.Starter.Begin(ctx, a.Due); err != nil {
			log.Error("run not begun", "task", a.Due.Task(), "run", a.Due.Run, "due", a.Due.Nominal, "error", err)
			s.Ended(notBegun(a.Due, s.cfg.Host))
		}
	case Settle:
		r := a.Run
		if err := s.cfg.Recorder.Settle(ctx, r); err != nil {
			log.Error("outcome not recorded", "task", r.Task, "due", r.Due, "instants", r.Instants(), "state", r.State, "reason", r.Reason, "error", err)
			return
		}
		log.Info("run "+string(r.State), "task", r.Task, "due", r.Due, "instants", r.Instants(), "reason", r.Reason)
	case Count:
		if err := s.cfg.Recorder.Count(ctx, a.Stint); err != nil {
			log.Error("stint not recorded", "task", a.Stint.Task, "generation", a.Stint.Generation, "after", a.Stint.After, "error", err)
		}
	case Remember:
		if err := s.cfg.Recorder.Remember(ctx, a.Task, a.Memo); err != nil {
			log.Error("not remembered", "task", a.Task, "memo", string(a.Memo), "error", err)
		}
	case Did:
		text := "order carried out"
		if a.Expired {
			text = "order expired"
		}
		log.Info(text, "task", a.Order.Task, "order", a.Order.ID, "kind", a.Order.Kind, "by", a.Order.By)
		if err := s.cfg.Recorder.Did(ctx, a.Order); err != nil {
			log.Error("order not recorded as carried out", "task", a.Order.Task, "order", a.Order.ID, "error", err)
		}
	default:
		s.tell(a)
	}
}

// tell carries out an action that leaves nothing on disk.
func (s *Scheduler) tell(a Action) {
	switch a := a.(type) {
	case Cancel:
		s.cfg.Logger.Info("run stopped", "task", a.Task, "run", a.Run, "because", a.Because, "reason", a.Reason)
		if a.Because != "" {
			s.cfg.Starter.Stop(a.Run, a.Because, a.Reason)
		} else {
			s.cfg.Starter.Cancel(a.Run, a.Reason)
		}
	case Stand:
		s.cfg.Board.Stand(a.Standing)
	case Unstand:
		s.cfg.Board.Unstand(a.Task)
	}
}

// notBegun is the record of a run that could not be begun, of which nothing is on
// disk: it has no outcome. An attempt is still pending there, so it is tried
// again.
func notBegun(due Due, host fleet.HostID) *fleet.Run {
	run := due.Record(host)
	run.State = fleet.RunPending
	if run.Attempt > 1 {
		again := time.Now().UTC().Add(beginAgain)
		run.Again = &again
	}
	return &run
}

// beginAgain is how long after an attempt could not be begun it is tried again.
const beginAgain = time.Minute
