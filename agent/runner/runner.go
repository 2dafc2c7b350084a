package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Recorder makes one change of a run durable before it returns. An error of a
// begin means that the run must not start.
type Recorder interface {
	Record(ctx context.Context, run fleet.Run, handle []byte) error
}

// Config says how runs are carried out. Dir and Recorder are required.
type Config struct {
	Dir      string           // where output is kept; made when missing
	Recorder Recorder         // the journal
	Ended    func(*fleet.Run) // called with every outcome; must not block; nil: nobody
	// Over is called when the process of a run is gone, before the run is
	// settled and its notes are taken away; nil: nobody.
	Over      func(fleet.RunID)
	Logger    *slog.Logger  // nil: slog.Default
	KeepRuns  int           // runs of a task whose output is kept; zero: 20
	KeepAge   time.Duration // of output after its last byte; zero: no bound
	KeepBytes int64         // of all output together; zero: 1 GiB
	Accounts  string        // directory of passwd, group and shadow; empty: /etc
	// Veil masks the secrets in a stream that is read; nil: it is read as it is.
	Veil func(to io.Writer) Veil
	// States is the directory of the tasks' own state, which commands of every
	// user reach: its parents let all pass. Empty: one in Dir, which only the
	// agent's own user reaches.
	States string
	// Cgroup is a directory of cgroup v2 that is the agent's own: each run gets
	// one below it. Empty: what was delegated to the agent, if anything was.
	// NoCgroup: none.
	Cgroup string
	// Step is the program, and its argv, that calls Step with all that follows,
	// to begin commands whose task sets resource limits. Empty: those do not begin.
	Step []string
	// Guardian is the program, and its argv, that calls Guard to be the parent
	// of the commands. Empty: the runner is that itself, and what ends while no
	// agent runs has no known exit status.
	Guardian []string
}

// Spec is one run to carry out.
type Spec struct {
	Run     fleet.Run // id, task, generation, host, due, order and attempt
	Execute fleet.Execute
	Limits  fleet.Limits
	Facts   []Fact // what else the command sees, as FLEETCRON_<Name>

	Retry fleet.Retry // whether another attempt follows, decided when this one is settled
	First time.Time   // when the first attempt began; zero: now
	// Whole lets the run end only when everything that it has started is gone:
	// what its main process leaves behind is stopped.
	Whole bool
	// Begin is the instant, as time since boot, after which it must not begin
	// any more: its lease would not hold. Zero: none.
	Begin time.Duration
}

// Fact is one more thing that a command is told about its run.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Runner carries out runs; its methods may be called from any goroutine.
type Runner struct {
	config  Config
	log     *slog.Logger
	boot    string
	null    *os.File
	spares  *spares
	keeps   keeps
	states  *states
	cgroups *cgroups

	accounts  *accounts
	birth     time.Duration // of a process; zero: birthMost
	protected bool          // the kernel is told to spare the agent when memory runs out
	closing   chan struct{}
	sweep     chan struct{} // much output has come together
	packs     chan struct{} // there is something unpacked
	work      sync.WaitGroup

	floor     floor
	seen      sighted
	rush      rush
	expects   expects
	guarding  sync.Mutex
	guard     *guardian // of the runs that begin now; nil: none yet
	second    *guardian // of every second one while several begin; nil: there is none
	turns     atomic.Uint32
	unguarded time.Time // until then no guardian is started

	mu        sync.Mutex
	running   map[fleet.RunID]*companion
	touched   map[fleet.TaskID]bool // that ended a run since the last sweep
	forgotten map[fleet.TaskID]bool // whose state goes with their last run
	unswept   int64                 // bytes of output since the last sweep of all
	books     map[string]bool       // that hold outcomes which are not on disk yet

	marks       map[fleet.RunID]*marks // of the runs that go on
	unpacked    map[string]bool        // directories of tasks that may have output to pack
	stuckProbes map[probed]int         // that cannot be killed
	lingering   map[string]bool        // streams that were taken up after their runs
	unsettled   map[fleet.RunID]bool   // that have ended, and it is not known when that is on disk
}

