package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatARunUses burns time, memory and storage in a child that the command
// waits for.
func TestWhatARunUses(t *testing.T) {
	t.Run("guarded", func(t *testing.T) { testUsage(t, newBench(t)) })
	t.Run("unguarded", func(t *testing.T) { testUsage(t, newBench(t, alone)) })
}

func testUsage(t *testing.T, b *bench) {
	file := filepath.Join(b.dir, "file")
	got := b.run(b.spec(sh(`dd if=/dev/zero of=` + file + ` bs=96M count=1 oflag=sync status=none; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done`)))
	if !got.Succeeded() {
		t.Fatalf("%+v", got)
	}
	used := got.Used
	took := fleet.Duration(got.Ended.Sub(*got.Started))
	if used.CPU <= 0 || used.CPU > 2*took {
		t.Errorf("%s of CPU within %s", used.CPU, took)
	}
	small := b.guard != nil || peakOf("self") < 64<<20 // else the parent had more than the command
	if small && (used.Memory < 96<<20 || used.Memory > 192<<20) {
		t.Errorf("memory %s, want a little more than the 96 MiB of the buffer", used.Memory)
	}
	// What counts as storage depends on where the tests run.
	if used.Written > 256<<20 || used.Read > 256<<20 {
		t.Errorf("read %s, written %s", used.Read, used.Written)
	}
}

// TestSmallCommandsAreNotGivenTheirParentsMemory holds against the kernel's
// way to count the fork in.
func TestSmallCommandsAreNotGivenTheirParentsMemory(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD`)
			b.begin(spec)
			pid := pids(t, started())[0]
			most := peakOf(strconv.Itoa(pid))
			write(t, hold, "\n", 0o600)
			got := b.wait()
			if most == 0 || got.Used.Memory > most+64<<10 {
				t.Errorf("memory %s, the command had %s", got.Used.Memory, most)
			}
		})
	}
}

func TestAWholeRunEndsWithItsLastProcess(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			path, line := fifo(t)
			spec := b.spec(sh(`(trap '' TERM; sleep 1000; sleep 1000) & a=$!; (setsid sh -c 'echo $$ > $E; sleep 1000; sleep 1000' &); while [ ! -s $E ]; do sleep 0.01; done; echo $a $(cat $E) > $F; exit 4`))
			spec.Execute.Env = map[string]string{"F": path, "E": filepath.Join(b.dir, "escaped")}
			spec.Whole = true
			b.begin(spec)
			left := pids(t, line())
			got := b.wait()
			if got.State != fleet.RunRan || got.Exit == nil || *got.Exit != 4 || got.TimedOut || got.Cancelled {
				t.Errorf("%+v", got)
			}
			mustBeGone(t, left)
			if left := (family{mark: b.begun(spec.Run.ID).Mark, leader: got.PID}).living(); len(left) != 0 {
				t.Errorf("left over: %+v", left)
			}
		})
	}
}

// TestAWholeRunIsStoppedByTheGuardianAlone ends its main process while no
// agent is there.
func TestAWholeRunIsStoppedByTheGuardianAlone(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `(trap '' TERM; sleep 1000; sleep 1000) & echo $! > $STARTED; read x < $HOLD; exit 4`)
	spec.Whole = true
	last := killedAgent(t, b, spec, fleet.RunRunning)
	left := pids(t, started())
	guardian := whole(t, handleOf(t, last).Guard.PID)
	write(t, hold, "\n", 0o600)
	<-guardian.gone
	mustBeGone(t, left)
	b.Attach(last.Run, last.Handle)
	if got := b.wait(); got.Exit == nil || *got.Exit != 4 {
		t.Errorf("%+v", got)
	}
}

// TestNothingBeginsAfterItsLease asks for a begin before an instant that has
// passed, and before one that is far away.
func TestNothingBeginsAfterItsLease(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			mark := filepath.Join(b.dir, "mark")
			spec := b.spec(sh("touch " + mark))
			spec.Begin = sinceBoot()
			got := b.run(spec)
			if got.State != fleet.RunMissed || got.Reason != fleet.MissedNoLease || got.Detail == "" {
				t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("it ran")
			}
			spec = b.spec(sh("exit 0"))
			spec.Begin = sinceBoot() + time.Hour
			if got := b.run(spec); !got.Succeeded() {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatGoesOn(t *testing.T) {
	b := newBench(t)
	var all []fleet.RunID
	var holds []string
	var processes [][]int
	for range 2 {
		spec, started, hold := held(t, b, `(env -i sleep 1000 &); (setsid sleep 1000 &); sleep 1000 & echo $$ $! > $STARTED; read x < $HOLD; echo gone`)
		b.begin(spec)
		<-b.memory.running
		processes = append(processes, pids(t, started()))
		all, holds = append(all, spec.Run.ID), append(holds, hold)
	}
	going := b.Going()
	if len(going) != 2 || going[0].State != fleet.RunRunning || going[0].PID == 0 || going[0].Started == nil {
		t.Errorf("going on: %+v", going)
	}
	families := b.Families(append(all, "another"))
	for i, id := range all {
		for _, pid := range processes[i] {
			if !slices.Contains(families[id], pid) || slices.Contains(families[all[1-i]], pid) {
				t.Errorf("process %d of the run %d: %v", pid, i, families)
			}
		}
		if len(families[id]) != 4 { // the shell and three that sleep
			t.Errorf("%d processes, want 4", len(families[id]))
		}
		if notes := b.Notes(id); !strings.HasSuffix(notes, string(id)+".notes") {
			t.Errorf("notes in %q", notes)
		}
	}
	if _, known := families["another"]; known || b.Family("another") != nil || b.Notes("another") != "" {
		t.Error("a run that is not there has a family")
	}
	for i, hold := range holds {
		write(t, hold, "\n", 0o600)
		got := b.wait()
		for _, pid := range families[got.ID] {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if i == 1 && len(b.Going()) != 0 {
			t.Error("something goes on")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(b.config.Dir, "*", "*.notes")); len(left) != 0 {
		t.Errorf("notes left: %v", left)
	}
}
