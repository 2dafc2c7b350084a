//go:build acceptance

package acceptance

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// probeSource is a program that knows nothing of the product but the names of
// some variables. It writes down that it started, takes its time, writes down
// that it ends, and ends with the code that it was given for the first attempt.
// The one that finds so many lines as a fourth argument's file says takes that
// file away and kills what it names, and with "guardian" its own parent too.
const probeSource = `
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static long long now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static const char *env(const char *name) { const char *v = getenv(name); return v && *v ? v : "0"; }
static void strike(const char *lines, const char *mark) {
	char who[16] = "";
	int most = 0, seen = 0, pid = 0, c;
	FILE *f = fopen(mark, "r");
	if (!f) return;
	c = fscanf(f, "%d %d %15s", &most, &pid, who);
	fclose(f);
	if (c < 3 || !(f = fopen(lines, "r"))) return;
	while ((c = fgetc(f)) != EOF) seen += c == '\n';
	fclose(f);
	if (seen < most || unlink(mark)) return;
	kill(pid, SIGKILL);
	if (!strcmp(who, "guardian")) kill(getppid(), SIGKILL);
}
int main(int argc, char **argv) {
	long long wall = now(CLOCK_REALTIME), start = now(CLOCK_MONOTONIC);
	char line[512];
	int file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
	int n = snprintf(line, sizeof line, "start %s %s %s %d %lld %lld\n", env("FLEETCRON_OCCURRENCE"), env("FLEETCRON_ATTEMPT"), env("FLEETCRON_FENCE"), getpid(), start, wall);
	if (file < 0 || write(file, line, n) != n) return 99;
	if (argc > 4) strike(argv[1], argv[4]);
	usleep(atoi(argv[2]) * 1000);
	n = snprintf(line, sizeof line, "end %s %s %s %d %lld %lld\n", env("FLEETCRON_OCCURRENCE"), env("FLEETCRON_ATTEMPT"), env("FLEETCRON_FENCE"), getpid(), now(CLOCK_MONOTONIC), now(CLOCK_REALTIME));
	if (write(file, line, n) != n) return 99;
	return strcmp(env("FLEETCRON_ATTEMPT"), "1") ? 0 : atoi(argv[3]);
}
`

// scene is a cluster under a nemesis, and what is told of both.
type scene struct {
	*cluster
	probe, lines string
	hosts        []fleet.HostID // of the agents
	mu           sync.Mutex
	history      checker.History
	edges        map[string]int // where kills struck, by what the journals show
}

// tasks are what the scene is about: every policy that an outcome may come from.
var checkedTasks = []string{
	"task: beat\non: {every: 1s, deadline: 3s}\nrun: {command: [%s, %s, '100', '0']}\nwhere: {labels: role=test}\n",
	"task: busy\non: {every: 2s, deadline: 3s}\nrun: {command: [%s, %s, '2500', '0']}\nwhere: {labels: role=test}\n",
	"task: queue\non: {every: 3s, deadline: 3s, missed: {policy: once, within: 10s}}\nrun: {command: [%s, %s, '2000', '0']}\nlimits: {overlap: queue}\nwhere: {labels: role=test}\n",
	"task: flaky\non: {every: 4s, deadline: 3s}\nrun: {command: [%s, %s, '50', '1']}\nretry: {attempts: 2, base: 1s}\nwhere: {labels: role=test}\n",
	"task: text\non: {every: 5s, deadline: 3s}\nrun: {command: '%s %s 300 0; true'}\nwhere: {labels: role=test}\n",
	"task: keeper\non: {daemon: true}\nrun: {command: [%s, %s, '4000', '0']}\nrestart: {base: 500ms, cap: 2s, reset: 3s}\nwhere: {labels: role=test}\n",
	"task: lone\non: {every: 2s, deadline: 3s}\nrun: {command: [%s, %s, '700', '0']}\nlimits: {fleet: 1, timeout: 5s, wait: 3s}\nwhere: {labels: role=test}\n",
}

// nemesisTime is how long things are done to the scene at least, and
// nemesisSteps how many: a busy machine takes longer for them.
const (
	nemesisTime  = 60 * time.Second
	nemesisSteps = 2 * 7
)

