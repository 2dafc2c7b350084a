package turn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// places grants as many leases as it is told.
type places struct {
	mu      sync.Mutex
	free    int
	down    bool          // nobody answers
	slow    time.Duration // an answer takes that long
	held    map[fleet.RunID]bool
	changed chan struct{}
	asked   int
}

func newPlaces(free int) *places {
	return &places{free: free, held: map[fleet.RunID]bool{}, changed: make(chan struct{})}
}

func (p *places) Lease(ctx context.Context, host fleet.HostID, request fleet.LeaseRequest) (fleet.Lease, error) {
	end := time.After(time.Duration(request.Wait))
	for {
		p.mu.Lock()
		p.asked++
		down, slow, changed := p.down, p.slow, p.changed
		if down {
			p.mu.Unlock()
			return fleet.Lease{}, fleet.Errorf(fleet.Unavailable, "no leader")
		}
		if p.free > 0 {
			p.free--
			p.held[request.Run] = true
			p.mu.Unlock()
			time.Sleep(slow)
			return fleet.Lease{Task: request.Task, Run: request.Run, Host: host, Fence: 42}, nil
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			return fleet.Lease{}, fleet.Errorf(fleet.Conflict, "all places are taken").WithCode(fleet.CodeNoPlace)
		case <-ctx.Done():
			return fleet.Lease{}, &fleet.Error{Kind: fleet.Unavailable, Err: ctx.Err()}
		}
	}
}

func (p *places) ReturnLease(_ context.Context, _ fleet.HostID, _ fleet.TaskID, run fleet.RunID) error {
	p.give(run)
	return nil
}

func (p *places) give(run fleet.RunID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[run] {
		delete(p.held, run)
		p.free++
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

func (p *places) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free
}

// room is a Turn under test, what is on disk of it and what came of its runs.
type room struct {
	*Turn
	mu      sync.Mutex
	rows    []fleet.Run // every record, in order
	handles map[fleet.RunID][]byte
	begun   []fleet.RunID
	leaves  map[fleet.RunID]Leave
	ends    []fleet.RunID
	stopped []fleet.RunID // told to stop after they had begun

	full   bool              // the disk
	ending bool              // the agent takes no run any more
	starts func(fleet.RunID) // called while a run begins
	units  map[string]bool   // that are active
	checks func([]string) (string, error)
}

const thisHost = fleet.HostID("00000000000000000000000000000001")

func newRoom(p *places, change ...func(*Config)) *room {
	r := &room{handles: map[fleet.RunID][]byte{}, leaves: map[fleet.RunID]Leave{}, units: map[string]bool{}}
	config := Config{
		Host: thisHost, Grantor: p, Recorder: r, Logger: slog.New(slog.DiscardHandler),
		Ended: func(run *fleet.Run) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ends = append(r.ends, run.ID)
		},
		Cancel: func(run fleet.RunID, _ fleet.Reason, _ string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.stopped = append(r.stopped, run)
		},
		Check: func(_ context.Context, _ *fleet.Task, argv []string) (string, error) { return r.checks(argv) },
		Unit: func(_ context.Context, name string) (bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.units[name], nil
		},
	}
	for _, c := range change {
		c(&config)
	}
	r.Turn = New(config)
	begin := time.Now()
	r.elapsed = func() time.Duration { return time.Since(begin) } // the bubble's
	return r
}

var errFull = errors.New("journal is full")

func (r *room) Hold(_ context.Context, run fleet.Run, handle []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return errFull
	}
	r.rows = append(r.rows, run)
	r.handles[run.ID] = handle
	return nil
}

func (r *room) Settle(_ context.Context, run fleet.Run) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, run)
	return nil
}

// ask is a run of the task that begins in this room.
func (r *room) ask(id fleet.RunID, task *fleet.Task) Ask {
	return Ask{
		Run: fleet.Run{ID: id, Task: task.ID(), Due: time.Now(), Attempt: 1, State: fleet.RunBegun}, Task: task,
		Start: func(_ context.Context, leave Leave) error {
			if r.starts != nil {
				r.starts(id)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.ending {
				return errors.New("the agent is ending")
			}
			r.begun, r.leaves[id] = append(r.begun, id), leave
			return nil
		},
	}
}

func (r *room) begin(t *testing.T, ask Ask) {
	t.Helper()
	if err := r.Begin(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
}

// last is the last record of a run.
func (r *room) last(id fleet.RunID) (run fleet.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range r.rows {
		if row.ID == id {
			run = row
		}
	}
	return run
}

func (r *room) began(id fleet.RunID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.begun, id)
}

func (r *room) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.begun)
}

// over ends a run that has begun.
func (r *room) over(id fleet.RunID) { r.Ended(id) }

// want checks how a run that did not begin was settled, and that it was once.
func (r *room) want(t *testing.T, id fleet.RunID, state fleet.RunState, reason fleet.Reason) {
	t.Helper()
	run := r.last(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, end := range r.ends {
		if end == id {
			n++
		}
	}
	if run.State != state || run.Reason != reason || run.Detail == "" || n != 1 || slices.Contains(r.begun, id) {
		t.Errorf("%s is %s(%s) %q and was told over %d times; want %s(%s), once", id, run.State, run.Reason, run.Detail, n, state, reason)
	}
	if fleet.Reasons[reason] != state {
		t.Errorf("%s does not explain %s", reason, state)
	}
}
