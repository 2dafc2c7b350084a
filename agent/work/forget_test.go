package work

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestTasksThatLeftAreForgotten keeps what the scheduler may still speak of.
func TestTasksThatLeftAreForgotten(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	w := &work{book: book, begin: &starter{recorder: recorder{journal: book}}}
	for _, task := range []fleet.TaskID{"data/stays", "data/leaves", "data/left-before", "data/@db", "data/@old", "other/@db"} {
		if err := book.Remember(t.Context(), task, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(tasks ...fleet.Task) *fleet.Plan {
		p := new(fleet.Plan)
		for _, task := range tasks {
			p.Assignments = append(p.Assignments, fleet.Assignment{Task: task})
		}
		return p
	}
	stays := fleet.Task{Namespace: "data", Name: "stays", Breaker: fleet.Breaker{Failures: 1, Key: "db"}}
	leaves := fleet.Task{Namespace: "data", Name: "leaves"}
	before, now := plan(stays, leaves), plan(stays)
	w.forget(t.Context(), before, now)
	if diff := cmp.Diff([]fleet.TaskID{"data/@db", "data/leaves", "data/stays"}, book.Remembered()); diff != "" {
		t.Error(diff)
	}
	w.forget(t.Context(), now, now)
	if slices.Contains(book.Remembered(), "data/leaves") {
		t.Error("it is remembered for ever")
	}
	if diff := cmp.Diff([]fleet.TaskID{"data/leaves"}, gone(before, now)); diff != "" {
		t.Error(diff)
	}
	w.forget(t.Context(), nil, new(fleet.Plan))
	if left := book.Remembered(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestATaskThatLeftIsRememberedAsLongAsItRuns: an agent that comes back stops what
// is left of it only if it knows what that was.
func TestATaskThatLeftIsRememberedAsLongAsItRuns(t *testing.T) {
	book, err := journal.Open(t.TempDir(), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	w := &work{book: book, begin: &starter{recorder: recorder{journal: book}}}
	run := fleet.Run{ID: "01937f3c-0000-7000-8000-000000000001", Task: "data/daemon", Host: "h", Due: time.Now(), Attempt: 1, State: fleet.RunBegun}
	if err := errors.Join(book.Record(t.Context(), run, nil), book.Remember(t.Context(), run.Task, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	w.forget(t.Context(), new(fleet.Plan), new(fleet.Plan))
	if book.Recall(run.Task) == nil {
		t.Error("forgotten while it runs")
	}
	run.State = fleet.RunRan
	if err := book.Record(t.Context(), run, nil); err != nil {
		t.Fatal(err)
	}
	w.forget(t.Context(), new(fleet.Plan), new(fleet.Plan))
	if book.Recall(run.Task) != nil {
		t.Error("remembered for ever")
	}
}
