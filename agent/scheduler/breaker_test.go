package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ended is the event that the n-th run begun has ended with a status.
func (s *story) ended(n, exit int) RunEnded {
	run := s.dues[n].Record(host)
	run.State, run.Exit = fleet.RunRan, &exit
	return RunEnded{run}
}

// fuse tells a story of minutely tasks with a breaker, by what their runs do:
// each minute of a task is "." where its run succeeds, "x" where it fails, "c"
// where it is cancelled, and "o" where none begins. What really begins must be
// what the line says.
type fuse struct {
	*story
	now time.Time
}

func newFuse(t *testing.T, tasks ...fleet.Assignment) *fuse {
	f := &fuse{tell(t, "11:59:30"), noon}
	f.state.memory = f.memory
	f.do(noon.Add(-30*time.Second), plan(tasks...))
	return f
}

// do steps and returns what begins.
func (f *fuse) do(at time.Time, event Event) (begun []Due, settled []fleet.Run) {
	for _, a := range f.state.Step(at, event) {
		f.memory.note(a)
		switch a := a.(type) {
		case Begin:
			begun = append(begun, a.Due)
		case Settle:
			settled = append(settled, a.Run)
		}
	}
	return begun, settled
}

// minutes plays a line for the task.
func (f *fuse) minutes(line string) {
	f.t.Helper()
	got := ""
	for _, c := range line {
		begun, settled := f.do(f.now, Tick{})
		for _, run := range settled {
			if run.Reason != fleet.SkippedBreaker || run.State != fleet.RunSkipped {
				f.t.Errorf("settled %+v", run)
			}
		}
		if len(begun) == 0 {
			got += "o"
		}
		for _, due := range begun {
			exit, run := 0, due.Record(host)
			run.State, run.Exit = fleet.RunRan, &exit
			switch c {
			case 'c':
				run.Cancelled, exit = true, 1
			case '.', 'o':
			default:
				exit = 1
			}
			got += string(map[rune]rune{'o': 'B'}[c] + map[bool]rune{true: c}[c != 'o'])
			f.do(f.now, RunEnded{run})
		}
		f.now = f.now.Add(time.Minute)
	}
	if got != line {
		f.t.Errorf("minutes %q, want %q", got, line)
	}
}

func fused(rule fleet.Breaker) fleet.Assignment {
	return given(func(a *fleet.Assignment) { a.Task.Breaker = rule })
}

func minutesOf(n int) fleet.Duration { return fleet.Duration(time.Duration(n) * time.Minute) }

func TestBreaker(t *testing.T) {
	rule := fleet.Breaker{Failures: 3, Window: minutesOf(10), Open: minutesOf(5)}
	for _, c := range []struct {
		name  string
		rule  fleet.Breaker
		lines string
	}{
		{"opens at the third failure, for five minutes", rule, "xxxoooo"},
		{"lets one try and closes", rule, "xxxoooo.xx.xooo"},
		{"opens again when that fails", rule, "xxxooooxoooo.xxxo"},
		{"forgets what the window has left", rule, "x...x......x..x.xooo"},
		{"counts no success", rule, ".x.x.xoooo"},
		{"counts nothing that was cancelled", rule, "cccccccc"},
		{"lets the next one try when the one was cancelled", rule, "xxxoooocc.x"},
		{"opens only at the rate", fleet.Breaker{Failures: 3, Rate: 0.5, Window: minutesOf(16), Open: minutesOf(5)}, "......x.x.x.x.xx"},
		{"opens at the rate", fleet.Breaker{Failures: 3, Rate: 0.5, Window: minutesOf(16), Open: minutesOf(5)}, "..xx.xoooo"},
		{"counts more for the rate than the failures that it needs", fleet.Breaker{Failures: 3, Rate: 0.5, Window: minutesOf(100), Open: minutesOf(5)}, "..........xxxxxxxxxxoooo."},
		{"opens for half an hour, if nothing is said", fleet.Breaker{Failures: 2}, "xx" + strings.Repeat("o", 29) + "."},
		{"counts within an hour, if nothing is said", fleet.Breaker{Failures: 2}, "x" + strings.Repeat(".", 59) + "x.xo"},
	} {
		t.Run(c.name, func(t *testing.T) { newFuse(t, fused(c.rule)).minutes(c.lines) })
	}
	t.Run("survives the agent", func(t *testing.T) {
		for cut := range 9 {
			f := newFuse(t, fused(rule))
			f.minutes("xxxoooo.x"[:cut])
			f.state = NewState(host, f.memory, Life{Started: f.now.Add(-time.Second)})
			f.do(f.now.Add(-time.Second), plan(fused(rule)))
			f.minutes("xxxoooo.x"[cut:])
		}
	})
	t.Run("is reset by a person", func(t *testing.T) {
		f := newFuse(t, fused(rule))
		f.minutes("xxxo")
		reset := fleet.Order{ID: "o1", Kind: fleet.OrderReset, Task: "default/t", Due: f.now, Expires: f.now.Add(time.Hour)}
		e := plan(fused(rule))
		e.Orders = []fleet.Order{reset}
		f.do(f.now.Add(-time.Second), e)
		if !f.memory.orders["o1"] {
			t.Error("nobody hears that it was carried out")
		}
		f.minutes("xxx")
		f.do(f.now.Add(-time.Second), e) // the same order again
		f.minutes("o")
	})
	t.Run("is shared by a key", func(t *testing.T) {
		shared := rule
		shared.Key = "db"
		a, b := fused(shared), fused(shared)
		b.Task.Name, b.Task.On = "u", fleet.Trigger{Manual: true}
		f := newFuse(t, a, b)
		f.minutes("xxx")
		e := plan(a, b)
		e.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/u", Run: "r1", Due: f.now, Expires: f.now.Add(time.Hour)}}
		begun, settled := f.do(f.now.Add(-time.Second), e)
		if len(begun) != 0 || len(settled) != 1 || settled[0].Reason != fleet.SkippedBreaker || !strings.Contains(settled[0].Detail, "open until 2026-03-02T12:07:00Z") {
			t.Errorf("begun %v, settled %+v", begun, settled)
		}
		if f.memory.memos["default/@db"] == nil || f.memory.memos["default/t"] != nil {
			t.Errorf("remembered %s", f.memory.memos)
		}
	})
	t.Run("is forgotten with its task", func(t *testing.T) {
		f := newFuse(t, fused(rule))
		f.minutes("xxxo")
		f.do(f.now, plan())
		if len(f.memory.memos["default/t"]) != 0 || len(f.state.breakers) != 0 {
			t.Errorf("remembered %s", f.memory.memos)
		}
	})
	t.Run("does not stay open longer when the clock is set back", func(t *testing.T) {
		f := newFuse(t, fused(rule))
		f.minutes("xxx")
		f.do(f.now.Add(-2*time.Hour), ClockJumped{})
		f.do(f.now.Add(-2*time.Hour+5*time.Minute), Tick{})
		if b := f.state.tasks["default/t"].breaker; b.state != fleet.BreakerHalfOpen {
			t.Errorf("%s until %s", b.state, b.until)
		}
	})
}

