package evidence

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// tree is a host to be read, on a clock that the test turns.
type tree struct {
	t      *testing.T
	root   string
	config Config
	reader *Reader
	log    bytes.Buffer
}

// on runs a test on a host whose clock says the instant.
func on(t *testing.T, instant string, test func(h *tree)) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/log"), 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := &tree{t: t, root: root}
		h.config = Config{Root: root, State: filepath.Join(root, "evidence.json"), Zone: time.UTC, Logger: slog.New(slog.NewTextHandler(&h.log, nil))}
		h.wait(instant)
		test(h)
	})
}

// wait turns the clock on to an instant.
func (h *tree) wait(instant string) {
	h.t.Helper()
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(time.Until(at))
}

// write makes a file of lines that was written last at this instant.
func (h *tree) write(name string, lines ...string) {
	h.t.Helper()
	text := strings.Join(append(lines, ""), "\n")
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		h.t.Fatal(err)
	}
}

// add adds lines to a file.
func (h *tree) add(name string, lines ...string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		h.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Join(append(lines, ""), "\n")); err != nil {
		h.t.Fatal(err)
	}
}

func (h *tree) read(jobs ...fleet.Job) fleet.Sightings {
	h.t.Helper()
	if h.reader == nil {
		h.reader = NewReader(h.config)
	}
	seen, err := h.reader.Read(h.t.Context(), &fleet.Report{Jobs: jobs})
	if err != nil {
		h.t.Error(err)
	}
	return seen
}

// cronJob is a job of a table.
func cronJob(id fleet.JobID, schedule, user, command string) fleet.Job {
	return fleet.Job{ID: id, Kind: fleet.KindCron, Source: "/etc/crontab", Schedule: schedule, Timezone: "UTC", User: user, Command: command, Verdict: fleet.Verdict{Runs: true}}
}

// tell writes sightings down in a short form, a line for each.
func tell(seen fleet.Sightings) map[string]string {
	told := map[string]string{}
	for kind, at := range seen.Since {
		told["since "+string(kind)] = at.UTC().Format(time.RFC3339)
	}
	for id, e := range seen.Jobs {
		text := fmt.Sprintf("%s %s by %s", e.Grade, e.Last.Format(time.RFC3339), e.From)
		if e.Ended != nil {
			text += " until " + e.Ended.Format(time.RFC3339)
		}
		if e.Result != "" {
			text += ": " + e.Result
		}
		told[string(id)] = text
	}
	return told
}

func (h *tree) expect(seen fleet.Sightings, want map[string]string) {
	h.t.Helper()
	if diff := cmp.Diff(want, tell(seen), cmpopts.EquateEmpty()); diff != "" {
		h.t.Error(diff)
	}
}

