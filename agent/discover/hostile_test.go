package discover

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAttack97And101_SwappedWhileRead swaps what a user may write for links and hard links to
// a secret, as fast as can be, while scans go on. Nothing of the secret is ever
// in a report.
func TestAttack97And101_SwappedWhileRead(t *testing.T) {
	const secret = "s3cr3t"
	for _, id := range []string{"debian", "rhel", "alpine"} {
		t.Run(id, func(t *testing.T) {
			root := plant(t, "-- etc/os-release --\nID="+id+`
-- etc/passwd --
root:x:0:0::/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
-- etc/shadow 0600 --
1 1 * * * root s3cr3t
[Timer]
OnCalendar=s3cr3t
[Service]
ExecStart=/s3cr3t
-- home/ann/.config/systemd/user/u.timer --
[Timer]
OnCalendar=daily
-- home/ann/.config/systemd/user/u.service --
[Service]
ExecStart=/opt/mine
`)
			spool := map[string]string{"debian": "/var/spool/cron/crontabs", "rhel": "/var/spool/cron", "alpine": "/etc/crontabs"}[id]
			must(t, os.MkdirAll(root+spool, 0o755))
			must(t, os.Mkdir(root+"/swap", 0o755))
			names := []string{spool + "/ann", "/home/ann/.config/systemd/user/u.timer", "/home/ann/.config/systemd/user/u.service", "/home/ann/.config/systemd/user/u.timer.d"}
			_ = os.Chown(root+"/home/ann/.config/systemd/user", 1000, 1000) // where it may
			done := make(chan struct{})
			var swaps sync.WaitGroup
			for _, name := range names {
				swaps.Go(func() { swap(root, name, done) })
			}
			scanner := NewScanner(root, Options{Now: noon})
			scanner.settled = 0
			for range 150 {
				report, err := scanner.Scan(t.Context())
				must(t, err)
				text, err := json.Marshal(report)
				must(t, err)
				if at := strings.Index(string(text), secret); at >= 0 {
					t.Errorf("a report tells the secret: %s", text[max(0, at-100):at+20])
					break
				}
			}
			close(done)
			swaps.Wait()
		})
	}
}

// swap puts a file, a link, a hard link and a directory in a name's place.
func swap(root, name string, done <-chan struct{}) {
	beside := root + "/swap/" + strings.ReplaceAll(name, "/", "_") // where nobody looks while a link is still root's
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		_ = os.RemoveAll(beside)
		switch i % 4 { // whatever fails is tried again
		case 0:
			_ = os.WriteFile(beside, []byte("1 1 * * * /opt/mine\n"), 0o600)
			_ = os.Chown(beside, 1000, 1000)
		case 1:
			_ = os.Symlink("/etc/shadow", beside)
			_ = os.Lchown(beside, 1000, 1000)
		case 2:
			_ = os.Link(root+"/etc/shadow", beside)
		case 3:
			_ = os.Symlink("/etc", beside)
			_ = os.Lchown(beside, 1000, 1000)
		}
		if os.Rename(beside, root+name) != nil {
			_ = os.RemoveAll(root + name)
		}
	}
}

// TestAttack99_ManyLines: a user's table of a million lines is cut, and hides nobody
// else's jobs, nor what is wrong with them.
func TestAttack99_ManyLines(t *testing.T) {
	for _, c := range []struct {
		name, line string
		lines      int
		jobs       int
		told       string
	}{
		{"comments", "#\n", 1_000_000, 0, ""},
		{"jobs", "@daily x\n", 900_000, shareJobs, "/var/spool/cron/crontabs/ann:0 15000 jobs of it are left out"},
		{"what is no job", "what\n", 1_000_000, 0, "more problems of it are not told"},
		{"more bytes than are read", "* * * * * x\n", 1_000_000, 0, "more than 8 MiB are not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := plant(t, "-- etc/os-release --\nID=debian\n-- etc/passwd --\nroot:x:0:0::/root:\nann:x:0:0::/:\nzoe:x:0:0::/:\n-- etc/cron.daily/part 0755 --\n#!/bin/sh\n-- var/spool/cron/crontabs/zoe 0600 --\n1 1 * * * hers\nbad\n")
			must(t, os.WriteFile(root+"/var/spool/cron/crontabs/ann", []byte(strings.Repeat(c.line, c.lines)), 0o600))
			report := scanned(t, root)
			if len(report.Jobs) != c.jobs+2 {
				t.Errorf("%d jobs, want %d", len(report.Jobs), c.jobs+2)
			}
			told := strings.Join(problems(report), "\n")
			if !strings.Contains(told, c.told) || !strings.Contains(told, "/zoe:2 ") {
				t.Errorf("problems %.2000s", told)
			}
		})
	}
}

