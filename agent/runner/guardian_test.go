package runner

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// whole returns a process to wait for.
func whole(t *testing.T, pid int) *process {
	t.Helper()
	s, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	p := attach(pid, s.start)
	if p == nil {
		t.Fatalf("process %d is gone", pid)
	}
	t.Cleanup(p.release)
	return p
}

// handleOf returns the handle of a record.
func handleOf(t *testing.T, l line) handle {
	t.Helper()
	h, err := decodeHandle(l.Handle)
	if err != nil || h.Guard == nil {
		t.Fatalf("%v, guardian %v", err, h.Guard)
	}
	return h
}

func TestWhatEndsWhileNoAgentRunsIsKnownAfterwards(t *testing.T) {
	for _, test := range []struct {
		name, last string
		exit       *int
		signal     string
	}{
		{"success", "exit 0", code(0), ""},
		{"exit code", "exit 5", code(5), ""},
		{"signal", "kill -USR1 $$", nil, "SIGUSR1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			spec, started, hold := held(t, b, `echo before; echo $$ > $STARTED; read x < $HOLD; echo after; `+test.last)
			last := killedAgent(t, b, spec, fleet.RunRunning)
			h := handleOf(t, last)
			command := whole(t, pids(t, started())[0])
			guardian := whole(t, h.Guard.PID)
			killed := time.Now()
			write(t, hold, "\n", 0o600)
			<-command.gone
			<-guardian.gone // it has nothing left to do
			ended := time.Now()
			b.Attach(last.Run, last.Handle)
			got := b.wait()
			if got.State != fleet.RunRan || got.Signal != test.signal {
				t.Errorf("%s %s %s: %s", got.State, got.Reason, got.Signal, got.Detail)
			}
			if diff := cmp.Diff(test.exit, got.Exit); diff != "" {
				t.Error("exit:", diff)
			}
			if got.Ended == nil || got.Ended.Before(killed) || got.Ended.After(ended) {
				t.Errorf("ended %v, want between %v and %v", got.Ended, killed, ended)
			}
			if text := b.output(got.ID, Stdout); text != "before\nafter\n" {
				t.Errorf("output %q", text)
			}
			b.sweepBooks()
			if books, _ := filepath.Glob(filepath.Join(b.config.Dir, booksName, "book-*")); len(books) != 0 {
				t.Errorf("books left: %v", books)
			}
		})
	}
}

// TestAttack95_AgentsKilledAtEveryPoint kills the agent as soon as it has recorded a
// state. What the next one says must be what the command itself left behind.
func TestAttack95_AgentsKilledAtEveryPoint(t *testing.T) {
	for n := range 12 {
		state := []fleet.RunState{fleet.RunBegun, fleet.RunRunning, fleet.RunRan}[n%3]
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			probe := filepath.Join(b.dir, "probe")
			spec := b.spec(sh("echo $$ >> " + probe + "; echo done; exit 3"))
			last := killedAgent(t, b, spec, state)
			if state == fleet.RunRan { // as if the outcome had not come to the disk
				last.Run.State, last.Run.PID, last.Run.Started, last.Run.Ended, last.Run.Exit = fleet.RunBegun, 0, nil, nil, nil
				last.Handle = last.Begun
			}
			b.Attach(last.Run, last.Handle)
			got := b.wait()
			text, _ := os.ReadFile(probe)
			if words, _ := os.ReadFile(filepath.Join(b.config.Dir, booksName, wordsName)); len(words) > 0 {
				t.Errorf("last words of a guardian: %s", words)
			}
			switch ran := strings.Count(string(text), "\n"); {
			case ran > 1:
				t.Errorf("it ran %d times", ran)
			case ran == 1 && (got.State != fleet.RunRan || got.Exit == nil || *got.Exit != 3 || got.Stdout != 5):
				t.Errorf("it ran, and the next agent says %+v", got)
			case ran == 0 && (got.State != fleet.RunMissed || got.Reason != fleet.MissedAgentDown):
				t.Errorf("it did not run, and the next agent says %s %s: %s", got.State, got.Reason, got.Detail)
			}
			states := b.memory.states(got.ID)
			if outcomes := len(states); !states[outcomes-1].Terminal() || outcomes > 1 && states[outcomes-2].Terminal() {
				t.Errorf("recorded %v", states)
			}
		})
	}
}

func TestTheTimeLimitHoldsWithoutAnAgent(t *testing.T) {
	b := newBench(t)
	spec, started, _ := held(t, b, `(trap '' TERM; sleep 1000; sleep 1000) & (setsid sleep 1000 &); echo $$ $! > $STARTED; wait; wait`)
	spec.Limits.Timeout = fleet.Duration(300 * time.Millisecond)
	last := killedAgent(t, b, spec, fleet.RunRunning)
	guardian := whole(t, handleOf(t, last).Guard.PID)
	all := pids(t, started())
	<-guardian.gone
	mustBeGone(t, all)
	b.Attach(last.Run, last.Handle)
	got := b.wait()
	if got.State != fleet.RunRan || !got.TimedOut || got.Cancelled || got.Signal == "" || !strings.HasPrefix(got.Detail, "still running 300ms") {
		t.Errorf("%+v", got)
	}
}

