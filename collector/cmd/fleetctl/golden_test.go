package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// session is fleetctl against a fake collector at noon in Berlin.
type session struct {
	t        *testing.T
	fake     *collectorFake
	address  string
	env      map[string]string
	stdin    string
	width    int
	terminal bool
}

func newSession(t *testing.T) *session {
	t.Helper()
	fake := newFake()
	env, stop := serve(t, fake, t.TempDir())
	t.Cleanup(stop)
	return &session{t: t, fake: fake, address: env["FLEETCRON_ADDRESS"], env: env}
}

// run returns what one command line writes, and its exit code.
func (s *session) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		s.t.Fatal(err)
	}
	var out, errors bytes.Buffer
	p := &program{
		stdin: strings.NewReader(s.stdin), stdout: &out, stderr: &errors,
		getenv: func(name string) string { return s.env[name] },
		now:    func() time.Time { return noon }, zone: zone, terminal: s.terminal, width: s.width,
	}
	code = p.run(context.Background(), args)
	return out.String(), errors.String(), code
}

// must is run of a command line that has to succeed.
func (s *session) must(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("fleetctl %q: exit %d\n%s", args, code, stderr)
	}
	return stdout
}

// populate gives the fake two tasks and what became of them.
func (s *session) populate() {
	s.t.Helper()
	s.must("assign", "data/nightly-backup", "--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--user", "backup", "--to", "role=db", "--owner", "team-data", "--", "/usr/local/bin/backup", "--all")
	s.must("assign", "heartbeat", "--every", "10m", "--to", "host=db-1", "--shell", "date | tee /tmp/beat")
	started, ended, exit := noon.Add(2*time.Second), noon.Add(2*time.Second+350*time.Millisecond), 3
	s.fake.mu.Lock()
	s.fake.ends = fleet.Run{State: fleet.RunRan, Started: &started, Ended: &ended, Exit: &exit, Stdout: 1 << 20, Stderr: 12, Dropped: 4096, Tail: "cannot \x1b[31mopen\nno space"}
	s.fake.mu.Unlock()
	s.must("run", "data/nightly-backup")
	s.fake.mu.Lock()
	until := noon.Add(-time.Hour)
	missed := s.fake.runs[0]
	missed.Run = fleet.Run{ID: "01880000-0000-7000-8000-000000000000", Task: "default/heartbeat", Host: hostID(1), Due: noon.Add(-6 * time.Hour), Until: &until, Count: 31, State: fleet.RunMissed, Reason: fleet.MissedHostDown, Detail: "the host was down"}
	s.fake.runs = append(s.fake.runs, missed)
	s.fake.mu.Unlock()
}

// someAttempts gives the fake a daemon, a breaker and an occurrence of three
// attempts, and returns the first of them.
func (s *session) someAttempts() fleet.RunID {
	s.t.Helper()
	s.must("assign", "web/api", "--daemon", "--restart", "on-failure", "--to", "host=db-1,evil*", "--", "/usr/bin/api")
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	s.fake.someStandings()
	bad, at := 75, noon
	run := fleet.Run{ID: "01870000-0000-7000-8000-000000000000", Task: "data/nightly-backup", Host: hostID(1), Due: noon.Add(-time.Minute), Attempt: 1}
	first := run.ID
	for n := range 3 {
		started, ended, again := at, at.Add(3*time.Second), at.Add(time.Duration(4+n)*time.Second)
		run.State, run.Exit, run.Started, run.Ended, run.Again = fleet.RunRan, &bad, &started, &ended, &again
		run.Used = fleet.Used{CPU: fleet.Duration(1500 * time.Millisecond), Memory: 300 << 20, Read: 5 << 10}
		if n == 2 {
			run.Again, run.Reason = nil, fleet.RanExhausted
		}
		s.fake.runs = append(s.fake.runs, api.RunView{Run: run, HostName: "db-1"})
		at = again
		run = run.NextAttempt()
	}
	return first
}

