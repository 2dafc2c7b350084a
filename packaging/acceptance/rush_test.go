//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	rushSize  = 120              // commands that are due in the same second
	rushEvery = 12 * time.Second // from one rush to the next, which a busy machine needs to end one
	rushLate  = 8 * time.Second  // and so late may one begin there
)

// rushKills are when the agent is killed in each rush: by the first of its commands
// to find that so many have written down that they run. The guardian goes with it
// where that is said.
var rushKills = []struct {
	running  int
	guardian bool
}{{1, false}, {rushSize / 8, false}, {rushSize / 3, false}, {rushSize / 6, true}}

// loner is an agent without a collector.
type loner struct {
	*scene
	t         *testing.T
	dir, mark string // mark tells the commands whom to kill, and when
	agent     *exec.Cmd
}

// TestAnAgentIsKilledInTheMiddleOfARush: with more than 32 starts under way the
// agent leaves out and puts off what it writes down. It is killed there, and the
// next one knows of each command what became of it.
func TestAnAgentIsKilledInTheMiddleOfARush(t *testing.T) {
	dir := t.TempDir()
	l := &loner{t: t, dir: filepath.Join(dir, "state"), scene: &scene{cluster: &cluster{t: t}, hosts: []fleet.HostID{fleet.HostID(strings.Repeat("7", 32))}}}
	l.lines, l.probe, l.mark = filepath.Join(dir, "probes"), filepath.Join(dir, "probe"), filepath.Join(dir, "mark")
	for path, text := range map[string]string{l.probe + ".c": probeSource, l.lines: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.must("cc", "-O2", "-static", "-o", l.probe, l.probe+".c")
	first := time.Now().Add(20 * time.Second).Truncate(time.Second)
	l.plan(first)
	l.start()
	for n, kill := range rushKills {
		l.calm(time.Until(first.Add(time.Duration(n)*rushEvery - time.Second)))
		l.kill(kill.running, kill.guardian)
		if n == 0 { // a busy machine may not have taken the plan in before
			l.window(checker.PlanLate, l.hosts[0], l.history.Given[0].Since)
		}
	}
	l.calm(2 * time.Second)
	l.eventually("every run to have an outcome", func(context.Context) error {
		seen, err := journal.Inspect(filepath.Join(l.dir, "journal"))
		if err == nil && seen.Stats.Open+len(seen.Runs) > 0 {
			err = fmt.Errorf("%d have none", seen.Stats.Open)
		}
		return err
	})
	l.end()
	l.judge()
}

// plan gives the agent what it is to do, as a collector did once.
func (l *loner) plan(first time.Time) {
	l.t.Helper()
	host := l.hosts[0]
	plan := fleet.Plan{Host: host, Index: 1}
	since := time.Now().UTC()
	for n := range rushKills {
		at := first.Add(time.Duration(n) * rushEvery).UTC()
		for i := range rushSize {
			task := fleet.Task{
				Name: fmt.Sprintf("rush-%d-%d", n, i), Namespace: fleet.DefaultNamespace, On: fleet.Trigger{At: &at, Deadline: fleet.Duration(rushLate)},
				Run: fleet.Execute{Command: fleet.Command{Argv: []string{l.probe, l.lines, "1500", "0", l.mark}}, Dir: "/"}, Where: fleet.Where{Labels: "*"},
			}
			if i%2 == 1 {
				task.Run.Command = fleet.Command{Shell: fmt.Sprintf("%s %s %d 0; true", l.probe, l.lines, 10*i)}
			}
			plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: since})
			l.history.Given = append(l.history.Given, checker.Given{Task: task, Generation: 1, Since: since})
			l.history.Applied = append(l.history.Applied, checker.Applied{Host: host, Task: task.ID(), Generation: 1, At: since})
		}
	}
	plan = policytest.Sealed(plan)
	book, err := journal.Open(filepath.Join(l.dir, "journal"), journal.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := book.SavePlan(&plan); err != nil {
		l.t.Fatal(err)
	}
	if err := book.Close(); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "host-id"), []byte(host), 0o600); err != nil {
		l.t.Fatal(err)
	}
	policytest.Trust(l.t, l.dir)
}

