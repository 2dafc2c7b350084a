package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ownGroup is a command that says which cgroup it is in.
const ownGroup = "sed -n 's/^0:://p' /proc/self/cgroup"

// groupOf begins a command that says which cgroup it is in, and returns that.
func groupOf(t *testing.T, b *bench, change func(*Spec)) string {
	t.Helper()
	spec := b.spec(sh(ownGroup))
	change(&spec)
	if got := b.run(spec); !got.Succeeded() {
		t.Fatalf("%+v", got)
	}
	return filepath.Base(strings.TrimSpace(b.output(spec.Run.ID, Stdout)))
}

// TestCgroupsAreMadeReady: a run takes one that was made before, once; one that is
// gone meanwhile is made again; and what is asked how much it used gets its own.
func TestCgroupsAreMadeReady(t *testing.T) {
	b := newBench(t, grouped(realGroup(t)))
	b.Expect(nil, 3)
	for b.makeOne() {
	}
	stock := &b.cgroups.stock
	if len(stock.ready) != 3 {
		t.Fatalf("ready: %v", stock.ready)
	}
	gone := stock.ready[1]
	b.sweepGroups()
	if err := unix.Rmdir(gone); err != nil { // a person tidies up; the sweep has left it
		t.Fatal(err)
	}
	as := func(*Spec) {}
	first, second := groupOf(t, b, as), groupOf(t, b, as)
	if first == second || !strings.HasPrefix(first, "ready-") || second != filepath.Base(gone) {
		t.Errorf("the runs were in %q and %q", first, second)
	}
	for _, name := range []string{first, second} {
		if _, err := os.Lstat(filepath.Join(b.cgroups.dir, name)); err == nil {
			t.Errorf("the cgroup %s of a run that is over is there", name)
		}
	}
	if daemon := groupOf(t, b, func(s *Spec) { s.Whole = true }); strings.HasPrefix(daemon, "ready-") {
		t.Errorf("a whole run was in %q, which knows only what all of its runs used", daemon)
	}
	if len(stock.ready) != 1 || len(stock.held) != 1 {
		t.Errorf("ready %v, held %v", stock.ready, stock.held)
	}
	stock.close()
	if left, _ := filepath.Glob(filepath.Join(b.cgroups.dir, "ready-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestCgroupsOfAnAgentThatDiedAreSwept, if they were only made ready.
func TestCgroupsOfAnAgentThatDiedAreSwept(t *testing.T) {
	b := newBench(t, grouped(realGroup(t)))
	before := &groupStock{}
	before.keep(2)
	for range 2 {
		if made, err := before.add(b.cgroups.dir); !made || err != nil {
			t.Fatal(made, err)
		}
	}
	if made, _ := before.add(b.cgroups.dir); made {
		t.Error("more than there are to be")
	}
	b.sweepGroups()
	if left, _ := filepath.Glob(filepath.Join(b.cgroups.dir, "ready-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestAPromptGuardianHandsNothingOn: its commands are scheduled as everybody.
func TestAPromptGuardianHandsNothingOn(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read -r line < $HOLD`)
	b.begin(spec)
	pid := pids(t, started())[0]
	got, err := unix.SchedGetAttr(pid, 0)
	own, failed := unix.SchedGetAttr(0, 0)
	write(t, hold, "go on\n", 0o600)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if got.Runtime == promptSlice || got.Nice != own.Nice || got.Policy != own.Policy || got.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
		t.Errorf("a command is scheduled as %+v, this process as %+v", got, own)
	}
	b.wait()
}
