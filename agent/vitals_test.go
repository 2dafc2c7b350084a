package agent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ward is an agent with one task, and its collector.
type ward struct {
	*collector
	cfg  Config
	id   fleet.HostID
	task fleet.TaskID
	keep bool   // the task is kept up
	stop func() // ends the agent; what runs goes on
}

// given is an agent with a plan of one task, and of one order to run it where
// it is manual.
func given(t *testing.T, task fleet.Task) *ward {
	t.Helper()
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	t.Cleanup(func() { killLeft(cfg.StateDir) })
	w := &ward{collector: c, cfg: cfg, task: task.ID(), keep: task.Supervised(), stop: startAgent(t, cfg)}
	w.id = await(t, "a registration", c.hosts).ID
	task.Where = fleet.Where{Labels: "*"}
	plan := fleet.Plan{Host: w.id, Index: 1, Assignments: []fleet.Assignment{{
		Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().Add(-time.Second).UTC(),
	}}}
	if task.On.Manual {
		now := time.Now().UTC()
		plan.Orders = []fleet.Order{{
			ID: fleet.OrderID(uuid.NewString()), Kind: fleet.OrderRun, Host: w.id, Task: task.ID(),
			Run: fleet.RunID(uuid.Must(uuid.NewV7()).String()), Due: now, Expires: now.Add(time.Hour),
		}}
	}
	c.publish(plan)
	return w
}

// killLeft kills the commands of an agent that a test which failed left behind.
func killLeft(stateDir string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environment, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && strings.Contains(string(environment), "\x00FLEETCRON_STATE_DIR="+stateDir+"/") {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
		}
	}
}

// end stops what runs, and then the agent.
func (w *ward) end() {
	w.t.Helper()
	if w.keep { // the next instance may be too young to be seen yet
		w.look("it is kept up", func(runs []api.LiveRun) bool { return len(runs) > 0 })
	}
	w.publish(fleet.Plan{Host: w.id, Index: 2, Tombstones: policytest.Retired(w.task)})
	w.look("nothing goes on", func(runs []api.LiveRun) bool { return len(runs) == 0 })
	w.stop()
}

// look asks the agent what goes on until that is as it should be.
func (c *collector) look(what string, is func(runs []api.LiveRun) bool) {
	c.t.Helper()
	for late := time.After(2 * time.Minute); ; {
		c.asks <- api.Ask{ID: "1", Live: true}
		var live api.Live
		answer := await(c.t, what, c.answers)
		if err := json.Unmarshal([]byte(answer), &live); err != nil {
			c.t.Fatalf("%q: %v", answer, err)
		}
		if is(live.Runs) {
			return
		}
		select {
		case <-late:
			c.t.Fatalf("waited in vain until %s; what goes on: %s", what, answer)
		default:
		}
	}
}

// ended waits for the outcome of a run.
func (c *collector) ended(id string) (run fleet.Run) {
	c.t.Helper()
	c.until("the outcome of run "+id, func() bool {
		records := c.outcomes[fleet.RunID(id)]
		if len(records) > 0 {
			run = records[0]
		}
		return len(records) > 0
	})
	return run
}

// daemon says on the probe which run it is, and then does something.
func daemon(path, does string) fleet.Task {
	return fleet.Task{
		Name: "serve", On: fleet.Trigger{Daemon: true},
		Run:     fleet.Execute{Command: fleet.Command{Shell: "echo $FLEETCRON_RUN $FLEETCRON_CHECKPOINT 1<> " + path + "; " + does}},
		Restart: fleet.Restart{Base: fleet.Duration(fleet.MinRestart)},
		Limits:  fleet.Limits{Grace: fleet.Duration(time.Second)},
	}
}

func TestADaemonWhoseProbeFailsIsStartedAgain(t *testing.T) {
	var ill atomic.Bool
	asked := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		asked <- struct{}{}
	}))
	defer server.Close()
	path, ran := witness(t)
	task := daemon(path, "exec sleep 1000")
	task.Health = fleet.Health{HTTP: server.URL + "/health", Every: fleet.Duration(time.Second), Fail: 2, Start: fleet.Duration(time.Second)}
	c := given(t, task)
	defer c.end()
	first := strings.TrimSpace(await(t, "the daemon", ran))
	await(t, "a probe", asked)
	c.look("it is healthy", func(runs []api.LiveRun) bool { return len(runs) == 1 && runs[0].Health == fleet.Healthy })
	ill.Store(true)
	run := c.ended(first)
	ill.Store(false)
	if run.State != fleet.RunRan || run.Reason != fleet.RanUnhealthy || run.Signal != "SIGTERM" || !strings.Contains(run.Detail, "GET "+server.URL+"/health: answered 503") {
		t.Errorf("%+v", run)
	}
	if second := await(t, "the daemon again", ran); strings.TrimSpace(second) == first {
		t.Errorf("run %s twice", second)
	}
}