// TestDebian has what Debian's cron writes with -L 15, and anacron beside it.
func TestDebian(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		h.write("etc/anacrontab", "SHELL=/bin/sh", "# period delay name command", "1\t5\tcron.daily\trun-parts --report /etc/cron.daily")
		h.write("var/log/syslog",
			"Nov 20 07:35:01 vm anacron[600]: Job `cron.daily' started",
			"Nov 20 07:36:11 vm anacron[541]: Job `cron.daily' terminated",
			"Nov 21 12:03:01 vm CRON[29446]: (nobody) CMD ([29452] exit 3)",
			"Nov 21 12:03:01 vm CRON[29445]: (root) CMD ([29453] sleep 5)",
			"Nov 21 12:03:01 vm CRON[29449]: (root) CMD ([29457]    cd / && echo )",
			"Nov 21 12:03:01 vm CRON[29446]: (CRON) error (grandchild #29452 failed with exit status 3)",
			"Nov 21 12:03:01 vm CRON[29446]: (nobody) END ([29452] exit 3)",
			`Nov 21 12:03:01 vm CRON[29447]: (root) CMD ([29454] echo gr\303\274\303\237e)`,
			"Nov 21 12:03:01 vm CRON[29449]: (CRON) error (grandchild #29458 terminated by signal 13)",
			"Nov 21 12:03:01 vm CRON[29449]: (root) END ([29457]    cd / && echo )",
			"Nov 21 12:03:06 vm CRON[29445]: (root) END ([29453] sleep 5)",
			"Nov 21 12:04:01 vm CRON[30000]: (www-data) CMD ([30001] sleep 5)")
		daily := fleet.Job{ID: "daily", Kind: fleet.KindAnacron, Source: "/etc/anacrontab", Line: 3, Schedule: "1 5", User: "root", Command: "run-parts --report /etc/cron.daily",
			Evidence: &fleet.Evidence{Last: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Grade: fleet.GradeStamp, From: "/var/spool/anacron/cron.daily"}}
		apt := fleet.Job{ID: "apt", Kind: fleet.KindRunParts, Source: "/etc/cron.daily/apt", Schedule: "1 5", User: "root", Command: "/etc/cron.daily/apt", Verdict: fleet.Verdict{Runs: true}}
		h.expect(h.read(daily, apt,
			cronJob("exit", "* * * * *", "nobody", "exit 3"), cronJob("sleep", "* * * * *", "root", "sleep 5"),
			cronJob("cd", "* * * * *", "root", "cd / && echo %a%b"), cronJob("greet", "* * * * *", "root", "echo grüße"),
			cronJob("never", "* * * * *", "root", "sleep 6"),
		), map[string]string{
			"since cron": "2026-11-21T12:03:01Z", "since anacron": "2026-11-20T00:00:00Z", "since run-parts": "2026-11-20T00:00:00Z",
			"daily": "ended 2026-11-20T07:35:01Z by /var/log/syslog until 2026-11-20T07:36:11Z: success",
			"apt":   "started 2026-11-20T07:35:01Z by /var/log/syslog",
			"exit":  "ended 2026-11-21T12:03:01Z by /var/log/syslog until 2026-11-21T12:03:01Z: exit 3",
			"sleep": "ended 2026-11-21T12:03:01Z by /var/log/syslog until 2026-11-21T12:03:06Z",
			"cd":    "ended 2026-11-21T12:03:01Z by /var/log/syslog until 2026-11-21T12:03:01Z",
			"greet": "started 2026-11-21T12:03:01Z by /var/log/syslog",
		})
	})
}

// TestCronie has RHEL's log: the end is said by the process that waits, and
// run-parts speaks for its programs.
func TestCronie(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		h.write("var/log/cron",
			"Nov 21 11:01:01 el9 CROND[101]: (root) CMD (run-parts /etc/cron.hourly)",
			"Nov 21 11:01:01 el9 run-parts[104]: (/etc/cron.hourly) starting 0anacron",
			"Nov 21 11:01:02 el9 run-parts[106]: (/etc/cron.hourly) finished 0anacron",
			"Nov 21 11:01:02 el9 CROND[100]: (root) CMDEND (run-parts /etc/cron.hourly)",
			// two runs of one job at a time: whose end it is, the numbers say
			"Nov 21 11:10:01 el9 CROND[5001]: (joe) CMD (long)",
			"Nov 21 11:20:01 el9 CROND[7001]: (joe) CMD (long)",
			"Nov 21 11:25:00 el9 CROND[5000]: (joe) CMDEND (long)",
			// … and where they do not, nothing is claimed
			"Nov 21 11:10:01 el9 CROND[5003]: (ann) CMD (long)",
			"Nov 21 11:20:01 el9 CROND[7003]: (ann) CMD (long)",
			"Nov 21 11:25:00 el9 CROND[9000]: (ann) CMDEND (long)")
		hourly := cronJob("hourly", "01 * * * *", "root", "run-parts /etc/cron.hourly")
		part := func(id fleet.JobID, name string) fleet.Job {
			return fleet.Job{ID: id, Kind: fleet.KindRunParts, Source: "/etc/cron.hourly/" + name, Schedule: "01 * * * *", User: "root", Verdict: fleet.Verdict{Runs: true}}
		}
		h.expect(h.read(hourly, part("0anacron", "0anacron"), part("other", "other"),
			cronJob("joe", "*/10 * * * *", "joe", "long"), cronJob("ann", "*/10 * * * *", "ann", "long"),
		), map[string]string{
			"since cron": "2026-11-21T11:01:01Z", "since run-parts": "2026-11-21T11:01:01Z",
			"hourly":   "ended 2026-11-21T11:01:01Z by /var/log/cron until 2026-11-21T11:01:02Z",
			"0anacron": "ended 2026-11-21T11:01:01Z by /var/log/cron until 2026-11-21T11:01:02Z",
			"other":    "started 2026-11-21T11:01:01Z by /var/log/cron",
			"joe":      "started 2026-11-21T11:20:01Z by /var/log/cron",
			"ann":      "started 2026-11-21T11:20:01Z by /var/log/cron",
		})
	})
}

