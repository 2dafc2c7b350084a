package scheduler

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// slowMemos are hands that write what tasks share slowly, and look at it whenever
// they write anything else.
type slowMemos struct {
	*hands
	t *testing.T
}

func (h slowMemos) Remember(ctx context.Context, task fleet.TaskID, memo []byte) error {
	time.Sleep(time.Second)
	return h.hands.Remember(ctx, task, memo)
}

func (h slowMemos) Did(ctx context.Context, order fleet.Order) error {
	if memo, _ := h.shared(); memo != "" {
		h.t.Errorf("the order is carried out, and an agent that comes back finds %s", memo)
	}
	return h.hands.Did(ctx, order)
}

func (h slowMemos) Begin(ctx context.Context, due Due) error {
	if memo, open := h.shared(); open && !strings.Contains(memo, string(due.Run)) {
		h.t.Errorf("run %s tries, and an agent that comes back finds %s", due.Run, memo)
	}
	return h.hands.Begin(ctx, due)
}

// last is the run that began last, and how many did.
func (h slowMemos) last() (due Due, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n = len(h.begun); n > 0 {
		due = h.begun[n-1]
	}
	return due, n
}

func (h slowMemos) shared() (memo string, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	memo = string(h.memos["default/@db"])
	return memo, strings.Contains(memo, "open")
}

// TestWhatTasksShareIsRememberedFirst: a breaker of several tasks has a memo of
// its own, which is on disk before what follows from it.
func TestWhatTasksShareIsRememberedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: 24 * time.Hour}
		a := every(time.Minute, nil)
		a.Since, a.Task.Breaker = time.Now(), fleet.Breaker{Failures: 1, Open: minutesOf(3), Key: "db"}
		h.memory = newMemory()
		hard := slowMemos{h, t}
		ctx, cancel := context.WithCancel(t.Context())
		h.scheduler = New(Config{Host: host, Memory: h, Starter: hard, Recorder: hard, Board: h, Logger: slog.New(slog.DiscardHandler)})
		done := make(chan error)
		go func() { done <- h.scheduler.Run(ctx) }()
		fail := func() {
			due, _ := hard.last()
			exit, failed := 1, due.Record(host)
			failed.State, failed.Exit = fleet.RunRan, &exit
			h.scheduler.Ended(&failed)
			time.Sleep(2 * time.Second)
			if _, open := hard.shared(); !open {
				t.Error("the breaker is not open")
			}
		}
		h.scheduler.Plan(planOf(a), false)
		time.Sleep(90 * time.Second)
		fail()
		time.Sleep(4 * time.Minute) // and one tries
		if _, n := hard.last(); n != 2 {
			t.Fatalf("%d begun", n)
		}
		fail()
		plan := planOf(a)
		plan.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderReset, Host: host, Task: "default/t", Due: time.Now(), Expires: time.Now().Add(time.Hour)}}
		h.scheduler.Plan(plan, false)
		time.Sleep(5 * time.Second)
		if _, did := h.kept("o1"); !did {
			t.Error("the order is not carried out")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
