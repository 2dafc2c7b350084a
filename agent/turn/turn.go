package turn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Grantor grants the places that a task has in the fleet.
type Grantor interface {
	Lease(ctx context.Context, host fleet.HostID, request fleet.LeaseRequest) (fleet.Lease, error)
	ReturnLease(ctx context.Context, host fleet.HostID, task fleet.TaskID, run fleet.RunID) error
}

// Recorder makes durable what becomes of a run.
type Recorder interface {
	// Hold records that a run waits. An error means that nothing is on disk.
	Hold(ctx context.Context, run fleet.Run, handle []byte) error
	// Settle records an outcome.
	Settle(ctx context.Context, run fleet.Run) error
}

// Config says what a Turn works with; all but Unit and Logger are required.
type Config struct {
	Host     fleet.HostID
	Grantor  Grantor
	Recorder Recorder
	Ended    func(*fleet.Run) // called with every outcome that is found here; must not block
	// Waits is told what a run waits for whenever that changes, and nothing when it
	// begins; nil: nobody is. It must not block.
	Waits func(run *fleet.Run, why string)
	// Cancel stops a run that was told to stop in the moment in which it began.
	Cancel func(run fleet.RunID, because fleet.Reason, detail string)
	// Check runs a command as a task's own would be run.
	Check func(ctx context.Context, task *fleet.Task, argv []string) (output string, err error)
	// Ask asks, as the task's user, whether host:port accepts a connection ("tcp")
	// or a URL answers with 200–399 ("http").
	Ask func(ctx context.Context, task *fleet.Task, kind, address string) error
	// Unit reports whether a unit of systemd is active; nil: there is no systemd.
	Unit   func(ctx context.Context, name string) (bool, error)
	Slots  int          // runs at once, without those that are supervised; zero: DefaultSlots
	Rate   int          // begins per second; zero: DefaultRate
	Logger *slog.Logger // nil: slog.Default
}

// The bounds where nothing else is said. A host that works as it should reaches
// neither: they keep a midnight with thousands of tasks, or one that went wild,
// from taking the host down.
const (
	DefaultSlots = 1024
	DefaultRate  = 1000
)

// Ask is a run whose time has come.
type Ask struct {
	Run  fleet.Run // as it is when it begins
	Task *fleet.Task
	// Deadline says how long after its instant, or if that is long ago after it
	// came here, the run waits for a slot; nil: for ever. It is asked where there
	// is none.
	Deadline func() time.Duration
	// Keep is what the caller wants back to ask again in the next agent.
	Keep []byte
	// Start begins the run. It returns when that is on disk or the run has another
	// outcome; an error means that neither is so.
	Start func(ctx context.Context, leave Leave) error
}

// Leave is what a run begins under.
type Leave struct {
	Fence uint64 // of its lease; zero: it needs none
	// Begin is the instant of the boot-time clock after which it must not begin;
	// zero: it may at any time.
	Begin time.Duration
}

// Turn lets runs begin. Its methods may be called from any goroutine.
type Turn struct {
	config  Config
	log     *slog.Logger
	elapsed func() time.Duration // the boot-time clock

	life context.Context // ends with the agent: who waits then waits on in the next one
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	line   *line
	waits  map[fleet.RunID]*waiter
	timer  *time.Timer // of the line
}

// waiter is a run that waits.
type waiter struct {
	ask    Ask
	came   time.Time
	ctx    context.Context // ends with the wait
	cancel context.CancelCauseFunc

	// The rest is guarded by the Turn.
	why      string
	lined    chan bool  // where a goroutine waits for the slot; nil: none does
	starting bool       // it begins in this moment
	stopped  *cancelled // it is to be stopped as soon as it has begun
}

// cancelled is why a run no longer waits.
type cancelled struct {
	because fleet.Reason
	detail  string
}

func (c cancelled) Error() string { return c.detail }

