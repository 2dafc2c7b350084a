package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What every user of a host can compute of a run is its id. None of these may get
// hold of one by it.

// forger is a process of another user's that pretends to be the run, and leads a
// session.
func forger(t *testing.T, run fleet.RunID) *process {
	t.Helper()
	command := exec.Command("/bin/sleep", "1000")
	command.Env = []string{"FLEETCRON_RUN=" + string(run), markVariable + string(run)}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return whole(t, command.Process.Pid)
}

// TestAForgerIsNotTakenForARun begins a run whose process nobody noted, as an
// agent and a guardian leave it that are killed in the middle of the start.
func TestAForgerIsNotTakenForARun(t *testing.T) {
	b := newBench(t)
	for _, mark := range []string{"", "A6LGEJ2UKPTDGBPE6W7SWMIM3R"} { // of an agent that drew none, and of this one
		run := b.spec(sh("")).Run
		run.State = fleet.RunBegun
		stranger := forger(t, run.ID)
		dir := taskDir(b.config.Dir, run.Task)
		for _, stream := range streams {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, streamPath(dir, run.ID, stream), "", 0o600)
		}
		b.Attach(run, (&handle{Boot: b.boot, Mark: mark, Quota: minQuota}).encode())
		if got := b.wait(); got.State != fleet.RunUnknown || got.PID != 0 {
			t.Errorf("mark %q: %s, process %d: %s", mark, got.State, got.PID, got.Detail)
		}
		if stranger.exited() {
			t.Errorf("mark %q: the stranger was ended", mark)
		}
	}
}

// TestTheLeaderOfARunIsFound: of the processes that carry its mark and lead a
// session it is the oldest.
func TestTheLeaderOfARunIsFound(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`setsid sh -c 'echo $$ > $F; sleep 1000; sleep 1000' & wait`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	child := pids(t, line())[0]
	leader := (<-b.memory.running).PID
	mark := b.begun(spec.Run.ID).Mark
	if found, is := processOf(mark); !is || found.pid != leader || leader == child || len(mark) < 26 {
		t.Errorf("by mark %q found %+v, %v; the leader is %d, a child of it that leads a session of its own %d", mark, found, is, leader, child)
	}
	b.Cancel(spec.Run.ID, "enough")
	b.wait()
	if found, is := processOf(mark); is {
		t.Errorf("found %+v after the end", found)
	}
}

// TestAStopEndsNoForger: he is not the run's, and whoever cannot be ended would
// hold it up.
func TestAStopEndsNoForger(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			spec, started, _ := held(t, b, `echo $$ > $STARTED; sleep 1000; sleep 1000`)
			spec.Limits.Timeout = fleet.Duration(time.Hour)
			b.begin(spec)
			started()
			stranger := forger(t, spec.Run.ID)
			for _, pid := range b.Families([]fleet.RunID{spec.Run.ID})[spec.Run.ID] {
				if pid == stranger.pid {
					t.Error("he is of the run's family")
				}
			}
			b.Cancel(spec.Run.ID, "enough")
			if got := b.wait(); !got.Cancelled || got.Detail != "enough" {
				t.Errorf("%+v", got)
			}
			if stranger.exited() {
				t.Error("the stranger was ended")
			}
		})
	}
}

// TestNobodyTakesThePlaceOfAPrivateTmp: whoever makes directories under all
// names that he can compute keeps no run from beginning.
func TestNobodyTakesThePlaceOfAPrivateTmp(t *testing.T) {
	needRoot(t)
	b := newBench(t)
	spec := b.spec(sh("ls -A /tmp | wc -l"))
	spec.Execute.PrivateTmp = true
	for _, place := range tmpPlaces {
		taken := filepath.Join(place, tmpPrefix+string(spec.Run.ID))
		if err := os.Mkdir(taken, 0o777); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(taken)
	}
	if got := b.run(spec); !got.Succeeded() || strings.TrimSpace(b.output(got.ID, Stdout)) != "0" {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
	first := b.begun(spec.Run.ID).Tmp
	spec = b.spec(sh("true"))
	spec.Execute.PrivateTmp = true
	b.run(spec)
	if second := b.begun(spec.Run.ID).Tmp; len(first) < 26 || first == second {
		t.Errorf("names %q and %q", first, second)
	}
}