// TestTheCheckerJudgesRealProcesses runs real collectors and agents under a
// nemesis that kills, stops and spoils them, and lets the checker compare what
// the commands wrote down by themselves with what the collectors know.
func TestTheCheckerJudgesRealProcesses(t *testing.T) {
	s := &scene{cluster: newCluster(t, 3, 3), edges: map[string]int{}}
	s.lines, s.probe = filepath.Join(s.dir, "probes"), filepath.Join(s.dir, "probe")
	source := s.probe + ".c"
	if err := os.WriteFile(source, []byte(probeSource), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("cc", "-O2", "-static", "-o", s.probe, source)
	s.give()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ctx, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	watchers.Go(func() { s.watchMachine(ctx) })
	watchers.Go(func() { s.sampleAccount(ctx) })
	s.nemesis(rand.New(rand.NewPCG(seed, 1)))
	s.history.Healed = time.Now()
	s.calm(15 * time.Second)
	paused := s.pause()
	stop()
	watchers.Wait()
	s.proveAccount()
	s.collect(paused)
	s.leftovers()

	s.history.Tolerance = checker.Tolerance{Early: 5 * time.Millisecond, Late: 8 * time.Second, Record: 5 * time.Second, Settle: 10 * time.Second, Gather: 61 * time.Second}
	s.history.Minima = checker.Minima{
		Due: 500, Ran: 200, Skipped: 20, Missed: 5, Retries: 20, Probes: 250, Samples: 30,
		Windows: map[checker.Kind]int{checker.AgentDown: 6, checker.AgentStopped: 2, checker.GuardianDown: 1},
	}
	verdict, err := checker.Check(&s.history)
	if err != nil || !verdict.Holds() {
		t.Errorf("seed %d: %v", seed, err)
	}
	t.Logf("%s\nkills struck while the journals showed: %v", verdict, s.edges)
}

// give puts the tasks, and notes from when on every host has them.
func (s *scene) give() {
	hosts, err := s.client.Hosts(s.t.Context(), api.HostQuery{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.hosts = make([]fleet.HostID, len(s.agents))
	for _, host := range hosts.Items {
		var n int
		if _, err := fmt.Sscanf(host.Name, "host-%d", &n); err != nil {
			s.t.Fatal(err)
		}
		s.hosts[n-1] = host.ID
	}
	for _, text := range checkedTasks {
		given, err := s.author.Task(s.t.Context(), fmt.Appendf(nil, text, s.probe, s.lines), api.MediaYAML, "", author.Options{})
		if err != nil {
			s.t.Fatal(err)
		}
		record := given.Task
		id := record.Task.ID()
		s.history.Given = append(s.history.Given, checker.Given{Task: record.Task, Generation: record.Generation, Since: record.Changed})
		s.applied(id)
		for _, host := range s.hosts {
			s.window(checker.PlanLate, host, record.Changed)
			if record.Task.On.Clocked() {
				s.history.Deliveries = append(s.history.Deliveries, checker.Delivery{Host: host, Stint: &fleet.Stint{Task: id, Generation: record.Generation, After: record.Changed}})
			}
		}
	}
}

// window notes that something was so until now.
func (s *scene) window(kind checker.Kind, host fleet.HostID, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Windows = append(s.history.Windows, checker.Window{Kind: kind, Host: host, From: from, To: time.Now()})
}

// watchMachine notes when the machine itself had no time for anybody: what is
// late then is not the product's fault.
func (s *scene) watchMachine(ctx context.Context) {
	const every, stall = 50 * time.Millisecond, 300 * time.Millisecond
	for tick := time.NewTicker(every); ; {
		before := time.Now()
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		if time.Since(before) > every+stall {
			s.window(checker.Overload, "", before.Add(-time.Second))
		}
	}
}

// sampleAccount asks for the account again and again.
func (s *scene) sampleAccount(ctx context.Context) {
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		lines, err := s.client.Account(ctx, api.AccountQuery{Hosts: true, Page: api.Page{Limit: api.MaxPage}})
		if err != nil {
			continue // no leader just now
		}
		now := time.Now()
		s.mu.Lock()
		for _, l := range lines.Items {
			s.history.Samples = append(s.history.Samples, checker.Sample{At: now, Task: l.Task, Host: l.Host, Due: l.Due, Ran: l.Ran, Skipped: l.Skipped, Missed: l.Missed, Unknown: l.Unknown, Pending: l.Pending})
		}
		s.mu.Unlock()
	}
}

// nemesis does one thing after the other, until its time is over and everything
// runs again.
func (s *scene) nemesis(r *rand.Rand) {
	until := time.Now().Add(nemesisTime)
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(r.Int64N(int64(most-least)))
	}
	for step := 0; step < nemesisSteps || time.Now().Before(until); step++ {
		s.calm(between(100*time.Millisecond, time.Second))
		n := r.IntN(len(s.agents))
		switch step % 7 {
		case 0, 4:
			s.killAgent(n, between(0, time.Second), false, false, r)
		case 1:
			s.stopAgent(n, between(500*time.Millisecond, 6*time.Second))
		case 2:
			leader := s.leader()
			from := time.Now()
			leader.kill(syscall.SIGKILL)
			s.calm(between(0, 2*time.Second))
			leader.start()
			s.window(checker.CollectorAway, "", from)
		case 3:
			s.killAgent(n, between(4*time.Second, 7*time.Second), false, true, r)
		case 5:
			s.killAgent(n, between(0, 3*time.Second), true, false, r)
		case 6:
			from := time.Now()
			for _, c := range s.collectors {
				c.kill(syscall.SIGKILL)
			}
			s.calm(between(time.Second, 4*time.Second))
			for _, c := range s.collectors {
				c.start()
			}
			s.leader()
			s.window(checker.CollectorAway, "", from)
		}
	}
}

// calm lets time pass.
func (s *scene) calm(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.t.Context().Done():
	}
}