func TestGolden(t *testing.T) {
	const run = "01890000-0000-7000-8000-000000000001"
	tests := []struct {
		name string
		args []string
		term int // columns; zero: no terminal
	}{
		{"hosts", []string{"hosts"}, 0},
		{"hosts-wide", []string{"hosts", "-o", "wide"}, 0},
		{"hosts-json", []string{"hosts", "-o", "json"}, 0},
		{"hosts-yaml", []string{"hosts", "-o", "yaml", "--label", "role=old"}, 0},
		{"hosts-80", []string{"hosts"}, 80},
		{"host", []string{"hosts", "db-1"}, 0},
		{"jobs", []string{"jobs"}, 0},
		{"jobs-wide", []string{"jobs", "-o", "wide"}, 0},
		{"jobs-90", []string{"jobs"}, 90},
		{"jobs-json-hostile", []string{"jobs", "--label", "role=old", "-o", "json"}, 0},
		{"jobs-yaml-hostile", []string{"jobs", "--label", "role=old", "-o", "yaml"}, 0},
		{"jobs-problems", []string{"jobs", "--problems"}, 0},
		{"jobs-group", []string{"jobs", "--group"}, 0},
		{"find-none", []string{"find", "nothing at all"}, 0},
		{"limit", []string{"hosts", "--limit", "2"}, 0},
		{"tasks", []string{"tasks"}, 0},
		{"tasks-filtered", []string{"tasks", "--label", "zone=a", "--user", "backup"}, 0},
		{"hosts-of-task", []string{"hosts", "--task", "heartbeat"}, 0},
		{"runs-filtered", []string{"runs", "--label", "zone=a", "--namespace", "data", "--failed", "--since", "24h"}, 0},
		{"upcoming-filtered", []string{"upcoming", "--label", "role=web", "--user", "www"}, 0},
		{"tasks-wide", []string{"tasks", "-o", "wide"}, 0},
		{"task", []string{"tasks", "data/nightly-backup"}, 0},
		{"assign-dry-run", []string{"assign", "later", "--in", "10m", "--to", "all", "--env", "A=b", "--timeout", "30m", "--dry-run", "--", "/bin/echo", "hello world"}, 0},
		{"adopt-dry-run", []string{"adopt", "db-1:1111", "--task", "data/dump", "--force", "--dry-run"}, 0},
		{"adopt-help", []string{"adopt", "--help"}, 0},
		{"release-help", []string{"release", "--help"}, 0},
		{"assign-again", []string{"assign", "heartbeat", "--to", "host=db-1"}, 0},
		{"runs", []string{"runs"}, 0},
		{"runs-wide", []string{"runs", "-o", "wide"}, 0},
		{"run", []string{"runs", run}, 0},
		{"logs", []string{"logs", run}, 0},
		{"logs-tail", []string{"logs", run, "-t", "--tail", "64KiB", "--stdout"}, 0},
		{"logs-of-task", []string{"logs", "data/nightly-backup", "--stderr"}, 0},
		{"upcoming", []string{"upcoming"}, 0},
		{"when", []string{"when", "--from", "02:00", "--to", "04:00", "--namespace", "data"}, 0},
		{"collectors", []string{"collectors"}, 0},
		{"collectors-colour", []string{"collectors"}, 120},
		{"collectors-drop-help", []string{"collectors", "drop", "--help"}, 0},
		{"export", []string{"export"}, 0},
		{"export-json", []string{"export", "-o", "json", "--namespace", "data"}, 0},
		{"next", []string{"next", "30 2 * * *", "--tz", "Europe/Berlin", "-n", "3"}, 0},
		{"next-json", []string{"next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28T00:00:00Z", "-n", "3", "-o", "json"}, 0},
		{"next-never", []string{"next", "0 0 30 2 *", "-o", "json"}, 0},
		{"job", []string{"jobs", "db-1:11"}, 0},
		{"job-colour", []string{"jobs", "db-1:/etc/cron.d/backup:7"}, 100},
		{"job-hostile", []string{"jobs", string(hostID(3)) + ":4444444444444444"}, 0},
		{"job-json", []string{"jobs", "db-1:22", "-o", "json"}, 0},
		{"jobs-overdue", []string{"jobs", "--overdue"}, 0},
		{"history", []string{"history"}, 0},
		{"history-60", []string{"history", "--what", "schedule"}, 60},
		{"history-of-job", []string{"history", "db-1:9999999999999999"}, 0},
		{"history-yaml", []string{"history", "--since", "90m", "-o", "yaml"}, 0},
		{"history-none", []string{"history", "--since", "1m"}, 0},
		{"findings", []string{"findings"}, 0},
		{"findings-100", []string{"findings"}, 100},
		{"findings-wide", []string{"findings", "--acked=all", "-o", "wide"}, 0},
		{"findings-json", []string{"findings", "--host", "db-1", "-o", "json"}, 0},
		{"findings-none", []string{"findings", "--kind", "dst"}, 0},
		{"finding", []string{"findings", "show", "1f0c000000000001"}, 0},
		{"finding-acked", []string{"findings", "show", "77aa"}, 100},
		{"density", []string{"when", "--density"}, 0},
		{"density-wide", []string{"when", "--density", "--tz", "UTC", "-o", "wide"}, 0},
		{"density-none", []string{"when", "--density", "--host", "db-1"}, 0},
		{"collisions", []string{"when", "--collisions"}, 0},
		{"collisions-none", []string{"when", "--collisions", "--least", "200"}, 0},
		{"spread", []string{"when", "--spread", "-o", "wide"}, 0},
		{"spread-none", []string{"when", "--spread", "--host", "db-1", "--from", "02:00", "--to", "04:00"}, 0},
		{"loss", []string{"loss", "db-1"}, 0},
		{"loss-wide", []string{"loss", "db-1", "-o", "wide"}, 90},
		{"pins-none", []string{"pins"}, 0},
		{"export-found", []string{"export", "--found"}, 0},
		{"export-found-json", []string{"export", "--found", "--host", "db-1", "-o", "json"}, 0},
		{"account", []string{"account", "data/nightly-backup"}, 0},
		{"account-json", []string{"account", "data/nightly-backup", "--since", "24h", "-o", "json"}, 0},
		{"account-help", []string{"account", "--help"}, 0},
		{"account-proof", []string{"account", "--prove", "--host", "db-1"}, 0},
		{"version-help", []string{"version", "--help"}, 0},
		{"run-attempts", []string{"runs", "01870000-0000-7000-8000-000000000000"}, 0},
		{"status", []string{"status"}, 0},
		{"status-wide", []string{"status", "--bad", "-o", "wide"}, 0},
		{"status-80", []string{"status", "web/api"}, 80},
		{"status-host", []string{"status", "db-1"}, 0},
		{"status-json", []string{"status", "web/api", "-o", "json"}, 0},
		{"restart", []string{"restart", "web/api"}, 0},
		{"reset", []string{"reset", "data/nightly-backup", "--host", "db-1"}, 0},
		{"restart-help", []string{"restart", "--help"}, 0},
		{"whoami-help", []string{"whoami", "--help"}, 0},
		{"nodes", []string{"nodes"}, 0},
		{"nodes-wide", []string{"nodes", "--state", "pending", "-o", "wide"}, 100},
		{"node", []string{"nodes", "abab"}, 0},
		{"policies", []string{"policies"}, 0},
		{"policy", []string{"policies", "db-1"}, 0},
		{"policies-json", []string{"policies", "--refused", "-o", "json"}, 0},
		{"audit", []string{"audit"}, 0},
		{"audit-wide", []string{"audit", "-o", "wide"}, 0},
		{"audit-verify", []string{"audit", "verify"}, 0},
		{"audit-export", []string{"audit", "export"}, 0},
		{"audit-hosts", []string{"audit", "hosts"}, 0},
		{"token-new", []string{"token", "new", "ben", "--role", "viewer,approver", "--namespace", "data"}, 0},
		{"token-json", []string{"token", "new", "ci", "--role", "operator", "--all-namespaces", "-o", "json"}, 0},
		{"enroll-token-help", []string{"enroll-token", "--help"}, 0},
		{"rules-set", []string{"rules", "set", "*", "--two-person", "root,shell", "--approvals", "2"}, 0},
		{"root-help", []string{"--help"}, 0},
		{"calendars", []string{"calendars"}, 0},
		{"calendar", []string{"calendar", "show", "year-end"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(t)
			s.populate()
			if strings.HasPrefix(test.name, "run-a") || strings.HasPrefix(test.name, "status") || strings.HasPrefix(test.name, "res") {
				s.someAttempts()
			}
			if strings.HasPrefix(test.name, "calendar") {
				s.stdin = "description: the books are closed\ntimezone: Europe/Berlin\nwindows:\n- {from: 2026-03-27T00:00:00Z, to: 2026-03-28T00:00:00Z, summary: stocktaking}\n- {cron: \"0 0 24 12 *\", for: 72h, summary: holidays}\n"
				s.must("calendar", "put", "year-end", "-f", "-")
			}
			s.terminal, s.width = test.term > 0, test.term
			stdout, stderr, code := s.run(test.args...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			got := "$ fleetctl " + strings.Join(test.args, " ") + "\n" + stdout
			if stderr != "" {
				got += "--- stderr\n" + stderr
			}
			checkHarmless(t, got, test.term > 0)
			compare(t, filepath.Join("testdata", "golden", test.name+".txt"), got)
		})
	}
}

// TestADifferenceIsExitStatus1 holds what an account that is wrong looks like.
func TestADifferenceIsExitStatus1(t *testing.T) {
	for name, args := range map[string][]string{
		"account-difference": {"account", "-o", "wide"}, "account-faults": {"account", "--prove", "-o", "wide"},
	} {
		stdout, stderr, code := newSession(t).run(args...)
		if code != 1 || stderr != "" {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
		compare(t, filepath.Join("testdata", "golden", name+".txt"), "$ fleetctl "+strings.Join(args, " ")+"\n"+stdout)
	}
}

// checkHarmless fails on any character that steers a terminal, whoever sent
// it; our own colours are the exception, on a terminal.
func checkHarmless(t *testing.T, text string, colours bool) {
	t.Helper()
	if colours {
		for _, c := range []color{dim, red, green, yellow} {
			text = strings.ReplaceAll(text, "\x1b["+string(c)+"m", "")
		}
		text = strings.ReplaceAll(text, "\x1b[0m", "")
	}
	for i, r := range text {
		if visible.Hidden(r) && r != '\n' && r != '\t' {
			t.Errorf("hostile character %U at byte %d of %q", r, i, text[max(0, i-20):min(len(text), i+20)])
		}
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); -update writes it:\n%s", path, diff)
	}
}
