package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hands are a runner and a journal: they note what happens, each of their
// writes taking a millisecond of disk.
type hands struct {
	*memory
	scheduler *Scheduler
	takes     time.Duration // of each run
	full      atomic.Bool   // nothing can begin

	mu       sync.Mutex
	begun    []Due
	at       []time.Time
	settled  []fleet.Run
	canceled []fleet.RunID
}

func (h *hands) write(a Action) {
	time.Sleep(time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(a)
}

func (h *hands) LastDecided(task fleet.TaskID) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.memory.LastDecided(task)
}

func (h *hands) Begin(_ context.Context, due Due) error {
	if h.full.Load() {
		return errors.New("no space")
	}
	at := time.Now()
	h.write(Begin{due})
	h.mu.Lock()
	h.begun, h.at = append(h.begun, due), append(h.at, at)
	h.mu.Unlock()
	over := due.Record(host)
	time.AfterFunc(h.takes, func() { h.scheduler.Ended(&over) })
	return nil
}

func (h *hands) Cancel(run fleet.RunID, _ string) { h.canceled = append(h.canceled, run) }

func (h *hands) Stop(run fleet.RunID, _ fleet.Reason, _ string) { h.canceled = append(h.canceled, run) }

func (h *hands) Remember(_ context.Context, task fleet.TaskID, memo []byte) error {
	h.write(Remember{task, memo})
	return nil
}

func (h *hands) Did(_ context.Context, order fleet.Order) error {
	h.write(Did{Order: order})
	return nil
}

func (h *hands) Stand(standing fleet.Standing) { h.write(Stand{standing}) }

func (h *hands) Unstand(task fleet.TaskID) { h.write(Unstand{task}) }

func (h *hands) Settle(ctx context.Context, run fleet.Run) error {
	if err := ctx.Err(); err != nil { // a journal writes nothing then
		return err
	}
	h.write(Settle{run})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settled = append(h.settled, run)
	return nil
}

func (h *hands) Count(_ context.Context, stint fleet.Stint) error {
	h.write(Count{stint})
	return nil
}

// live runs a scheduler in a bubble until the story is told.
func live(t *testing.T, h *hands, open []RunFound, story func()) {
	t.Helper()
	h.memory = newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	h.scheduler = New(Config{Host: host, Memory: h, Starter: h, Recorder: h, Board: h, Open: open, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan error)
	go func() { done <- h.scheduler.Run(ctx) }()
	story()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func planOf(a ...fleet.Assignment) *fleet.Plan { return &fleet.Plan{Host: host, Assignments: a} }

func TestRunBeginsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: 3 * time.Second}
		start := time.Now()
		live(t, h, nil, func() {
			a := every(10*time.Second, nil)
			a.Since = start
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(time.Hour + time.Second)
		})
		if len(h.begun) != 360 || len(h.settled) != 0 {
			t.Fatalf("%d begun, %d settled, want 360 and none", len(h.begun), len(h.settled))
		}
		for i, due := range h.begun {
			if late := h.at[i].Sub(due.Nominal); late < 0 || late > time.Millisecond {
				t.Fatalf("%s begins %s late", due.Nominal, late)
			}
		}
	})
}

// TestRunSleeps: a day without anything due costs two looks a minute at the
// clock, and nothing else.
func TestRunSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{}
		live(t, h, nil, func() {
			a := every(1000*time.Hour, nil)
			a.Since = time.Now()
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(24 * time.Hour)
		})
		if len(h.begun)+len(h.settled) != 0 {
			t.Errorf("%d begun, %d settled", len(h.begun), len(h.settled))
		}
	})
}

func TestRunMakesManyDurableTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Second}
		live(t, h, nil, func() {
			var many []fleet.Assignment
			for i := range 1000 {
				a := every(time.Minute, func(t *fleet.Task) { t.Name = "t" + time.Duration(i).String() })
				a.Since = time.Now()
				many = append(many, a)
			}
			h.scheduler.Plan(planOf(many...), false)
			time.Sleep(90 * time.Second)
		})
		if len(h.begun) != 1000 {
			t.Fatalf("%d begun", len(h.begun))
		}
		if took := slices.MaxFunc(h.at, time.Time.Compare).Sub(h.begun[0].Nominal); took > 50*time.Millisecond {
			t.Errorf("the last began %s late: they waited for each other", took)
		}
	})
}

func TestRunKeepsWhatWasDecidedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Hour}
		live(t, h, nil, func() {
			a := every(time.Second, nil)
			a.Since = time.Now()
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(10*time.Second + 500*time.Millisecond)
		})
		instants := 0
		for _, run := range h.settled {
			instants += run.Instants()
		}
		if len(h.begun) != 1 || instants != 9 || len(h.settled) != 2 {
			t.Errorf("%d begun, %d skipped in %d records; want 1, 9 in 2", len(h.begun), instants, len(h.settled))
		}
	})
}

// TestRunFinishesItsStepWhenItIsEnded: an end that comes between an outcome and
// the begin behind it must not leave the begin on disk without the outcome.
func TestRunFinishesItsStepWhenItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Hour}
		since := time.Now()
		time.Sleep(100 * time.Second)
		live(t, h, nil, func() {
			a := every(10*time.Second, nil)
			a.Since = since
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(time.Millisecond / 2) // its first record is being written
		})
		instants := len(h.begun)
		for _, run := range h.settled {
			instants += run.Instants()
		}
		if len(h.begun) != 1 || instants != 10 {
			t.Errorf("%d begun, %d of 10 instants have an outcome", len(h.begun), instants)
		}
	})
}

func TestRunAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{takes: time.Second}
		old := fleet.Run{ID: "old", Task: "default/t", Due: time.Now()}
		live(t, h, []RunFound{{Run: old}}, func() {
			a := every(10*time.Second, nil)
			a.Since = time.Now()
			h.scheduler.Plan(planOf(a), true)
			time.Sleep(15 * time.Second)
			h.scheduler.Ended(&old)
			time.Sleep(10 * time.Second)
		})
		if len(h.settled) != 1 || h.settled[0].Reason != fleet.SkippedOverlap || len(h.begun) != 1 {
			t.Errorf("settled %v, begun %v; want one skipped for the old run, then one begun", h.settled, h.begun)
		}
	})
}

func TestRunGoesOnWhenNothingCanBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{}
		h.full.Store(true)
		live(t, h, nil, func() {
			a := every(10*time.Second, nil)
			a.Since = time.Now()
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(35 * time.Second)
			h.full.Store(false)
			time.Sleep(10 * time.Second)
		})
		if len(h.begun) != 1 {
			t.Errorf("%d begun after three were refused, want 1", len(h.begun))
		}
	})
}

func TestStepped(t *testing.T) {
	for _, c := range []struct{ wall, elapsed, want time.Duration }{
		{30 * time.Second, 30 * time.Second, 0},
		{31 * time.Second, 30 * time.Second, 0}, // adjusted slowly
		{time.Hour, 30 * time.Second, time.Hour - 30*time.Second},
		{-time.Hour, time.Second, -time.Hour - time.Second},
		{8 * time.Hour, 0, 8 * time.Hour}, // suspended
	} {
		if got := stepped(c.wall, c.elapsed); got != c.want {
			t.Errorf("wall %s, elapsed %s: %s, want %s", c.wall, c.elapsed, got, c.want)
		}
	}
}

func TestSleep(t *testing.T) {
	for at, want := range map[time.Time]time.Duration{
		{}:                         longestSleep,
		noon.Add(time.Hour):        longestSleep,
		noon.Add(20 * time.Second): 20 * time.Second,
		noon.Add(-time.Second):     0,
	} {
		if got := sleep(noon, at); got != want {
			t.Errorf("until %s: %s, want %s", at, got, want)
		}
	}
}

// TestCaughtUp: what was put before is decided when it returns, so that a task
// that was taken away begins nothing more.
func TestCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{}
		live(t, h, nil, func() {
			a := every(time.Second, nil)
			a.Since = time.Now()
			h.scheduler.Plan(planOf(a), false)
			time.Sleep(3500 * time.Millisecond)
			h.scheduler.Plan(planOf(), false)
			if err := h.scheduler.CaughtUp(t.Context()); err != nil {
				t.Error(err)
			}
			begun := len(h.begun)
			time.Sleep(5 * time.Second)
			if begun == 0 || len(h.begun) != begun {
				t.Errorf("%d had begun, then %d", begun, len(h.begun))
			}
		})
		over, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.scheduler.CaughtUp(over); err == nil {
			t.Error("a scheduler that has ended answers")
		}
	})
}