// killAgent kills an agent, perhaps with its guardian, perhaps spoils the end of
// its journal, and starts it again.
func (s *scene) killAgent(n int, away time.Duration, guardian, garbage bool, r *rand.Rand) {
	agent := s.agents[n]
	pid := s.guardianOf(agent)
	if !garbage { // while runs that are due at a whole second go from the disk to a process
		s.calm(time.Until(time.Now().Truncate(time.Second).Add(time.Second + time.Duration(r.Int64N(int64(30*time.Millisecond))))))
	}
	from := time.Now()
	agent.kill(syscall.SIGKILL)
	s.note(n)
	if guardian && pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended with its last command
		s.window(checker.GuardianDown, s.hosts[n], from)
	}
	if garbage {
		s.spoil(n, r)
	}
	s.calm(away)
	agent.start()
	s.calm(300 * time.Millisecond)
	s.window(checker.AgentDown, s.hosts[n], from)
}

func (s *scene) stopAgent(n int, d time.Duration) {
	from := time.Now()
	pid := s.agents[n].cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	s.calm(d)
	_ = syscall.Kill(pid, syscall.SIGCONT)
	s.window(checker.AgentStopped, s.hosts[n], from)
}

// guardianOf returns the process that is the parent of an agent's commands.
func (s *scene) guardianOf(agent *program) int {
	for _, p := range processes() {
		if p.parent == agent.cmd.Process.Pid && strings.HasSuffix(p.words, "\x00guardian\x00") {
			return p.pid
		}
	}
	return 0
}

// note counts at which edges a kill struck.
func (s *scene) note(n int) {
	seen, err := journal.Inspect(filepath.Join(s.dir, fmt.Sprintf("a%d/journal", n+1)))
	if err != nil {
		s.t.Error(err)
		return
	}
	s.edges["kills"]++
	for _, open := range seen.Runs {
		s.edges[string(open.Run.State)]++
	}
	if seen.Pending() {
		s.edges["undelivered"]++
	}
	if seen.Torn > 0 {
		s.edges["torn"]++
	}
}

