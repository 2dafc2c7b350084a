package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// crowd is how many commands are due at once.
const crowd = 1000

// stampSource is a program that writes down when it began, and nothing else.
const stampSource = `
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct timespec t;
	char line[64];
	clock_gettime(CLOCK_REALTIME, &t);
	int file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
	int n = snprintf(line, sizeof line, "%lld\n", t.tv_sec * 1000000000LL + t.tv_nsec);
	return file < 0 || write(file, line, n) != n;
}
`

// stage is a directory with the program, and an agent that runs alone.
type stage struct {
	b          *testing.B
	dir, stamp string
}

func newStage(b *testing.B) *stage {
	b.Helper()
	s := &stage{b: b, dir: b.TempDir()}
	s.stamp = filepath.Join(s.dir, "stamp")
	if err := os.WriteFile(s.stamp+".c", []byte(stampSource), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("cc", "-O2", "-static", "-o", s.stamp, s.stamp+".c").CombinedOutput(); err != nil {
		b.Fatalf("%v: a C compiler is needed\n%s", err, out)
	}
	return s
}

// agent starts a real agent that has the tasks on its disk, and no collector.
func (s *stage) agent(ctx context.Context, tasks []fleet.Task) *exec.Cmd {
	s.b.Helper()
	state := filepath.Join(s.dir, "state")
	host := fleet.HostID(strings.Repeat("7", 32))
	if err := os.MkdirAll(state, 0o700); err != nil {
		s.b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "host-id"), []byte(host), 0o600); err != nil {
		s.b.Fatal(err)
	}
	book, err := journal.Open(filepath.Join(state, "journal"), journal.Options{})
	if err != nil {
		s.b.Fatal(err)
	}
	plan := fleet.Plan{Host: host, Index: 1}
	for _, task := range tasks {
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().Add(-time.Second)})
	}
	plan = policytest.Sealed(plan)
	if err := book.SavePlan(&plan); err != nil {
		s.b.Fatal(err)
	}
	book.Close()
	config := filepath.Join(s.dir, "agent.yaml")
	text := fmt.Sprintf("collectors: ['https://127.88.9.8:7770']\nstate_dir: %s\nname: measured\nroot: %s\nslots: 10000\nstart_rate: 100000\nlog: {level: error}\npolicy: %s\n", state, s.empty(), policytest.Trust(s.b, state))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.b.Fatal(err)
	}
	agent := exec.CommandContext(ctx, "../../bin/fleetcron-agent", "run", "--config", config)
	agent.Stderr = os.Stderr
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a benchmark that is killed leaves none behind
	if err := agent.Start(); err != nil {
		s.b.Fatalf("%v (make build first)", err)
	}
	return agent
}

// empty is a tree with nothing in it to be found.
func (s *stage) empty() string {
	root := filepath.Join(s.dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		s.b.Fatal(err)
	}
	return root
}

// lateness waits until all have written that were due at an instant, and returns
// the 99th percentile of how much after it they began. Who was due at an earlier
// one may have written into the same file.
func (s *stage) lateness(path string, due time.Time) time.Duration {
	s.b.Helper()
	for patience := time.Now().Add(time.Minute); ; {
		text, _ := os.ReadFile(path) // not there yet: nothing has begun
		late := make([]time.Duration, 0, crowd)
		for line := range bytes.FieldsSeq(text) {
			nanos, err := strconv.ParseInt(string(line), 10, 64)
			if err != nil {
				s.b.Fatal(err)
			}
			if began := time.Unix(0, nanos).Sub(due); began >= 0 {
				late = append(late, began)
			}
		}
		if len(late) == crowd {
			slices.Sort(late)
			return late[crowd*99/100]
		}
		if time.Now().After(patience) {
			s.b.Fatalf("%s: %d of %d have begun", filepath.Base(path), len(late), crowd)
		}
		rest := time.NewTimer(50 * time.Millisecond)
		<-rest.C
	}
}

