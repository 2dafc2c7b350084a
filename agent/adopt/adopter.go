package adopt

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// Sight is the host as it is now.
type Sight struct {
	Host   fleet.Host
	Found  fleet.Report // as it stands there
	Masked fleet.Report // the same as it may leave the host
}

// Config is what an Adopter works with; Dir, Look and Arm are required.
type Config struct {
	Dir  string // where records are kept; made when missing
	Root string // of the host's files; empty: "/"
	// Allow returns why this host does not let the job be adopted. run is what it
	// really runs; nil while that is not known. Nil: every job may be.
	Allow func(wish *fleet.Adoption, run *fleet.Execute) error
	// Would says the same of a wish that nobody has yet. Nil: as Allow.
	Would func(wish *fleet.Adoption, run *fleet.Execute) error
	// Look scans the host now.
	Look func(ctx context.Context) (Sight, error)
	// Arm makes the scheduler take over what Armed says now, and returns when
	// it has.
	Arm func(ctx context.Context) error
	// Tell is called when Unsettled may be another; nil: nobody listens.
	Tell    func()
	Systemd Systemd               // of the host, where one runs; nil: files alone
	Busy    func(dir string) bool // whether a run-parts is at work in the directory; nil: never
	Logger  *slog.Logger          // nil: slog.Default
}

// Adopter carries out the adoptions of one host. Run does; the other methods
// may be called from any goroutine.
type Adopter struct {
	cfg   Config
	shelf shelf
	hands hands
	log   *slog.Logger
	news  chan struct{} // holds one when the plan is another

	mu       sync.Mutex
	records  map[fleet.TaskID]*record // replaced, never changed in place
	wishes   map[fleet.TaskID]*fleet.Adoption
	assigned map[fleet.TaskID]*fleet.Assignment
	host     fleet.HostID
	fresh    bool
}

// Open returns an adopter that has found out what became of every change that
// an earlier agent began: from then on Armed is true.
func Open(ctx context.Context, cfg Config) (*Adopter, error) {
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	kept, err := openFolder(cfg.Dir, cfg.Logger)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, kept, tree{cfg.Root})
}

func open(ctx context.Context, cfg Config, kept shelf, disk disk) (*Adopter, error) {
	a := &Adopter{
		cfg: cfg, shelf: kept, hands: hands{disk, cfg.Systemd}, log: cfg.Logger, news: make(chan struct{}, 1),
		records: map[fleet.TaskID]*record{}, wishes: map[fleet.TaskID]*fleet.Adoption{}, assigned: map[fleet.TaskID]*fleet.Assignment{},
	}
	if a.cfg.Tell == nil {
		a.cfg.Tell = func() {}
	}
	if a.cfg.Allow == nil {
		a.cfg.Allow = func(*fleet.Adoption, *fleet.Execute) error { return nil }
	}
	if a.cfg.Would == nil {
		a.cfg.Would = a.cfg.Allow
	}
	if a.cfg.Busy == nil {
		a.cfg.Busy = func(string) bool { return false }
	}
	records, err := kept.load()
	if err != nil {
		return nil, fmt.Errorf("open adoptions: %w", err)
	}
	for _, r := range records {
		a.records[r.Task] = r
		if r.Phase == silencing || r.Phase == restoring {
			a.settle(ctx, r)
		}
	}
	return a, nil
}

// Take takes in the plan. A stored one is what an earlier agent saved: a
// collector may know better.
func (a *Adopter) Take(plan *fleet.Plan, stored bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.wishes)
	clear(a.assigned)
	for i := range plan.Adoptions {
		wish := plan.Adoptions[i]
		a.wishes[wish.Task] = &wish
	}
	for i := range plan.Assignments {
		assignment := plan.Assignments[i]
		a.assigned[assignment.Task.ID()] = &assignment
	}
	a.host, a.fresh = plan.Host, a.fresh || !stored
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// Armed returns the assignments that the scheduler may begin: an adopted task
// is among them from the instant on at which its job fell silent, and no longer
// once it is to come back.
func (a *Adopter) Armed(assignments []fleet.Assignment) []fleet.Assignment {
	a.mu.Lock()
	defer a.mu.Unlock()
	armed := make([]fleet.Assignment, 0, len(assignments))
	for _, assignment := range assignments {
		id := assignment.Task.ID()
		r, wish := a.records[id], a.wishes[id]
		switch {
		case r == nil && wish == nil:
		case r == nil && wish.State == fleet.AdoptionAdopted:
			assignment.Since = later(assignment.Since, wish.Handed) // until it is looked at
		case r == nil || !r.armed():
			continue
		case assignment.Generation == r.Generation:
			assignment.Since = r.Handed // whatever a collector's clock said when it was given
		default:
			assignment.Since = later(assignment.Since, r.Handed)
		}
		armed = append(armed, assignment)
	}
	return armed
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Unsettled returns what the collectors do not know yet: where this host is
// further than the plan says.
func (a *Adopter) Unsettled() []fleet.Adoption {
	a.mu.Lock()
	defer a.mu.Unlock()
	words := []fleet.Adoption{}
	for _, id := range slices.Sorted(maps.Keys(a.records)) {
		wish := a.wishes[id]
		if wish == nil {
			continue
		}
		word := a.records[id].settled(a.host)
		done := decide(knowledge{a.records[id], wish, a.fresh, a.assigned[id] != nil}) == rest // else it has another word soon
		if word.State != "" && word.State != wish.State && done {
			words = append(words, word)
		}
	}
	return words
}

// Holds reports whether the task runs in place of a job of this host, or is
// about to. Before a collector's plan came nobody knows, and it is taken to.
func (a *Adopter) Holds(task fleet.TaskID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[task]
	return !a.fresh || a.wishes[task] != nil || r != nil && r.Phase != refused && r.Phase != restored
}

// Silent reports whether a job of this host is silent for the task.
func (a *Adopter) Silent(task fleet.TaskID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[task]
	return r != nil && r.armed()
}

const (
	// patience is how long what could not be looked at is left alone.
	patience = time.Minute
	// busyWait is how long a run-parts that is at work is waited for.
	busyWait = 10 * time.Second
)

// Run carries out what the plan wishes, until ctx ends. What was begun by then
// is finished: it takes milliseconds.
func (a *Adopter) Run(ctx context.Context) error {
	a.cfg.Tell() // an earlier agent may have died before it did
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.news:
		case <-timer.C:
		}
		timer.Reset(time.Until(a.step(ctx, time.Now())))
	}
}

