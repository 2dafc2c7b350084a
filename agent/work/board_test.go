package work

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestTheBoardTellsAllOfIt follows it through the life of a daemon.
func TestTheBoardTellsAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := map[fleet.OrderID]bool{"stop-of-yesterday": true}
		var mu sync.Mutex
		b := newBoard(func(id fleet.OrderID) bool { mu.Lock(); defer mu.Unlock(); return done[id] })
		var told []fleet.Stands
		ctx, cancel := context.WithCancel(t.Context())
		caughtUp := make(chan struct{})
		over := make(chan error)
		go func() {
			over <- b.Run(ctx, func(context.Context) error { <-caughtUp; return nil }, func(s fleet.Stands) { mu.Lock(); defer mu.Unlock(); told = append(told, s) })
		}()
		last := func(times int) fleet.Stands {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(told) != times {
				t.Fatalf("told %d times, want %d: %+v", len(told), times, told)
			}
			if times == 0 {
				return fleet.Stands{}
			}
			return told[times-1]
		}
		b.Stand(fleet.Standing{Task: "a/old", Phase: fleet.PhaseRunning})
		last(0) // nobody knows yet what is wanted
		b.Plan(&fleet.Plan{Orders: []fleet.Order{
			{ID: "run", Kind: fleet.OrderRun}, {ID: "cancel", Kind: fleet.OrderCancel},
			{ID: "stop-of-yesterday", Kind: fleet.OrderStop}, {ID: "restart", Kind: fleet.OrderRestart},
		}})
		last(0) // the scheduler has not gone through it
		b.Stand(fleet.Standing{Task: "a/db", Phase: fleet.PhaseRunning})
		b.Unstand("a/old")
		close(caughtUp)
		want := fleet.Stands{Standings: []fleet.Standing{{Task: "a/db", Phase: fleet.PhaseRunning}}, Done: []fleet.OrderID{"stop-of-yesterday"}}
		if diff := cmp.Diff(want, last(1)); diff != "" {
			t.Error(diff)
		}
		mu.Lock()
		done["restart"] = true
		mu.Unlock()
		b.Did()
		for range 50 {
			b.Stand(fleet.Standing{Task: "a/db", Phase: fleet.PhaseBackoff})
		}
		want.Standings[0].Phase, want.Done = fleet.PhaseBackoff, append(want.Done, "restart")
		if diff := cmp.Diff(want, last(2)); diff != "" {
			t.Error(diff)
		}
		b.Unstand("a/db")
		b.Plan(&fleet.Plan{})
		if diff := cmp.Diff(fleet.Stands{Standings: []fleet.Standing{}}, last(3)); diff != "" {
			t.Error(diff)
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// TestTheBoardHearsOfAnOrderLate: while the disk is full an order that was carried
// out is not known to be, and nobody says when it is.
func TestTheBoardHearsOfAnOrderLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Bool
		b := newBoard(func(fleet.OrderID) bool { return written.Load() })
		told := make(chan fleet.Stands, 100)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() {
			over <- b.Run(ctx, func(context.Context) error { return nil }, func(s fleet.Stands) { told <- s })
		}()
		b.Plan(&fleet.Plan{Orders: []fleet.Order{{ID: "stop", Kind: fleet.OrderStop}}})
		time.Sleep(time.Hour)
		written.Store(true)
		time.Sleep(time.Hour)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if len(told) != 2 {
			t.Fatalf("told %d times, want 2", len(told))
		}
		if first, second := <-told, <-told; len(first.Done) != 0 || len(second.Done) != 1 {
			t.Errorf("told %+v, then %+v", first, second)
		}
	})
}
