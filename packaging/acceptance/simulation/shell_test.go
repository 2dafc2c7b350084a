package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// errKilled is what an agent hears that is not there any more.
var errKilled = errors.New("killed")

// box is a host around a real scheduler: its goroutines, timers and locks run on
// the virtual time of a bubble. What stands around it is as small as can be: a
// disk that takes a millisecond, and commands that outlive their agents.
type box struct {
	mu      sync.Mutex
	id      fleet.HostID
	rand    *rand.Rand
	began   time.Time
	history checker.History
	decided map[fleet.TaskID]time.Time
	counted map[fleet.TaskID]uint64
	memos   map[fleet.TaskID][]byte
	open    map[fleet.RunID]*going
	life    int
	agent   *scheduler.Scheduler
	pid     int
}

type going struct {
	run   fleet.Run
	first time.Time
	retry fleet.Retry
	stop  chan fleet.Reason
}

// agent is what one life of a scheduler works with.
type agent struct {
	*box
	life int
}

// write makes a record durable, unless the agent was killed meanwhile.
func (a agent) write(d checker.Delivery) error {
	time.Sleep(time.Millisecond)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.box.life != a.life {
		return errKilled
	}
	a.append(d)
	return nil
}

// append is what the disk adds up; the caller holds mu.
func (b *box) append(d checker.Delivery) {
	d.Host, d.Journal, d.Sequence = b.id, fleet.JournalID(b.id), uint64(len(b.history.Deliveries)+1)
	b.history.Deliveries = append(b.history.Deliveries, d)
	if d.Stint != nil {
		b.decided[d.Stint.Task], b.counted[d.Stint.Task] = d.Stint.After, d.Stint.Generation
		return
	}
	last := d.Run.Due
	if d.Run.Until != nil {
		last = *d.Run.Until
	}
	b.decided[d.Run.Task] = later(b.decided[d.Run.Task], last)
	if d.Run.State.Terminal() {
		delete(b.open, d.Run.ID)
	}
}

func (a agent) LastDecided(task fleet.TaskID) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, known := a.decided[task]
	return at, known
}

func (a agent) Counted(task fleet.TaskID) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counted[task]
}

func (a agent) Counting() []fleet.TaskID        { return nil } // no task leaves
func (a agent) OrderDecided(fleet.OrderID) bool { return false }

func (a agent) Recall(task fleet.TaskID) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.memos[task]
}

func (a agent) Settle(_ context.Context, run fleet.Run) error {
	return a.write(checker.Delivery{Run: run})
}

func (a agent) Count(_ context.Context, stint fleet.Stint) error {
	return a.write(checker.Delivery{Stint: &stint})
}

func (a agent) Remember(_ context.Context, task fleet.TaskID, memo []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memos[task] = slices.Clone(memo)
	return nil
}

func (a agent) Did(context.Context, fleet.Order) error { return nil }
func (a agent) Stand(fleet.Standing)                   {}
func (a agent) Unstand(fleet.TaskID)                   {}

