package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// workshop is where the program is built.
var workshop string

// built is the program itself, made when it is needed first: an agent starts it
// again for what it does beside.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workshop, "fleetcron-agent")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if workshop, err = os.MkdirTemp("", "fleetcron-agent"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(workshop)
	os.Exit(code)
}

// host is a state directory with agents that come and go.
type host struct {
	t   *testing.T
	dir string
	log string
}

func newHost(t *testing.T, tasks ...fleet.Task) *host {
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "state"), log: filepath.Join(t.TempDir(), "log")}
	plan := fleet.Plan{Index: 1}
	for _, task := range tasks {
		task.Where = fleet.Where{Labels: "*"}
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().UTC()})
	}
	plan = policytest.Sealed(plan)
	book, err := journal.Open(filepath.Join(h.dir, "journal"), journal.Options{Fatal: func(err error) { t.Error(err) }})
	if err == nil {
		err = errors.Join(book.SavePlan(&plan), book.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	policytest.Trust(t, h.dir)
	if err := os.WriteFile(filepath.Join(h.dir, "host-id"), []byte(strings.Repeat("a", 32)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.program("stop", "--kill", "--drain", "0s") })
	return h
}

// program runs the program as a person would, and returns what it said and its
// exit code.
func (h *host) program(args ...string) (said string, code int) {
	h.t.Helper()
	if args[0] == "run" {
		args = append(args, "--log-file", h.log, "--root", h.t.TempDir(), "--collectors", "https://127.0.0.1:1", "--policy", filepath.Join(h.dir, "policy.yaml"))
	}
	path, err := built()
	if err != nil {
		h.t.Fatal(err)
	}
	command := exec.Command(path, append(args, "--state-dir", h.dir)...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil && command.ProcessState == nil {
		h.t.Fatal(err)
	}
	return out.String(), command.ProcessState.ExitCode()
}

func (h *host) want(code int, says string, args ...string) {
	h.t.Helper()
	if said, got := h.program(args...); got != code || !strings.Contains(said, says) {
		h.t.Fatalf("%s: exit %d, want %d with %q:\n%s\n%s", strings.Join(args, " "), got, code, says, said, h.logged())
	}
}

func (h *host) logged() string {
	text, _ := os.ReadFile(h.log)
	return string(text)
}

// event waits until the log has a line with these facts.
func (h *host) event(facts map[string]string) {
	h.t.Helper()
	until(h.t, fmt.Sprintf("a line with %v", facts), func() bool {
		for line := range strings.Lines(h.logged()) {
			var event map[string]any
			matches := json.Unmarshal([]byte(line), &event) == nil
			for key, value := range facts {
				matches = matches && fmt.Sprint(event[key]) == value
			}
			if matches {
				return true
			}
		}
		return false
	})
}

func (h *host) pid() int {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "agent.pid"))
	line, _, _ := strings.Cut(string(text), "\n")
	pid, errPID := strconv.Atoi(line)
	if err != nil || errPID != nil {
		h.t.Fatalf("pid file: %q, %v", text, err)
	}
	return pid
}

