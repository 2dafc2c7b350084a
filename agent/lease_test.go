package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/shared/api"
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

func (p *places) Lease(ctx context.Context, host fleet.HostID, request api.LeaseRequest) (fleet.Lease, error) {
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
			return fleet.Lease{}, fleet.Errorf(fleet.Conflict, "all places are taken").WithCode(api.CodeNoPlace)
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

// waitingRoom is a queue under test and what came of its runs.
type waitingRoom struct {
	*queue
	mu      sync.Mutex
	settled []fleet.Run
	started []runner.Spec
	ends    []fleet.RunID
	ending  bool // the agent takes no run any more
}

func newWaitingRoom(p *places) *waitingRoom {
	w := &waitingRoom{}
	w.queue = newQueue("00000000000000000000000000000001", p, w, slog.New(slog.DiscardHandler))
	w.start = func(_ context.Context, spec runner.Spec) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.ending {
			return runner.ErrClosed
		}
		w.started = append(w.started, spec)
		return nil
	}
	w.ended = func(run *fleet.Run) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ends = append(w.ends, run.ID)
	}
	return w
}

func (w *waitingRoom) Settle(_ context.Context, run fleet.Run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = append(w.settled, run)
	return nil
}

func waitingSpec(id fleet.RunID, wait time.Duration) runner.Spec {
	return runner.Spec{
		Run:    fleet.Run{ID: id, Task: "default/a", Due: time.Now(), State: fleet.RunBegun},
		Limits: fleet.Limits{Fleet: 1, Timeout: fleet.Duration(time.Minute), Wait: fleet.Duration(wait)},
	}
}

// last is the last state that was recorded of a run.
func (w *waitingRoom) last(id fleet.RunID) (run fleet.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.settled {
		if r.ID == id {
			run = r
		}
	}
	return run
}

func (w *waitingRoom) began(id fleet.RunID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.started, func(s runner.Spec) bool { return s.Run.ID == id })
}

func TestARunWaitsForItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		w := newWaitingRoom(p)
		defer w.Close()
		for _, id := range []fleet.RunID{"r1", "r2"} {
			if err := w.Begin(t.Context(), waitingSpec(id, time.Hour)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if run := w.last(id); run.State != fleet.RunPending || run.Detail == "" {
				t.Errorf("%s is %+v, want pending with why", id, run)
			}
		}
		if !w.began("r1") || w.began("r2") {
			t.Fatalf("began %v", w.started)
		}
		if want := (runner.Fact{Name: "FENCE", Value: "42"}); !slices.Contains(w.started[0].Facts, want) {
			t.Errorf("facts %v, want %v", w.started[0].Facts, want)
		}
		time.Sleep(30 * time.Minute)
		p.give("r1")
		synctest.Wait()
		if !w.began("r2") {
			t.Error("a place came free and r2 did not begin")
		}
	})
}

func TestNoPlaceInTime(t *testing.T) {
	for name, change := range map[string]func(*places){
		"taken":       func(p *places) { p.free = 0 },
		"nobody":      func(p *places) { p.down = true },
		"slow grants": func(p *places) { p.slow = time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlaces(1)
				change(p)
				w := newWaitingRoom(p)
				begin := time.Now()
				w.elapsed = func() time.Duration { return time.Since(begin) }
				defer w.Close()
				if err := w.Begin(t.Context(), waitingSpec("r1", 10*time.Minute)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(12 * time.Minute)
				synctest.Wait()
				run := w.last("r1")
				if run.State != fleet.RunMissed || run.Reason != fleet.MissedNoLease || w.began("r1") || !slices.Equal(w.ends, []fleet.RunID{"r1"}) {
					t.Errorf("%+v, ended %v", run, w.ends)
				}
				if p.asked > 100 {
					t.Errorf("asked %d times in ten minutes", p.asked)
				}
			})
		})
	}
}

func TestACancelledRunWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingRoom(newPlaces(0))
		defer w.Close()
		if err := w.Begin(t.Context(), waitingSpec("r1", time.Hour)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.Cancel("r2", "") || !w.Cancel("r1", "not today") {
			t.Error("cancelled the wrong run")
		}
		synctest.Wait()
		run := w.last("r1")
		if run.State != fleet.RunSkipped || run.Reason != fleet.SkippedCancelled || run.Detail != "not today" || len(w.ends) != 1 {
			t.Errorf("%+v, ended %v", run, w.ends)
		}
	})
}

// TestTheNextAgentWaitsOn shows that a run keeps waiting when its agent ends,
// and gives no place away that it could not use.
func TestTheNextAgentWaitsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(0)
		w := newWaitingRoom(p)
		spec := waitingSpec("r1", time.Hour)
		if err := w.Begin(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		w.Close()
		left := w.last("r1")
		if left.State != fleet.RunPending || len(w.ends) != 0 {
			t.Fatalf("the agent ended, and the run is %+v", left)
		}
		task := fleet.Task{Name: "a", Limits: spec.Limits}
		plan := &fleet.Plan{Assignments: []fleet.Assignment{{Task: task, Generation: left.Generation}}}
		again, waits := waiting(&left, plan)
		if !waits || again.Run.Detail != "" {
			t.Fatalf("%+v, %v", again, waits)
		}
		if _, waits := waiting(&left, &fleet.Plan{}); waits {
			t.Error("a run waits for a task that is gone")
		}
		next := newWaitingRoom(p)
		defer next.Close()
		next.Resume(again)
		p.mu.Lock()
		p.free, p.held["other"] = 0, true
		p.mu.Unlock()
		p.give("other")
		synctest.Wait()
		if !next.began("r1") {
			t.Error("it did not begin")
		}
	})
}

func TestAnEndingAgentGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		w := newWaitingRoom(p)
		w.ending = true
		if err := w.Begin(t.Context(), waitingSpec("r1", time.Hour)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.Close()
		if p.free != 1 || w.last("r1").State != fleet.RunPending {
			t.Errorf("%d places are free, the run is %+v", p.free, w.last("r1"))
		}
	})
}

func TestAForeignRefusalEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingRoom(newPlaces(0))
		defer w.Close()
		w.grantor = refusing{fleet.Errorf(fleet.NotFound, "no task default/a")}
		if err := w.Begin(t.Context(), waitingSpec("r1", time.Hour)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if run := w.last("r1"); run.State != fleet.RunMissed || run.Reason != fleet.MissedNoLease {
			t.Errorf("%+v", run)
		}
	})
}

type refusing struct{ err error }

func (r refusing) Lease(context.Context, fleet.HostID, api.LeaseRequest) (fleet.Lease, error) {
	return fleet.Lease{}, r.err
}

func (r refusing) ReturnLease(context.Context, fleet.HostID, fleet.TaskID, fleet.RunID) error {
	return errors.New("no")
}