// TestManyFiles: a directory of many thousands of files is looked at as far as
// it goes, which is said, and nothing else is hidden.
func TestManyFiles(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=debian\n-- etc/passwd --\nroot:x:0:0::/root:\nann:x:0:0::/home/ann:\n-- etc/crontab --\n1 1 * * * root one\n-- etc/cron.d/a --\n")
	must(t, os.MkdirAll(root+"/home/ann/.config/systemd/user", 0o755))
	for i := range 2 * maxNames {
		must(t, os.Link(root+"/etc/cron.d/a", fmt.Sprintf("%s/etc/cron.d/x%d", root, i)))
		must(t, os.Link(root+"/etc/cron.d/a", fmt.Sprintf("%s/home/ann/.config/systemd/user/%d.timer", root, i)))
	}
	report := scanned(t, root)
	if len(report.Jobs) == 0 || report.Jobs[0].Command != "one" {
		t.Errorf("%d jobs", len(report.Jobs))
	}
	told := strings.Join(problems(report), "\n")
	if want := fmt.Sprintf("/etc/cron.d:0 it holds more than %d names; the rest was not looked at", maxNames); !strings.Contains(told, want) {
		t.Errorf("problems %.1000s", told)
	}
}

// TestAttack98_AHangingHome: a home on a mount that does not answer costs its own time
// and keeps its jobs, stale; those of other users are seen.
func TestAttack98_AHangingHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := plant(t, strings.NewReplacer("USER", "ann").Replace(homeOf)+strings.NewReplacer("USER", "bob").Replace(homeOf)+
			"-- etc/passwd --\nroot:x:0:0::/root:\nann:x:1000:1000::/home/ann:\nbob:x:1001:1001::/home/bob:\n")
		_ = os.Chown(root+"/home/ann/.config/systemd/user/u.timer", 1000, 1000)
		mount := make(chan struct{})
		var hangs atomic.Bool
		scanner := NewScanner(root, Options{Now: noon})
		scanner.trouble = func(path string) error {
			if strings.HasPrefix(path, "/home/ann/") && hangs.Load() {
				<-mount
			}
			return nil
		}
		look := func(when string, stale bool, limit time.Duration) {
			begin := time.Now()
			report, err := scanner.Scan(t.Context())
			must(t, err)
			got := make(map[string]bool)
			for _, job := range report.Jobs {
				got[job.Command] = job.Stale != nil
			}
			if ann, there := got["/opt/ann"]; !there || ann != stale {
				t.Errorf("%s: %v, problems %q", when, got, problems(report))
			}
			if bob, there := got["/opt/bob"]; !there || bob {
				t.Errorf("%s: %v, problems %q", when, got, problems(report))
			}
			if took := time.Since(begin); took > limit {
				t.Errorf("%s: it took %s", when, took)
			}
		}
		look("well", false, 0)
		hangs.Store(true)
		look("hanging", true, partTime(10*time.Second))
		look("still hanging", true, 0)
		hangs.Store(false)
		close(mount)
		synctest.Wait()
		look("back", false, 0)
	})
}

const homeOf = `-- home/USER/.config/systemd/user/u.timer --
[Timer]
OnCalendar=daily
-- home/USER/.config/systemd/user/u.service --
[Service]
ExecStart=/opt/USER
-- var/lib/systemd/linger/USER --
`

// TestAttack102_HostileText plants what users can write and name. All of it comes out as
// text that is UTF-8, and none of it hides the jobs beside it.
func TestAttack102_HostileText(t *testing.T) {
	evil := "\x1b[2J\x1b]0;t\a<script>\u202e\u2066\xff\xfe\x00\u2028'\"`$(id)"
	named := strings.ReplaceAll(strings.ReplaceAll(evil, "\x00", ""), "/", "")
	root := plant(t, "-- etc/os-release --\nID=debian\n-- etc/passwd --\nroot:x:0:0::/root:\nann:x:0:0::/home/ann:\n-- etc/cron.d/good --\n1 1 * * * root good\n")
	for _, dir := range []string{"etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs", "var/spool/cron/atjobs", "etc/systemd/system", "home/ann/.config/systemd/user", "var/lib/systemd/linger"} {
		must(t, os.MkdirAll(root+"/"+dir, 0o755))
		for _, name := range []string{named, "two\nlines" + named, named + ".timer", strings.Repeat("x", 250)} {
			must(t, os.WriteFile(root+"/"+dir+"/"+name, []byte("#!/bin/sh "+evil+"\nX="+evil+"\n1 1 * * * root "+evil+"\n[Timer]\nOnCalendar="+evil+"\n"), 0o755))
		}
	}
	report := scanned(t, root)
	good := false
	for _, job := range report.Jobs {
		good = good || job.Command == "good" && job.Verdict.Runs
		for _, text := range append([]string{job.Source, job.User, job.Schedule, job.Command, job.Verdict.Why, job.ManagedBy, job.Timezone}, settings(job)...) {
			if !utf8.ValidString(text) {
				t.Errorf("%s: %q", job.Source, text)
			}
		}
	}
	for _, p := range report.Problems {
		if !utf8.ValidString(p.Source + p.Text + p.Reason) {
			t.Errorf("problem %+v", p)
		}
	}
	if !good || len(report.Jobs) < 8 {
		t.Errorf("%d jobs, the good one among them: %t", len(report.Jobs), good)
	}
	var table strings.Builder
	must(t, WriteTable(&table, report))
	if at := strings.IndexAny(table.String(), "\x1b\a\x00\u202e\u2066\u2028"); at >= 0 || !utf8.ValidString(table.String()) {
		t.Errorf("the table holds %q", table.String()[max(0, at-40):min(at+10, table.Len())])
	}
}

func settings(job fleet.Job) []string {
	var list []string
	for name, value := range job.Env {
		list = append(list, name, value)
	}
	return list
}
