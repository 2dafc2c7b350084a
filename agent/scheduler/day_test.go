package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestADay plays days of random tasks through random steps of the clock,
// stalls, pauses, crashes in the middle of writing, restarts and boots with a
// clock that is wrong, with attempts, breakers and calendars, and then counts by
// brute force: every due instant has exactly one outcome or still waits, and
// nothing else has one.
func TestADay(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 16
	}
	var total tally
	for seed := range seeds {
		d := newDay(t, seed)
		d.play()
		d.checkStarts(t)
		total.add(d.count())
	}
	t.Logf("%+v", total)
	few := total.begun < 1000 || total.missed < 1000 || total.skipped < 1000 || total.steps < 100 || total.restarts < 100
	if few || total.boots < 20 || total.attempts < 500 || total.givenUp < 20 || total.opened < 15 || total.blackouts < 100 || total.startups < 20 || total.rests < 200 {
		t.Errorf("too little happened to prove anything: %+v", total)
	}
}

// tally is what became of the instants.
type tally struct {
	due, begun, skipped, missed, waiting, steps, restarts int
	boots, attempts, givenUp, opened, blackouts           int
	startups, rests                                       int // runs of tasks that no schedule makes due
}

func (t *tally) add(o tally) {
	t.due += o.due
	t.begun += o.begun
	t.skipped += o.skipped
	t.missed += o.missed
	t.waiting += o.waiting
	t.steps += o.steps
	t.restarts += o.restarts
	t.boots += o.boots
	t.attempts += o.attempts
	t.givenUp += o.givenUp
	t.opened += o.opened
	t.blackouts += o.blackouts
	t.startups += o.startups
	t.rests += o.rests
}

// day is a simulated host for a day.
type day struct {
	t      *testing.T
	rand   *rand.Rand
	seed   uint64
	start  time.Time
	passed time.Duration // since start
	offset time.Duration // of the wall clock
	memory *memory
	state  *State // nil: the agent is down
	wake   time.Time
	latest time.Time // that the wall clock ever showed

	plan     []fleet.Assignment
	outcomes map[fleet.TaskID]map[int64]fleet.RunState
	stints   map[fleet.TaskID][]fleet.Stint
	running  map[fleet.RunID]*process
	tally    tally
	more     extras
}

// process is a run that goes on, whether or not an agent watches, or an attempt
// that is pending.
type process struct {
	run       fleet.Run
	ends      time.Duration
	first     time.Time
	retry     fleet.Retry
	pending   bool
	steps     int // of the clock, before the attempt was pending
	cancelled bool
}

func newDay(t *testing.T, seed uint64) *day {
	d := &day{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 7)),
		start:    time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), // Berlin's clocks go forward in the night
		memory:   newMemory(),
		outcomes: map[fleet.TaskID]map[int64]fleet.RunState{},
		stints:   map[fleet.TaskID][]fleet.Stint{},
		running:  map[fleet.RunID]*process{},
		more:     newExtras(),
	}
	for i := range 16 {
		a := fleet.Assignment{State: fleet.TaskEnabled, Generation: 1, Since: d.start}
		a.Task.Name = fmt.Sprintf("t%02d", i)
		a.Task.On, a.Task.Limits = d.trigger(), d.limits()
		if i >= 12 {
			a.Task.On = d.freeTrigger()
		}
		d.policies(&a.Task)
		if missed := &a.Task.On.Missed; a.Task.On.Cron != "" || a.Task.On.Every != 0 && !a.Task.On.AfterEnd {
			missed.Policy = pick(d.rand, "", fleet.MissedSkip, fleet.MissedOnce, fleet.MissedAll)
			missed.Within = pick(d.rand, 0, fleet.Duration(time.Minute), fleet.Duration(3*time.Hour))
		}
		d.plan = append(d.plan, a)
		d.outcomes[a.Task.ID()] = map[int64]fleet.RunState{}
	}
	return d
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

