package runner

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestMain lets the test program be an agent that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "guardian" {
		if err := Guard(); err != nil {
			panic(err)
		}
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "step" {
		panic(Step(os.Args[2:]))
	}
	if os.Getenv("RUNNER_TEST_AGENT") != "" {
		beAnAgent(os.Getenv("RUNNER_TEST_AGENT"))
		return
	}
	os.Exit(m.Run())
}

// found hears when a run was found again.
type found struct {
	slog.Handler
	heard chan struct{}
}

func (f found) Enabled(context.Context, slog.Level) bool { return true }

func (f found) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "run found again" {
		f.heard <- struct{}{}
	}
	return nil
}

// told prints each record to stdout, for the test to read.
type told struct{ w io.Writer }

type line struct {
	Run    fleet.Run
	Handle []byte
	Begun  []byte `json:"-"` // the handle that its begin had
}

func (t told) Record(_ context.Context, run fleet.Run, handle []byte) error {
	text, err := json.Marshal(line{Run: run, Handle: handle})
	if err != nil {
		return err
	}
	_, err = t.w.Write(append(text, '\n'))
	return err
}

func beAnAgent(dir string) {
	r, err := New(Config{Dir: dir, Recorder: told{os.Stdout}, Guardian: guardedBy, Step: steppedBy, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		panic(err)
	}
	var spec Spec
	if err := json.Unmarshal([]byte(os.Getenv("RUNNER_TEST_SPEC")), &spec); err != nil {
		panic(err)
	}
	if err := r.Start(context.Background(), spec); err != nil {
		panic(err)
	}
	select {} // until it is killed
}

// startAgent starts spec in an agent of its own. The function it returns reads
// its records up to the one of a state.
func startAgent(t *testing.T, b *bench, spec Spec) (agent *exec.Cmd, upTo func(fleet.RunState) line) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	agent = exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), "RUNNER_TEST_AGENT="+b.config.Dir, "RUNNER_TEST_SPEC="+string(text))
	agent.Stderr = os.Stderr
	stdout, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	records := json.NewDecoder(stdout)
	var last line
	return agent, func(state fleet.RunState) line {
		for last.Run.State != state {
			begun := last.Begun
			last = line{}
			if err := records.Decode(&last); err != nil {
				t.Fatal(err)
			}
			if last.Begun = begun; begun == nil {
				last.Begun = last.Handle
			}
		}
		return last
	}
}

// killedAgent starts spec in an agent of its own, and kills that one with -9
// as soon as the run has come to the state. It returns the last record.
func killedAgent(t *testing.T, b *bench, spec Spec, state fleet.RunState) line {
	t.Helper()
	agent, upTo := startAgent(t, b, spec)
	last := upTo(state)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // killed, as it should be
	return last
}

// held returns a spec that says on one pipe that it runs, and ends when
// something comes in by the other.
func held(t *testing.T, b *bench, script string) (spec Spec, started func() string, hold string) {
	t.Helper()
	path, line := fifo(t)
	hold = filepath.Join(t.TempDir(), "hold")
	if err := unix.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	spec = b.spec(sh(script))
	spec.Execute.Env = map[string]string{"STARTED": path, "HOLD": hold}
	return spec, line, hold
}

func TestACommandSurvivesItsAgent(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo before; echo $$ > $STARTED; read x < $HOLD; echo after; exit 5`)
	last := killedAgent(t, b, spec, fleet.RunRunning)
	pid := pids(t, started())
	if s, err := readStat(pid[0]); err != nil || s.dead() {
		t.Fatal("the command died with its agent")
	}
	b.Attach(last.Run, last.Handle)
	<-b.found
	write(t, hold, "\n", 0o600)
	got := b.wait()
	if got.State != fleet.RunRan || got.Exit == nil || *got.Exit != 5 {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
	if got.PID != pid[0] || got.Ended == nil || got.Stdout != 13 {
		t.Errorf("%+v", got)
	}
	if text := b.output(got.ID, Stdout); text != "before\nafter\n" {
		t.Errorf("output %q", text)
	}
}

func TestARunThatWasFoundAgainCanBeStopped(t *testing.T) {
	b := newBench(t)
	spec, started, _ := held(t, b, `(trap '' TERM; sleep 1000) & echo $$ $! > $STARTED; wait`)
	last := killedAgent(t, b, spec, fleet.RunRunning)
	all := pids(t, started())
	b.Attach(last.Run, last.Handle)
	if !b.Cancel(spec.Run.ID, "enough") {
		t.Fatal("nothing to cancel")
	}
	got := b.wait()
	if got.State != fleet.RunRan || !got.Cancelled || got.Detail != "enough" {
		t.Errorf("%+v", got)
	}
	mustBeGone(t, all)
}

func TestAStartThatWasNotRecordedIsFound(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD`)
	last := killedAgent(t, b, spec, fleet.RunRunning)
	pid := pids(t, started())
	// As if the agent had died between the start and its record.
	last.Run.State, last.Run.PID, last.Run.Started = fleet.RunBegun, 0, nil
	h, err := decodeHandle(last.Handle)
	if err != nil {
		t.Fatal(err)
	}
	h.PID, h.Start = 0, 0
	b.Attach(last.Run, h.encode())
	if running := <-b.memory.running; running.PID != pid[0] {
		t.Errorf("found %d, want %d", running.PID, pid[0])
	}
	write(t, hold, "\n", 0o600)
	if got := b.wait(); !got.Succeeded() {
		t.Errorf("%+v", got)
	}
}