// New returns a Turn in which nobody waits.
func New(config Config) *Turn {
	config.Slots, config.Rate = cmp.Or(config.Slots, DefaultSlots), cmp.Or(config.Rate, DefaultRate)
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Waits == nil {
		config.Waits = func(*fleet.Run, string) {}
	}
	t := &Turn{
		config: config, log: config.Logger, elapsed: sinceBoot,
		line: newLine(config.Slots, config.Rate), waits: map[fleet.RunID]*waiter{},
	}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// Close ends all waits; nothing begins any more. What waited is pending on disk.
func (t *Turn) Close() error {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	t.end()
	t.work.Wait()
	return nil
}

// ErrClosed is what a closed Turn answers: nothing was begun.
var ErrClosed = errors.New("the agent is ending, nothing begins")

// Begin begins a run, or lets it wait; it returns when that is on disk. An error
// means that nothing is.
func (t *Turn) Begin(ctx context.Context, ask Ask) error {
	if ask.Task.WaitFor.IsZero() && ask.Task.Limits.Fleet == 0 && t.straight(&ask) {
		err := ask.Start(ctx, Leave{})
		if err != nil {
			t.Ended(ask.Run.ID)
		}
		return err
	}
	w := t.waiter(ask, time.Now())
	if err := t.hold(ctx, w, t.first(w)); err != nil {
		if ctx.Err() != nil || t.life.Err() != nil {
			return err
		}
		detail := "not started, because it could not be written to disk that it waits: " + err.Error()
		return t.miss(ctx, w, fleet.MissedJournal, detail)
	}
	return t.admit(w)
}

// Resume lets a run wait on that an earlier agent left pending, with the handle
// that was held with it.
func (t *Turn) Resume(ask Ask, handle []byte) {
	came, _ := Reopen(handle)
	if came.IsZero() {
		came = ask.Run.Due
	}
	now := time.Now()
	w := t.waiter(ask, now.Add(min(0, came.Sub(now)))) // on the clock that is never set; the other may have been
	t.say(w, t.first(w))
	if err := t.admit(w); err != nil {
		t.log.Info("run waits on, the agent is ending", "run", ask.Run.ID, "task", ask.Run.Task)
	}
}

// Take notes that a run has a slot which began before this agent did.
func (t *Turn) Take(run fleet.RunID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line.take(run)
}

// Ended tells that a run is over, which gives its slot to the next.
func (t *Turn) Ended(run fleet.RunID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line.release(run)
	t.advance()
}

// Bound changes how many slots there are, and how many begin in a second.
func (t *Turn) Bound(slots, rate int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config.Slots, t.config.Rate = slots, rate
	t.line.bound(slots, rate)
	t.advance()
}

// Cancel takes a run out that waits, and reports whether it does. It is skipped
// for the reason, if that explains a skip.
func (t *Turn) Cancel(run fleet.RunID, because fleet.Reason, detail string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.waits[run]
	if w == nil {
		return false
	}
	t.stop(w, cancelled{because, detail})
	return true
}

// Review cancels the waits that verdict gives a reason for. A person's order is
// asked about, too.
func (t *Turn) Review(verdict func(run *fleet.Run) (because fleet.Reason, detail string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waits {
		if because, detail := verdict(&w.ask.Run); because != "" && w.stopped == nil {
			t.stop(w, cancelled{because, detail})
		}
	}
}

// stop needs mu.
func (t *Turn) stop(w *waiter, why cancelled) {
	if w.starting {
		w.stopped = &why
		return
	}
	w.cancel(why)
	if t.line.withdraw(w.ask.Run.ID) && w.lined == nil && !t.closed {
		t.work.Go(func() { t.leave(w) })
	}
}

// Waiting lists the runs that wait and why, who was due earliest first.
func (t *Turn) Waiting() []fleet.LiveWaiting {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]fleet.LiveWaiting, 0, len(t.waits))
	for _, w := range t.waits {
		run := &w.ask.Run
		list = append(list, fleet.LiveWaiting{Run: run.ID, Task: run.Task, Due: run.Due, Why: w.why})
	}
	slices.SortFunc(list, func(a, b fleet.LiveWaiting) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Run, b.Run)) })
	return list
}

