package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// realGroup makes a cgroup for one test, below that of the test itself.
func realGroup(t testing.TB) string {
	t.Helper()
	own := ownCgroup("/proc/self")
	dir := filepath.Join(own, fmt.Sprintf("runner-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if own == "" || os.Mkdir(dir, 0o755) != nil {
		t.Skip("no cgroup v2 that this user may divide")
	}
	t.Cleanup(func() {
		killGroup(dir)
		for try := 0; !removeGroup(dir) && try < 100; try++ {
			time.Sleep(time.Millisecond)
		}
	})
	return dir
}

// grouped lets the runs of a runner have cgroups below a directory.
func grouped(dir string) func(*Config) { return func(c *Config) { c.Cgroup = dir } }

// bomb is a program that never stays the same process: each starts another in
// a session of its own, orphaned and with an empty environment, and ends soon.
const bomb = `#!/bin/sh
trap '' TERM HUP
(setsid env -i "$0" </dev/null >/dev/null 2>&1 &)
sleep 0.02
`

// last returns the highest of the numbers.
func last(pids []int) int {
	highest := 0
	for _, pid := range pids {
		highest = max(highest, pid)
	}
	return highest
}

func TestAttack91And92_NothingEscapesACgroup(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			dir := realGroup(t)
			b := newBench(t, change, grouped(dir))
			program := filepath.Join(t.TempDir(), "bomb")
			write(t, program, bomb, 0o700)
			path, line := fifo(t)
			spec := b.spec(sh(`for n in 1 2 3 4 5; do (setsid env -i ` + program + ` </dev/null >/dev/null 2>&1 &); done; echo up > $F; sleep 1000`))
			spec.Execute.Env = map[string]string{"F": path}
			b.begin(spec)
			line()
			group := b.cgroups.place(spec.Run.ID)
			for before := last(groupPids(group)); before == last(groupPids(group)); { // it has begun to move
				<-time.After(time.Millisecond)
			}
			b.Cancel(spec.Run.ID, "enough")
			got := b.wait()
			if !got.Cancelled || strings.Contains(got.Detail, "cannot be killed") {
				t.Errorf("%+v", got)
			}
			if left := groupPids(group); len(left) != 0 {
				t.Errorf("%d are left", len(left))
			}
			if _, err := os.Stat(group); err == nil {
				t.Error("its cgroup is still there")
			}
			all, err := processes(func(s stat) bool { return !s.dead() })
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.pid)); strings.Contains(string(text), program) {
					t.Errorf("process %d still runs %q", s.pid, text)
				}
			}
		})
	}
}

// TestACgroupOutlivesTheAgent stops, in the next agent, what has wiped every
// other trace of where it came from.
func TestACgroupOutlivesTheAgent(t *testing.T) {
	if delegated("/proc/self", "/run/systemd/system") == "" {
		t.Skip("no cgroup v2 that this user may divide")
	}
	b := newBench(t)
	spec, started, _ := held(t, b, `(setsid env -i sh -c 'echo $$ > '$STARTED'; sleep 1000' >/dev/null 2>&1 &); sleep 1000`)
	last := killedAgent(t, b, spec, fleet.RunRunning)
	all := pids(t, started())
	b.Attach(last.Run, last.Handle)
	<-b.found
	if family := b.Family(spec.Run.ID); !slices.Contains(family, all[0]) {
		t.Errorf("the family is %v, without %v", family, all)
	}
	b.Cancel(spec.Run.ID, "enough")
	if got := b.wait(); !got.Cancelled {
		t.Errorf("%+v", got)
	}
	mustBeGone(t, all)
}