// TestBreakerStands: how a breaker stands is told when it changes, and no more.
func TestBreakerStands(t *testing.T) {
	rule := fleet.Breaker{Failures: 2, Window: minutesOf(10), Open: minutesOf(5)}
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(fused(rule)), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.at("12:00:01", s.ended(0, 1), `remember {"breaker":{"state":"closed","since":"0001-01-01T00:00:00Z","last":"2026-03-02T12:00:01Z","failed":[0]}}`, "stands closed since 12:00:01, 1 failed", "wake 12:01:00")
	s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
	s.at("12:01:01", s.ended(1, 1), `remember {"breaker":{"state":"open","since":"2026-03-02T12:01:01Z","until":"2026-03-02T12:06:01Z","open":300000000000,"last":"2026-03-02T12:01:01Z","failed":[60000,0]}}`,
		"stands open since 12:01:01, at 12:06:01, 2 failed: runs failed: 2 within 10m, nothing begins until 2026-03-02T12:06:01Z", "wake 12:02:00")
	for minute := 2; minute <= 6; minute++ {
		s.state.Step(noon.Add(time.Duration(minute)*time.Minute), Tick{})
	}
	s.at("12:06:01", Tick{}, "stands half_open since 12:06:01, 2 failed: the next run tries whether it succeeds again", "wake 12:07:00")
	s.at("12:07:00", Tick{},
		`remember {"breaker":{"state":"half_open","since":"2026-03-02T12:06:01Z","until":"2026-03-02T12:06:01Z","open":300000000000,"trial":"`+string(RunID(fleet.Occurrence{Task: "default/t", Scope: host, Nominal: noon.Add(7 * time.Minute)}))+`","last":"2026-03-02T12:01:01Z","failed":[60000,0]}}`,
		"stands half_open since 12:06:01, 2 failed: one run tries whether it succeeds again",
		"begin 12:07:00", "wake 12:08:00")
	s.at("12:07:01", s.ended(2, 0), "remember ", "unstand", "wake 12:08:00")
}

// TestBreakerOfAttempts: each attempt counts, and an open breaker ends them.
func TestBreakerOfAttempts(t *testing.T) {
	a := fused(fleet.Breaker{Failures: 2})
	a.Task.Retry = fleet.Retry{Attempts: 5}
	f := newFuse(t, a)
	begun, _ := f.do(noon, Tick{})
	for i := range 2 {
		at := noon.Add(time.Duration(10*i+5) * time.Second)
		again, exit := at.Add(5*time.Second), 1
		run := begun[0].Record(host)
		run.State, run.Exit, run.Again = fleet.RunRan, &exit, &again
		f.do(at, RunEnded{run})
		var settled []fleet.Run
		begun, settled = f.do(again, Tick{})
		if i == 1 && (len(begun) != 0 || len(settled) != 1 || settled[0].Attempt != 3 || settled[0].Reason != fleet.SkippedBreaker) {
			t.Errorf("begun %v, settled %v", begun, settled)
		}
	}
}

// TestBreakerMemo: a thousand failures fit into what is kept of a task.
func TestBreakerMemo(t *testing.T) {
	f := newFuse(t, fused(fleet.Breaker{Failures: 1000, Window: minutesOf(100_000), Rate: 1}))
	b := f.state.tasks["default/t"].breaker
	for i := range 1000 {
		b.failures = append(b.failures, noon.Add(time.Duration(i)*time.Hour))
	}
	f.minutes("x")
	text := f.memory.memos["default/t"]
	if len(text) == 0 || len(text) > 16<<10 {
		t.Errorf("%d bytes", len(text))
	}
	again := f.state.recallBreaker("default/t")
	if diff := cmp.Diff(fmt.Sprint(b.failures), fmt.Sprint(again.failures)); diff != "" {
		t.Error(diff)
	}
}