// Slots returns how many there are, and how many are taken.
func (t *Turn) Slots() (slots, taken int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config.Slots, len(t.line.taken)
}

// straight lets a run through that finds a slot free.
func (t *Turn) straight(ask *Ask) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.closed && t.line.straight(time.Now(), ask.Run.ID, !ask.Task.Supervised())
}

func (t *Turn) waiter(ask Ask, came time.Time) *waiter {
	w := &waiter{ask: ask, came: came}
	w.ctx, w.cancel = context.WithCancelCause(t.life)
	return w
}

// first says what a run waits for that has just come.
func (t *Turn) first(w *waiter) string {
	switch task := w.ask.Task; {
	case !task.WaitFor.IsZero():
		return "waits for what the task needs: " + needs(&task.WaitFor)
	case task.Limits.Fleet > 0:
		return fmt.Sprintf("waits for one of %d places in the fleet", task.Limits.Fleet)
	}
	return t.crowded()
}

func (t *Turn) crowded() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return "waits for its turn: " + t.bounds()
}

// bounds needs mu.
func (t *Turn) bounds() string {
	return fmt.Sprintf("at most %d runs at once, %d begins a second", t.config.Slots, t.config.Rate)
}

// admit lets a run wait that is pending on disk.
func (t *Turn) admit(w *waiter) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil // the next agent goes on with it
	}
	t.waits[w.ask.Run.ID] = w
	if w.ask.Task.WaitFor.IsZero() && w.ask.Task.Limits.Fleet == 0 {
		t.lineUp(w, t.slotEnd(w))
		return nil
	}
	t.work.Go(func() { t.carry(w) })
	return nil
}

// carry takes a run through the stages that ask somebody.
func (t *Turn) carry(w *waiter) {
	if !w.ask.Task.WaitFor.IsZero() && !t.await(w) {
		return
	}
	if w.ask.Task.Limits.Fleet > 0 {
		t.underLease(w)
		return
	}
	t.note(w, t.crowded())
	t.mu.Lock()
	lined := w.ctx.Err() == nil
	if lined {
		t.lineUp(w, t.slotEnd(w))
	}
	t.mu.Unlock()
	if !lined {
		t.leave(w)
	}
}

// slotEnd is until when a run waits for its slot from now on.
func (t *Turn) slotEnd(w *waiter) time.Time {
	if w.ask.Deadline == nil || w.ask.Task.Supervised() {
		return time.Time{}
	}
	d, now := w.ask.Deadline(), time.Now()
	from := w.ask.Run.Due
	if from.Add(d).Before(w.came) {
		from = w.came
	}
	if !w.ask.Task.WaitFor.IsZero() || w.ask.Task.Limits.Fleet > 0 || from.After(now) { // which took its own time, or the clock was set
		from = now
	}
	return now.Add(from.Add(d).Sub(now)) // on the clock that is never set
}

// lineUp puts a run into the line; it needs mu.
func (t *Turn) lineUp(w *waiter, end time.Time) {
	run := &w.ask.Run
	t.line.enter(&place{run: run.ID, task: run.Task, due: run.Due, end: end, slot: !w.ask.Task.Supervised()})
	w.why = "waits for its turn: " + t.bounds()
	t.config.Waits(run, w.why)
	t.advance()
}

// advance lets those go on whose turn it is; it needs mu.
func (t *Turn) advance() {
	if t.closed {
		return
	}
	begin, shed, wake := t.line.step(time.Now())
	for _, p := range begin {
		t.decided(t.waits[p.run], true)
	}
	for _, p := range shed {
		t.decided(t.waits[p.run], false)
	}
	if wake.IsZero() {
		return
	}
	if t.timer == nil {
		t.timer = time.AfterFunc(time.Until(wake), t.tick)
	} else {
		t.timer.Reset(time.Until(wake))
	}
}

