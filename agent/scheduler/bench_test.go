package scheduler

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// forgetful is a memory of nothing.
type forgetful struct{}

func (forgetful) LastDecided(fleet.TaskID) (time.Time, bool) { return time.Time{}, false }
func (forgetful) OrderDecided(fleet.OrderID) bool            { return false }
func (forgetful) Counted(fleet.TaskID) uint64                { return 0 }
func (forgetful) Counting() []fleet.TaskID                   { return nil }
func (forgetful) Recall(fleet.TaskID) []byte                 { return nil }

// tenThousand is a plan of tasks due every ten minutes, at 600 different
// seconds.
func tenThousand() []fleet.Assignment {
	plan := make([]fleet.Assignment, 10_000)
	for i := range plan {
		plan[i] = every(10*time.Minute, func(t *fleet.Task) { t.Name = fmt.Sprintf("t%05d", i) })
		plan[i].Task.On.Spread = fleet.Duration(10*time.Minute - time.Second)
		plan[i].Since = noon
	}
	return plan
}

// BenchmarkStep is a second of a host with 10,000 tasks: the tick, about 17
// runs that begin and as many that end.
func BenchmarkStep(b *testing.B) {
	s := NewState(host, forgetful{}, Life{Started: noon})
	s.Step(noon, PlanChanged{Assignments: tenThousand()})
	now := noon
	var begun []RunEnded
	runs := 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		begun = begun[:0]
		for _, a := range s.Step(now, Tick{}) {
			if due, is := a.(Begin); is {
				begun = append(begun, RunEnded{due.Due.Record(host)})
			}
		}
		for _, e := range begun {
			s.Step(now, e)
		}
		runs += len(begun)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(1, runs)), "ns/run")
}

// BenchmarkIdleStep is a tick at which nothing is due.
func BenchmarkIdleStep(b *testing.B) {
	s := NewState(host, forgetful{}, Life{Started: noon})
	s.Step(noon, PlanChanged{Assignments: tenThousand()})
	b.ReportAllocs()
	for b.Loop() {
		s.Step(noon.Add(time.Millisecond), Tick{})
	}
}

// BenchmarkSamePlan is a plan that comes again with one task changed.
func BenchmarkSamePlan(b *testing.B) {
	s := NewState(host, forgetful{}, Life{Started: noon})
	plan := tenThousand()
	s.Step(noon, PlanChanged{Assignments: plan})
	b.ReportAllocs()
	for b.Loop() {
		next := make([]fleet.Assignment, len(plan))
		copy(next, plan)
		next[7].Generation++
		plan = next
		s.Step(noon, PlanChanged{Assignments: next})
	}
}

// BenchmarkArm is an agent that takes over a plan of 10,000 tasks from its disk:
// at most 50 ms, and at most 1 KiB for each task beyond its assignment.
func BenchmarkArm(b *testing.B) {
	plan := tenThousand()
	var memory runtime.MemStats
	var kept []*State // until they are measured
	runtime.GC()
	runtime.ReadMemStats(&memory)
	before := memory.HeapAlloc
	b.ReportAllocs()
	used := processorTime(b)
	for b.Loop() {
		s := NewState(host, forgetful{}, Life{Started: noon})
		s.Step(noon, PlanChanged{Assignments: plan, Stored: true})
		s.actions = nil // which the disk has taken
		if len(kept) < 8 {
			kept = append(kept, s)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapAlloc-before)/float64(len(kept)*len(plan)), "B/task")
	b.ReportMetric(float64((processorTime(b)-used).Milliseconds())/float64(b.N), "cpu-ms/arm")
	runtime.KeepAlive(kept)
}

// processorTime is what this process has used so far, whatever else the machine
// does.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkIdleDay is what an hour costs a scheduler of 10,000 tasks that are due
// once a day: its wakes are those of its sleep, and of the tasks.
func BenchmarkIdleDay(b *testing.B) {
	plan := tenThousand()
	for i := range plan {
		plan[i].Task.On.Every = fleet.Duration(24 * time.Hour)
		plan[i].Task.On.Spread = fleet.Duration(23 * time.Hour)
	}
	s := NewState(host, forgetful{}, Life{Started: noon})
	s.Step(noon, PlanChanged{Assignments: plan})
	now, steps := noon, 0
	for b.Loop() {
		for end := now.Add(time.Hour); now.Before(end); steps++ {
			wake := end
			for _, a := range s.Step(now, Tick{}) {
				switch a := a.(type) {
				case Begin:
					s.Step(now, RunEnded{a.Due.Record(host)})
					steps++
				case Wake:
					wake = a.At
				}
			}
			now = now.Add(max(time.Millisecond, sleep(now, wake)))
		}
	}
	b.ReportMetric(float64(steps)/float64(b.N), "steps/h")
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/3600, "%cpu")
}

// TestArmedTaskIsSmall: a task that waits for its time takes at most 1 KiB beside
// its assignment.
func TestArmedTaskIsSmall(t *testing.T) {
	plan := tenThousand()
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	before := memory.HeapAlloc
	s := NewState(host, forgetful{}, Life{Started: noon})
	s.Step(noon, PlanChanged{Assignments: plan, Stored: true})
	s.actions = nil // which the disk has taken
	runtime.GC()
	runtime.ReadMemStats(&memory)
	if each := (memory.HeapAlloc - before) / uint64(len(plan)); each > 1<<10 {
		t.Errorf("%d bytes a task", each)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(plan)
}
