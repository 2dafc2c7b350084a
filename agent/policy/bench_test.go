package policy

import (
	"fmt"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkOpen opens a plan of 500 sealed tasks: as an agent that begins, and
// again when one order came.
func BenchmarkOpen(b *testing.B) {
	for _, cold := range []bool{true, false} {
		b.Run(map[bool]string{true: "new", false: "again"}[cold], func(b *testing.B) {
			const tasks = 500
			bed := newBed(b, usual)
			plan := &fleet.Plan{Host: hostID}
			for i := range tasks {
				one := task()
				one.Name = fmt.Sprint("t", i)
				plan.Assignments = append(plan.Assignments, given(one, sign(b, bed.says(one), bed.anna)))
			}
			if _, refused := bed.gate.Open(plan); len(refused) > 0 {
				b.Fatal(refused)
			}
			for b.Loop() {
				if cold {
					clear(bed.gate.cache)
				}
				bed.gate.Open(plan)
			}
			b.ReportMetric(float64(b.N*tasks)/b.Elapsed().Seconds(), "seals/s")
		})
	}
}

// BenchmarkMay asks once more before a command begins.
func BenchmarkMay(b *testing.B) {
	bed := newBed(b, usual)
	one := task()
	if _, refused := bed.takes(given(one, sign(b, bed.says(one), bed.anna))); len(refused) > 0 {
		b.Fatal(refused)
	}
	for b.Loop() {
		if err := bed.gate.May(&one); err != nil {
			b.Fatal(err)
		}
	}
}