// onlyBegins writes begins down and has space for nothing else.
type onlyBegins struct{ *memory }

func (o onlyBegins) Record(ctx context.Context, run fleet.Run, handle []byte) error {
	if run.State != fleet.RunBegun {
		return errors.New("no space")
	}
	return o.memory.Record(ctx, run, handle)
}

// TestARunWhoseEndIsNotOnDiskIsNeverCalledMissed: its files are what shows the
// next agent that it was started.
func TestARunWhoseEndIsNotOnDiskIsNeverCalledMissed(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Recorder = onlyBegins{c.Recorder.(*memory)} })
	if ran := b.run(b.spec(sh("true"))); ran.State != fleet.RunRan {
		t.Fatalf("%+v", ran)
	}
	begun := b.memory.records[0]
	b.Attach(begun, b.memory.handles[begun.ID])
	if got := b.wait(); !got.Succeeded() {
		t.Errorf("it ran, and the next agent says %s %s: %s", got.State, got.Reason, got.Detail)
	}
	// Without what its guardian wrote there are still its files.
	begun.ID = b.memory.records[0].ID
	h, err := decodeHandle(b.memory.handles[begun.ID])
	if err != nil {
		t.Fatal(err)
	}
	h.Guard = nil
	b.Attach(begun, h.encode())
	if got := b.wait(); got.State != fleet.RunUnknown || got.Reason != fleet.UnknownAgentDied {
		t.Errorf("it ran, and the next agent says %s %s: %s", got.State, got.Reason, got.Detail)
	}
}

func TestWhatCanBeProvedAboutALostRun(t *testing.T) {
	b := newBench(t)
	ended := b.run(b.spec(sh("echo done; echo done >&2; exit 1")))
	own, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	boot := b.boot
	running := func(run fleet.Run) fleet.Run {
		run.State, run.Exit, run.Ended, run.Tail = fleet.RunRunning, nil, nil, ""
		return run
	}
	fresh := b.spec(sh("")).Run
	fresh.State = fleet.RunBegun
	waiting := b.spec(sh("")).Run
	waiting.State = fleet.RunPending
	for _, test := range []struct {
		name   string
		run    fleet.Run
		handle handle
		state  fleet.RunState
		reason fleet.Reason
		tail   string
	}{
		{"the process has ended", running(ended), handle{Boot: boot, PID: ended.PID, Start: 1, Quota: minQuota}, fleet.RunUnknown, fleet.UnknownAgentDied, "done\n"},
		{"its number belongs to another", running(ended), handle{Boot: boot, PID: own.pid, Start: own.start + 1, Quota: minQuota}, fleet.RunUnknown, fleet.UnknownAgentDied, "done\n"},
		{"the host was restarted", running(ended), handle{Boot: "another", PID: own.pid, Start: own.start}, fleet.RunUnknown, fleet.UnknownHostDied, ""},
		{"no handle", running(ended), handle{}, fleet.RunUnknown, fleet.UnknownAgentDied, ""},
		{"it never started", fresh, handle{Boot: boot}, fleet.RunMissed, fleet.MissedAgentDown, ""},
		{"it only waited", waiting, handle{}, fleet.RunMissed, fleet.MissedAgentDown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.Attach(test.run, test.handle.encode())
			got := b.wait()
			if got.State != test.state || got.Reason != test.reason || got.Tail != test.tail || got.Detail == "" {
				t.Errorf("%s %s %q: %s", got.State, got.Reason, got.Tail, got.Detail)
			}
			if !test.run.State.MayMoveTo(got.State) {
				t.Errorf("a run that is %s may not become %s", test.run.State, got.State)
			}
		})
	}
}

func TestClosingLeavesCommandsRunning(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD; echo over`)
	b.begin(spec)
	pid := pids(t, started())
	<-b.memory.running
	close(b.closing)
	b.work.Wait()
	b.closing = make(chan struct{})
	if s, err := readStat(pid[0]); err != nil || s.dead() {
		t.Fatal("the command ended with the runner")
	}
	select {
	case got := <-b.ended:
		t.Errorf("an outcome although it goes on: %+v", got)
	default:
	}
	left := whole(t, pid[0])
	write(t, hold, "\n", 0o600)
	<-left.gone
}
