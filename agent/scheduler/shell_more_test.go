package scheduler

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestRunAttemptsAgain: the shell waits for an attempt, and tries again what
// could not be begun.
func TestRunAttemptsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Hour}
		start := time.Now().UTC()
		live(t, h, nil, func() {
			a := every(time.Hour, nil)
			a.Since, a.Task.Retry = start, fleet.Retry{Attempts: 3}
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(time.Until(start.Truncate(time.Hour).Add(time.Hour + 10*time.Second)))
			synctest.Wait()
			again, failed := time.Now().UTC().Add(20*time.Second), h.begun[0].Record(host)
			failed.State, failed.Again = fleet.RunRan, &again
			h.scheduler.Ended(&failed)
			time.Sleep(10 * time.Second)
			h.full.Store(true)
			time.Sleep(20 * time.Second) // its time comes, and it cannot begin
			h.full.Store(false)
			time.Sleep(time.Minute)
		})
		if len(h.begun) != 2 || h.begun[1].Attempt != 2 || h.begun[1].Nominal != h.begun[0].Nominal {
			t.Fatalf("begun %+v", h.begun)
		}
		if waited := h.at[1].Sub(h.at[0]); waited < 90*time.Second || waited > 91*time.Second {
			t.Errorf("the second attempt begins %s after the first", waited)
		}
	})
}

// TestRunTakesUpWhatIsPending: an attempt that the agent before left begins when
// it is due.
func TestRunTakesUpWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Second}
		again := time.Now().UTC().Add(time.Minute)
		left := fleet.Run{
			ID: "01997c5e-0000-7000-8000-000000000001", Task: "default/t", Generation: 1, Host: host,
			Due: time.Now().UTC().Add(-time.Minute), Attempt: 2, Again: &again, State: fleet.RunPending,
		}
		live(t, h, []RunFound{{Run: left}}, func() {
			a := given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Manual: true} })
			h.scheduler.Plan(planOf(a), true)
			time.Sleep(2 * time.Minute)
		})
		if len(h.begun) != 1 || h.begun[0].Run != left.ID || !h.at[0].Equal(again) {
			t.Errorf("begun %+v at %s, want %s", h.begun, h.at, again)
		}
	})
}

// kept is what is on disk of the task, and whether the order is carried out.
func (h *hands) kept(order fleet.OrderID) (memo string, did bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.memos["default/t"]), h.orders[order]
}

// TestRunTellsAndRemembers: what is to be remembered is on disk before the run
// that it is about, and the board shows how the breaker stands.
func TestRunTellsAndRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Hour}
		live(t, h, nil, func() {
			a := every(time.Minute, nil)
			a.Since, a.Task.Breaker = time.Now(), fleet.Breaker{Failures: 1, Open: minutesOf(10)}
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(90 * time.Second)
			synctest.Wait()
			exit, failed := 1, h.begun[0].Record(host)
			failed.State, failed.Exit = fleet.RunRan, &exit
			h.scheduler.Ended(&failed)
			time.Sleep(time.Second)
			if memo, _ := h.kept("o1"); memo == "" {
				t.Error("nothing is remembered")
			}
			time.Sleep(5 * time.Minute)
			reset := fleet.Order{ID: "o1", Kind: fleet.OrderReset, Host: host, Task: "default/t", Due: time.Now(), Expires: time.Now().Add(time.Hour)}
			plan := planOf(a)
			plan.Orders = []fleet.Order{reset}
			h.scheduler.Plan(plan, false)
			time.Sleep(2 * time.Minute)
			if memo, did := h.kept("o1"); !did || memo != "" {
				t.Errorf("carried out: %v, remembered %s", did, memo)
			}
		})
		skipped := slices.ContainsFunc(h.settled, func(r fleet.Run) bool { return r.Reason == fleet.SkippedBreaker && r.Detail != "" })
		if len(h.begun) != 2 || !skipped {
			t.Errorf("%d begun, settled %+v", len(h.begun), h.settled)
		}
	})
}
