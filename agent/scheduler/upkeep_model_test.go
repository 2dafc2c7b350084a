package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestUpkeep plays hours of supervised tasks that need each other through
// crashes of their commands, of the agent in the middle of writing, orders,
// changes of the plan, verdicts of probes and steps of the clock. Beside it
// stands a world of processes that knows nothing of how the scheduler decides,
// and holds it to its promises at every action.
func TestUpkeep(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 10
	}
	total := map[string]int{}
	for seed := range seeds {
		w := newWorld(t, seed)
		w.play(2 * time.Hour)
		for what, n := range w.seen {
			if !strings.HasPrefix(what, "o0") {
				total[what] += n
			}
		}
	}
	t.Log(total)
	for what, least := range map[string]int{
		"start": 50, "crash loop": 1, "stop": 3, "restart": 3, "agent crash": 5, "clock step": 3,
		"exact backoff": 30, "condemned": 3, "waited": 10, "ended while no agent ran": 1, "torn": 3, "done": 5,
	} {
		if least *= int(seeds); total[what] < least {
			t.Errorf("too little happened to prove anything: %s %d times, want %d", what, total[what], least)
		}
	}
}

// world is a host, its processes and whoever gives orders.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	seed   uint64
	start  time.Time
	passed time.Duration // since start, whatever the clocks say
	offset time.Duration // of the wall clock
	seen   map[string]int

	memory  *memory
	state   *State // nil: no agent runs
	wake    time.Time
	plan    []fleet.Assignment
	orders  []fleet.Order
	serial  int
	tasks   map[fleet.TaskID]*truth
	process map[fleet.RunID]*instance
	deaf    []RunEnded            // ends that the agent hears of a little later
	unheard map[fleet.TaskID]bool // whose end is among them
}

// truth is what the world knows of a task.
type truth struct {
	stopped  bool // by an order that was told to be done
	freed    bool // from a crash loop: by an order, or a new generation
	starts   []time.Duration
	torn     int // that were remembered, and never made
	standing *fleet.Standing

	ended   time.Duration // when its last instance did
	plain   bool          // since then nothing but its backoff kept it down
	backoff time.Duration // that follows by the rule
	failed  bool          // that one
	unsure  bool          // the clock was set while no agent ran
}

// instance is a process that goes on, whether or not an agent watches.
type instance struct {
	run     fleet.Run
	began   time.Duration
	ends    time.Duration
	going   bool // it was told to end
	verdict fleet.Reason
	healthy bool
	wish    bool // it was stopped because somebody wished it
}

const (
	modelTick = 50 * time.Millisecond
	modelBase = 400 * time.Millisecond
	modelCap  = 3 * time.Second
	modelUp   = 20 * time.Second // reset
)

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 99)), start: noon, memory: newMemory(),
		seen: map[string]int{}, tasks: map[fleet.TaskID]*truth{}, process: map[fleet.RunID]*instance{},
		unheard: map[fleet.TaskID]bool{},
	}
	for i := range 6 {
		a := daemon(func(t *fleet.Task) {
			t.Name = fmt.Sprintf("t%d", i)
			t.Restart = fleet.Restart{Policy: pick(w.rand, "", "", fleet.RestartAlways, fleet.RestartOnFailure), Base: fleet.Duration(modelBase), Cap: fleet.Duration(modelCap), Reset: fleet.Duration(modelUp)}
			if w.rand.IntN(2) == 0 {
				t.Restart.GiveUp = fleet.Frequency{Times: 3 + w.rand.IntN(4), Per: fleet.Duration(time.Minute)}
			}
			for j := range i {
				if w.rand.IntN(4) == 0 {
					t.Needs = append(t.Needs, fmt.Sprintf("t%d", j))
				}
			}
			if w.rand.IntN(4) == 0 {
				t.Health.TCP = "127.0.0.1:1"
			}
			if i == 5 {
				t.On, t.Needs = fleet.Trigger{Startup: pick(w.rand, fleet.StartupAgent, fleet.StartupBoot)}, nil
				t.Restart.Policy = pick(w.rand, fleet.RestartAlways, fleet.RestartOnFailure)
			}
		})
		w.plan = append(w.plan, a)
		w.tasks[a.Task.ID()] = &truth{}
	}
	return w
}

func (w *world) now() time.Time { return w.start.Add(w.passed + w.offset) }

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d after %s, clock off by %s: %s", w.seed, w.passed, w.offset, fmt.Sprintf(format, args...))
}

func (w *world) play(long time.Duration) {
	w.boot()
	for w.passed < long {
		w.pass()
		switch w.rand.IntN(900) {
		case 0:
			w.stepClock()
		case 1:
			w.crash(nil)
		case 2, 3:
			w.changePlan()
		case 4, 5, 6:
			w.order()
		case 7, 8:
			w.condemn()
		}
		w.probe()
		if w.state == nil {
			w.boot()
		}
		w.step(Tick{})
		for w.state != nil && !w.wake.IsZero() && !w.wake.After(w.now()) {
			w.step(Tick{})
		}
		w.look()
	}
}