// TestAlpine has busybox, whose syslogd cuts lines and turns what cannot be
// printed into ^X.
func TestAlpine(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		long := "/usr/local/bin/sync " + strings.Repeat("--exclude /some/where ", 20)
		h.write("var/log/messages",
			"Nov 21 12:00:00 alpine cron.info crond[2156]: USER root pid 2240 cmd run-parts /etc/periodic/15min",
			"Nov 21 12:01:00 alpine cron.info crond[2156]: USER joe pid 2241 cmd date +%F^Ix",
			"Nov 21 12:02:00 alpine cron.info crond[2156]: USER root pid 2242 cmd "+long[:180])
		h.expect(h.read(
			cronJob("parts", "*/15 * * * *", "root", "run-parts /etc/periodic/15min"),
			cronJob("date", "1 * * * *", "joe", "date +%F\tx"),
			cronJob("long", "2 * * * *", "root", long), cronJob("other", "2 * * * *", "root", "/usr/local/bin/sync"),
		), map[string]string{
			"since cron": "2026-11-21T12:00:00Z",
			"parts":      "started 2026-11-21T12:00:00Z by /var/log/messages",
			"date":       "started 2026-11-21T12:01:00Z by /var/log/messages",
			"long":       "started 2026-11-21T12:02:00Z by /var/log/messages",
		})
	})
}

// TestTheSameCommandTwice is told apart by the minute.
func TestTheSameCommandTwice(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		h.write("var/log/syslog",
			"Nov 21 02:30:01 vm CRON[1]: (root) CMD (backup)",
			"Nov 21 03:31:00 vm CRON[2]: (root) CMD (backup)", // a minute late: the daemon was slow
			"Nov 21 04:50:01 vm CRON[3]: (root) CMD (backup)") // it had slept since 4:30
		h.expect(h.read(
			cronJob("two", "30 2 * * *", "root", "backup"), cronJob("three", "30 3 * * *", "root", "backup"),
			cronJob("four", "30 4 * * *", "root", "backup"), cronJob("boot", "@reboot", "root", "backup"),
		), map[string]string{
			"since cron": "2026-11-21T02:30:01Z",
			"two":        "started 2026-11-21T02:30:01Z by /var/log/syslog",
			"three":      "started 2026-11-21T03:31:00Z by /var/log/syslog",
			"four":       "started 2026-11-21T04:50:01Z by /var/log/syslog",
		})
	})
}

// TestFromRoundToRound goes on where the round before, of this agent or of the
// one before it, has ended.
func TestFromRoundToRound(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		job := cronJob("x", "* * * * *", "root", "x")
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD ([9] x)")
		h.expect(h.read(job), map[string]string{"since cron": "2026-11-21T12:03:01Z", "x": "started 2026-11-21T12:03:01Z by /var/log/syslog"})
		h.add("var/log/syslog", "Nov 21 12:04:59 vm CRON[1]: (root) END ([9] x)")
		h.reader = nil
		h.expect(h.read(job), map[string]string{"since cron": "2026-11-21T12:03:01Z", "x": "ended 2026-11-21T12:03:01Z by /var/log/syslog until 2026-11-21T12:04:59Z"})
		h.wait("2026-11-21T12:06:00Z")
		h.add("var/log/syslog", "Nov 21 12:05:01 vm CRON[2]: (root) CMD ([10] x)", "Nov 21 12:05:03 vm CRON[2]: (CRON) error (grandchild #10 failed with exit status 1)")
		h.expect(h.read(job), map[string]string{"since cron": "2026-11-21T12:03:01Z", "x": "ended 2026-11-21T12:05:01Z by /var/log/syslog until 2026-11-21T12:05:03Z: exit 1"})
		// A report that does not name it once does not make it unseen.
		h.expect(h.read(), map[string]string{"since cron": "2026-11-21T12:03:01Z"})
		h.expect(h.read(job), map[string]string{"since cron": "2026-11-21T12:03:01Z", "x": "ended 2026-11-21T12:05:01Z by /var/log/syslog until 2026-11-21T12:05:03Z: exit 1"})
		if h.log.Len() > 0 {
			t.Error(h.log.String())
		}
	})
}