// TestCgroupsOfRunsThatAreOverGo, also those in which something was left.
func TestCgroupsOfRunsThatAreOverGo(t *testing.T) {
	b := newBench(t, grouped(realGroup(t)))
	path, line := fifo(t)
	spec := b.spec(sh(`sleep 1000 & echo $! > $F; mkdir ` + b.cgroups.dir + `/$FLEETCRON_RUN/inner; exit 0`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	left := pids(t, line())[0]
	if got := b.wait(); !got.Succeeded() {
		t.Fatalf("%+v", got)
	}
	group := b.cgroups.place(spec.Run.ID)
	b.sweepGroups()
	if !populated(group) {
		t.Error("what the command left behind has lost its cgroup")
	}
	gone := whole(t, left)
	if err := unix.Kill(left, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-gone.gone
	for populated(group) {
		<-time.After(time.Millisecond)
	}
	b.sweepGroups()
	if _, err := os.Stat(group); err == nil {
		t.Error("the cgroup of a run that is over is still there")
	}
	b.run(b.spec(sh("exit 0")))
	if entries, _ := filepath.Glob(filepath.Join(b.cgroups.dir, "*-*")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

// fakeGroups is a tree in which the kernel's files are made by hand.
func fakeGroups(t *testing.T, controllers string) *cgroups {
	base := t.TempDir()
	write(t, filepath.Join(base, "cgroup.controllers"), controllers+"\n", 0o600)
	mkdir := func(dir string, mode os.FileMode) error {
		if err := os.Mkdir(dir, mode); err != nil {
			return err
		}
		for _, file := range []string{"cgroup.subtree_control", "memory.max", "memory.oom.group", "cpu.max", "pids.max", "io.weight"} {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	write(t, filepath.Join(base, "cgroup.subtree_control"), "", 0o600)
	g := &cgroups{base: base, dir: filepath.Join(base, "runs"), enabled: map[string]error{}, mkdir: mkdir}
	if err := mkdir(g.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAttack92_LimitsOfTheKernel(t *testing.T) {
	g := fakeGroups(t, "cpuset cpu io memory pids")
	dir := g.place("01937f3c-0001")
	limits := fleet.Limits{Memory: 64 << 20, CPU: 1.5, Processes: 12, IOWeight: 50}
	if err := g.make(dir, kernelLimits(&limits)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, file := range []string{"memory.max", "memory.oom.group", "cpu.max", "pids.max", "io.weight"} {
		text, _ := os.ReadFile(filepath.Join(dir, file))
		got[file] = string(text)
	}
	want := map[string]string{"memory.max": "67108864", "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "12", "io.weight": "default 50"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, dir := range []string{g.base, g.dir} {
		if text, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); !strings.HasPrefix(string(text), "+io") { // the last of them, over longer ones
			t.Errorf("%s: %q", dir, text)
		}
	}
	if limits := kernelLimits(&fleet.Limits{CPU: 0.001}); limits[0].value != "1000 100000" {
		t.Errorf("the smallest part of a processor: %v", limits)
	}
	if err := g.make(g.place("01937f3c-0002"), nil); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

func TestLimitsThatThisHostDoesNotKeep(t *testing.T) {
	for _, test := range []struct {
		name   string
		groups func(*testing.T) *cgroups
		limits fleet.Limits
		want   string
	}{
		{"no cgroup v2", func(*testing.T) *cgroups { return &cgroups{} }, fleet.Limits{Memory: 1 << 20}, "limits.memory: this host keeps no such limit for the agent: that needs cgroup v2, and Delegate=yes in the agent's unit"},
		{"no controller", func(t *testing.T) *cgroups { return fakeGroups(t, "cpu pids") }, fleet.Limits{Memory: 1 << 20, CPU: 1}, `limits.memory: the controller "memory" is not delegated`},
		{"a name that only begins so", func(t *testing.T) *cgroups { return fakeGroups(t, "cpuset") }, fleet.Limits{CPU: 1}, `limits.cpu: the controller "cpu" is not delegated`},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := test.groups(t)
			b := newBench(t, func(c *Config) { c.Cgroup = NoCgroup })
			b.cgroups = g
			spec := b.spec(sh("exit 0"))
			spec.Limits = test.limits
			got := b.run(spec)
			if got.State != fleet.RunMissed || got.Reason != fleet.MissedLimits || !strings.HasPrefix(got.Detail, test.want) {
				t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestARunWithoutLimitsNeedsNoCgroup begins where none can be made.
func TestARunWithoutLimitsNeedsNoCgroup(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Cgroup = NoCgroup })
	b.cgroups = fakeGroups(t, "")
	b.cgroups.mkdir = func(string, os.FileMode) error { return errors.New("too many") }
	if got := b.run(b.spec(sh("exit 0"))); !got.Succeeded() {
		t.Errorf("%+v", got)
	}
}

func TestWhatACgroupKnowsOfTheUse(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cpu.stat"), "usage_usec 1500000\nuser_usec 1\n", 0o600)
	write(t, filepath.Join(dir, "memory.peak"), "67108864\n", 0o600)
	used := fleet.Used{CPU: 1, Memory: 2, Read: 3}
	usedBy(dir, &used)
	want := fleet.Used{CPU: fleet.Duration(1500 * time.Millisecond), Memory: 64 << 20, Read: 3}
	if diff := cmp.Diff(want, used); diff != "" {
		t.Error(diff)
	}
	usedBy(t.TempDir(), &used)
	usedBy("", &used)
	if used != want {
		t.Errorf("a cgroup that knows nothing: %+v", used)
	}
}

func TestAttack92_KilledForMemory(t *testing.T) {
	started := time.Now()
	killed := func(change func(*fleet.Run)) fleet.Run {
		run := fleet.Run{State: fleet.RunRan, Signal: "SIGKILL", Started: &started, PID: 1 << 30}
		change(&run)
		return run
	}
	for _, test := range []struct {
		name   string
		events string
		run    fleet.Run
		reason fleet.Reason
		detail string
	}{
		{"by its limit", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\n", killed(func(*fleet.Run) {}), fleet.RanMemory, "killed by the kernel: it needed more than its limits.memory"},
		{"by the host", "oom 0\noom_kill 1\n", killed(func(*fleet.Run) {}), fleet.RanMemory, hostMemory},
		{"a child, and it failed", "oom 1\noom_kill 1\n", killed(func(r *fleet.Run) { r.Signal, r.Exit = "", code(137) }), fleet.RanMemory, "killed by the kernel: it needed more than its limits.memory"},
		{"a child, and it succeeded", "oom 1\noom_kill 1\n", killed(func(r *fleet.Run) { r.Signal, r.Exit = "", code(0) }), "", ""},
		{"by somebody", "oom 0\noom_kill 0\n", killed(func(*fleet.Run) {}), "", ""},
		{"at its time limit", "oom 1\noom_kill 1\n", killed(func(r *fleet.Run) { r.TimedOut, r.Detail = true, "too long" }), "", "too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "memory.events"), test.events, 0o600)
			c := &companion{run: test.run, handle: handle{Group: dir}}
			c.noteGroup()
			if c.run.Reason != test.reason || c.run.Detail != test.detail {
				t.Errorf("%s: %s", c.run.Reason, c.run.Detail)
			}
			if err := c.run.Validate(); c.run.Reason != "" && strings.Contains(fmt.Sprint(err), "reason") {
				t.Error(err)
			}
		})
	}
}

func TestTheKernelsLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "kmsg")
	now := monotonic()
	line := func(ago time.Duration, text string) string {
		return fmt.Sprintf("3,1234,%d,-;%s\n", (now - ago).Microseconds(), text)
	}
	write(t, log, line(time.Hour, "Out of memory: Killed process 41 (old) total-vm:1kB")+
		line(time.Second, "Memory cgroup out of memory: Killed process 42 (new) total-vm:1kB")+
		" CONTINUED=Killed process 43 (x)\n;Killed process 44 (x)\n", 0o600)
	for pid, want := range map[int]bool{41: false, 42: true, 4: false, 43: false, 44: false} {
		if got := killedForMemory(log, pid, time.Minute); got != want {
			t.Errorf("process %d: %v", pid, got)
		}
	}
	if killedForMemory("/no/such/log", 42, time.Minute) {
		t.Error("a log that is not there says so")
	}
}

func TestWhatWasDelegated(t *testing.T) {
	mount := t.TempDir()
	unit := filepath.Join(mount, "system.slice", "agent.service")
	leaf := filepath.Join(unit, "agent")
	if err := os.MkdirAll(leaf, 0o700); err != nil {
		t.Fatal(err)
	}
	self := t.TempDir()
	at := func(path string) {
		write(t, filepath.Join(self, "cgroup"), "1:name=systemd:/x\n0::"+path+"\n", 0o600)
	}
	write(t, filepath.Join(self, "mountinfo"),
		"22 1 0:20 / /sys rw - sysfs sysfs rw\n23 22 0:21 /other /elsewhere rw - cgroup2 none rw\n24 22 0:21 / "+mount+" rw,relatime shared:4 - cgroup2 cgroup2 rw\n", 0o600)
	systemd := t.TempDir()
	at("/system.slice/agent.service/agent")
	if got := delegated(self, systemd); got != "" {
		t.Errorf("nothing was delegated, and %s is taken", got)
	}
	if got := delegated(self, "/no/such/manager"); got != leaf {
		t.Errorf("without a manager: %s, want %s", got, leaf)
	}
	if err := unix.Setxattr(unit, "user.delegate", []byte("1"), 0); err != nil {
		t.Skip("no attributes here:", err)
	}
	if got := delegated(self, systemd); got != unit {
		t.Errorf("the leaf of what was delegated: %q, want %q", got, unit)
	}
	at("/system.slice/agent.service")
	if got := delegated(self, systemd); got != unit {
		t.Errorf("what was delegated: %q, want %q", got, unit)
	}
	at("/system.slice")
	if got := delegated(self, systemd); got != "" {
		t.Errorf("below what is not delegated: %q", got)
	}
	for _, text := range []string{"", "1:name=systemd:/x\n"} {
		write(t, filepath.Join(self, "cgroup"), text, 0o600)
		if got := ownCgroup(self); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}