// handle is how a process is found again by a later agent.
type handle struct {
	Boot  string `json:"boot"`
	PID   int    `json:"pid,omitempty"` // zero: begun, not known to have started
	Start uint64 `json:"start,omitempty"`

	Timeout time.Duration `json:"timeout,omitempty"` // zero: none
	Grace   time.Duration `json:"grace"`
	Quota   int64         `json:"quota"` // of each stream
	Whole   bool          `json:"whole,omitempty"`
	Mark    string        `json:"mark,omitempty"`    // that its processes have in their environment
	Tmp     string        `json:"private,omitempty"` // how its private directories are called; empty: it has none
	Group   string        `json:"group,omitempty"`   // its cgroup
	Limited bool          `json:"limited,omitempty"` // which keeps limits

	Retry  fleet.Retry `json:"retry,omitzero"`
	First  time.Time   `json:"first,omitzero"`   // when the first attempt began
	Before *fleet.Run  `json:"before,omitempty"` // of an attempt that waits: how the one before ended
	Facts  []Fact      `json:"facts,omitempty"`  // what it is told, and a later attempt is to be

	Guard *keeper `json:"guard,omitempty"` // nil: the agent itself was the parent
}

func (h *handle) encode() []byte {
	text, _ := json.Marshal(h) // strings and numbers only: cannot fail
	return text
}

// New returns a runner that keeps output under config.Dir.
func New(config Config) (*Runner, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Ended == nil {
		config.Ended = func(*fleet.Run) {}
	}
	if config.Over == nil {
		config.Over = func(fleet.RunID) {}
	}
	if config.KeepRuns == 0 {
		config.KeepRuns = 20
	}
	if config.KeepBytes == 0 {
		config.KeepBytes = 1 << 30
	}
	if config.Accounts == "" {
		config.Accounts = "/etc"
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, booksName), 0o700); err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	// Commands get the file mode mask that cron gives, whatever the agent got.
	unix.Umask(0o022)
	// What the agent itself inherited must not reach the commands. Kernels
	// before 5.11 cannot do it at once; there systemd passes nothing on either.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	if config.States == "" {
		config.States = filepath.Join(config.Dir, statesName)
	}
	states, err := openStates(config.States)
	if err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	spares, err := newSpares(filepath.Join(config.Dir, spareName))
	if err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("open runner: %w", err)
	}
	return &Runner{
		config: config, log: config.Logger, boot: boot, null: null, spares: spares, states: states, cgroups: openCgroups(config.Cgroup, config.Dir), accounts: &accounts{dir: config.Accounts},
		protected: strings.HasPrefix(string(score), "-"),
		closing:   make(chan struct{}), sweep: make(chan struct{}, 1), packs: make(chan struct{}, 1),
		keeps: keeps{known: map[string]fleet.Keep{}},
		marks: map[fleet.RunID]*marks{}, lingering: map[string]bool{},
		unpacked: map[string]bool{}, unsettled: map[fleet.RunID]bool{},
		running: map[fleet.RunID]*companion{}, touched: map[fleet.TaskID]bool{}, books: map[string]bool{},
		forgotten: map[fleet.TaskID]bool{}, stuckProbes: map[probed]int{},
		expects: expects{news: make(chan struct{}, 1)},
	}, nil
}

// Close stops watching. The commands go on, and a later runner finds them by
// their handles.
func (r *Runner) Close() error {
	close(r.closing)
	r.work.Wait()
	r.guarding.Lock()
	defer r.guarding.Unlock()
	for _, g := range []*guardian{r.guard, r.second} {
		if g != nil { // which hears thereby that it is on its own
			g.orders.conn.Close()
		}
	}
	r.cgroups.close()
	return errors.Join(r.states.exits.close(), r.null.Close())
}