func TestTheTimeLimitHoldsWithAFrozenAgent(t *testing.T) {
	b := newBench(t)
	spec, started, _ := held(t, b, `echo $$ > $STARTED; sleep 1000`)
	spec.Limits.Timeout = fleet.Duration(300 * time.Millisecond)
	agent, records := startAgent(t, b, spec)
	last := records(fleet.RunRunning)
	if err := agent.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-whole(t, pids(t, started())[0]).gone
	if err := agent.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := records(fleet.RunRan); !got.Run.TimedOut || got.Run.ID != last.Run.ID {
		t.Errorf("%+v", got.Run)
	}
	agent.Process.Kill()
	_ = agent.Wait()
}

// TestAGuardianThatIsKilled loses what only it could know, and nothing else.
func TestAGuardianThatIsKilled(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD; echo on`)
	b.begin(spec)
	command := whole(t, pids(t, started())[0])
	first := b.guardian()
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.dead
	if got := b.run(b.spec(sh("exit 4"))); got.Exit == nil || *got.Exit != 4 {
		t.Errorf("the next run: %+v", got)
	}
	if b.guardian() == first {
		t.Error("the dead guardian is still asked")
	}
	if command.exited() {
		t.Fatal("the command died with its guardian")
	}
	write(t, hold, "\n", 0o600)
	got := b.wait()
	if got.State != fleet.RunUnknown || got.Reason != fleet.UnknownAgentDied || b.output(got.ID, Stdout) != "on\n" {
		t.Errorf("%+v", got)
	}
}

func TestTheTimeLimitHoldsWithoutAGuardian(t *testing.T) {
	b := newBench(t)
	spec, started, _ := held(t, b, `echo $$ > $STARTED; sleep 1000`)
	spec.Limits.Timeout = fleet.Duration(500 * time.Millisecond)
	b.begin(spec)
	all := pids(t, started())
	<-b.memory.running
	if err := unix.Kill(b.guardian().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := b.wait(); !got.TimedOut {
		t.Errorf("%+v", got)
	}
	mustBeGone(t, all)
}

func TestWithoutAGuardianCommandsStillRun(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Guardian = []string{"/bin/false", "false"} })
	if got := b.run(b.spec(sh("exit 4"))); got.Exit == nil || *got.Exit != 4 {
		t.Errorf("%+v", got)
	}
}

// TestManyCommandsCostOneGuardian holds the memory of a guardian to its bound.
func TestManyCommandsCostOneGuardian(t *testing.T) {
	b := newBench(t)
	const commands = 64
	for range commands {
		b.begin(b.spec(fleet.Command{Argv: []string{"/bin/sleep", "1000"}}))
	}
	for range commands {
		<-b.memory.running
	}
	rollup, err := os.Open("/proc/" + strconv.Itoa(b.guardian().PID) + "/smaps_rollup")
	if err != nil {
		t.Skip("this kernel does not sum up the memory of a process")
	}
	defer rollup.Close()
	private := 0
	for lines := bufio.NewScanner(rollup); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == "Private_Dirty:" {
			private, _ = strconv.Atoi(fields[1])
		}
	}
	t.Logf("%d KiB of private memory for %d commands", private, commands)
	if private == 0 || private/commands > 1024 {
		t.Errorf("%d KiB of private memory for %d commands, want at most 1 MiB each", private, commands)
	}
	for _, id := range b.Running() {
		b.Cancel(id, "over")
	}
	for range commands {
		b.wait()
	}
}

func TestABookKeepsWhatIsNotForgotten(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "book"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	book := newBook(file)
	at := time.Date(2026, 11, 21, 2, 30, 0, 0, time.UTC)
	note := func(run fleet.RunID, ended time.Time) {
		t.Helper()
		if err := book.write(&status{Run: run, Boot: "b", PID: 7, Start: 9, Started: at, Ended: ended}); err != nil {
			t.Fatal(err)
		}
	}
	note("one", time.Time{})
	note("two", time.Time{})
	note("one", at)
	book.forget("two")
	note("three", at)
	if book.places != 3 {
		t.Errorf("%d places, want the seal and two", book.places)
	}
	for _, test := range []struct {
		run   fleet.RunID
		h     handle
		noted bool
	}{
		{"one", handle{Boot: "b"}, true},
		{"one", handle{Boot: "b", PID: 7, Start: 9}, true},
		{"one", handle{Boot: "b", PID: 7, Start: 10}, false},
		{"one", handle{Boot: "other"}, false},
		{"two", handle{Boot: "b"}, false},
		{"three", handle{Boot: "b"}, true},
		{sealed, handle{Boot: "b"}, false},
	} {
		if s, noted := findStatus(file.Name(), test.run, &test.h); noted != test.noted || noted && !s.over() {
			t.Errorf("%s %+v: %v %+v", test.run, test.h, noted, s)
		}
	}
	if err := book.seal("b"); err != nil {
		t.Fatal(err)
	}
	if _, is := findStatus(file.Name(), sealed, &handle{Boot: "b"}); !is {
		t.Error("the seal does not show")
	}
}

func FuzzStatus(f *testing.F) {
	whole, err := (&status{Run: "01937f3c-0001", Boot: "b", PID: 7, Start: 9, Ended: due}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:100])
	f.Add(bytes.Repeat([]byte{0}, slotBytes))
	f.Fuzz(func(t *testing.T, slot []byte) {
		s, err := decodeStatus(slot)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Skip("longer than it came, as escapes may be")
		}
		if back, err := decodeStatus(again); err != nil || !cmp.Equal(s, back) {
			t.Errorf("%+v became %+v, %v", s, back, err)
		}
	})
}