// failed tells what became of the runs that should have been, if the benchmark
// failed.
func (s *stage) failed() {
	if !s.b.Failed() {
		return
	}
	book, err := journal.Open(filepath.Join(s.dir, "state", "journal"), journal.Options{})
	if err != nil {
		s.b.Log(err)
		return
	}
	defer book.Close()
	records, err := book.Outbox(0, 1_000_000)
	if err != nil {
		s.b.Log(err)
	}
	for i := range records {
		if run := &records[i].Run; records[i].Stint == nil && !run.Succeeded() {
			s.b.Logf("%s %s(%s) %s %s", run.Task, run.State, run.Reason, run.Detail, run.Tail)
		}
	}
}

// rival is one way to start a crowd at an instant.
type rival struct {
	name string
	task func(stamp, file string) fleet.Command // of the agent's; nil: a bare loop
	loop func(s *stage, file string) starter    // that a bare loop calls for each
	late []time.Duration
}

const (
	rounds = 3
	apart  = 10 * time.Second // from one crowd to the next
)

// The commands of a crowd: one that needs a shell, and one that does not.
func shell(stamp, file string) fleet.Command {
	return fleet.Command{Shell: stamp + " " + file + "; true"}
}

func direct(stamp, file string) fleet.Command { return fleet.Command{Argv: []string{stamp, file}} }

// BenchmarkLateness lets 1,000 commands be due in the same second: in a bare loop
// that sleeps until then and starts each through a shell, and in the agent, with a
// shell and without one. They take turns. It reports the medians of the 99th
// percentiles, and their ratios to the loop: at most 1.2 through a shell, at most
// 0.5 without. What could be reached at all without one is said by two more
// loops: floor starts the command and does nothing else; floor_kept does what is
// promised of each run and needs no second process: its begin is on disk, 64 at
// once, it has files and a session of its own, and is told what it is. Where floor
// is at a half itself, as on two cores, 0.5 cannot be had: the shell that is not
// started costs about as much as the command that is. An agent is as near to it
// as it is to floor_kept. Both loops carry out one fork at a time, as a Go program
// does; the agent has two guardians for that, so it may even be ahead of them.
func BenchmarkLateness(b *testing.B) {
	s := newStage(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	rivals := []*rival{
		{name: "loop_shell", loop: (*stage).throughShell}, {name: "agent_shell", task: shell},
		{name: "floor", loop: (*stage).barely}, {name: "floor_kept", loop: (*stage).kept}, {name: "agent_direct", task: direct},
	}
	file := func(round int, r *rival) string { return filepath.Join(s.dir, fmt.Sprintf("%s-%d", r.name, round)) }
	start := time.Now().Add(10 * time.Second).Truncate(time.Second)
	due := func(round, turn int) time.Time {
		return start.Add(time.Duration(round*len(rivals)+turn) * apart)
	}
	var tasks []fleet.Task
	for round := range rounds {
		for turn, r := range rivals {
			for n := range crowd {
				if r.task == nil {
					break
				}
				at := due(round, turn)
				tasks = append(tasks, fleet.Task{
					Name: fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(r.name, "_", "-"), round, n), On: fleet.Trigger{At: &at},
					Run: fleet.Execute{Command: r.task(s.stamp, file(round, r)), Dir: "/"}, Where: fleet.Where{Labels: "*"},
				})
			}
		}
	}
	agent := s.agent(ctx, tasks)
	defer s.failed()
	defer agent.Wait()
	defer cancel()
	b.ResetTimer()
	for round := range rounds {
		for turn, r := range rivals {
			if r.task == nil {
				s.loop(due(round, turn), r.loop(s, file(round, r)))
			}
			r.late = append(r.late, s.lateness(file(round, r), due(round, turn)))
		}
	}
	first := median(rivals[0].late)
	for n, r := range rivals {
		b.ReportMetric(float64(median(r.late).Microseconds())/1000, r.name+"_p99_ms")
		if n > 0 {
			b.ReportMetric(float64(median(r.late))/float64(first), r.name+"_x_loop")
		}
	}
	load(b)
}

// starter starts the n-th command of a crowd.
type starter func(n int) (*os.Process, error)

// throughShell starts a command through a shell.
func (s *stage) throughShell(file string) starter {
	return s.words("/bin/sh", "-c", shell(s.stamp, file).Shell)
}

// barely starts a command, and that is all.
func (s *stage) barely(file string) starter { return s.words(s.stamp, file) }