func (l *loner) start() {
	l.t.Helper()
	l.agent = exec.Command(binary(l.t, "fleetcron-agent"), "run", "--state-dir", l.dir, "--root", l.t.TempDir(),
		"--collectors", "https://127.0.0.1:1", "--policy", filepath.Join(l.dir, "policy.yaml"))
	l.agent.Stderr = l.t.Output()
	l.agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.agent.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = l.agent.Process.Kill() }) // it ended long ago, unless the test failed
}

// kill has a command of the next rush kill the agent, waits for that, and starts
// another one. A test that watched from outside would come too late: the machine
// is busy with the rush.
func (l *loner) kill(running int, guardian bool) {
	l.t.Helper()
	who := "agent"
	if guardian {
		who = "guardian"
	}
	mark := fmt.Sprintf("%d %d %s\n", bytes.Count(l.text(), []byte("\n"))+running, l.agent.Process.Pid, who)
	if err := os.WriteFile(l.mark, []byte(mark), 0o600); err != nil {
		l.t.Fatal(err)
	}
	from := time.Now()
	limit := time.AfterFunc(patience, func() { _ = l.agent.Process.Kill() })
	_ = l.agent.Wait() // it was killed: that is no news
	limit.Stop()
	if _, err := os.Stat(l.mark); !os.IsNotExist(err) {
		l.t.Fatalf("waited in vain for %d commands of a rush (%v)", running, err)
	}
	seen, err := journal.Inspect(filepath.Join(l.dir, "journal"))
	if err != nil {
		l.t.Fatal(err)
	}
	open := map[fleet.RunState]int{}
	for _, run := range seen.Runs {
		open[run.Run.State]++
	}
	l.t.Logf("killed with %d commands started and, by the journal, %v", len(l.readLines()), open)
	if open[fleet.RunBegun] == 0 {
		l.t.Errorf("killed when nothing had only begun: there was no rush")
	}
	l.start()
	l.calm(time.Second)
	l.window(checker.AgentDown, l.hosts[0], from)
	if guardian {
		l.window(checker.GuardianDown, l.hosts[0], from)
	}
}

// end ends the last agent as a person would.
func (l *loner) end() {
	_ = l.agent.Process.Signal(syscall.SIGTERM)
	if err := l.agent.Wait(); err != nil {
		l.t.Error(err)
	}
}

// text is what the commands have written down.
func (l *loner) text() []byte {
	l.t.Helper()
	text, err := os.ReadFile(l.lines)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// judge lets the checker compare what the journal holds with what the commands
// wrote.
func (l *loner) judge() {
	l.t.Helper()
	book, err := journal.Open(filepath.Join(l.dir, "journal"), journal.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	defer book.Close()
	records, err := book.Outbox(0, 1_000_000)
	if err != nil {
		l.t.Fatal(err)
	}
	host := l.hosts[0]
	for i := range records {
		if run := &records[i].Run; run.State == fleet.RunUnknown && !rushKills[l.rushOf(run)].guardian {
			l.t.Errorf("%s is unknown, and its guardian lived on: %s", run.Task, run.Detail)
		}
		l.history.Deliveries = append(l.history.Deliveries, checker.Delivery{Host: host, Journal: book.ID(), Sequence: records[i].Sequence, Run: records[i].Run, Stint: records[i].Stint})
	}
	l.history.Journals = []checker.Journal{{Host: host, ID: book.ID(), Tail: book.Stats().Newest, Entries: l.history.Deliveries}}
	l.history.Until, l.history.Probes = time.Now(), l.readLines()
	l.leftovers()
	l.history.Tolerance = checker.Tolerance{Late: rushLate + time.Second, Record: 5 * time.Second, Settle: 10 * time.Second}
	l.history.Minima = checker.Minima{Due: len(rushKills) * rushSize, Ran: len(rushKills) * rushSize / 8, Probes: len(rushKills) * rushSize / 8, Windows: map[checker.Kind]int{checker.AgentDown: len(rushKills), checker.GuardianDown: 1}}
	verdict, err := checker.Check(&l.history)
	if err != nil || !verdict.Holds() {
		l.t.Errorf("%v", err)
	}
	l.t.Logf("%s", verdict)
}

// rushOf is the rush that a run belongs to.
func (l *loner) rushOf(run *fleet.Run) (n int) {
	if _, err := fmt.Sscanf(run.Task.Name(), "rush-%d-", &n); err != nil {
		l.t.Fatal(err)
	}
	return n
}