func (d *day) trigger() fleet.Trigger {
	on := fleet.Trigger{Deadline: pick(d.rand, 0, 0, fleet.Duration(time.Second), fleet.Duration(10*time.Minute))}
	switch d.rand.IntN(8) {
	case 0:
		at := d.start.Add(time.Duration(d.rand.Int64N(int64(24 * time.Hour))))
		on.At = &at
	case 1, 2, 3:
		on.Every = fleet.Duration(pick(d.rand, 10*time.Second, 90*time.Second, 7*time.Minute, time.Hour))
		on.Spread = fleet.Duration(pick(d.rand, 0, 9*time.Second))
	default:
		on.Cron = pick(d.rand, "*/5 * * * *", "30 2 * * *", "0 * * * *", "*/20 * * * * *", "17 1-23/2 * * *", "* * * * *")
		on.Timezone = pick(d.rand, "", "Europe/Berlin", "America/New_York")
		on.Spread = fleet.Duration(pick(d.rand, 0, time.Minute))
	}
	return on
}

func (d *day) limits() fleet.Limits {
	return fleet.Limits{
		Overlap: pick(d.rand, "", fleet.OverlapSkip, fleet.OverlapQueue, fleet.OverlapReplace, fleet.OverlapAllow),
		PerHost: d.rand.IntN(4),
	}
}

func (d *day) now() time.Time { return d.start.Add(d.passed + d.offset) }

// play lets the day pass.
func (d *day) play() {
	d.boot()
	for d.passed < 24*time.Hour {
		d.sleep()
		d.endRuns()
		switch d.rand.IntN(400) {
		case 0:
			d.stepClock()
		case 1, 2:
			d.crash(nil)
		case 3, 4:
			d.pauseSome()
		case 5:
			d.stall()
		case 6:
			d.reboot()
		}
		if d.state == nil {
			d.boot()
		}
		d.step(Tick{})
	}
	for d.state == nil {
		d.boot()
	}
	d.step(Stopping{})
}

// sleep passes the time until the agent wakes, a run ends or a while is over.
func (d *day) sleep() {
	next := d.passed + 30*time.Second
	if d.state != nil && !d.wake.IsZero() {
		next = min(next, max(d.passed, d.wake.Sub(d.start)-d.offset))
	}
	for _, p := range d.running {
		next = min(next, max(p.ends, d.passed))
	}
	d.passed = next + time.Duration(d.rand.Int64N(int64(20*time.Millisecond)))
}

// stall keeps the agent from running while time goes on.
func (d *day) stall() {
	d.passed += time.Duration(d.rand.Int64N(int64(40 * time.Minute)))
	d.endRuns()
}

func (d *day) stepClock() {
	d.tally.steps++
	d.more.stepped()
	by := pick(d.rand, -1, time.Duration(1)) * time.Duration(d.rand.Int64N(int64(pick(d.rand, 10*time.Second, time.Hour, 3*time.Hour))))
	d.offset += by
	d.step(ClockJumped{By: by})
}

func (d *day) pauseSome() {
	i := d.rand.IntN(len(d.plan))
	d.plan = slices.Clone(d.plan)
	if d.plan[i].State == fleet.TaskEnabled {
		d.plan[i].State = fleet.TaskPaused
	} else {
		d.plan[i].State = fleet.TaskEnabled
	}
	if d.rand.IntN(2) == 0 {
		d.plan[i].Generation++
	}
	d.step(d.planned(false))
}

func (d *day) planned(stored bool) PlanChanged {
	return PlanChanged{Assignments: slices.Clone(d.plan), Calendars: []fleet.Calendar{tea()}, Stored: stored}
}

