package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShares: whoever fills a table or a home with jobs, settings or bad lines
// leaves room for the jobs and problems of others.
func TestShares(t *testing.T) {
	for name, table := range map[string]string{
		"jobs":     strings.Repeat("0 1 * * * :\n", 9_900),
		"settings": "A=" + strings.Repeat("x", 900) + "\n" + strings.Repeat("0 1 * * * :\n", 9_900),
		"problems": strings.Repeat("0 99 * * * :\n", 9_900),
	} {
		t.Run(name, func(t *testing.T) {
			root := plant(t, crowded+`
-- usr/sbin/cron 0755 --
-- etc/nsswitch.conf --
passwd: files sss
-- var/spool/cron/crontabs/zoe 0600 --
0 2 * * * /bin/backup
0 77 * * * /bin/wrong
`)
			must(t, os.WriteFile(filepath.Join(root, "var/spool/cron/crontabs/eve"), []byte(table), 0o600))
			report := scanned(t, root)
			counts := make(map[string]int)
			bytes := 0
			for i := range report.Jobs {
				job := &report.Jobs[i]
				counts[job.User]++
				bytes += size(job)
			}
			problems := make(map[string]int)
			for _, p := range report.Problems {
				problems[filepath.Base(p.Source)]++
			}
			if counts["zoe"] != 1 || counts["root"] != 1 || problems["zoe"] != 1 {
				t.Errorf("jobs %v, problems %v", counts, problems)
			}
			if counts["eve"] > shareJobs || bytes > shareBytes+1000 || problems["eve"] == 0 || problems["eve"] > shareProblems+1 {
				t.Errorf("%v jobs of %d bytes, %v problems", counts, bytes, problems)
			}
		})
	}
}

// TestForgottenUser: on a host that knows users of other services, too, what
// stands in the place of a forgotten user is not taken for one.
func TestForgottenUser(t *testing.T) {
	report := scanned(t, plant(t, `
-- etc/passwd --
root:x:0:0::/root:/bin/sh
-- etc/nsswitch.conf --
passwd: files sss
-- etc/cron.d/dump --
0 1 * * * corp\ann.smith /bin/true
0 1 * * * PGPASSWORD=hunter2 pg_dump x
0 1 * * * https://u:hunter2@host/ y
`))
	if n := len(report.Jobs); n != 1 || report.Jobs[0].User != `corp\ann.smith` {
		t.Errorf("%d jobs: %+v", n, report.Jobs)
	}
	if got := fmt.Sprint(len(report.Problems)); got != "2" {
		t.Errorf("%s problems: %v", got, report.Problems)
	}
}

// TestOthersCalls: a user's line that calls run-parts or anacron does not say
// when, and as whom, the programs of the host's directories run.
func TestOthersCalls(t *testing.T) {
	report := scanned(t, plant(t, crowded+`
-- usr/sbin/cron 0755 --
-- etc/cron.daily/rotate 0755 --
#!/bin/sh
-- etc/anacrontab --
1 5 cron.daily run-parts /etc/cron.daily
-- var/spool/cron/crontabs/eve 0600 --
* * * * * run-parts /etc/cron.daily
* * * * * /usr/sbin/anacron -s
`))
	for _, job := range report.Jobs {
		if strings.HasSuffix(job.Source, "/rotate") && (job.User != "root" || strings.Contains(job.Verdict.Why, "eve")) {
			t.Errorf("%s runs as %s: %s", job.Source, job.User, job.Verdict.Why)
		}
		if strings.HasSuffix(job.Source, "anacrontab") && job.Verdict.Runs {
			t.Errorf("anacron is started: %s", job.Verdict.Why)
		}
	}
}
