package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestMemosAndOrdersSurvive goes through both ways in which they are kept: as
// records, and in the checkpoint of a later segment.
func TestMemosAndOrdersSurvive(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	remember := func(task fleet.TaskID, text string) {
		t.Helper()
		if err := j.Remember(t.Context(), task, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	remember("default/a", "old")
	remember("default/a", "new")
	remember("default/b", "gone soon")
	remember("default/b", "")
	if err := j.Did(t.Context(), "stop-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := j.Did(t.Context(), "stop-of-last-month", time.Now().Add(-2*orderMemory)); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if got := string(j.Recall("default/a")); got != "new" {
			t.Errorf("%s: recalled %q", when, got)
		}
		if diff := cmp.Diff([]fleet.TaskID{"default/a"}, j.Remembered()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		if !j.OrderDecided("stop-1") {
			t.Errorf("%s: the order is forgotten", when)
		}
		if records := outbox(t, j, 0); len(records) != 0 {
			t.Errorf("%s: %d records travel that are nobody else's business", when, len(records))
		}
	}
	check("at once")
	j.Close()
	j = open(t, dir, Options{})
	check("after a restart")
	if _, err := j.LoadPlan(); err != nil {
		t.Fatal(err)
	}
	if err := j.rotate(false); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if err := os.Remove(j.segments[0].path); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, Options{})
	check("from a checkpoint")
	if j.OrderDecided("stop-of-last-month") {
		t.Error("an order is remembered for ever")
	}
}

func TestAMemoIsBounded(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	err := j.Remember(t.Context(), "default/a", make([]byte, MaxMemo+1))
	if err == nil || !strings.Contains(err.Error(), "default/a") {
		t.Errorf("got %v", err)
	}
	if j.Recall("default/a") != nil {
		t.Error("it was remembered all the same")
	}
}

// TestMemosWaitForSpace fills the disk: the newest memo of each task and the
// order are written when there is space again, and only those.
func TestMemosWaitForSpace(t *testing.T) {
	dir := t.TempDir()
	full := false
	j := open(t, dir, Options{write: func(file *os.File, data []byte, at int64) (int, error) {
		if full {
			return 0, unix.ENOSPC
		}
		return file.WriteAt(data, at)
	}})
	full = true
	for _, err := range []error{
		j.Remember(t.Context(), "default/a", []byte("first")),
		j.Remember(t.Context(), "default/a", []byte("second")),
		j.Did(t.Context(), "stop-1", time.Now()),
	} {
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if held := j.Stats().Held; held != 2 {
		t.Errorf("%d records wait for space, want the newest memo and the order", held)
	}
	full = false
	j.Close() // which writes what waits
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(left) != 1 {
		t.Fatalf("segments %v", left)
	}
	j = open(t, dir, Options{})
	if got := string(j.Recall("default/a")); got != "second" || !j.OrderDecided("stop-1") {
		t.Errorf("recalled %q", got)
	}
}

// TestAWaitingRunMaySayAnewWhatItWaitsFor is what its keeper needs to do.
func TestAWaitingRunMaySayAnewWhatItWaitsFor(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	pending := run(1, fleet.RunPending)
	put(t, j, pending)
	pending.Detail = "waits for a slot"
	put(t, j, pending)
	if open := j.OpenRuns(); len(open) != 1 || open[0].Run.Detail != "waits for a slot" {
		t.Errorf("open: %+v", open)
	}
	put(t, j, run(1, fleet.RunBegun))
	if err := j.Record(t.Context(), pending, nil); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a run that has begun waits again: %v", err)
	}
}
