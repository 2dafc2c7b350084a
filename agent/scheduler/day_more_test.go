package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// extras is what a simulated day knows of attempts, breakers, calendars, boots and
// ends, each by the plainest reading of its rule.
type extras struct {
	bootSeen  time.Time // zero: no agent started in this boot yet
	agentSeen time.Time // when the last one did
	started   map[fleet.TaskID]map[time.Time]int
	fuses     map[fleet.TaskID]*plainFuse
	ended     map[fleet.TaskID]time.Duration // when the last run did, since the start of the day
}

func newExtras() extras {
	return extras{started: map[fleet.TaskID]map[time.Time]int{}, fuses: map[fleet.TaskID]*plainFuse{}, ended: map[fleet.TaskID]time.Duration{}}
}

// died forgets what is certain only while no agent dies.
func (x *extras) died() {
	clear(x.fuses)
}

// stepped forgets what is certain only while no clock is set.
func (x *extras) stepped() {
	x.died()
	clear(x.ended)
}

// plainFuse is a breaker whose runs come one after the other. There is one of a
// task as long as it is certain what it counts: from when nothing is counted.
type plainFuse struct {
	failed []time.Time
	open   time.Time // nothing may begin before; zero: it is closed
}

// freeTrigger is due otherwise than by the clock alone.
func (d *day) freeTrigger() fleet.Trigger {
	switch d.rand.IntN(4) {
	case 0:
		return fleet.Trigger{Startup: fleet.StartupBoot}
	case 1:
		return fleet.Trigger{Startup: fleet.StartupAgent}
	}
	return fleet.Trigger{
		Every: fleet.Duration(pick(d.rand, 15*time.Second, 4*time.Minute, time.Hour)), AfterEnd: true,
		Deadline: pick(d.rand, 0, fleet.Duration(10*time.Minute)),
	}
}

// policies draws what becomes of failures, and which windows the task minds.
func (d *day) policies(task *fleet.Task) {
	if d.rand.IntN(2) == 0 {
		task.Retry = fleet.Retry{
			Attempts: 2 + d.rand.IntN(4), Base: fleet.Duration(pick(d.rand, time.Second, time.Minute)),
			Jitter: 0.5, Budget: pick(d.rand, 0, fleet.Duration(10*time.Minute)), On: []string{"failure", "unknown"},
		}
	}
	if d.rand.IntN(2) == 0 {
		task.Breaker = fleet.Breaker{
			Failures: 2 + d.rand.IntN(2), Window: minutesOf(30), Open: minutesOf(pick(d.rand, 1, 20)),
			Rate: pick(d.rand, 0, 0, 0.5), Key: pick(d.rand, "", "", "", "db"),
		}
		if task.Limits.Overlap == fleet.OverlapAllow {
			task.Limits.Overlap = ""
		}
	}
	if task.On.Startup == "" && d.rand.IntN(3) == 0 {
		task.On.Blackout = []string{"tea"}
	}
}

// tea is a calendar of ten minutes in every hour, from twenty past.
func tea() fleet.Calendar {
	return fleet.Calendar{Name: "tea", Windows: []fleet.Window{{Cron: "20 * * * *", For: minutesOf(10)}}}
}

// checkWindow holds an outcome to the calendar.
func (d *day) checkWindow(run fleet.Run, at time.Time) {
	within := at.Minute() >= 20 && at.Minute() < 30 && len(d.task(run.Task).On.Blackout) > 0
	if run.Reason == fleet.SkippedBlackout {
		d.tally.blackouts++
	}
	if within != (run.Reason == fleet.SkippedBlackout) && (!within || run.Reason != fleet.SkippedPaused) {
		d.t.Errorf("%s: %s is %s %s, within a window: %v", run.Task, at, run.State, run.Reason, within)
	}
}

// reboot ends every process; the clock may be wrong then.
func (d *day) reboot() {
	d.tally.boots++
	if d.state != nil {
		d.crash(nil)
	}
	for _, p := range d.running {
		if !p.pending {
			p.ends = d.passed
		}
	}
	d.more.bootSeen = time.Time{}
	if d.rand.IntN(3) > 0 {
		return
	}
	d.more.stepped()
	right := d.offset // it is 1970 until somebody sets the clock
	d.offset -= d.now().Sub(time.Unix(100, d.rand.Int64N(1e9)))
	d.tally.steps++
	d.boot()
	for range d.rand.IntN(20) {
		d.passed += time.Duration(d.rand.Int64N(int64(time.Minute)))
		d.endRuns()
		if d.state == nil {
			d.boot()
		}
		d.step(Tick{})
	}
	by := right - d.offset
	d.offset = right
	d.tally.steps++
	d.more.stepped()
	d.step(ClockJumped{By: by})
}

// begin notes a run that begins.
func (d *day) begin(due Due) {
	run := due.Record(host)
	p := &process{run: run, first: due.First, retry: due.Assignment.Task.Retry}
	if p.first.IsZero() {
		p.first = d.now()
	}
	p.ends = d.passed + time.Duration(d.rand.Int64N(int64(pick(d.rand, time.Second, time.Minute, 20*time.Minute))))
	if due.Attempt > 1 {
		d.beginAttempt(run)
	} else {
		early := d.latest
		if due.Assignment.Task.On.AfterEnd { // an occurrence of its own where the clock was set back
			early = early.Add(time.Second)
		}
		if run.Due.After(early) && due.Assignment.Task.On.Startup == "" {
			d.t.Errorf("%s begins early: %s at %s", run.Task, run.Due, d.now())
		}
		d.checkRest(&due.Assignment.Task)
		d.outcome(run, fleet.RunBegun)
	}
	if f := d.more.fuses[run.Task]; f != nil && d.now().Before(f.open) {
		d.t.Errorf("%s begins at %s, its breaker is open until %s", run.Task, d.now(), f.open)
	}
	d.running[run.ID] = p
	d.checkLimit(due.Assignment)
}