func (s *stage) words(argv ...string) starter {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { null.Close() })
	return func(int) (*os.Process, error) {
		return os.StartProcess(argv[0], argv, &os.ProcAttr{Files: []*os.File{null, null, null}, Dir: "/", Env: bareEnv})
	}
}

var bareEnv = []string{"PATH=/usr/bin:/bin"}

// kept starts a command with files, a session and an environment of its own, after
// its begin is on disk.
func (s *stage) kept(file string) starter {
	begins, err := os.OpenFile(file+"-begins", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { begins.Close() })
	const together = 64
	return func(n int) (*os.Process, error) {
		if n%together == 0 {
			_, err := begins.Write(make([]byte, together*300)) // as long as the journal's records are
			if err = errors.Join(err, syscall.Fdatasync(int(begins.Fd()))); err != nil {
				return nil, err
			}
		}
		var own [4]*os.File
		for i := range own {
			path, flags := fmt.Sprintf("%s-%d-%d", file, n, i), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND
			if i == 0 {
				path, flags = os.DevNull, os.O_RDONLY
			}
			var err error
			if own[i], err = os.OpenFile(path, flags, 0o600); err != nil {
				return nil, err
			}
			defer own[i].Close()
		}
		env := bareEnv[:len(bareEnv):len(bareEnv)]
		for i := range 15 { // as many as a run has, and as long
			env = append(env, fmt.Sprintf("FLEETCRON_FACT_%d=%s-%d", i, "01937f3c-0001-7000-8000-00000000", n))
		}
		return os.StartProcess(s.stamp, []string{s.stamp, file}, &os.ProcAttr{Files: own[:], Dir: "/", Env: env, Sys: &syscall.SysProcAttr{Setsid: true}})
	}
}

// loop starts the crowd as barely as can be: one after the other, when the time
// has come.
func (s *stage) loop(due time.Time, start starter) {
	if time.Now().After(due) {
		s.b.Fatal("the crowd before took too long, this one's instant has passed: try it on a machine that does less")
	}
	wait := time.NewTimer(time.Until(due))
	<-wait.C
	done := make(chan error, crowd)
	for n := range crowd {
		p, err := start(n)
		if err != nil {
			s.b.Fatal(err)
		}
		go func() {
			_, err := p.Wait()
			done <- err
		}()
	}
	for range crowd {
		if err := <-done; err != nil {
			s.b.Error(err)
		}
	}
}

// load tells what else the machine was doing.
func load(b *testing.B) {
	b.Helper()
	text, _ := os.ReadFile("/proc/loadavg")
	b.Logf("load %s, %d cores", strings.Join(strings.Fields(string(text))[:2], " "), runtime.GOMAXPROCS(0))
}

func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// BenchmarkIdleTasks starts an agent with 10,000 tasks that are due once a day,
// and reads how much processor time it uses while none is: at most 0.2 % of a
// core.
func BenchmarkIdleTasks(b *testing.B) {
	s := newStage(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var tasks []fleet.Task
	distant := time.Now().UTC().Add(12 * time.Hour)
	for n := range 10_000 {
		at := distant.Add(time.Duration(n) * time.Second)
		tasks = append(tasks, fleet.Task{
			Name: fmt.Sprintf("t%d", n), On: fleet.Trigger{Cron: fmt.Sprintf("%d %d %d * * *", at.Second(), at.Minute(), at.Hour())},
			Run: fleet.Execute{Command: fleet.Command{Argv: []string{s.stamp, "/dev/null"}}}, Where: fleet.Where{Labels: "*"},
		})
	}
	agent := s.agent(ctx, tasks)
	defer agent.Wait()
	defer cancel()
	settle := time.NewTimer(15 * time.Second)
	<-settle.C
	before, began := usedBy(b, agent.Process.Pid), time.Now()
	look := time.NewTimer(30 * time.Second)
	<-look.C
	used := usedBy(b, agent.Process.Pid) - before
	b.ReportMetric(100*used.Seconds()/time.Since(began).Seconds(), "%cpu")
	b.ReportMetric(resident(b, agent.Process.Pid), "MiB_rss")
}

// usedBy is the processor time of a process so far, to the hundredth of a second.
func usedBy(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, tail, _ := strings.Cut(string(text), ") ")
	var ticks int
	for _, field := range strings.Fields(tail)[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