// TestAnIdleMinuteWritesNothing leaves the state file alone.
func TestAnIdleMinuteWritesNothing(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		job := cronJob("x", "* * * * *", "root", "x")
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)")
		h.read(job)
		must(os.Remove(h.config.State))
		h.wait("2026-11-21T12:06:00Z")
		h.read(job)
		if _, err := os.Stat(h.config.State); err == nil {
			t.Error("an idle round wrote the state")
		}
		h.add("var/log/syslog", "Nov 21 12:05:01 vm CRON[1]: (root) CMD (x)")
		h.read(job)
		if _, err := os.Stat(h.config.State); err != nil {
			t.Error(err)
		}
	})
}

// TestALogThatIsGone no longer says from when on starts are seen, and what is
// there later does so anew.
func TestALogThatIsGone(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		job := cronJob("x", "* * * * *", "root", "x")
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)")
		h.read(job)
		if err := os.Remove(filepath.Join(h.root, "var/log/syslog")); err != nil {
			t.Fatal(err)
		}
		h.wait("2026-11-21T12:10:00Z")
		h.expect(h.read(job), map[string]string{"x": "started 2026-11-21T12:03:01Z by /var/log/syslog"})
		h.write("var/log/syslog", "Nov 21 12:09:01 vm CRON[4]: (root) CMD (x)")
		h.expect(h.read(job), map[string]string{"since cron": "2026-11-21T12:09:01Z", "x": "started 2026-11-21T12:09:01Z by /var/log/syslog"})
	})
}

// TestNoCoverageWithoutAWord says nothing about kinds whose starts no line
// shows: cron with -L 0, a line of a job that is not here, of another host, of
// a clock that was wrong.
func TestNoCoverageWithoutAWord(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		h.config.Names = []string{"vm.example.org", "VM"}
		h.write("var/log/syslog",
			"Nov 21 12:03:01 vm CRON[1]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
			"Nov 21 12:03:01 vm CRON[1]: (root) CMD (something else)",
			"Nov 21 12:03:01 db-7 CRON[1]: (root) CMD (x)",
			"Nov 21 12:30:01 vm CRON[1]: (root) CMD (x)")
		h.expect(h.read(cronJob("x", "* * * * *", "root", "x")), map[string]string{})
		h.add("var/log/syslog", "Nov 21 12:04:01 vm.local CRON[1]: (root) CMD (x)")
		h.expect(h.read(cronJob("x", "* * * * *", "root", "x")), map[string]string{
			"since cron": "2026-11-21T12:04:01Z", "x": "started 2026-11-21T12:04:01Z by /var/log/syslog"})
	})
}

// TestJobsThatLogElsewhere are those of containers, and run-parts programs of
// whom nobody knows who starts them.
func TestJobsThatLogElsewhere(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		inside := cronJob("inside", "* * * * *", "root", "x")
		inside.Container = "web"
		orphan := fleet.Job{ID: "orphan", Kind: fleet.KindRunParts, Source: "/etc/cron.weekly/a", Schedule: "15 * * * *", User: "root", Verdict: fleet.Verdict{Runs: true}}
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)", "Nov 21 12:04:01 vm CRON[1]: (root) CMD (y)")
		h.expect(h.read(inside, orphan, cronJob("y", "* * * * *", "root", "y")), map[string]string{
			"since cron": "2026-11-21T12:04:01Z", "y": "started 2026-11-21T12:04:01Z by /var/log/syslog"})
	})
}

// TestStampsAreTakenOver has what a scan found without any log.
func TestStampsAreTakenOver(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		ended := time.Date(2026, 11, 21, 6, 1, 0, 0, time.UTC)
		timer := fleet.Job{ID: "timer", Kind: fleet.KindTimer, Source: "/usr/lib/systemd/system/x.timer",
			Evidence: &fleet.Evidence{Last: ended.Add(-time.Minute), Grade: fleet.GradeEnded, From: "systemd: x.timer", Ended: &ended, Result: "exit 1"}}
		stamped := fleet.Job{ID: "stamped", Kind: fleet.KindTimer, Source: "/usr/lib/systemd/system/y.timer",
			Evidence: &fleet.Evidence{Last: ended.Add(-time.Hour), Grade: fleet.GradeStamp, From: "/var/lib/systemd/timers/stamp-y.timer"}}
		want := map[string]string{
			"since timer": "2026-11-21T12:05:00Z",
			"timer":       "ended 2026-11-21T06:00:00Z by systemd: x.timer until 2026-11-21T06:01:00Z: exit 1",
			"stamped":     "stamp 2026-11-21T05:01:00Z by /var/lib/systemd/timers/stamp-y.timer",
		}
		h.expect(h.read(timer, stamped), want)
		// After a boot systemd has forgotten it, and we have not.
		h.wait("2026-11-22T00:00:00Z")
		h.reader, timer.Evidence = nil, nil
		h.expect(h.read(timer, stamped), want)
	})
}