// crash ends the agent; of the actions it was about to carry out, each task's
// first few are on disk.
func (d *day) crash(actions []Action) {
	d.tally.restarts++
	d.more.died()
	d.state = nil
	kept := map[fleet.TaskID]bool{}
	for _, a := range actions {
		id, wake := taskOf(a)
		if _, known := kept[id]; !known {
			kept[id] = true
		}
		if kept[id] = kept[id] && !wake && d.rand.IntN(2) == 0; kept[id] {
			d.carryOut(a)
		}
	}
	d.passed += time.Duration(d.rand.Int64N(int64(pick(d.rand, time.Second, time.Minute, 2*time.Hour))))
}

// boot starts an agent, which finds the runs of the one before.
func (d *day) boot() {
	booted := time.Time{}
	if d.rand.IntN(3) == 0 {
		booted = d.now().Add(-time.Duration(d.rand.Int64N(int64(time.Hour))))
	}
	if d.more.bootSeen.IsZero() {
		d.more.bootSeen = d.now()
	}
	d.more.agentSeen = d.now()
	d.fuse()
	d.state = NewState(host, d.memory, Life{Started: d.now(), Booted: booted, BootSeen: d.more.bootSeen})
	for _, id := range d.runs() {
		p := d.running[id]
		d.step(RunFound{Run: p.run, First: p.first})
	}
	early := d.rand.IntN(2) == 0
	if early { // what ended meanwhile is told before there is a plan
		d.endRuns()
	}
	d.step(d.planned(true))
}

// runs are the ids of what goes on, in order.
func (d *day) runs() []fleet.RunID { return slices.Sorted(maps.Keys(d.running)) }

// endRuns lets end what is over; nobody settles it while no agent is there.
func (d *day) endRuns() {
	for _, id := range d.runs() {
		if p := d.running[id]; d.state != nil && p != nil && !p.pending && p.ends <= d.passed {
			d.settleRun(p)
		}
	}
}

func (d *day) step(event Event) {
	if d.state == nil {
		return
	}
	d.wake = time.Time{}
	d.latest = later(d.latest, d.now())
	actions := d.state.Step(d.now(), event)
	if _, last := event.(Stopping); !last && len(actions) > 2 && d.rand.IntN(60) == 0 {
		d.crash(actions)
		return
	}
	for _, a := range actions {
		if d.carryOut(a); d.t.Failed() {
			d.t.Fatalf("seed %d, %s, offset %s", d.seed, d.passed, d.offset)
		}
	}
}

// carryOut does what the runner and the journal would, and checks that nothing
// is decided twice, out of order, early or beyond the limit.
func (d *day) carryOut(a Action) {
	switch a := a.(type) {
	case Begin:
		d.begin(a.Due)
	case Settle:
		if a.Run.Attempt > 0 {
			d.giveUp(a.Run)
		} else {
			d.outcome(a.Run, a.Run.State)
		}
	case Count:
		d.stints[a.Stint.Task] = append(d.stints[a.Stint.Task], a.Stint)
	case Cancel:
		if p := d.running[a.Run]; p != nil {
			p.ends, p.cancelled = min(p.ends, d.passed+time.Second), true
		}
	case Unstand: // nothing is counted
		d.more.fuses[a.Task] = new(plainFuse)
	case Wake:
		d.wake = a.At
		return
	}
	d.memory.note(a)
}

func (d *day) checkLimit(a *fleet.Assignment) {
	running := 0
	for _, p := range d.running {
		if p.run.Task == a.Task.ID() {
			running++
		}
	}
	most := 1
	if a.Task.Limits.Overlap == fleet.OverlapAllow {
		most = max(1, a.Task.Limits.PerHost)
	}
	if running > most {
		d.t.Errorf("%s: %d at once, at most %d", a.Task.ID(), running, most)
	}
}

