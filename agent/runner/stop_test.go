package runner

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fifo makes a named pipe by which a command says how far it is. Reading its
// first line waits for the command, and needs no clock.
func fifo(t *testing.T) (path string, line func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
}

// pids reads process numbers that a command wrote.
func pids(t *testing.T, text string) []int {
	t.Helper()
	var all []int
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pid)
	}
	return all
}

func mustBeGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil && !s.dead() {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestStoppingEndsEverythingItStarted(t *testing.T) {
	t.Run("guarded", func(t *testing.T) { testStopping(t) })
	t.Run("unguarded", func(t *testing.T) { testStopping(t, alone) })
}

func testStopping(t *testing.T, change ...func(*Config)) {
	const short = 50 * time.Millisecond // for those that do not act on TERM
	for _, test := range []struct {
		name   string
		script string // writes all its process numbers into $F
		grace  time.Duration
		signal string // empty: it depends on how busy the machine is
		exit   *int
	}{
		{"obeys TERM", `echo $$ > $F; sleep 1000`, time.Hour, "SIGTERM", nil},
		{"tidies up on TERM", `trap 'exit 7' TERM; echo $$ > $F; while :; do sleep 0.01; done`, time.Hour, "", code(7)},
		{"ignores TERM", `trap '' TERM; echo $$ > $F; while :; do sleep 1000; done`, short, "SIGKILL", nil},
		{"children ignore TERM", `(trap '' TERM; sleep 1000) & a=$!; (trap '' TERM; sleep 1000) & echo $$ $a $! > $F; wait`, short, "", nil},
		{"children in their own groups", `set -m; (trap '' TERM; sleep 1000) & a=$!; sleep 1000 & echo $$ $a $! > $F; wait`, short, "", nil},
		{"stopped", `echo $$ > $F; kill -STOP $$; sleep 1000`, time.Hour, "SIGTERM", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, change...)
			path, line := fifo(t)
			spec := b.spec(sh(test.script))
			spec.Execute.Env = map[string]string{"F": path}
			spec.Limits.Grace = fleet.Duration(test.grace)
			b.begin(spec)
			started := pids(t, line())
			if !b.Cancel(spec.Run.ID, "not needed any more") {
				t.Fatal("nothing to cancel")
			}
			got := b.wait()
			if got.State != fleet.RunRan || !got.Cancelled || got.TimedOut || got.Detail != "not needed any more" {
				t.Errorf("%+v", got)
			}
			if test.signal != "" && got.Signal != test.signal || (got.Exit == nil) != (test.exit == nil) {
				t.Errorf("signal %q, exit %v", got.Signal, got.Exit)
			}
			mustBeGone(t, started)
			if b.Cancel(spec.Run.ID, "again") {
				t.Error("a run that has ended was cancelled")
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`(trap '' TERM; sleep 1000) & echo $$ $! > $F; echo half way; wait`))
	spec.Execute.Env = map[string]string{"F": path}
	spec.Limits.Timeout = fleet.Duration(300 * time.Millisecond)
	b.begin(spec)
	started := pids(t, line())
	got := b.wait()
	if got.State != fleet.RunRan || !got.TimedOut || got.Cancelled || got.Signal == "" || got.Tail != "half way\n" {
		t.Errorf("%+v", got)
	}
	if !strings.HasPrefix(got.Detail, "still running ") {
		t.Errorf("detail %q", got.Detail)
	}
	if got.Ended.Sub(*got.Started) < 300*time.Millisecond {
		t.Error("stopped before its time")
	}
	mustBeGone(t, started)
}

func TestARunEndsWithItsMainProcess(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`sleep 1000 & echo $! > $F; exit 4`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	grandchild := pids(t, line())
	got := b.wait() // although the grandchild holds stdout open
	if got.Exit == nil || *got.Exit != 4 {
		t.Errorf("%+v", got)
	}
	if s, err := readStat(grandchild[0]); err != nil || s.dead() {
		t.Error("what a command leaves behind at its own end is not ours to kill")
	}
	unix.Kill(grandchild[0], unix.SIGKILL)
}

func TestNobodyEscapesAStop(t *testing.T) {
	t.Run("guarded", func(t *testing.T) { testEscapes(t) })
	t.Run("unguarded", func(t *testing.T) { testEscapes(t, alone) })
}

func testEscapes(t *testing.T, change ...func(*Config)) {
	for _, test := range []struct{ name, script string }{
		{"a session of its own", `setsid sh -c 'echo $$ > $F; exec sleep 1000' & wait`},
		{"without a parent", `(setsid sh -c 'echo $$ > $F; exec sleep 1000' &) ; while :; do sleep 1000; done`},
		{"children of one that lost its parent", `(setsid sh -c 'env -i F=$F sh -c "sleep 1000 & echo \$\$ \$! > \$F; wait"; sleep 1000' &) ; while :; do sleep 1000; done`},
		{"one that starts others all the time", `trap '' TERM; echo $$ > $F; n=0; while [ $n -lt 200 ]; do (setsid sleep 1000 &); n=$((n+1)); done; sleep 1000`},
		{"and ignores TERM", `trap '' TERM; (setsid sh -c 'echo $$ > $F; sleep 1000; sleep 1000' &) ; sleep 1000; sleep 1000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, change...)
			path, line := fifo(t)
			spec := b.spec(sh(test.script))
			spec.Execute.Env = map[string]string{"F": path}
			b.begin(spec)
			escaped := pids(t, line())
			b.Cancel(spec.Run.ID, "stop")
			got := b.wait()
			if got.State != fleet.RunRan || !got.Cancelled {
				t.Errorf("%+v", got)
			}
			mustBeGone(t, escaped)
			if left := (family{mark: b.begun(spec.Run.ID).Mark, leader: got.PID}).living(); len(left) != 0 {
				t.Errorf("left over: %+v", left)
			}
		})
	}
}

func TestNoZombiesAndNoDescriptorsAreLeft(t *testing.T) {
	b := newBench(t)
	const runs = 200
	many := func() {
		for range runs {
			b.begin(b.spec(fleet.Command{Argv: []string{"/bin/true"}}))
		}
		for range runs {
			if got := b.wait(); !got.Succeeded() {
				t.Fatalf("%+v", got)
			}
		}
		b.work.Wait()
	}
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	many()
	before := open()
	many()
	if after := open(); after > before+2 { // whatever the Go runtime opened meanwhile
		t.Errorf("%d descriptors, before %d", after, before)
	}
	zombies, err := processes(func(s stat) bool { return s.state == 'Z' && s.parent == os.Getpid() })
	if err != nil || len(zombies) != 0 {
		t.Errorf("zombies %v, %v", zombies, err)
	}
}

func TestKernelsWithoutPidfd(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`echo $$ > $F; sleep 1000`))
	spec.Execute.Env = map[string]string{"F": path}
	c := &companion{halt: make(chan halt, 1), over: make(chan struct{}), run: spec.Run, handle: handle{Quota: minQuota, Grace: time.Minute}}
	if failed := b.Runner.start(spec, c); failed != nil {
		t.Fatal(failed)
	}
	c.process.release()
	c.process = accompany(c.process.pid, c.process.start, -1, true)
	started := pids(t, line())
	c.halt <- halt{detail: "stop"}
	b.accompany(c)
	if got := c.run; got.Signal != "SIGTERM" {
		t.Errorf("%+v", got)
	}
	mustBeGone(t, started)
}

func TestProcessEntriesWithHostileNames(t *testing.T) {
	tail := " S 1 42 43 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 987654 0 0"
	for _, name := range []string{"sh", "a b", "a) S 1 2 3", ")", "((", "\n"} {
		got, err := parseStat([]byte("41 (" + name + ")" + tail))
		if err != nil || got != (stat{pid: 41, state: 'S', parent: 1, group: 42, session: 43, start: 987654}) {
			t.Errorf("%q: %+v %v", name, got, err)
		}
	}
	for _, text := range []string{"", "41", "41 (sh) S 1 2", "x (sh)" + tail} {
		if _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add("41 (sh) S 1 42 43 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 987654 0 0")
	f.Fuzz(func(t *testing.T, text string) { _, _ = parseStat([]byte(text)) })
}