// TestWhatIsNoLog is refused and does not hold up the others.
func TestWhatIsNoLog(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		dir := filepath.Join(h.root, "var/log")
		secret := filepath.Join(t.TempDir(), "secret")
		for _, err := range []error{
			syscall.Mkfifo(filepath.Join(dir, "cron"), 0o644),
			os.WriteFile(secret, []byte("Nov 21 12:03:01 vm CRON[1]: (root) CMD (linked)\n"), 0o644),
			os.Symlink(secret, filepath.Join(dir, "cron.log")),
			os.Mkdir(filepath.Join(dir, "messages"), 0o755),
			syscall.Mkfifo(filepath.Join(dir, "syslog.1"), 0o644),
			os.WriteFile(filepath.Join(dir, "syslog.2.gz"), []byte("not gzip"), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)")
		for range 2 {
			h.expect(h.read(cronJob("x", "* * * * *", "root", "x"), cronJob("linked", "* * * * *", "root", "linked")), map[string]string{
				"since cron": "2026-11-21T12:03:01Z", "x": "started 2026-11-21T12:03:01Z by /var/log/syslog"})
		}
		for _, want := range []string{"/var/log/cron is no regular file but a FIFO", "/var/log/cron.log is no regular file but a symbolic link", "/var/log/messages is no regular file but a directory"} {
			if n := strings.Count(h.log.String(), want); n != 1 {
				t.Errorf("%d times %q in\n%s", n, want, h.log.String())
			}
		}
	})
}

// TestNoLinkLeadsOutOfTheTree has /var/log itself point outside.
func TestNoLinkLeadsOutOfTheTree(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		outside := t.TempDir()
		if err := os.WriteFile(filepath.Join(outside, "syslog"), []byte("Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(h.root, "var/log")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(h.root, "var/log")); err != nil {
			t.Fatal(err)
		}
		h.expect(h.read(cronJob("x", "* * * * *", "root", "x")), map[string]string{})
	})
}

// TestGarbageInTheState is begun anew, and told.
func TestGarbageInTheState(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"version":1,"logs":{"sys`, "other": `[1,2]`, "newer": `{"version":2}`,
		"null": `{"version":1,"logs":{"syslog":null}}`, "negative": `{"version":1,"logs":{"syslog":{"offset":-5}}}`,
		"no map": `{"version":1,"logs":null}`, "no job": `{"version":1,"jobs":{"x":null}}`,
		"huge": `{"version":1,"logs":{"syslog":{"offset":9,"length":1000000000,"head":"x"}}}`,
	} {
		on(t, "2026-11-21T12:05:00Z", func(h *tree) {
			h.write("evidence.json", text)
			h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)")
			h.reader = NewReader(h.config)
			job := cronJob("x", "* * * * *", "root", "x")
			seen, err := h.reader.Read(h.t.Context(), &fleet.Report{Jobs: []fleet.Job{job}})
			if err == nil || !strings.Contains(err.Error(), "begun anew") {
				t.Errorf("%s: %v", name, err)
			}
			h.expect(seen, map[string]string{"since cron": "2026-11-21T12:03:01Z", "x": "started 2026-11-21T12:03:01Z by /var/log/syslog"})
			h.reader = nil
			h.read(job)
		})
	}
}

// TestFillIsAsAScanDoesIt writes what was found into the report.
func TestFillIsAsAScanDoesIt(t *testing.T) {
	on(t, "2026-11-21T12:05:00Z", func(h *tree) {
		h.write("var/log/syslog", "Nov 21 12:03:01 vm CRON[1]: (root) CMD (x)")
		report := &fleet.Report{Jobs: []fleet.Job{cronJob("x", "* * * * *", "root", "x"), cronJob("y", "* * * * *", "root", "y")}}
		if err := Fill(h.t.Context(), Config{Root: h.root, Zone: time.UTC}, report); err != nil {
			t.Fatal(err)
		}
		if e := report.Jobs[0].Evidence; e == nil || e.Grade != fleet.GradeStarted || report.Jobs[1].Evidence != nil {
			t.Errorf("%+v, %+v", e, report.Jobs[1].Evidence)
		}
	})
}