// Drain waits until no run goes on or ctx ends. It stops none of them.
func (r *Runner) Drain(ctx context.Context) {
	r.mu.Lock()
	companions := slices.Collect(maps.Values(r.running))
	r.mu.Unlock()
	for _, c := range companions {
		select {
		case <-c.over:
		case <-ctx.Done():
			return
		}
	}
}

// ErrClosed is what a closed runner answers: nothing was begun.
var ErrClosed = errors.New("the agent is ending, nothing begins")

// Start begins a run and returns as soon as its begin is on disk, or it has
// found another outcome; the rest goes on by itself. Every outcome goes to the
// recorder and then to Config.Ended. An error means that nothing was begun and
// nothing is on disk.
func (r *Runner) Start(ctx context.Context, spec Spec) error {
	r.rush.enter()
	began := false
	defer func() {
		if !began {
			r.rush.leave()
		}
	}()
	c := r.enter(&spec.Run)
	c.handle = handle{
		Boot: r.boot, Timeout: time.Duration(spec.Limits.Timeout),
		Grace: grace(spec.Limits), Quota: int64(quota(spec.Limits)),
		Whole: spec.Whole, Mark: rand.Text(), Limited: len(kernelLimits(&spec.Limits)) > 0, Retry: spec.Retry, First: spec.First.UTC(),
	}
	if spec.Execute.PrivateTmp {
		c.handle.Tmp = rand.Text()
	}
	c.handle.Group = r.cgroups.lend(spec.Run.ID, !c.handle.Limited && !spec.Whole)
	if spec.Retry.Attempts > 1 {
		c.handle.Facts = spec.Facts
	}
	if spec.First.IsZero() {
		c.handle.First = time.Now().UTC()
	}
	if c.guard = r.eitherGuardian(); c.guard != nil {
		c.handle.Guard = &c.guard.keeper
	}
	c.run.State = fleet.RunBegun
	if err := r.config.Recorder.Record(ctx, c.run, c.handle.encode()); err != nil {
		if r.isClosing() || ctx.Err() != nil { // the next agent decides about the instant anew
			r.leave(c)
			return fmt.Errorf("%w: %w", ErrClosed, err)
		}
		r.notBegun(c, err)
		r.leave(c)
		return nil
	}
	began = true
	r.work.Go(func() {
		r.carryOut(spec, c)
		r.leave(c)
	})
	return nil
}

func (r *Runner) isClosing() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// Cancel stops a run and all that it started: TERM, grace, KILL. It returns at
// once, false when no such run is going on. The reason is for people.
func (r *Runner) Cancel(run fleet.RunID, reason string) bool {
	return r.halt(run, halt{detail: reason})
}

// Stop stops a run like Cancel, and it ends as one that ran and failed for the
// reason: nobody wanted it gone, it does not do its work.
func (r *Runner) Stop(run fleet.RunID, reason fleet.Reason, detail string) bool {
	return r.halt(run, halt{reason, detail})
}

// halt is why a run is to stop; without a reason it is cancelled.
type halt struct {
	reason fleet.Reason
	detail string
}

// halt tells the companion of a run to stop it. The first one to tell counts.
func (r *Runner) halt(run fleet.RunID, why halt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, running := r.running[run]
	if !running {
		return false
	}
	select {
	case c.halt <- why:
	default: // it is being cancelled already
	}
	return true
}

// Running returns the ids of the runs that are going on.
func (r *Runner) Running() []fleet.RunID {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]fleet.RunID, 0, len(r.running))
	for id := range r.running {
		ids = append(ids, id)
	}
	return ids
}

