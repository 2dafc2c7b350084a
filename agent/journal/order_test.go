package journal

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAnOrderOfThePlanIsNotCarriedOutTwice: an order may be valid for a month, and
// the plan on disk holds it until a collector has heard of its run. However old it
// is, and whatever the clock says, it is remembered as long.
func TestAnOrderOfThePlanIsNotCarriedOutTwice(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	plan := &fleet.Plan{Orders: []fleet.Order{{ID: "run-1", Kind: fleet.OrderRun}, {ID: "stop-1", Kind: fleet.OrderStop}}}
	if err := j.SavePlan(plan); err != nil {
		t.Fatal(err)
	}
	ran := run(1, fleet.RunRan)
	ran.Order, ran.Due = "run-1", time.Now().Add(-3*orderMemory)
	put(t, j, ran)
	other := run(2, fleet.RunRan)
	other.Order, other.Due = "run-2", ran.Due
	put(t, j, other)
	if err := j.Did(t.Context(), "stop-1", ran.Due); err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		if err := j.rotate(false); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if err := os.Remove(j.segments[0].path); err != nil {
			t.Fatal(err)
		}
		j = open(t, dir, Options{})
		if _, err := j.LoadPlan(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		again()
		if !j.OrderDecided("run-1") || !j.OrderDecided("stop-1") {
			t.Fatal("an agent that comes back would carry an order of its plan out again")
		}
		if j.OrderDecided("run-2") {
			t.Error("one that is in no plan is remembered for ever")
		}
	}
	if err := j.SavePlan(new(fleet.Plan)); err != nil {
		t.Fatal(err)
	}
	again()
	if j.OrderDecided("run-1") || j.OrderDecided("stop-1") {
		t.Error("they are remembered for ever")
	}
}

// TestNoOrderIsForgottenBecauseThePlanCannotBeRead: which orders it had is not
// known, and a collector may send them again.
func TestNoOrderIsForgottenBecauseThePlanCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	ran := run(1, fleet.RunRan)
	ran.Order, ran.Due = "run-1", time.Now().Add(-3*orderMemory)
	put(t, j, ran)
	j.Close()
	if err := os.WriteFile(dir+"/"+planName, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, Options{})
	if plan, err := j.LoadPlan(); err != nil || plan != nil {
		t.Fatal(plan, err)
	}
	if err := j.rotate(false); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if err := os.Remove(j.segments[0].path); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, Options{})
	if !j.OrderDecided("run-1") {
		t.Error("it is forgotten")
	}
}

// TestEachOpenRunGetsItsOwnOutcome: what waits for space is told together only of
// instants that nobody has heard of yet.
func TestEachOpenRunGetsItsOwnOutcome(t *testing.T) {
	dir := t.TempDir()
	full := false
	j := open(t, dir, Options{write: func(file *os.File, data []byte, at int64) (int, error) {
		if full {
			return 0, unix.ENOSPC
		}
		return file.WriteAt(data, at)
	}})
	skipped := func(n, attempt int) fleet.Run {
		r := run(n, fleet.RunSkipped)
		r.Reason, r.Attempt = fleet.SkippedPaused, attempt
		return r
	}
	for n := 1; n <= 2; n++ {
		pending := run(n, fleet.RunPending)
		pending.Attempt = 2
		put(t, j, pending)
	}
	full = true
	for _, r := range []fleet.Run{skipped(1, 2), skipped(2, 2), skipped(3, 0), skipped(4, 0)} {
		if err := j.Record(t.Context(), r, nil); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if held := j.Stats().Held; held != 3 {
		t.Errorf("%d records wait for space, want one of each attempt and one of the instants after them", held)
	}
	full = false
	j.Close() // which writes what waits
	j = open(t, dir, Options{})
	if left := j.OpenRuns(); len(left) != 0 {
		t.Errorf("an agent that comes back finds %+v open", left)
	}
}