func TestADaemonThatUsesTooMuchMemoryIsStartedAgain(t *testing.T) {
	path, ran := witness(t)
	task := daemon(path, `x=$(head -c 80000000 /dev/zero | tr '\0' x); while sleep 1; do :; done`)
	task.Restart.When = fleet.Excess{Memory: 50 << 20, For: fleet.Duration(time.Second)}
	c := given(t, task)
	defer c.end()
	run := c.ended(strings.TrimSpace(await(t, "the daemon", ran)))
	if run.Reason != fleet.RanUsage || !strings.Contains(run.Detail, "of memory, and used more than 50MiB in every look for 1s") {
		t.Errorf("%+v", run)
	}
	await(t, "the daemon again", ran)
}

// TestARunThatStallsIsAttemptedAgainFromItsCheckpoint: and meanwhile everybody
// sees how far it is.
func TestARunThatStallsIsAttemptedAgainFromItsCheckpoint(t *testing.T) {
	path, ran := witness(t)
	task := daemon(path, `[ "$FLEETCRON_ATTEMPT" = 2 ] && exit 0; echo "PROGRESS 40 loading" >&3; echo "CHECKPOINT seven eighths" >&3; exec sleep 1000`)
	task.On, task.Restart = fleet.Trigger{Manual: true}, fleet.Restart{}
	task.Limits.Stall = fleet.Duration(4 * time.Second)
	task.Retry = fleet.Retry{Attempts: 2, Base: fleet.Duration(time.Millisecond)}
	c := given(t, task)
	defer c.end()
	first := strings.TrimSpace(await(t, "the run", ran))
	c.look("its progress is shown", func(runs []api.LiveRun) bool {
		return len(runs) == 1 && string(runs[0].Run) == first && runs[0].Beat != nil &&
			runs[0].Progress != nil && *runs[0].Progress == 40 && runs[0].Message == "loading"
	})
	run := c.ended(first)
	if run.State != fleet.RunRan || run.Reason != fleet.RanStalled || run.Again == nil || !strings.Contains(run.Detail, "PROGRESS 40 loading") {
		t.Errorf("%+v", run)
	}
	id, checkpoint, _ := strings.Cut(await(t, "the second attempt", ran), " ")
	if checkpoint != "seven eighths" {
		t.Errorf("given the checkpoint %q", checkpoint)
	}
	if run := c.ended(id); !run.Succeeded() || run.Attempt != 2 {
		t.Errorf("%+v", run)
	}
}

// TestANewAgentKnowsHowFarARunIs: also what it said while there was none. The
// probe is a program, and counts once the command says that it is ready.
func TestANewAgentKnowsHowFarARunIs(t *testing.T) {
	path, ran := witness(t)
	dir := t.TempDir()
	task := daemon(path, `echo "PROGRESS 10 starting" >&3; while [ ! -e go ]; do sleep 0.1; done
		echo "PROGRESS 20 serving" >&3; echo READY >&3; echo ready 1<> `+path+`; exec sleep 1000`)
	task.Run.Dir = dir
	task.Health = fleet.Health{Exec: []string{"/bin/sh", "-c", "test -e ill && echo it hurts && exit 3 || exit 0"}, Every: fleet.Duration(time.Second), Fail: 1, Start: fleet.Duration(time.Hour)}
	c := given(t, task)
	first := strings.TrimSpace(await(t, "the daemon", ran))
	at := func(percent float64, message string) func(runs []api.LiveRun) bool {
		return func(runs []api.LiveRun) bool {
			return len(runs) == 1 && string(runs[0].Run) == first && runs[0].Progress != nil && *runs[0].Progress == percent && runs[0].Message == message
		}
	}
	c.look("it is at 10 percent", at(10, "starting"))
	c.stop()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the command's word that it is ready", ran)
	c.stop = startAgent(t, c.cfg)
	c.look("it is at 20 percent", at(20, "serving"))
	c.look("it is healthy", func(runs []api.LiveRun) bool { return runs[0].Ready && runs[0].Health == fleet.Healthy })
	if err := os.WriteFile(filepath.Join(dir, "ill"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := c.ended(first)
	if err := os.Remove(filepath.Join(dir, "ill")); err != nil {
		t.Fatal(err)
	}
	if run.Reason != fleet.RanUnhealthy || !strings.Contains(run.Detail, "exit code 3") || !strings.Contains(run.Detail, "it hurts") {
		t.Errorf("%+v", run)
	}
}