// never is when nothing is to be done.
const never = 24 * time.Hour

// step does what can be done now, and returns when to come again.
func (a *Adopter) step(ctx context.Context, now time.Time) time.Time {
	again := now.Add(never)
	started := time.Now()
	for _, id := range a.known() {
		if ctx.Err() != nil {
			return again
		}
		at := now.Add(passed(started))
		if next := a.do(ctx, at, id); next.After(at) && next.Before(again) {
			again = next
		}
	}
	return again
}

func (a *Adopter) known() []fleet.TaskID {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[fleet.TaskID]bool{}
	for id := range a.records {
		all[id] = true
	}
	for id := range a.wishes {
		all[id] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func (a *Adopter) know(id fleet.TaskID) knowledge {
	a.mu.Lock()
	defer a.mu.Unlock()
	return knowledge{a.records[id], a.wishes[id], a.fresh, a.assigned[id] != nil}
}

// do takes one adoption as far as it gets, and returns when to come again.
func (a *Adopter) do(ctx context.Context, now time.Time, id fleet.TaskID) time.Time {
	k := a.know(id)
	switch decide(k) {
	case rest:
		return a.watch(ctx, now, k)
	case begin:
		return a.begin(ctx, now, k.wish)
	case goBack:
		return a.goBack(ctx, now, k)
	case rebuild:
		return a.rebuild(ctx, now, k.wish)
	case settle:
		a.settle(ctx, k.record)
		a.rearm(ctx)
		return now.Add(patience)
	case concede:
		r := *k.record
		r.Asked = k.wish.Asked
		_ = a.put(&r) // logged there; it follows once more
		a.cfg.Tell()
	case forget:
		a.forget(id)
		a.rearm(ctx) // another task may have the name by now
	}
	return time.Time{}
}

// put makes a record the one that counts, on disk first. When the disk will not
// have it, memory has: what is on the host can be seen again after a crash.
func (a *Adopter) put(r *record) error {
	err := a.shelf.save(r)
	if err != nil {
		a.log.Error("adoption not on disk", "task", r.Task, "phase", string(r.Phase), "error", err)
	}
	a.mu.Lock()
	a.records[r.Task] = r
	a.mu.Unlock()
	return err
}

func (a *Adopter) forget(id fleet.TaskID) {
	if err := a.shelf.drop(id); err != nil {
		a.log.Error("adoption not taken from disk", "task", id, "error", err)
		return
	}
	a.mu.Lock()
	delete(a.records, id)
	a.mu.Unlock()
}

// rearm lets the scheduler know, and the collectors.
func (a *Adopter) rearm(ctx context.Context) {
	if err := a.cfg.Arm(context.WithoutCancel(ctx)); err != nil {
		a.log.Error("adoption not taken over by the scheduler", "error", err)
	}
	a.cfg.Tell()
}

// clocks are those that the hand-over must keep away from.
func (a *Adopter) clocks(id fleet.TaskID, job *fleet.Job, host *fleet.Host) ([]takeover.Next, error) {
	theirs, err := takeover.Instants(job, host)
	if err != nil {
		return nil, err
	}
	all := []takeover.Next{theirs}
	a.mu.Lock()
	assignment := a.assigned[id]
	a.mu.Unlock()
	if assignment != nil {
		if ours, err := assignment.Task.Clock(a.host); err == nil {
			all = append(all, ours.Next)
		}
	}
	return all, nil
}

// passed is by how much the wall clock moved on: cron goes by that, also when
// the host slept or somebody set it.
func passed(since time.Time) time.Duration { return time.Now().Round(0).Sub(since.Round(0)) }

// drift is by how much wall clock and elapsed time may differ by themselves.
const drift = time.Second

// deadline returns a still for a window that closes at that time. Where the wall
// clock was set meanwhile, or the host slept, the window is another.
func deadline(now, until time.Time) still {
	began := time.Now()
	return func() error {
		elapsed, moved := time.Since(began), passed(began)
		if (moved-elapsed).Abs() > drift || !now.Add(max(elapsed, moved)).Before(until) {
			return errLate
		}
		return nil
	}
}

var errLate = fleet.Errorf(fleet.Unavailable, "the disk took so long, or the clock moved so far, that the next due instant is too near")