func (t *Turn) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance()
}

// decided tells a run of its slot; it needs mu.
func (t *Turn) decided(w *waiter, granted bool) {
	switch {
	case w.lined != nil:
		w.lined <- granted
	case granted:
		t.work.Go(func() {
			if !t.start(w, Leave{}) {
				t.leave(w)
			}
		})
	default:
		detail := fmt.Sprintf("not begun within its deadline of %s: %s, and others were before it", w.ask.Deadline(), t.bounds())
		t.work.Go(func() { t.giveUp(w, fleet.MissedLoad, detail) })
	}
}

// start begins a run that has its slot. It is false when the run has not begun:
// its wait is over then.
func (t *Turn) start(w *waiter, leave Leave) bool {
	t.mu.Lock()
	w.starting = w.ctx.Err() == nil
	starting := w.starting
	t.mu.Unlock()
	if !starting {
		t.Ended(w.ask.Run.ID)
		return false
	}
	t.say(w, "")
	err := w.ask.Start(w.ctx, leave)
	t.mu.Lock()
	delete(t.waits, w.ask.Run.ID)
	stopped := w.stopped
	t.mu.Unlock()
	if err != nil {
		t.log.Info("run waits on, the agent is ending", "run", w.ask.Run.ID, "task", w.ask.Run.Task, "error", err)
		t.Ended(w.ask.Run.ID)
		if stopped != nil {
			w.cancel(*stopped)
		}
		w.cancel(nil)
		return false
	}
	w.cancel(nil)
	if stopped != nil {
		t.config.Cancel(w.ask.Run.ID, stopped.because, stopped.detail)
	}
	return true
}

// leave ends the wait of a run that was cancelled. When the agent ends, the run
// stays pending.
func (t *Turn) leave(w *waiter) {
	if c, is := errors.AsType[cancelled](context.Cause(w.ctx)); is {
		if fleet.Reasons[c.because] != fleet.RunSkipped {
			c.because = fleet.SkippedCancelled
		}
		t.settle(w, fleet.RunSkipped, c.because, c.detail)
	}
}

func (t *Turn) giveUp(w *waiter, reason fleet.Reason, detail string) {
	t.settle(w, fleet.RunMissed, reason, detail)
}

// settle ends a wait that did not become a run.
func (t *Turn) settle(w *waiter, state fleet.RunState, reason fleet.Reason, detail string) {
	t.mu.Lock()
	delete(t.waits, w.ask.Run.ID)
	t.mu.Unlock()
	w.cancel(nil)
	run := w.ask.Run
	run.State, run.Reason, run.Detail = state, reason, clip(detail)
	if err := t.config.Recorder.Settle(context.WithoutCancel(t.life), run); err != nil {
		t.log.Error("outcome not recorded", "run", run.ID, "task", run.Task, "state", run.State, "error", err)
	}
	t.log.Info("run "+string(state), "run", run.ID, "task", run.Task, "due", run.Due, "reason", reason, "detail", run.Detail)
	t.config.Ended(&run)
}

// miss settles a run that never got to wait.
func (t *Turn) miss(ctx context.Context, w *waiter, reason fleet.Reason, detail string) error {
	w.cancel(nil)
	run := w.ask.Run
	run.State, run.Reason, run.Detail = fleet.RunMissed, reason, clip(detail)
	if err := t.config.Recorder.Settle(ctx, run); err != nil {
		return err
	}
	t.config.Ended(&run)
	return nil
}

// sinceBoot is how long the host is up, suspended or not.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Duration(time.Now().UnixNano()) // no kernel that Go runs on lacks it
	}
	return time.Duration(now.Nano())
}
