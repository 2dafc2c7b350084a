package scheduler

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatAnInstanceWaitsForIsHeardFirst: whatever was put before could let
// begin what needs it, but for what an earlier agent left.
func TestWhatAnInstanceWaitsForIsHeardFirst(t *testing.T) {
	s := &Scheduler{signal: make(chan struct{}, 1)}
	s.put(RunFound{})
	s.put(PlanChanged{})
	s.Waits(RunWaits{Detail: "first"})
	s.put(Tick{})
	s.Waits(RunWaits{Detail: "second"})
	var got []string
	for event, ok := s.get(); ok; event, ok = s.get() {
		text := fmt.Sprintf("%T", event)
		if waits, is := event.(RunWaits); is {
			text += " " + waits.Detail
		}
		got = append(got, text)
	}
	want := []string{"scheduler.RunFound", "scheduler.RunWaits first", "scheduler.RunWaits second", "scheduler.PlanChanged", "scheduler.Tick"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
