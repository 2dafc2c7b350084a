package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
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
	plan := &fleet.Plan{Host: host, Index: 1}
	for _, task := range tasks {
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().Add(-time.Second)})
	}
	if err := book.SavePlan(plan); err != nil {
		s.b.Fatal(err)
	}
	book.Close()
	config := filepath.Join(s.dir, "agent.yaml")
	text := fmt.Sprintf("collectors: ['http://127.88.9.8:7770']\nstate_dir: %s\nname: measured\nroot: %s\nslots: 10000\nstart_rate: 100000\nlog: {level: error}\n", state, s.empty())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.b.Fatal(err)
	}
	agent := exec.CommandContext(ctx, "../../bin/fleetcron-agent", "run", "--config", config)
	agent.Stderr = os.Stderr
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

// lateness waits until all have written, and returns the 99th percentile of how
// much after their instant they began.
func (s *stage) lateness(path string, due time.Time) time.Duration {
	s.b.Helper()
	for patience := time.Now().Add(time.Minute); ; {
		text, _ := os.ReadFile(path) // not there yet: nothing has begun
		lines := bytes.Fields(text)
		if len(lines) == crowd {
			late := make([]time.Duration, 0, crowd)
			for _, line := range lines {
				nanos, err := strconv.ParseInt(string(line), 10, 64)
				if err != nil {
					s.b.Fatal(err)
				}
				late = append(late, time.Unix(0, nanos).Sub(due))
			}
			slices.Sort(late)
			return late[crowd*99/100]
		}
		if time.Now().After(patience) {
			s.b.Fatalf("%s: %d of %d have begun", filepath.Base(path), len(lines), crowd)
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
	task func(stamp, file string) fleet.Command // of the agent's; nil: the bare loop
	late []time.Duration
}

const (
	rounds = 3
	apart  = 12 * time.Second // from one crowd to the next
)

// BenchmarkLateness lets 1,000 commands be due in the same second: in a bare loop
// that sleeps until then and starts each through a shell, in the agent through a
// shell, and in the agent without one. They take turns. It reports the medians of
// the 99th percentiles, and their ratios to the loop: at most 1.2 through a
// shell, at most 0.5 without.
func BenchmarkLateness(b *testing.B) {
	s := newStage(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	shell := func(stamp, file string) fleet.Command { return fleet.Command{Shell: stamp + " " + file + "; true"} }
	direct := func(stamp, file string) fleet.Command { return fleet.Command{Argv: []string{stamp, file}} }
	rivals := []*rival{{name: "loop_shell"}, {name: "agent_shell", task: shell}, {name: "agent_direct", task: direct}}
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
				s.loop(due(round, turn), shell(s.stamp, file(round, r)).Shell)
			}
			r.late = append(r.late, s.lateness(file(round, r), due(round, turn)))
		}
	}
	floor := median(rivals[0].late)
	for _, r := range rivals {
		b.ReportMetric(float64(median(r.late).Microseconds())/1000, r.name+"_p99_ms")
	}
	for _, r := range rivals[1:] {
		b.ReportMetric(float64(median(r.late))/float64(floor), r.name+"_x_loop")
	}
}

// loop starts the crowd as barely as can be: one after the other, when the time
// has come.
func (s *stage) loop(due time.Time, command string) {
	wait := time.NewTimer(time.Until(due))
	<-wait.C
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		s.b.Fatal(err)
	}
	defer null.Close()
	done := make(chan error, crowd)
	for range crowd {
		p, err := os.StartProcess("/bin/sh", []string{"/bin/sh", "-c", command}, &os.ProcAttr{Files: []*os.File{null, null, null}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}})
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

// supercronic is the peer that the Go module proxy has, at a version that stays.
const supercronic = "github.com/aptible/supercronic@v0.2.48"

// BenchmarkPeers lets the same crowd be due in the same minute in supercronic,
// and in Debian's cron where that is installed, and in the bare loop. It reports
// the 99th percentiles and their ratios to the loop.
func BenchmarkPeers(b *testing.B) {
	s := newStage(b)
	peers := map[string]func(file string) *exec.Cmd{"supercronic": s.supercronic, "cron": s.cron}
	for _, name := range []string{"supercronic", "cron"} {
		file := filepath.Join(s.dir, name+"-times")
		cmd := peers[name](file)
		if cmd == nil {
			b.Logf("%s is not to be had here, and not measured", name)
			continue
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		due := time.Now().Truncate(time.Minute).Add(time.Minute)
		late := s.lateness(file, due)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and with it what it would start in the next minute
		_ = cmd.Wait()
		b.ReportMetric(float64(late.Microseconds())/1000, name+"_p99_ms")
		loop := time.Now().Add(3 * time.Second).Truncate(time.Second)
		s.loop(loop, s.stamp+" "+file+"-loop; true")
		b.ReportMetric(float64(late)/float64(s.lateness(file+"-loop", loop)), name+"_x_loop")
	}
}

// supercronic builds it, and gives it a crontab of the crowd.
func (s *stage) supercronic(file string) *exec.Cmd {
	install := exec.Command("go", "install", supercronic)
	install.Dir = s.dir
	install.Env = append(os.Environ(), "GOBIN="+s.dir, "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		s.b.Logf("%v\n%s", err, out)
		return nil
	}
	return exec.Command(filepath.Join(s.dir, "supercronic"), "-quiet", s.crontab("", file))
}

// cron gives Debian's cron a crontab of the crowd, in a mount namespace of its
// own: the host's stay as they are.
func (s *stage) cron(file string) *exec.Cmd {
	program, err := exec.LookPath("/usr/sbin/cron")
	if err != nil {
		return nil
	}
	table := s.crontab("root ", file)
	script := fmt.Sprintf("mount -t tmpfs none /etc/cron.d && mount -t tmpfs none /var/spool/cron && mount -t tmpfs none /run && install -m 644 %s /etc/cron.d/crowd && exec %s -f", table, program)
	return exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script)
}

// crontab is as many lines as there are commands, all due every minute.
func (s *stage) crontab(user, file string) string {
	path := filepath.Join(s.dir, "crontab")
	line := "* * * * * " + user + s.stamp + " " + file + "\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(line, crowd)), 0o600); err != nil {
		s.b.Fatal(err)
	}
	return path
}