// pass lets time go by, to the next thing that is to happen but not for long.
func (w *world) pass() {
	next := w.passed + time.Duration(1+w.rand.IntN(40))*modelTick
	if w.state != nil && !w.wake.IsZero() {
		next = min(next, max(w.passed+time.Millisecond, w.wake.Sub(w.start)-w.offset))
	}
	for _, p := range w.process {
		next = min(next, max(p.ends, w.passed))
	}
	w.passed = next
	w.end()
}

// end lets processes end. Their agent hears of it, or a later one.
func (w *world) end() {
	for _, id := range slices.Sorted(maps.Keys(w.process)) {
		p := w.process[id]
		if p.ends > w.passed {
			continue
		}
		delete(w.process, id)
		at, code := w.start.Add(p.ends+w.offset), w.rand.IntN(2)
		run := p.run
		run.State, run.Ended, run.Exit, run.Reason = fleet.RunRan, &at, &code, p.verdict
		run.Cancelled = p.wish && p.verdict == ""
		w.mourn(p, &run)
		if w.state == nil {
			w.seen["ended while no agent ran"]++
			w.deaf, w.unheard[run.Task] = append(w.deaf, RunEnded{run}), true
			continue
		}
		w.step(RunEnded{run})
	}
}

// mourn works out by the rule what follows an end.
func (w *world) mourn(p *instance, run *fleet.Run) {
	truth := w.tasks[run.Task]
	if is := truth.standing; is != nil && is.Phase == fleet.PhaseStopping && p.verdict == "" {
		p.wish = true // others are to be stopped before it, and now it has ended
	}
	truth.ended, truth.plain = w.passed, w.state != nil && !p.wish && p.verdict == ""
	truth.failed = run.Failed()
	a := w.assignment(run.Task)
	done := a != nil && a.Task.Restart.Policy == fleet.RestartOnFailure && !truth.failed
	if truth.next(w.passed - p.began); p.wish {
		truth.backoff = 0
	} else if done {
		truth.backoff, truth.starts, truth.torn = 0, nil, 0
	}
	truth.unsure = truth.unsure || w.state == nil // it may have been about to be stopped, for all the next agent knows
}

// next works out the backoff that follows an end by the rule.
func (t *truth) next(up time.Duration) {
	if up >= modelUp || t.backoff == 0 {
		t.backoff = modelBase
	} else {
		t.backoff = min(2*t.backoff, modelCap)
	}
}

func (w *world) stepClock() {
	by := pick(w.rand, -1, time.Duration(1)) * time.Duration(w.rand.Int64N(int64(pick(w.rand, 10*time.Second, time.Hour))))
	if by > -jump && by < jump || w.state == nil {
		return
	}
	w.seen["clock step"]++
	w.offset += by
	if w.step(ClockJumped{By: by}); w.state != nil {
		return
	}
	for _, truth := range w.tasks { // an agent that is not there measures by the clock alone
		truth.unsure = true
	}
}

func (w *world) assignment(id fleet.TaskID) *fleet.Assignment {
	if i := slices.IndexFunc(w.plan, func(a fleet.Assignment) bool { return a.Task.ID() == id }); i >= 0 {
		return &w.plan[i]
	}
	return nil
}

// changePlan pauses, resumes, changes, describes, takes away or gives back some.
func (w *world) changePlan() {
	w.plan = slices.Clone(w.plan)
	for range 1 + w.rand.IntN(2) {
		if len(w.plan) == 0 {
			break
		}
		i := w.rand.IntN(len(w.plan))
		a := &w.plan[i]
		truth := w.tasks[a.Task.ID()]
		truth.plain = false
		switch w.rand.IntN(5) {
		case 0, 1:
			a.State = pick(w.rand, fleet.TaskEnabled, fleet.TaskPaused)
		case 2, 3:
			a.Generation++
			a.Task.Run.User = pick(w.rand, "a", "b", a.Task.Run.User)
			truth.freed, truth.starts, truth.backoff = true, nil, 0
		case 4:
			gone := w.plan[i]
			w.plan = slices.Delete(w.plan, i, i+1)
			w.give()
			if w.rand.IntN(2) == 0 {
				w.pass()
			}
			truth.freed, truth.starts, truth.backoff = true, nil, 0
			gone.Generation++
			w.plan = append(w.plan, gone)
		}
	}
	w.give()
}

