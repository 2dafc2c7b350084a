package scheduler

import (
	"fmt"
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