// until waits for what another process does, or fails after a time that only a
// broken one needs.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for late := time.After(2 * time.Minute); !holds(); {
		select {
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func lives(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// stays is a task whose command tells its pid and stays, whatever TERM says.
func stays(t *testing.T) (fleet.Task, func() int) {
	path := filepath.Join(t.TempDir(), "pid")
	task := fleet.Task{
		Name: "stays", On: fleet.Trigger{Every: fleet.Duration(time.Second)},
		Run:    fleet.Execute{Command: fleet.Command{Shell: "trap '' TERM; sleep 1000 & echo $$ $! > " + path + ".new; mv " + path + ".new " + path + "; wait; wait"}},
		Limits: fleet.Limits{Grace: fleet.Duration(50 * time.Millisecond)},
	}
	return task, func() (pid int) {
		t.Helper()
		until(t, "the command", func() bool {
			text, _ := os.ReadFile(path)
			n, _ := fmt.Sscan(string(text), &pid)
			return n == 1
		})
		return pid
	}
}

// TestTheLifeOfADaemon is what an init script does with it.
func TestTheLifeOfADaemon(t *testing.T) {
	h := newHost(t)
	h.want(3, "no agent runs with state_dir", "stop")
	h.want(3, "no agent runs with state_dir", "-s", "reload")
	h.want(0, "running in the background, pid", "run", "--daemon")
	pid := h.pid()
	h.want(0, fmt.Sprintf("running, pid %d", pid), "-s", "status")
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("session %d of process %d, %v", session, pid, err)
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || dir != "/" {
		t.Errorf("works in %s, %v", dir, err)
	}
	h.want(5, fmt.Sprintf("in use by process %d", pid), "run", "--daemon")
	h.want(0, fmt.Sprint("reloading, pid ", pid), "reload")
	h.event(map[string]string{"message": "signal received", "component": "agent", "action": "reload", "signal": "SIGHUP", "pid": fmt.Sprint(pid)})
	if err := unix.Kill(pid, unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	h.event(map[string]string{"message": "signal received", "component": "agent", "action": "reload", "signal": "SIGUSR2"})
	until(t, "two reloads", func() bool { return strings.Count(h.logged(), "configuration taken in") >= 2 })
	h.want(2, "want 1 to 1000000", "reload", "--slots", "0")

	h.want(0, fmt.Sprintf("stopped, pid %d was it", pid), "-s", "stop")
	if lives(pid) {
		t.Error("it still runs")
	}
	h.want(3, "not running", "-s", "status")
	if _, err := os.Stat(filepath.Join(h.dir, "agent.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is left: %v", err)
	}
	h.event(map[string]string{"component": "agent", "action": "stop", "signal": "SIGTERM"})
	h.event(map[string]string{"message": "agent ending", "component": "agent", "action": "stop"})
}

func TestAKilledAgentLocksNobodyOut(t *testing.T) {
	h := newHost(t)
	h.want(0, "pid", "run", "--daemon")
	pid := h.pid()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return !lives(pid) })
	h.want(3, "no agent runs", "stop")
	h.want(0, "pid", "run", "--daemon")
	if h.pid() == pid {
		t.Error("the pid file is the old one")
	}
	h.want(0, "stopped", "stop")
}

func TestADaemonSaysWhyItDidNotStart(t *testing.T) {
	h := newHost(t)
	if err := os.WriteFile(filepath.Join(h.dir, "host-id"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.want(2, "does not hold a host id", "run", "--daemon")
	h.want(2, "want 1 to 1000000", "run", "--daemon", "--slots", "0")
	if said, code := h.program("stop"); code != 3 {
		t.Errorf("an agent runs all the same: %s", said)
	}
}

// TestACommandOutlivesItsAgent until somebody says otherwise.
func TestACommandOutlivesItsAgent(t *testing.T) {
	task, command := stays(t)
	h := newHost(t, task)
	h.want(0, "pid", "run", "--daemon", "--drain", "10ms")
	pid := command()
	h.want(0, "stopped", "stop", "--drain", "0s")
	if !lives(pid) {
		t.Fatal("the command ended with its agent")
	}
	h.want(0, "pid", "run", "--daemon")
	h.event(map[string]string{"message": "run found again"})

	// It drains for as long as it is told, and a second signal ends that.
	agent := h.pid()
	stop := make(chan int)
	go func() {
		_, code := h.program("stop", "--drain", "1h")
		stop <- code
	}()
	h.event(map[string]string{"message": "nothing begins any more", "action": "stop", "drain": "1h0m0s"})
	if !lives(agent) {
		t.Error("it does not drain")
	}
	if err := unix.Kill(agent, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-stop; code != 0 {
		t.Errorf("stop ended with %d", code)
	}
	h.event(map[string]string{"message": "told to stop a second time, ending at once", "signal": "SIGTERM"})
	if !lives(pid) {
		t.Fatal("the command ended with its agent")
	}

	h.want(0, "pid", "run", "--daemon")
	h.want(0, "stopped", "stop", "--kill", "--drain", "0s")
	if lives(pid) {
		t.Error("the command lives on although it was to be killed")
	}
	book, err := journal.Inspect(filepath.Join(h.dir, "journal"))
	if err != nil || len(book.Runs) != 0 {
		t.Errorf("open runs: %+v, %v", book.Runs, err)
	}
}

func TestWhatIsNoSignal(t *testing.T) {
	h := newHost(t)
	h.want(2, "want reload, stop or status", "-s", "restart")
	h.want(2, "--log-file is for --daemon", "run")
}
