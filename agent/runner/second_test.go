package runner

import (
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTwoGuardiansShareARush: they are there before it, take turns in it, and one
// of them does all when the other was killed.
func TestTwoGuardiansShareARush(t *testing.T) {
	if old := runtime.GOMAXPROCS(0); old < 2 {
		runtime.GOMAXPROCS(2)
		defer runtime.GOMAXPROCS(old)
	}
	b := newBench(t)
	b.Expect(nil, crowded-1)
	b.readyGuardians()
	if b.guard != nil || b.second != nil {
		t.Error("guardians of a host on which no crowd can be due")
	}
	b.Expect(nil, crowded)
	b.readyGuardians()
	if b.guard == nil || b.second == nil || b.guard.PID == b.second.PID {
		t.Fatalf("guardians %v and %v", b.guard, b.second)
	}
	b.readyGuardians()
	first, second := b.guard, b.second
	shares := func(runs int) map[int]int {
		t.Helper()
		of := map[int]int{}
		for range runs {
			spec := b.spec(sh("exit 3"))
			b.begin(spec)
			of[b.begun(spec.Run.ID).Guard.PID]++
		}
		return of
	}
	ended := func(runs int) {
		t.Helper()
		for range runs {
			if got := b.wait(); got.Exit == nil || *got.Exit != 3 {
				t.Errorf("%+v", got)
			}
		}
	}
	const runs = 6
	for range runs {
		if of := shares(1); of[first.PID] != 1 {
			t.Errorf("alone a run is with %v, want %d", of, first.PID)
		}
		ended(1)
	}
	for range crowded {
		b.rush.enter()
	}
	if of := shares(runs); of[first.PID] != runs/2 || of[second.PID] != runs/2 {
		t.Errorf("in a rush the guardians have %v, want half of them with each of %d and %d", of, first.PID, second.PID)
	}
	for range crowded {
		b.rush.leave()
	}
	ended(runs)
	if err := unix.Kill(second.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-second.dead
	for range crowded {
		b.rush.enter()
	}
	if of := shares(runs); of[first.PID] != runs {
		t.Errorf("with one left the guardians have %v, want all with %d", of, first.PID)
	}
	for range crowded {
		b.rush.leave()
	}
	ended(runs)
	b.readyGuardians()
	if b.second == nil || b.second.lost() {
		t.Error("there is no second one again")
	}
	b.sweepBooks()
	if books, _ := filepath.Glob(filepath.Join(b.config.Dir, booksName, "book-*")); len(books) != 2 {
		t.Errorf("books %v, want those of two guardians", books)
	}
}
