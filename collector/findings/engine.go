package findings

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Source is where the fleet is read.
type Source interface {
	// Hosts returns every host as it is known and observed now, without Quiet
	// and Back: an Engine sees for itself how long a host is silent.
	Hosts() ([]Host, error)
	// Found returns what was found on one host.
	Found(fleet.HostID) (Inventory, error)
	Pins() ([]fleet.Pin, error)
	Adoptions() ([]fleet.Adoption, error)
	// Policies returns what the hosts say of their own policies, of refusals those
	// of things within the scope.
	Policies(scope fleet.Scope) ([]api.HostChain, error)
	// Owners returns who answers for commands, by fingerprint.
	Owners() map[string]string
	Acks() (map[string]fleet.Ack, error)
}

const (
	// rest is how long changes are gathered before the fleet is looked over
	// again; a large fleet rests longer, so that looking costs a tenth at most.
	rest = 2 * time.Second
	// round is how often the fleet is looked over though nothing changed: time
	// passes, hosts fall silent.
	round = time.Minute
	// keep is how long a survey of a host that does not change is good.
	keep = 12 * time.Hour
)

// Engine keeps the findings of a fleet. Its methods may be called from any
// goroutine.
type Engine struct {
	source Source

	marking sync.Mutex // guards marked
	marked  map[fleet.HostID]bool
	wake    chan struct{}

	looking  sync.Mutex // held while the fleet is looked over; guards what follows
	surveys  map[fleet.HostID]*survey
	presence map[fleet.HostID]observed
	almanac  *almanac

	waiting atomic.Int32 // how many wait for the first look

	inputs comparison // of the last look; guarded by looking

	mu    sync.RWMutex     // guards what follows
	views map[string]*view // what there is for each scope that asked since the last look, by its key
}

// observed is when the engine saw a host fall silent and come back.
type observed struct{ quiet, back time.Time }

// New returns an engine that has not looked yet: it does so when it is first
// asked, or by Run.
func New(source Source) *Engine {
	return &Engine{
		source: source, marked: map[fleet.HostID]bool{}, wake: make(chan struct{}, 1),
		surveys: map[fleet.HostID]*survey{}, presence: map[fleet.HostID]observed{}, almanac: newAlmanac(),
	}
}

// Mark notes that a host is another one now, or its jobs. It returns at once.
func (e *Engine) Mark(host fleet.HostID) {
	e.marking.Lock()
	e.marked[host] = true
	e.marking.Unlock()
	e.Stir()
}

// Stir notes that something beside the hosts changed, such as a pin. It
// returns at once.
func (e *Engine) Stir() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run keeps the findings fresh until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	for {
		began := time.Now()
		gently := &pace{waiting: &e.waiting, since: began}
		e.looking.Lock()
		err := e.lookAt(ctx, began, gently)
		e.looking.Unlock()
		if err != nil {
			return err
		}
		if !pause(ctx, max(rest, 10*(time.Since(began)-gently.rested))) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-time.After(round):
		}
	}
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, span time.Duration) bool {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Look looks the fleet over as it is at an instant: hosts that changed are
// surveyed anew, then all are compared.
func (e *Engine) Look(ctx context.Context, now time.Time) error {
	e.looking.Lock()
	defer e.looking.Unlock()
	return e.lookAt(ctx, now, nil)
}

// lookAt looks at a pace. It needs looking.
func (e *Engine) lookAt(ctx context.Context, now time.Time, gently *pace) error {
	e.marking.Lock()
	marked := e.marked
	e.marked = map[fleet.HostID]bool{}
	e.marking.Unlock()
	if err := e.look(ctx, marked, now, gently); err != nil {
		e.marking.Lock()
		for host := range marked {
			e.marked[host] = true
		}
		e.marking.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("findings: %w", err)
	}
	return nil
}

func (e *Engine) look(ctx context.Context, marked map[fleet.HostID]bool, now time.Time, gently *pace) error {
	c := comparison{surveys: e.surveys, almanac: e.almanac, now: now, pace: gently}
	var err error
	if c.hosts, err = e.source.Hosts(); err != nil {
		return fmt.Errorf("read hosts: %w", err)
	}
	there := make(map[fleet.HostID]bool, len(c.hosts))
	for i := range c.hosts {
		host := &c.hosts[i]
		there[host.ID] = true
		e.observe(host, now)
		if err := e.survey(ctx, host, marked[host.ID], now, gently); err != nil {
			return err
		}
	}
	for id := range e.surveys {
		if !there[id] {
			delete(e.surveys, id)
			delete(e.presence, id)
		}
	}
	if c.pins, err = e.source.Pins(); err != nil {
		return fmt.Errorf("read pins: %w", err)
	}
	if c.adoptions, err = e.source.Adoptions(); err != nil {
		return fmt.Errorf("read adoptions: %w", err)
	}
	if c.policies, err = e.source.Policies(everywhere); err != nil {
		return fmt.Errorf("read policies: %w", err)
	}
	c.owners = e.source.Owners()
	e.inputs = c
	fresh := newView(c.compare(), now)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.views = map[string]*view{keyOf(everywhere): fresh}
	return nil
}

// survey reads a host anew where that is due.
func (e *Engine) survey(ctx context.Context, host *Host, marked bool, now time.Time, gently *pace) error {
	known := e.surveys[host.ID]
	if known != nil && !marked && now.Sub(known.taken) < keep {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	inventory, err := e.source.Found(host.ID)
	if err != nil {
		return fmt.Errorf("read jobs of host %s: %w", host.ID, err)
	}
	e.surveys[host.ID] = newSurvey(host, inventory, e.almanac, now)
	gently.step()
	return nil
}

// observe notes since when a host is silent. What was before the engine first
// looked is not known: a host that is heard then counts as never silent.
func (e *Engine) observe(host *Host, now time.Time) {
	seen := e.presence[host.ID]
	switch silent := host.Presence != fleet.Alive; {
	case silent && seen.quiet.IsZero():
		seen.quiet = now
	case !silent && !seen.quiet.IsZero():
		seen = observed{back: now}
	}
	e.presence[host.ID] = seen
	host.Quiet, host.Back = seen.quiet, seen.back
}

// Overdue returns the instant at which a job should have started and did not.
func (e *Engine) Overdue(host fleet.HostID, job fleet.JobID) (time.Time, bool) {
	whole := e.known(everywhere)
	if whole == nil {
		return time.Time{}, false
	}
	at, late := whole.late[jobAt{host, job}]
	return at, late
}