// spoil writes garbage behind the last record of a journal.
func (s *scene) spoil(n int, r *rand.Rand) {
	paths, err := filepath.Glob(filepath.Join(s.dir, fmt.Sprintf("a%d/journal/*.seg", n+1)))
	if err != nil || len(paths) == 0 {
		s.t.Fatal("no segment to spoil: ", err)
	}
	slices.Sort(paths)
	path := paths[len(paths)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	end := len(data)
	for end > 0 && data[end-1] == 0 {
		end--
	}
	end += 16 // a record may end with zeros
	for i := end; i < min(end+100, len(data)); i++ {
		data[i] = byte(1 + r.IntN(255))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.edges["spoilt"]++
}

// pause pauses every task, and returns when that was.
func (s *scene) pause() time.Time {
	at := time.Now()
	for i := range s.history.Given {
		if _, err := s.author.State(s.t.Context(), s.history.Given[i].Task.ID(), fleet.TaskPaused, author.Options{}); err != nil {
			s.t.Fatal(err)
		}
	}
	return at
}

// collect gathers what the collectors and the probes know.
func (s *scene) collect(paused time.Time) {
	s.eventually("every run to have an outcome", func(ctx context.Context) error {
		open := 0
		var runs []checker.Delivery
		query := api.RunQuery{Page: api.Page{Limit: api.MaxPage}}
		for {
			page, err := s.client.Runs(ctx, query)
			if err != nil {
				return err
			}
			for _, run := range page.Items {
				if !run.State.Terminal() {
					open++
				}
				runs = append(runs, checker.Delivery{Host: run.Host, Run: run.Run})
			}
			if page.Next == "" {
				break
			}
			query.After = page.Next
		}
		if open > 0 {
			return fmt.Errorf("%d have none", open)
		}
		s.history.Deliveries = append(slices.DeleteFunc(s.history.Deliveries, func(d checker.Delivery) bool { return d.Stint == nil }), runs...)
		return nil
	})
	s.history.Until = time.Now()
	for _, host := range s.hosts {
		for _, kind := range []checker.Kind{checker.Paused, checker.Stopped, checker.Cancelled} {
			s.window(kind, host, paused)
		}
	}
	s.history.Probes = s.readLines()
	for n := range s.agents {
		seen, err := journal.Inspect(filepath.Join(s.dir, fmt.Sprintf("a%d/journal", n+1)))
		if err != nil || seen.Newest != seen.Acknowledged && seen.Open > 0 {
			s.t.Errorf("agent %d: newest record %d, acknowledged %d, %d open, %v", n+1, seen.Newest, seen.Acknowledged, seen.Open, err)
		}
	}
}

// readLines reads what the probes wrote.
func (s *scene) readLines() (probes []checker.Probe) {
	file, err := os.Open(s.lines)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	at := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var what, occurrence string
		var attempt, pid int
		var fence uint64
		var mono, wall int64
		if _, err := fmt.Sscan(lines.Text(), &what, &occurrence, &attempt, &fence, &pid, &mono, &wall); err != nil {
			s.t.Fatalf("%q: %v", lines.Text(), err)
		}
		key := fmt.Sprint(occurrence, attempt, pid)
		if what == "end" {
			probes[at[key]].End = time.Duration(mono)
			continue
		}
		parts := strings.SplitN(occurrence, "@", 3)
		nominal, err := time.Parse(time.RFC3339Nano, parts[2])
		if err != nil {
			s.t.Fatal(err)
		}
		at[key] = len(probes)
		probes = append(probes, checker.Probe{
			Occurrence: fleet.Occurrence{Task: fleet.TaskID(parts[0]), Scope: fleet.HostID(parts[1]), Nominal: nominal},
			Attempt:    attempt, Fence: fence, PID: pid, At: time.Unix(0, wall).UTC(), Start: time.Duration(mono),
		})
	}
	return probes
}

// leftovers looks for commands that nobody stopped, and for zombies of ours.
func (s *scene) leftovers() {
	s.history.Looked = true
	ours := map[int]bool{}
	for _, agent := range s.agents {
		ours[agent.cmd.Process.Pid] = true
		ours[s.guardianOf(agent)] = true
	}
	for _, p := range processes() {
		switch {
		case strings.HasPrefix(p.words, s.probe+"\x00"):
			s.history.Leftovers = append(s.history.Leftovers, checker.Leftover{Kind: "process", PID: p.pid, Detail: p.words})
		case p.state == "Z" && ours[p.parent]:
			s.history.Leftovers = append(s.history.Leftovers, checker.Leftover{Kind: "zombie", PID: p.pid, Detail: "of " + fmt.Sprint(p.parent)})
		}
	}
}

type process struct {
	pid, parent  int
	state, words string
}

// processes are all that run on the machine.
func processes() (all []process) {
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue // it has ended
		}
		head, tail, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(tail)
		var p process
		if _, err := fmt.Sscan(head, &p.pid); err != nil || len(fields) < 2 {
			continue
		}
		p.state = fields[0]
		fmt.Sscan(fields[1], &p.parent)
		words, _ := os.ReadFile(filepath.Join(filepath.Dir(entry), "cmdline"))
		p.words = string(words)
		all = append(all, p)
	}
	return all
}
