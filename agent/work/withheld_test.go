package work

import (
	"log/slog"
	"testing"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestNothingIsForgottenOfATaskThatIsWithheld: its breaker, and that a person
// stopped it, are there when it comes back.
func TestNothingIsForgottenOfATaskThatIsWithheld(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	w := &work{book: book, log: slog.New(slog.DiscardHandler), withheld: func(task fleet.TaskID) bool { return task == "data/held" }}
	w.begin = &starter{recorder: recorder{journal: book, withheld: w.isWithheld}}
	for _, task := range []fleet.TaskID{"data/held", "data/ended"} {
		if err := w.begin.recorder.Remember(t.Context(), task, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		w.forget(t.Context(), new(fleet.Plan), new(fleet.Plan))
	}
	if err := w.begin.recorder.Remember(t.Context(), "data/held", nil); err != nil {
		t.Fatal(err)
	}
	if string(book.Recall("data/held")) != "x" || book.Recall("data/ended") != nil {
		t.Errorf("remembered: %v", book.Remembered())
	}
}

// TestWhatAPlanHolds asks the one that the collectors gave.
func TestWhatAPlanHolds(t *testing.T) {
	p := &planner{plan: fleet.Plan{Assignments: []fleet.Assignment{{Task: fleet.Task{Namespace: "data", Name: "x"}}}}}
	if !p.holds("data/x") || p.holds("data/y") {
		t.Error("another plan than it was given")
	}
}
