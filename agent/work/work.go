package work

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/agent/turn"
	"github.com/fleetcron/fleetcron/agent/vitals"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// work is what is done here: when, in its turn, how, and how it is doing.
//
//	scheduler ── begin ──► turn ── start ──► runner ──► processes
//	    ▲  │                 │                 │            │
//	    │  └─ stand ► board  └──── ended ──────┤            │ notes, probes, /proc
//	    └──────────── ended, probed, condemned ┴── vitals ◄─┘
type work struct {
	book  *journal.Journal
	plans *scheduler.Scheduler
	turns *turn.Turn
	runs  *runner.Runner
	watch *vitals.Vitals
	board *board
	tasks *going
	begin *starter
	log   *slog.Logger
	left  legacy        // of the agent before
	still chan struct{} // closed when nothing begins any more

	prober []string // argv of what asks services

	mu   sync.Mutex
	plan *fleet.Plan // the last one taken; nil: none
}

// newWork puts it together. Nothing begins before Run.
func newWork(cfg Config, id fleet.HostID, book *journal.Journal, saved *fleet.Plan, masker *mask.Masker, taken *adoptions, places turn.Grantor, log *slog.Logger) (*work, error) {
	w := &work{book: book, board: newBoard(book.OrderDecided), tasks: newGoing(), plan: saved, log: log, still: make(chan struct{})}
	err := passable(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	w.runs, err = runner.New(runner.Config{
		Dir: filepath.Join(cfg.StateDir, "output"), Recorder: book, Logger: log, Guardian: cfg.Guardian, Step: cfg.Step, Veil: veil(masker),
		States:   filepath.Join(cfg.StateDir, "tasks"),
		KeepRuns: cfg.Output.Runs, KeepAge: cfg.Output.Age, KeepBytes: cfg.Output.Size,
		Over: w.over, Ended: w.ended,
	})
	if err != nil {
		return nil, err
	}
	record := recorder{book, w.board.Did}
	fill := filler{taken.adopter, taken.gate, w.tasks, w.runs.Start, record, w.ended}
	w.begin = &starter{
		host: id, recorder: record, ended: w.ended, addresses: hostAddresses, tasks: w.tasks,
		start: fill.Start, cancel: w.runs.Cancel, stop: w.runs.Stop,
	}
	config := turn.Config{
		Host: id, Grantor: places, Recorder: record, Ended: w.ended, Waits: w.waits, Cancel: w.begin.halt,
		Ask: func(ctx context.Context, task *fleet.Task, kind, address string) error {
			return w.ask(ctx, task.Run, kind, address)
		},
		Check: w.check(taken),
		Slots: cfg.Slots, Rate: cfg.StartRate, Logger: log,
	}
	if manager, runs := systemdOf("/"); runs {
		config.Unit = manager.Active
	}
	w.turns = turn.New(config)
	w.begin.turns = w.turns
	w.watch = vitals.New(vitals.Config{
		Runs: patients{w.runs, w.tasks}, Ask: w.ask, Probed: w.probed, Condemned: w.condemned, Waiting: w.waiting,
		Mask: func(text string) string { masked, _ := masker.Text(text); return masked }, Logger: log,
	})
	w.prober = cfg.Prober
	w.left = sortOut(book.OpenRuns(), saved)
	started := time.Now()
	w.plans = scheduler.New(scheduler.Config{
		Host: id, Memory: book, Recorder: record, Starter: w.begin, Board: w.board, Open: w.left.found, Logger: log,
		Life: scheduler.Life{Started: started, Booted: bootTime(), BootSeen: bootSeen(cfg.StateDir, bootID(), started, log)},
	})
	return w, nil
}

// takeUp goes on with what the agent before left.
func (w *work) takeUp() {
	w.expect(nil, w.plan)
	tasks := tasksOf(w.plan)
	for _, run := range w.left.attach {
		task := tasks[identity{run.Run.Task, run.Run.Generation}]
		if task != nil {
			task, _ = filled(task, run.Run.Params) // it has begun, so they fit
		}
		w.tasks.begin(run.Run.ID, task)
		if ends(task) {
			w.turns.Take(run.Run.ID)
		}
		w.runs.Attach(run.Run, run.Handle)
	}
	for _, run := range w.left.waiting {
		w.turns.Resume(w.begin.ask(run.task, run.Run, keptOf(run.Handle)), run.Handle)
	}
}

// ended lets everybody know of an outcome.
func (w *work) ended(run *fleet.Run) {
	w.turns.Ended(run.ID)
	w.plans.Ended(run)
	w.tasks.over(run.ID) // the last, for who drains leaves then
}

// over lets the last words of a run be read.
func (w *work) over(run fleet.RunID) {
	if task := w.tasks.task(run); task != nil {
		w.watch.Over(&fleet.Run{ID: run, Task: task.ID()})
	}
}

func (w *work) probed(task fleet.TaskID, run fleet.RunID, health fleet.HealthState, detail string) {
	w.plans.Probed(scheduler.Probed{Task: task, Run: run, Health: health, Detail: detail})
}

func (w *work) condemned(task fleet.TaskID, run fleet.RunID, reason fleet.Reason, detail string) {
	w.plans.Condemn(scheduler.Condemned{Task: task, Run: run, Reason: reason, Detail: detail})
}

// waits lets dependents of a supervised task wait for its instance.
func (w *work) waits(run *fleet.Run, why string) {
	w.plans.Waits(scheduler.RunWaits{Task: run.Task, Run: run.ID, Detail: why})
}

func (w *work) waiting() (list []fleet.LiveWaiting, slots, taken int) {
	slots, taken = w.turns.Slots()
	return w.turns.Waiting(), slots, taken
}

// check runs what a task waits for as its command would be run.
func (w *work) check(taken *adoptions) func(context.Context, *fleet.Task, []string) (string, error) {
	return func(ctx context.Context, task *fleet.Task, argv []string) (string, error) {
		execute, err := taken.adopter.Fill(task.ID(), task.Run)
		if err != nil {
			return "", err
		}
		filled := *task
		filled.Run = execute
		if err := taken.gate.May(&filled); err != nil {
			return "", err
		}
		return w.runs.Check(ctx, execute, argv)
	}
}

// ask asks a service, as the user of a task and in a process of its own: who
// answers is not read by this one. What is asked stands in the environment, which
// only that user sees.
func (w *work) ask(ctx context.Context, execute fleet.Execute, kind, address string) error {
	if len(w.prober) == 0 {
		return errors.New("this agent cannot ask services")
	}
	environment := maps.Clone(execute.Env)
	if environment == nil {
		environment = map[string]string{}
	}
	environment[proberVariable] = kind + " " + address
	execute.Env = environment
	said, err := w.runs.Check(ctx, execute, w.prober)
	if said = strings.TrimSpace(said); err != nil && ctx.Err() == nil && said != "" {
		return errors.New(said)
	}
	return err
}

// proberVariable is the name of that variable, as package probe reads it.
const proberVariable = "FLEETCRON_PROBE"

// take makes a plan the one in force, after what is held by no plan any more is
// forgotten.
func (w *work) take(ctx context.Context, plan *fleet.Plan) {
	w.mu.Lock()
	before := w.plan
	w.plan = plan
	w.mu.Unlock()
	w.expect(before, plan)
	w.forget(ctx, before, plan)
	for _, task := range gone(before, plan) {
		if err := w.runs.Forget(task); err != nil {
			w.log.Warn("state of a task that left not removed", "task", task, "error", err)
		}
	}
	w.board.Plan(plan)
	states := make(map[fleet.TaskID]fleet.TaskState, len(plan.Assignments))
	for i := range plan.Assignments {
		states[plan.Assignments[i].Task.ID()] = plan.Assignments[i].State
	}
	w.turns.Review(func(run *fleet.Run) (fleet.Reason, string) {
		switch state, given := states[run.Task]; {
		case !given:
			return fleet.SkippedCancelled, "the task is no longer assigned to this host"
		case state == fleet.TaskPaused && run.Order == "":
			return fleet.SkippedPaused, "the task was paused while it waited"
		}
		return "", ""
	})
}

// expect lets the runner make ready for the tasks that a plan brings.
func (w *work) expect(before, plan *fleet.Plan) {
	if plan == nil {
		return
	}
	known := tasksOf(before)
	var fresh []runner.Expected
	for i := range plan.Assignments {
		given := &plan.Assignments[i]
		if given.Refused != nil {
			continue
		}
		if _, is := known[identity{given.Task.ID(), given.Generation}]; !is {
			fresh = append(fresh, runner.Expected{Task: given.Task.ID(), Execute: given.Task.Run})
		}
	}
	w.runs.Expect(fresh, len(plan.Assignments))
}

// Run does the work. Nothing begins any more once ending is over, and when ctx
// is over it returns; what runs then goes on.
func (w *work) Run(ctx, ending context.Context, tell func(fleet.Stands)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := w.plans.Run(ending)
		close(w.still)
		return errors.Join(err, w.plans.Hear(ctx))
	})
	g.Go(func() error { return w.runs.Run(ctx) })
	g.Go(func() error { return w.watch.Run(ctx) })
	g.Go(func() error { return w.board.Run(ctx, w.plans.CaughtUp, tell) })
	return g.Wait()
}

// drain lets what runs end, as long as the leave allows, and stops it then if
// that is wished. Daemons end when they are stopped.
func (w *work) drain(ctx context.Context, leave Leave) (left int) {
	<-w.still
	w.turns.Close()
	limited, cancel := context.WithTimeout(ctx, leave.Drain)
	defer cancel()
	w.tasks.wait(limited, ends)
	if !leave.Kill {
		return len(w.runs.Running())
	}
	for _, run := range w.runs.Running() {
		w.runs.Cancel(run, "the agent was told to stop everything")
	}
	w.tasks.wait(ctx, every)
	return len(w.runs.Running())
}