func (d *day) beginAttempt(run fleet.Run) {
	d.tally.attempts++
	was := d.running[run.ID]
	switch {
	case was == nil || !was.pending:
		d.t.Errorf("%s: attempt %d of %s was not pending", run.Task, run.Attempt, run.Due)
	case was.run.Again.After(d.now()) && was.steps == d.tally.steps:
		d.t.Errorf("%s: attempt %d of %s begins at %s, not %s", run.Task, run.Attempt, run.Due, d.now(), was.run.Again)
	case was.run.Attempt != run.Attempt || was.run.Generation != run.Generation:
		d.t.Errorf("%s: begins %+v for %+v", run.Task, run, was.run)
	}
}

// giveUp notes an attempt that comes to nothing.
func (d *day) giveUp(run fleet.Run) {
	d.tally.givenUp++
	if err := run.Validate(); err != nil {
		d.t.Error(err)
	}
	if was := d.running[run.ID]; was == nil || !was.pending || run.Detail == "" {
		d.t.Errorf("%s: given up is %+v, which was not pending", run.Task, run)
	}
	delete(d.running, run.ID)
	d.more.ended[run.Task] = d.passed
}

// settleRun does what the runner does at the end of a run.
func (d *day) settleRun(p *process) {
	run, ended := p.run, d.now()
	exit := pick(d.rand, 0, 1, 1)
	run.State, run.Ended, run.Exit, run.Cancelled = fleet.RunRan, &ended, &exit, p.cancelled
	if d.more.bootSeen.IsZero() || d.rand.IntN(20) == 0 {
		run.State, run.Exit, run.Cancelled = fleet.RunUnknown, nil, false
	}
	delete(d.running, p.run.ID)
	if again, is := p.retry.Again(&run, p.first); is {
		run.Again = &again
		next := run.NextAttempt()
		d.running[next.ID] = &process{run: next, first: p.first, retry: p.retry, pending: true, steps: d.tally.steps}
	} else {
		d.more.ended[run.Task] = d.passed
	}
	d.blow(&run)
	d.step(RunEnded{run})
}

// fuse begins to count where the disk says that nothing is counted.
func (d *day) fuse() {
	for _, a := range d.plan {
		if id := a.Task.ID(); !strings.Contains(string(d.memory.memos[id]), "breaker") {
			d.more.fuses[id] = new(plainFuse)
		}
	}
}

// blow counts a failure of a task with a breaker of its own.
func (d *day) blow(run *fleet.Run) {
	rule := d.task(run.Task).Breaker
	if rule.Failures == 0 || rule.Key != "" || rule.Rate > 0 || run.Cancelled {
		return
	}
	f, now := d.more.fuses[run.Task], d.now()
	switch {
	case f == nil:
		return
	case run.Succeeded() && !f.open.IsZero():
		*f = plainFuse{}
		return
	case run.Succeeded():
		return
	}
	f.failed = append(f.failed, now)
	within := 0
	for _, at := range f.failed {
		if now.Sub(at) < time.Duration(rule.Window) {
			within++
		}
	}
	if within >= rule.Failures || !f.open.IsZero() {
		f.open = now.Add(time.Duration(rule.Open))
		d.tally.opened++
	}
}

// checkRest holds a run to the period since the end of the one before.
func (d *day) checkRest(task *fleet.Task) {
	if !task.On.AfterEnd {
		return
	}
	d.tally.rests++
	if ended, known := d.more.ended[task.ID()]; known && d.passed-ended < time.Duration(task.On.Every) {
		d.t.Errorf("%s begins %s after its last end", task.ID(), d.passed-ended)
	}
	delete(d.more.ended, task.ID())
}

// freeOutcome notes an outcome of a task that no schedule makes due: a startup
// task has one per boot, or per start of the agent.
func (d *day) freeOutcome(run fleet.Run, state fleet.RunState) {
	on := d.task(run.Task).On
	if on.Startup == "" {
		return
	}
	life := d.more.bootSeen
	if on.Startup == fleet.StartupAgent {
		life = d.more.agentSeen
	}
	starts := d.more.started[run.Task]
	if starts == nil {
		starts = map[time.Time]int{}
		d.more.started[run.Task] = starts
	}
	d.tally.startups++
	if starts[life]++; starts[life] > 1 {
		d.t.Errorf("%s: %s is %s, the %d-th outcome of the start at %s", run.Task, run.Due, state, starts[life], life)
	}
}

// checkStarts holds the last start to one outcome of each startup task.
func (d *day) checkStarts(t *testing.T) {
	for _, a := range d.plan {
		life := d.more.bootSeen
		if a.Task.On.Startup == fleet.StartupAgent {
			life = d.more.agentSeen
		}
		waits := len(d.state.tasks[a.Task.ID()].waiting)
		if a.Task.On.Startup != "" && d.more.started[a.Task.ID()][life]+waits != 1 {
			t.Errorf("seed %d, %s: %d outcomes of the last start", d.seed, a.Task.ID(), d.more.started[a.Task.ID()][life])
		}
	}
}
