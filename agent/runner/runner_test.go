package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const host fleet.HostID = "0123456789abcdef0123456789abcdef"

var due = time.Date(2026, 11, 21, 2, 30, 0, 0, time.UTC)

// memory records like a journal that never fails, unless told to.
type memory struct {
	mu      sync.Mutex
	records []fleet.Run
	handles map[fleet.RunID][]byte
	begun   map[fleet.RunID][]byte // handles of runs when they began
	refuse  error
	running chan fleet.Run
}

func (m *memory) Record(_ context.Context, run fleet.Run, handle []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil && run.State == fleet.RunBegun {
		return m.refuse
	}
	m.records = append(m.records, run)
	m.handles[run.ID] = handle
	if run.State == fleet.RunBegun {
		m.begun[run.ID] = handle
	}
	if run.State == fleet.RunRunning {
		m.running <- run
	}
	return nil
}

func (m *memory) states(id fleet.RunID) []fleet.RunState {
	m.mu.Lock()
	defer m.mu.Unlock()
	var states []fleet.RunState
	for _, r := range m.records {
		if r.ID == id {
			states = append(states, r.State)
		}
	}
	return states
}

// bench is a runner with what a test needs around it.
type bench struct {
	*Runner
	t      testing.TB
	dir    string
	memory *memory
	ended  chan fleet.Run
	found  chan struct{}
	series uint32
	n      int
}

// guardedBy is this program as a guardian.
var guardedBy = []string{"/proc/self/exe", "fleetcron-agent", "guardian"}

// steppedBy is this program as a step.
var steppedBy = []string{"/proc/self/exe", "fleetcron-agent", "step"}

func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{
		t: t, dir: t.TempDir(), series: rand.Uint32(), found: make(chan struct{}, 10), ended: make(chan fleet.Run, 10000),
		memory: &memory{handles: map[fleet.RunID][]byte{}, begun: map[fleet.RunID][]byte{}, running: make(chan fleet.Run, 10000)},
	}
	config := Config{
		Dir: filepath.Join(b.dir, "output"), Recorder: b.memory, Guardian: guardedBy, Step: steppedBy,
		States: filepath.Join(b.dir, "states"),
		Ended:  func(run *fleet.Run) { b.ended <- *run },
		Logger: slog.New(found{slog.DiscardHandler, b.found}),
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if b.Runner, err = New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) spec(command fleet.Command) Spec {
	b.n++
	return Spec{
		Run: fleet.Run{
			// Ids of its own: an earlier test may have left a process behind.
			ID:   fleet.RunID(fmt.Sprintf("01937f3c-%04x-7000-8000-%08x%04x", b.n, b.series, b.n)),
			Task: "data/nightly", Generation: 4, Host: host, Due: due, Attempt: 1,
		},
		Execute: fleet.Execute{Command: command},
		Limits:  fleet.Limits{Grace: fleet.Duration(50 * time.Millisecond)},
	}
}

func sh(script string) fleet.Command { return fleet.Command{Shell: script} }

