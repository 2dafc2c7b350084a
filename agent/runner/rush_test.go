package runner

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestEndsWaitForARushAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q rush
		waits := func() time.Duration {
			began := time.Now()
			q.wait(nil)
			return time.Since(began)
		}
		for range crowded - 1 {
			q.enter()
		}
		if got := waits(); got != 0 {
			t.Errorf("waits %s without a rush", got)
		}
		q.enter()
		if got := waits(); got != patience {
			t.Errorf("waits %s in a rush that goes on", got)
		}
		if q.over() != nil {
			t.Error("a rush lasts for as long as somebody comes")
		}
		q.enter() // another one
		go func() {
			time.Sleep(time.Second)
			for range crowded + 1 {
				q.leave()
			}
		}()
		if got := waits(); got != time.Second+settling {
			t.Errorf("waits %s, the last start was after a second", got)
		}
		if q.over() != nil || !q.calm() {
			t.Error("still a rush")
		}
	})
}

// TestARunThatEndsInARush has an outcome, though nobody was told that it ran;
// one that goes on is told of when it is over.
func TestARunThatEndsInARush(t *testing.T) {
	b := newBench(t)
	b.run(b.spec(sh("true"))) // the guardian is there
	<-b.memory.running
	for range crowded {
		b.rush.enter()
	}
	short := b.spec(sh("exit 3"))
	b.begin(short)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD`)
	b.begin(spec)
	pid := pids(t, started())
	select {
	case run := <-b.memory.running:
		t.Errorf("%s is told to run", run.ID)
	default:
	}
	if got := b.wait(); got.ID != short.Run.ID || got.Exit == nil || *got.Exit != 3 { // patience is over
		t.Errorf("%+v", got)
	}
	for range crowded {
		b.rush.leave()
	}
	if run := <-b.memory.running; run.ID != spec.Run.ID || run.PID != pid[0] || run.State != fleet.RunRunning {
		t.Errorf("%+v", run)
	}
	write(t, hold, "\n", 0o600)
	b.wait()
}

func TestWhatIsExpectedIsMadeReady(t *testing.T) {
	b := newBench(t)
	tasks := []Expected{{Task: "data/nightly"}, {Task: "data/other"}, {Task: "data/gone"}}
	b.Expect(tasks, len(tasks))
	b.unexpect("data/gone")
	for b.makeOne() {
	}
	for task, want := range map[string]bool{"nightly": true, "other": true, "gone": false} {
		for _, dir := range []string{filepath.Join(b.config.States, "data", task), filepath.Join(b.config.Dir, "data+"+task)} {
			if _, err := os.Stat(dir); (err == nil) != want {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	if n := b.spares.kept; n != 9 {
		t.Errorf("%d spare files, want those of three runs", n)
	}
	if got := b.run(b.spec(sh("echo out"))); b.output(got.ID, Stdout) != "out\n" {
		t.Errorf("%+v", got)
	}
}

func TestSparesServeTheNextAgent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), spareName)
	store := func() *spares {
		s, err := newSpares(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := store()
	s.keep(4)
	for more := true; more; {
		var err error
		if more, err = s.add(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.fresh[0], "mine", 0o600)
	if err := os.Chmod(s.fresh[1], 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(s.fresh[2], filepath.Join(filepath.Dir(dir), "kept")); err != nil {
		t.Fatal(err)
	}
	next := store()
	if left, _ := os.ReadDir(dir); next.kept != 1 || len(left) != 1 || next.fresh[0] != s.fresh[3] {
		t.Errorf("%+v, %v", next.fresh, left)
	}
	file, err := next.file(filepath.Join(filepath.Dir(dir), "stream"), next.agent)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Chmod(0o640); err != nil {
		t.Fatal(err)
	}
	if next.give(file, file.Name(), next.agent) {
		t.Error("a file that its owner has opened for others serves another run")
	}
}