// Begin records the begin, and starts a command that writes what a probe would.
func (a agent) Begin(_ context.Context, due scheduler.Due) error {
	run := due.Record(a.id)
	if err := a.write(checker.Delivery{Run: run}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &going{run: run, first: due.First, retry: due.Assignment.Task.Retry, stop: make(chan fleet.Reason, 1)}
	a.open[run.ID] = g
	takes := time.Duration(a.rand.Int64N(int64(8 * time.Second)))
	fails := a.rand.IntN(4) == 0
	go a.execute(g, takes, fails)
	return nil
}

// execute is the life of a command.
func (b *box) execute(g *going, takes time.Duration, fails bool) {
	b.mu.Lock()
	b.pid++
	now, code := time.Now(), 0
	if fails {
		code = 1
	}
	if g.first.IsZero() {
		g.first = now
	}
	g.run.State, g.run.Started, g.run.PID, g.run.Exit = fleet.RunRunning, &now, b.pid, &code
	line := len(b.history.Probes)
	b.history.Probes = append(b.history.Probes, checker.Probe{Occurrence: g.run.Occurrence(), Attempt: g.run.Attempt, PID: b.pid, At: now, Start: now.Sub(b.began)})
	b.mu.Unlock()
	select {
	case <-time.After(takes):
		b.mu.Lock()
		b.history.Probes[line].End = time.Since(b.began)
	case because := <-g.stop:
		b.mu.Lock()
		g.run.Exit, g.run.Signal, g.run.Cancelled, g.run.Reason = nil, "SIGTERM", because == "", because
	}
	ended := time.Now()
	g.run.State, g.run.Ended = fleet.RunRan, &ended
	tell := b.settle(g)
	b.mu.Unlock()
	tell()
}

// settle records the outcome of a command, and tells the agent that is there.
func (b *box) settle(g *going) func() {
	if at, again := g.retry.Again(&g.run, g.first); again {
		g.run.Again = &at
		next := g.run.NextAttempt()
		b.append(checker.Delivery{Run: next})
		b.open[next.ID] = &going{run: next, first: g.first, retry: g.retry}
	} else if g.retry.Attempts > 1 && g.run.Failed() && !g.run.Cancelled && g.run.Reason == "" {
		g.run.Reason = fleet.RanExhausted
	}
	b.append(checker.Delivery{Run: g.run})
	run, agent := g.run, b.agent
	return func() {
		if agent != nil {
			agent.Ended(&run)
		}
	}
}

func (a agent) Cancel(run fleet.RunID, _ string) { a.Stop(run, "", "") }

func (a agent) Stop(run fleet.RunID, because fleet.Reason, _ string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g := a.open[run]; g != nil && a.box.life == a.life {
		select {
		case g.stop <- because:
		default:
		}
	}
}

// live runs agents on the host, one after the other, until ctx ends.
func (b *box) live(ctx context.Context, plan *fleet.Plan) {
	started := time.Now()
	for ctx.Err() == nil {
		b.mu.Lock()
		b.life++
		a := agent{b, b.life}
		var open []scheduler.RunFound
		for _, g := range b.open {
			open = append(open, scheduler.RunFound{Run: g.run, First: g.first})
		}
		b.agent = nil
		b.mu.Unlock()
		s := scheduler.New(scheduler.Config{Host: b.id, Memory: a, Starter: a, Recorder: a, Board: a, Open: open, Logger: slog.New(slog.DiscardHandler),
			Life: scheduler.Life{Started: time.Now(), Booted: started, BootSeen: started}})
		b.mu.Lock()
		b.agent = s
		lasts := time.Duration(b.rand.Int64N(int64(40 * time.Minute)))
		away := time.Duration(b.rand.Int64N(int64(3 * time.Minute)))
		b.mu.Unlock()
		const end = 10 * time.Minute // in which nobody is killed, so that everything is told
		if over, _ := ctx.Deadline(); time.Until(over) > 2*end {
			lasts = min(lasts, time.Until(over)-end)
		} else {
			lasts = 2 * end
		}
		s.Plan(plan, a.life > 1)
		life, stop := context.WithTimeout(ctx, lasts)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.Run(life) }()
		<-life.Done()
		stop()
		killed := time.Now()
		b.mu.Lock()
		if ctx.Err() == nil {
			b.life++ // from now on its writes come to nothing
			b.agent = nil
		}
		b.mu.Unlock()
		<-ended
		if ctx.Err() == nil {
			time.Sleep(away)
			b.mu.Lock()
			b.history.Windows = append(b.history.Windows, checker.Window{Kind: checker.AgentDown, Host: b.id, From: killed, To: time.Now().Add(time.Second)})
			b.mu.Unlock()
		}
	}
}

// TestShellsOnVirtualTime runs real schedulers in a bubble, kills them in the
// midst of writing, and lets the checker judge what came of it.
func TestShellsOnVirtualTime(t *testing.T) {
	const hosts, last = 4, 90 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tasks []fleet.Task
		for i, change := range []func(*fleet.Task){
			func(t *fleet.Task) { t.On.Every = fleet.Duration(5 * time.Second) },
			func(t *fleet.Task) {
				t.On.Cron, t.On.Missed.Policy, t.Limits.Overlap = "* * * * *", fleet.MissedAll, fleet.OverlapQueue
			},
			func(t *fleet.Task) {
				t.On.Every, t.Limits.Overlap = fleet.Duration(4*time.Second), fleet.OverlapReplace
			},
			func(t *fleet.Task) {
				t.On.Every, t.Retry = fleet.Duration(30*time.Second), fleet.Retry{Attempts: 3, Base: fleet.Duration(5 * time.Second)}
			},
			func(t *fleet.Task) { t.On.Daemon = true },
		} {
			task := fleet.Task{Name: fmt.Sprint("b", i), Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/probe"}}}, Where: fleet.Where{Labels: "*"}}
			change(&task)
			tasks = append(tasks, task)
		}
		ctx, stop := context.WithTimeout(t.Context(), last)
		defer stop()
		var all sync.WaitGroup
		var boxes []*box
		for i := range hosts {
			b := &box{
				id: hostID(77, i), rand: rand.New(rand.NewPCG(77, uint64(i))), began: began, decided: map[fleet.TaskID]time.Time{},
				counted: map[fleet.TaskID]uint64{}, memos: map[fleet.TaskID][]byte{}, open: map[fleet.RunID]*going{},
			}
			plan := &fleet.Plan{Host: b.id}
			for _, task := range tasks {
				plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: began})
				b.history.Given = append(b.history.Given, checker.Given{Task: task, Generation: 1, Since: began})
				b.history.Applied = append(b.history.Applied, checker.Applied{Host: b.id, Task: task.ID(), Generation: 1, At: began})
			}
			boxes = append(boxes, b)
			all.Go(func() { b.live(ctx, plan) })
		}
		all.Wait()
		var verdict checker.Verdict
		for _, b := range boxes {
			time.Sleep(10 * time.Second) // what goes on ends
			b.mu.Lock()
			b.history.Until = began.Add(last)
			one, err := checker.Check(&b.history)
			b.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			verdict.Add(one)
		}
		minima := checker.Minima{Due: 7000, Ran: 5000, Missed: 100, Skipped: 500, Retries: 100, Probes: 5000, Windows: map[checker.Kind]int{checker.AgentDown: 6}}
		if err := minima.Void(&verdict.Tally); err != nil || !verdict.Holds() {
			t.Error(err, verdict)
		}
		t.Log(verdict)
	})
}