// begun returns the handle that a run had when it began.
func (b *bench) begun(run fleet.RunID) handle {
	b.t.Helper()
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	h, err := decodeHandle(b.memory.begun[run])
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// run carries out one spec to its end.
func (b *bench) run(spec Spec) fleet.Run {
	b.t.Helper()
	b.begin(spec)
	return b.wait()
}

func (b *bench) begin(spec Spec) {
	b.t.Helper()
	if err := b.Start(b.t.Context(), spec); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wait() fleet.Run {
	b.t.Helper()
	select {
	case run := <-b.ended:
		return run
	case <-b.t.Context().Done():
		b.t.Fatal("no outcome")
		return fleet.Run{}
	}
}

func (b *bench) output(id fleet.RunID, stream string) string {
	b.t.Helper()
	reader, _, err := b.Output(b.t.Context(), id, View{Stream: stream})
	if err != nil {
		b.t.Fatal(err)
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func code(n int) *int { return &n }

func TestHowARunEnds(t *testing.T) {
	t.Run("guarded", func(t *testing.T) { testHowARunEnds(t, newBench(t)) })
	t.Run("unguarded", func(t *testing.T) { testHowARunEnds(t, newBench(t, alone)) })
}

// alone lets the runner itself be the parent of the commands.
func alone(c *Config) { c.Guardian = nil }

func testHowARunEnds(t *testing.T, b *bench) {
	for _, test := range []struct {
		name    string
		command fleet.Command
		exit    *int
		signal  string
		tail    string
	}{
		{"success", sh("exit 0"), code(0), "", ""},
		{"exit code", sh("exit 3"), code(3), "", ""},
		{"exit code with tail", sh("echo out; echo first >&2; echo last >&2; exit 255"), code(255), "", "first\nlast\n"},
		{"tail of stdout", sh("echo only; false"), code(1), "", "only\n"},
		{"success keeps no tail", sh("echo fine"), code(0), "", ""},
		{"signal", sh("kill -9 $$"), nil, "SIGKILL", ""},
		{"other signal", sh("kill -USR1 $$"), nil, "SIGUSR1", ""},
		{"argv as it is", fleet.Command{Argv: []string{"/bin/sh", "-c", `test "$1" = '$HOME *'`, "x", "$HOME *"}}, code(0), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := b.run(b.spec(test.command))
			if got.State != fleet.RunRan || got.Reason != "" {
				t.Fatalf("%s %s: %s", got.State, got.Reason, got.Detail)
			}
			if diff := cmp.Diff(test.exit, got.Exit); diff != "" {
				t.Error("exit:", diff)
			}
			if got.Signal != test.signal || got.Tail != test.tail {
				t.Errorf("signal %q tail %q", got.Signal, got.Tail)
			}
			if got.Started == nil || got.Ended.Before(*got.Started) || got.PID == 0 || got.TimedOut || got.Cancelled {
				t.Errorf("%+v", got)
			}
			want := []fleet.RunState{fleet.RunBegun, fleet.RunRunning, fleet.RunRan}
			if diff := cmp.Diff(want, b.memory.states(got.ID)); diff != "" {
				t.Error("recorded:", diff)
			}
		})
	}
}

func TestWhatCannotStartIsMissedWithASentence(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "file")
	write(t, file, "no program", 0o600)
	text := filepath.Join(b.dir, "text")
	write(t, text, "no program", 0o700)
	orphan := filepath.Join(b.dir, "orphan")
	write(t, orphan, "#!/no/such/interpreter\n", 0o700)
	for _, test := range []struct {
		name   string
		change func(*Spec)
		reason fleet.Reason
		want   string
	}{
		{"missing", func(s *Spec) { s.Execute.Command.Argv[0] = "/no/such/program" }, fleet.MissedForkFailed, "/no/such/program does not exist on this host"},
		{"directory", func(s *Spec) { s.Execute.Command.Argv[0] = b.dir }, fleet.MissedForkFailed, "is a directory, not a program"},
		{"not executable", func(s *Spec) { s.Execute.Command.Argv[0] = file }, fleet.MissedForkFailed, "is not executable: chmod +x it"},
		{"no format", func(s *Spec) { s.Execute.Command.Argv[0] = text }, fleet.MissedForkFailed, "a script needs a first line such as #!/bin/sh"},
		{"no interpreter", func(s *Spec) { s.Execute.Command.Argv[0] = orphan }, fleet.MissedForkFailed, "the interpreter that"},
		{"no directory", func(s *Spec) { s.Execute.Dir = "/no/such/dir" }, fleet.MissedForkFailed, "run.dir /no/such/dir does not exist"},
		{"file as directory", func(s *Spec) { s.Execute.Dir = file }, fleet.MissedForkFailed, "is not a directory"},
		{"no user", func(s *Spec) { s.Execute.User = "nosuchuser" }, fleet.MissedNoUser, `user "nosuchuser" does not exist on this host`},
		{"too long", func(s *Spec) { s.Execute.Env = map[string]string{"X": strings.Repeat("x", 4<<20)} }, fleet.MissedForkFailed, "too long for this host"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := b.spec(fleet.Command{Argv: []string{"/bin/true"}})
			test.change(&spec)
			got := b.run(spec)
			if got.State != fleet.RunMissed || got.Reason != test.reason || !strings.Contains(got.Detail, test.want) {
				t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
	if files, _ := filepath.Glob(filepath.Join(b.dir, "output", "[a-z]*", "*")); len(files) != 0 {
		t.Errorf("output of runs that never started: %v", files)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutADurableBeginNothingStarts(t *testing.T) {
	b := newBench(t)
	b.memory.refuse = errors.New("journal is full")
	mark := filepath.Join(b.dir, "mark")
	got := b.run(b.spec(sh("touch " + mark)))
	if got.State != fleet.RunMissed || got.Reason != fleet.MissedJournal || !strings.Contains(got.Detail, "journal is full") {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("it ran")
	}
}

func TestEnvironmentIsBuiltFromNothing(t *testing.T) {
	t.Setenv("SECRET_OF_THE_AGENT", "x")
	b := newBench(t)
	spec := b.spec(fleet.Command{Argv: []string{"/usr/bin/env"}})
	spec.Execute.Env = map[string]string{"LEVEL": "full", "PATH": "/opt/bin:/bin"}
	spec.Run.Attempt, spec.Run.Parent = 2, "01958d2c-0000-7000-8000-000000000009"
	got := b.run(spec)
	want := []string{
		"HOME=/root", "LANG=C.UTF-8", "LOGNAME=root", "PATH=/opt/bin:/bin", "SHELL=/bin/sh", "USER=root", "LEVEL=full",
		"FLEETCRON_TASK=data/nightly", "FLEETCRON_RUN=" + string(got.ID),
		"FLEETCRON_OCCURRENCE=data/nightly@" + string(host) + "@2026-11-21T02:30:00Z",
		"FLEETCRON_ATTEMPT=2", "FLEETCRON_DUE=2026-11-21T02:30:00Z", "FLEETCRON_HOST=" + string(host), "FLEETCRON_NOTIFY_FD=3",
		"FLEETCRON_PARENT=01958d2c-0000-7000-8000-000000000009",
		"FLEETCRON_STATE_DIR=" + filepath.Join(b.config.States, "data", "nightly"), "FLEETCRON_LAST_EXIT=", "FLEETCRON_CHECKPOINT=", markVariable + b.begun(got.ID).Mark,
	}
	if os.Geteuid() != 0 {
		want[0], want[2], want[5] = "", "", ""
	}
	lines := strings.Split(strings.TrimSpace(b.output(got.ID, Stdout)), "\n")
	for i := range want {
		if want[i] != "" && (i >= len(lines) || lines[i] != want[i]) {
			t.Errorf("line %d of\n%s\nwant %s", i, strings.Join(lines, "\n"), want[i])
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d variables, want %d", len(lines), len(want))
	}
}

func TestWhatAProcessGets(t *testing.T) {
	// The agent's own parent left a descriptor open.
	if err := unix.Dup2(0, 77); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(77)
	b := newBench(t)
	// Its own session and group, nothing on stdin, only three descriptors.
	got := b.run(b.spec(sh(`set -- $(cat /proc/$$/stat); echo $(($1 == $5)) $(($1 == $6)) $(cat | wc -c); readlink /proc/$$/fd/0; pwd; [ -e /proc/$$/fd/77 ] && echo leaked`)))
	home, _ := os.UserHomeDir()
	if text := b.output(got.ID, Stdout); text != "1 1 0\n/dev/null\n"+home+"\n" {
		t.Errorf("%q", text)
	}
}

// TestInputIsReadToItsEnd gives a command more to read than a pipe holds by
// default, and to two commands after each other.
func TestInputIsReadToItsEnd(t *testing.T) {
	b := newBench(t)
	spec := b.spec(sh(`read -r first; echo "$first"; wc -c`))
	spec.Execute.Stdin = "line one\n" + strings.Repeat("x", 32<<10-9)
	got := b.run(spec)
	if text := b.output(got.ID, Stdout); text != "line one\n32759\n" {
		t.Errorf("%q", text)
	}
}

func TestNiceness(t *testing.T) {
	b := newBench(t)
	spec := b.spec(fleet.Command{Argv: []string{"/usr/bin/nice"}})
	spec.Limits.Nice = 7
	if got := b.output(b.run(spec).ID, Stdout); got != "7\n" {
		t.Errorf("niceness %q, want 7", got)
	}
	if got := b.output(b.run(b.spec(fleet.Command{Argv: []string{"/usr/bin/nice"}})).ID, Stdout); got != "0\n" {
		t.Errorf("the next run has niceness %q", got)
	}
}

func TestRunsAsAnotherUserWithItsGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user needs root")
	}
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/nonexistent:/usr/sbin/nologin\n", 0o644)
	write(t, filepath.Join(accounts, "group"), "backup:x:4712:\ndisk:x:4713:nobody,backup\nother:x:4714:backups\n", 0o644)
	b := newBench(t, func(c *Config) { c.Accounts = accounts })
	spec := b.spec(sh(`id -u; id -g; id -G; echo $HOME $USER; pwd; echo again > /dev/stdout`))
	spec.Execute.User = "backup"
	got := b.run(spec)
	if !got.Succeeded() {
		t.Fatalf("%+v", got)
	}
	if text := b.output(got.ID, Stdout); !strings.HasSuffix(text, "again\n") {
		t.Errorf("it cannot open its own stdout: %q", text)
	}
	spec = b.spec(sh(`id -u; id -g; id -G; echo $HOME $USER; pwd`))
	spec.Execute.User = "backup"
	if text := b.output(b.run(spec).ID, Stdout); text != "4711\n4712\n4712 4713\n/nonexistent backup\n/\n" {
		t.Errorf("%q", text)
	}
	// Not root, and nobody else either.
	if _, _, err := (from(accounts)).become(&fleet.Execute{User: "root"}, 4711); err == nil || !strings.Contains(err.Error(), "does not run as root") {
		t.Errorf("%v", err)
	}
	if _, credential, err := (from(accounts)).become(&fleet.Execute{User: "backup"}, 4711); err != nil || credential != nil {
		t.Errorf("%v %v", credential, err)
	}
}

func from(dir string) *accounts { return &accounts{dir: dir} }

func TestUsersComeAndGo(t *testing.T) {
	dir := t.TempDir()
	long := time.Now().Add(-time.Hour)
	put := func(name, text string) {
		write(t, filepath.Join(dir, name), text, 0o644)
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
		long = long.Add(time.Minute)
	}
	a := from(dir)
	put("group", "")
	put("passwd", "one:x:1001:1001::/:/bin/sh\n")
	for range 2 {
		if one, err := a.byName("one"); err != nil || one.uid != 1001 {
			t.Errorf("%+v %v", one, err)
		}
		if _, err := a.byName("two"); err == nil {
			t.Error("there is no two")
		}
	}
	put("group", "more:x:7:two\n")
	put("passwd", "two:x:1001:1001::/:/bin/sh\n")
	if two, err := a.byName("two"); err != nil || len(two.groups) != 2 {
		t.Errorf("%+v %v", two, err)
	}
	if _, err := a.byName("one"); err == nil {
		t.Error("one is gone")
	}
	// Twice within one tick, and as long as before.
	write(t, filepath.Join(dir, "passwd"), "two:x:1002:1001::/:/bin/sh\n", 0o644)
	_, _ = a.byName("two")
	write(t, filepath.Join(dir, "passwd"), "two:x:1003:1001::/:/bin/sh\n", 0o644)
	if two, err := a.byName("two"); err != nil || two.uid != 1003 {
		t.Errorf("%+v %v", two, err)
	}
}

func TestTailIsValidText(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"text", "hello\n", "hello\n"},
		{"cut rune", "\x82\xac euro", " euro"},
		{"binary", "a\xffb", "a\uFFFDb"},
		{"nothing", "", ""},
	} {
		if got := validTail([]byte(test.in), 512); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for _, raw := range [][]byte{bytes.Repeat([]byte{0xff, 'x'}, 256), bytes.Repeat([]byte("€"), 170)} {
		if got := validTail(raw, 512); len(got) > 512 || !utf8.ValidString(got) {
			t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
		}
	}
}

func TestOldOutputGoes(t *testing.T) {
	b := newBench(t, func(c *Config) { c.KeepRuns, c.KeepBytes = 3, 40<<10 })
	var ids []fleet.RunID
	for range 5 {
		ids = append(ids, b.run(b.spec(sh("head -c 12000 /dev/zero"))).ID)
	}
	b.sweepTouched()
	if _, _, err := b.Output(t.Context(), ids[1], View{Stream: Stdout}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("an old run's output: %v", err)
	}
	for _, id := range ids[2:] {
		if len(b.output(id, Both)) != 12000 {
			t.Errorf("output of %s is gone", id)
		}
	}
	other := b.spec(sh("head -c 12000 /dev/zero"))
	other.Run.Task = "data/other"
	last := b.run(other).ID
	b.sweepAll() // 4 × 12 KiB on disk: the oldest goes
	if _, _, err := b.Output(t.Context(), ids[2], View{Stream: Stdout}); err == nil {
		t.Error("all output together is beyond its bound")
	}
	if len(b.output(last, Stdout)) != 12000 {
		t.Error("the newest output is gone")
	}
	if _, _, err := b.Output(t.Context(), "../../etc/passwd", View{Stream: Stdout}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a run id that is a path: %v", err)
	}
}

func TestCommandsAreNotProtectedLikeTheAgent(t *testing.T) {
	// Lowering the score takes a capability, so here it is raised.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("100"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
	b := newBench(t)
	b.protected = true
	path, line := fifo(t)
	spec := b.spec(sh(`echo up > $F; read x < $F; cat /proc/$$/oom_score_adj; umask`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	line()
	<-b.memory.running // it was started, and what the agent does after that is done
	write(t, path, "\n", 0o600)
	if text := b.output(b.wait().ID, Stdout); text != "0\n0022\n" {
		t.Errorf("oom_score_adj and umask %q", text)
	}
}

func TestDrainWaitsForWhatEnds(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.begin(b.spec(sh("exit 3")))
	b.Drain(ctx)
	if left := b.Running(); len(left) != 0 {
		t.Errorf("still running: %v", left)
	}
	b.wait()
	path, line := fifo(t)
	spec := b.spec(sh(`echo up > $F; read x < $F`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	line()
	cancel()
	b.Drain(ctx) // returns although it runs
	if left := b.Running(); len(left) != 1 {
		t.Errorf("running: %v", left)
	}
	write(t, path, "\n", 0o600)
	b.wait()
}