// outcome notes the outcome of one instant, or of each in a range.
func (d *day) outcome(run fleet.Run, state fleet.RunState) {
	if err := run.Validate(); err != nil {
		d.t.Error(err)
	}
	if last, known := d.memory.LastDecided(run.Task); known && !run.Due.After(last) {
		d.t.Errorf("%s: %s %s at or before %s, which was decided", run.Task, state, run.Due, last)
	}
	if !d.task(run.Task).On.Clocked() {
		d.freeOutcome(run, state)
		return
	}
	if stints := d.stints[run.Task]; len(stints) == 0 || !run.Due.After(stints[len(stints)-1].After) {
		d.t.Errorf("%s: %s is before the stint that was told last", run.Task, run.Due)
	}
	seen := d.outcomes[run.Task]
	clock := d.clock(run.Task)
	count := 0
	for at, ok := run.Due, true; ok; at, ok = clock.Next(at) {
		if run.Until != nil && at.After(*run.Until) || run.Until == nil && count == 1 {
			break
		}
		if was, twice := seen[at.UnixNano()]; twice {
			d.t.Errorf("%s: %s is %s and was %s", run.Task, at, state, was)
		}
		seen[at.UnixNano()] = state
		d.checkWindow(run, at)
		count++
	}
	if count != run.Instants() {
		d.t.Errorf("%s: %d instants from %s to %v, the record says %d", run.Task, count, run.Due, run.Until, run.Instants())
	}
}

func (d *day) task(id fleet.TaskID) *fleet.Task {
	i := slices.IndexFunc(d.plan, func(a fleet.Assignment) bool { return a.Task.ID() == id })
	return &d.plan[i].Task
}

func (d *day) clock(id fleet.TaskID) fleet.Clock {
	clock, err := d.task(id).Clock(host)
	if err != nil {
		d.t.Fatal(err)
	}
	return clock
}

// counted is how many instants were due up to the last one decided, going by
// nothing but the stints.
func (d *day) counted(id fleet.TaskID, clock fleet.Clock) (n int) {
	stints := d.stints[id]
	for i, stint := range stints {
		until := d.memory.decided[id]
		if i+1 < len(stints) {
			until = stints[i+1].Last
		}
		if stint.Generation != 0 {
			n += clock.Count(stint.After, until)
		}
	}
	return n
}

// count walks all due instants and compares.
func (d *day) count() tally {
	for _, a := range d.plan {
		id := a.Task.ID()
		if !a.Task.On.Clocked() {
			continue
		}
		seen := d.outcomes[id]
		waiting := map[int64]bool{}
		end := later(d.now(), d.memory.decided[id])
		clock := d.clock(id)
		for _, i := range d.state.tasks[id].waiting {
			waiting[i.nominal.UnixNano()] = true
			end = later(end, later(i.nominal, i.last))
			for at, ok := clock.Next(i.nominal); ok && !at.After(i.last); at, ok = clock.Next(at) {
				waiting[at.UnixNano()] = true
			}
		}
		due := 0
		for at, ok := clock.Next(d.start); ok && !at.After(end); at, ok = clock.Next(at) {
			due++
			state, decided := seen[at.UnixNano()]
			switch {
			case waiting[at.UnixNano()] == decided:
				d.t.Fatalf("seed %d, %s: %s is %q, waiting: %v", d.seed, id, at, state, waiting[at.UnixNano()])
			case state == fleet.RunBegun:
				d.tally.begun++
			case state == fleet.RunSkipped:
				d.tally.skipped++
			case state == fleet.RunMissed:
				d.tally.missed++
			}
		}
		if counted := d.counted(id, clock); counted != len(seen) {
			d.t.Fatalf("seed %d, %s: %d due by the stints, %d with an outcome", d.seed, id, counted, len(seen))
		}
		if due != len(seen)+len(waiting) {
			d.t.Fatalf("seed %d, %s: %d due, %d with an outcome, %d waiting", d.seed, id, due, len(seen), len(waiting))
		}
		d.tally.due += due
		d.tally.waiting += len(waiting)
	}
	if got := d.tally.begun + d.tally.skipped + d.tally.missed + d.tally.waiting; got != d.tally.due {
		d.t.Fatalf("seed %d: due %d, accounted for %d", d.seed, d.tally.due, got)
	}
	return d.tally
}