func (r *Runner) enter(run *fleet.Run) *companion {
	c := &companion{run: *run, halt: make(chan halt, 1), over: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[run.ID] = c
	return c
}

// leave forgets the run, and only then tells about its outcome: who starts the
// next one on hearing of it finds this one gone.
func (r *Runner) leave(c *companion) {
	r.mu.Lock()
	delete(r.running, c.run.ID)
	delete(r.marks, c.run.ID)
	r.touched[c.run.Task] = true
	r.mu.Unlock()
	close(c.over)
	r.forgetLate(c.run.Task)
	if c.settled {
		r.config.Ended(&c.run)
	}
}

// carryOut takes a run that has begun to its outcome.
func (r *Runner) carryOut(spec Spec, c *companion) {
	failed := r.start(spec, c)
	r.rush.leave()
	if failed != nil {
		c.run.State, c.run.Reason, c.run.Detail = fleet.Reasons[failed.reason], failed.reason, failed.detail
		select {
		case why := <-c.halt: // nothing looked for it so far
			c.doomed = &why
		default:
		}
		if c.doomed != nil && c.run.State == fleet.RunMissed {
			c.run.Cancelled = c.doomed.reason == ""
			c.run.Detail = c.doomed.detail + "; that was before the command was executed"
		}
		r.settle(c)
		return
	}
	c.run.State = fleet.RunRunning
	if c.calm = r.rush.over(); c.calm == nil || c.guard == nil { // a guardian has noted it
		r.recordRunning(c)
	}
	r.accompany(c)
}

func (r *Runner) recordRunning(c *companion) {
	c.calm, c.run.State = nil, fleet.RunRunning
	if err := r.config.Recorder.Record(context.Background(), c.run, c.handle.encode()); err != nil {
		r.log.Warn("run started, but that is not recorded", "run", c.run.ID, "task", c.run.Task, "error", err)
	}
}

// notBegun settles a run that could not be recorded: it was not started.
func (r *Runner) notBegun(c *companion, err error) {
	c.run.State, c.run.Reason = fleet.RunMissed, fleet.MissedJournal
	c.run.Detail = "not started, because its begin could not be written to disk: " + err.Error()
	r.settle(c)
}

// settle records an outcome, and reports whether it is on disk.
func (r *Runner) settle(c *companion) (durable bool) {
	run := &c.run
	c.settled = true
	run.Detail = validTail([]byte(run.Detail), maxDetail)
	r.followUp(c)
	err := r.config.Recorder.Record(context.Background(), *run, nil)
	if err != nil {
		r.log.Warn("outcome not on disk yet", "run", run.ID, "task", run.Task, "state", run.State, "error", err)
		r.mu.Lock()
		r.unsettled[run.ID] = true
		r.mu.Unlock()
	}
	r.doneTmp(c)
	r.cgroups.stock.over(c.handle.Group)
	removeGroup(c.handle.Group) // or it goes when what was left behind has ended
	r.logOutcome(run)
	return err == nil
}

func (r *Runner) logOutcome(run *fleet.Run) {
	facts := []any{"run", run.ID, "task", run.Task, "state", run.State}
	if run.Exit != nil {
		facts = append(facts, "exit", *run.Exit)
	}
	if run.Started != nil && run.Ended != nil {
		facts = append(facts, "took", run.Ended.Sub(*run.Started).String())
	}
	for _, fact := range [][2]string{{"signal", run.Signal}, {"reason", string(run.Reason)}, {"detail", run.Detail}} {
		if fact[1] != "" {
			facts = append(facts, fact[0], fact[1])
		}
	}
	level := slog.LevelInfo
	if run.Failed() {
		level = slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "run ended", facts...)
}

func grace(limits fleet.Limits) time.Duration {
	if limits.Grace == 0 {
		return fleet.DefaultGrace
	}
	return time.Duration(limits.Grace)
}

func quota(limits fleet.Limits) fleet.Bytes {
	if limits.Output == 0 {
		return fleet.DefaultOutput
	}
	return limits.Output
}

// errNoHandle says that a run's handle is not ours.
var errNoHandle = errors.New("no handle")

func decodeHandle(text []byte) (handle, error) {
	var h handle
	if err := json.Unmarshal(text, &h); err != nil || h.Boot == "" {
		return handle{}, errNoHandle
	}
	return h, nil
}