func (w *world) order() {
	if len(w.plan) == 0 {
		return
	}
	for range 1 + w.rand.IntN(2) {
		w.serial++
		id := w.plan[w.rand.IntN(len(w.plan))].Task.ID()
		kind := pick(w.rand, fleet.OrderStart, fleet.OrderStart, fleet.OrderStop, fleet.OrderRestart, fleet.OrderRun)
		w.orders = append(w.orders, fleet.Order{
			ID: fleet.OrderID(fmt.Sprintf("o%06d", w.serial)), Kind: kind, Task: id, By: "eve",
			Run: fleet.RunID(fmt.Sprintf("r%06d", w.serial)), Due: w.now(), Expires: w.now().Add(time.Hour),
		})
	}
	w.give()
}

// give gives the plan to the agent. Orders that are done go on to be given for
// a while: the collectors hear of it late.
func (w *world) give() {
	if len(w.orders) > 12 {
		w.orders = w.orders[len(w.orders)-12:]
	}
	w.step(PlanChanged{Assignments: slices.Clone(w.plan), Orders: slices.Clone(w.orders)})
}

func (w *world) alive(id fleet.TaskID) *instance {
	for _, p := range w.process {
		if p.run.Task == id {
			return p
		}
	}
	return nil
}

func (w *world) condemn() {
	for _, id := range slices.Sorted(maps.Keys(w.process)) {
		if p := w.process[id]; !p.going && w.rand.IntN(3) == 0 {
			w.seen["condemned"]++
			w.step(Condemned{p.run.Task, id, pick(w.rand, fleet.RanUnhealthy, fleet.RanStalled, fleet.RanUsage), "no"})
			return
		}
	}
}

func (w *world) probe() {
	for _, id := range slices.Sorted(maps.Keys(w.process)) {
		p := w.process[id]
		if p == nil || w.state == nil { // the agent died in between
			return
		}
		if a := w.assignment(p.run.Task); a == nil || a.Task.Health.IsZero() || w.rand.IntN(30) > 0 {
			continue
		}
		p.healthy = w.rand.IntN(4) > 0
		w.step(Probed{p.run.Task, id, map[bool]fleet.HealthState{true: fleet.Healthy, false: fleet.Unhealthy}[p.healthy], ""})
	}
}

// crash ends the agent; of the actions it was about to carry out, each task's
// first few are on disk.
func (w *world) crash(actions []Action) {
	w.seen["agent crash"]++
	w.state = nil
	for _, truth := range w.tasks {
		truth.plain = false
	}
	kept := map[fleet.TaskID]bool{}
	for _, a := range actions {
		id, wake := taskOf(a)
		if _, known := kept[id]; !known {
			kept[id] = true
		}
		before := kept[id]
		if kept[id] = kept[id] && !wake && w.rand.IntN(2) == 0; kept[id] {
			w.carryOut(a)
		} else if begin, start := a.(Begin); start && before { // a start too many is remembered, rather than one too few
			if begin.Due.Order != "" {
				w.tasks[id].wished()
			}
			w.tasks[id].torn++
			w.tasks[id].next(0)
		}
	}
	for until := w.passed + time.Duration(w.rand.Int64N(int64(pick(w.rand, time.Second, time.Minute)))); w.passed < until; {
		w.pass()
	}
}

// boot starts an agent. It finds the instances of the one before; of the end of
// some it hears before it has a plan, of that of others after.
func (w *world) boot() {
	w.state = NewState(host, w.memory, Life{Started: w.now(), BootSeen: w.start})
	for _, p := range w.process {
		p.healthy = false // it has to be asked anew
	}
	for _, id := range slices.Sorted(maps.Keys(w.process)) {
		w.step(RunFound{Run: w.process[id].run})
	}
	late := w.deaf
	w.deaf = nil
	for _, e := range late {
		w.step(RunFound{Run: e.Run})
	}
	cut := w.rand.IntN(len(late) + 1)
	for _, e := range late[:cut] {
		w.hear(e)
	}
	if w.state != nil {
		w.step(PlanChanged{Assignments: slices.Clone(w.plan), Orders: slices.Clone(w.orders), Stored: true})
	}
	for _, e := range late[cut:] {
		w.hear(e)
	}
}

func (w *world) hear(e RunEnded) {
	if w.state == nil { // the one after this agent hears it
		w.deaf = append(w.deaf, e)
		return
	}
	w.step(e)
}

func (w *world) step(event Event) {
	if w.state == nil {
		return
	}
	if e, is := event.(RunEnded); is {
		delete(w.unheard, e.Run.Task)
	}
	w.wake = time.Time{}
	actions := w.state.Step(w.now(), event)
	if _, ended := event.(RunEnded); !ended && len(actions) > 2 && w.rand.IntN(25) == 0 {
		w.seen["torn"]++
		w.crash(slices.Clone(actions))
		return
	}
	for _, a := range actions {
		w.carryOut(a)
	}
}
