package discover

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAnacrontabJoins(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"1 5 a echo a \\\n  b\n", "echo a    b"},
		{"1 5 a date +\\%F\n", "date +%F"},
		{"1 5 a echo x\\", "echo x\\"},
		{"1 5 a echo x\\\n", "echo x "},
		{"1 5 a one\\\n\\\ntwo", "one  two"},
		{"\t1\t5\ta\techo  blanks  \n", "echo  blanks  "},
		{"1 5 a echo \r\n", "echo \r"},
	} {
		tab := parseAnacrontab([]byte(c.text), croniePeriods)
		if len(tab.entries) != 1 || tab.entries[0].command != c.want {
			t.Errorf("%q: %+v %+v, want %q", c.text, tab.entries, tab.problems, c.want)
		}
	}
	tab := parseAnacrontab([]byte("# a\n1 5 a x\\\ny\n1 5 b z\n"), croniePeriods)
	if tab.entries[0].line != 2 || tab.entries[1].line != 4 {
		t.Errorf("lines %+v", tab.entries)
	}
}

// TestDue holds the rule to what two people would count on a calendar.
func TestDue(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.DateOnly, text)
		must(t, err)
		return at
	}
	for _, c := range []struct {
		period, stamp, day string
		want               bool
	}{
		{"1", "2026-03-06", "2026-03-06", false},
		{"1", "2026-03-05", "2026-03-06", true},
		{"0", "2026-03-06", "2026-03-06", true},
		{"7", "2026-03-01", "2026-03-07", false},
		{"7", "2026-03-01", "2026-03-08", true},
		{"@weekly", "2026-03-01", "2026-03-07", false},
		{"@daily", "2026-03-01", "2026-03-02", true},
		{"@monthly", "2026-02-01", "2026-03-01", true},
		{"@monthly", "2026-01-31", "2026-02-27", false},
		{"@monthly", "2026-01-31", "2026-02-28", true}, // as many days as this month has
		{"@monthly", "2026-03-05", "2026-04-04", true}, // as many as April has: a day early
		{"@monthly", "2026-03-05", "2026-04-03", false},
		{"@yearly", "2027-06-01", "2028-05-30", false},
		{"@yearly", "2027-06-01", "2028-05-31", true}, // as many as the last year has
		{"30", "2027-01-01", "2026-03-06", true},      // a clock that was wrong
	} {
		if got := due(c.period, day(c.stamp), day(c.day)); got != c.want {
			t.Errorf("%s after %s on %s: %v, want %v", c.period, c.stamp, c.day, got, c.want)
		}
	}
}

// TestAnacronVerdicts are those the example hosts do not show.
func TestAnacronVerdicts(t *testing.T) {
	const installed = "-- bin/sh --\n-- usr/sbin/cron --\n-- usr/sbin/anacron --\n"
	const line = "-- etc/anacrontab --\n1 5 x /bin/x\n"
	for _, c := range []struct {
		name, tree string
		code       fleet.VerdictCode
		why        string
	}{
		{"not installed", "-- bin/sh --\n-- usr/sbin/cron --\n" + line, fleet.NoScheduler,
			"anacron is not installed on this host, so nothing reads /etc/anacrontab (install anacron or cronie-anacron)"},
		{"not started", installed + line, fleet.NoScheduler, "nothing starts anacron: neither anacron.timer, nor a line of a table, nor /etc/cron.hourly/0anacron"},
		{"a masked timer", installed + line + "-- etc/systemd/system/anacron.timer -> /dev/null --\n-- etc/systemd/system/timers.target.wants/anacron.timer -> /lib/systemd/system/anacron.timer --\n", fleet.NoScheduler,
			"nothing starts anacron: neither anacron.timer, nor a line of a table, nor /etc/cron.hourly/0anacron"},
		{"by a table", installed + line + "-- etc/cron.d/anacron --\n30 7-23 * * * root [ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi\n", "",
			"anacron starts it every day, 5 minutes after anacron itself; /etc/cron.d/anacron line 1 starts anacron; the next start is an estimate"},
		{"by that table, were there no systemd", installed + line + "-- usr/lib/systemd/systemd --\n-- etc/cron.d/anacron --\n30 7-23 * * * root if [ ! -d /run/systemd/system ]; then invoke-rc.d anacron start; fi\n", fleet.NoScheduler,
			"nothing starts anacron: neither anacron.timer, nor a line of a table, nor /etc/cron.hourly/0anacron"},
		{"a script nobody may execute", installed + line + "-- etc/crontab --\n1 * * * * root run-parts /etc/cron.hourly\n-- etc/cron.hourly/0anacron 0644 --\n#!/bin/sh\n", fleet.NoScheduler,
			"nothing starts anacron: neither anacron.timer, nor a line of a table, nor /etc/cron.hourly/0anacron"},
		{"at boot", installed + line + "-- etc/systemd/system/multi-user.target.wants/anacron.service -> /lib/systemd/system/anacron.service --\n", "",
			"anacron starts it every day, 5 minutes after anacron itself; anacron.service starts anacron, at boot only"},
		{"no hour", "-- etc/os-release --\nID=fedora\n-- etc/anacrontab --\nSTART_HOURS_RANGE=3-3\n1 5 x /bin/x\n", fleet.NeverDue,
			"START_HOURS_RANGE leaves no hour to start in (let its second hour be later than its first)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, job := range scanned(t, plant(t, c.tree)).Jobs {
				if job.Kind == fleet.KindAnacron {
					if diff := cmp.Diff(fleet.Verdict{Runs: c.code == "", Code: c.code, Why: c.why}, job.Verdict); diff != "" {
						t.Errorf("verdict (-want +got):\n%s", diff)
					}
					return
				}
			}
			t.Error("no anacron job")
		})
	}
}

// TestEstimatesAreMarked: an instant that depends on when the host is up does
// not stand beside the certain ones as if it were one of them.
func TestEstimatesAreMarked(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=fedora\n-- etc/anacrontab --\n1 5 x /bin/x\n-- etc/crontab --\n1 * * * * root run-parts /etc/cron.hourly\n-- etc/cron.hourly/0anacron 0755 --\n#!/bin/sh\n")
	var b strings.Builder
	must(t, WriteTable(&b, scanned(t, root)))
	for _, want := range []string{"\n≈ Fri 2026-03-06 12:06 UTC  1 5 ", "\nFri 2026-03-06 12:01 UTC    1 * * * *"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

// TestAnacronTraps puts in the place of anacrontab and stamps what must
// neither hang nor trick a scan.
func TestAnacronTraps(t *testing.T) {
	const tab = "/etc/anacrontab"
	for _, c := range []struct {
		name string
		set  func(t *testing.T, path string)
		want string
	}{
		{"FIFO", func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o644)) }, "it is a FIFO, not a regular file"},
		{"50 MB", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o644))
			must(t, os.Truncate(path, 50<<20))
		}, "it has 52428800 bytes; more than 8 MiB are not read"},
		{"link out of the root", func(t *testing.T, path string) {
			must(t, os.Symlink(strings.Repeat("../", 30)+"proc/self/environ", path))
		}, "the symbolic link points to nothing within the scanned root"},
		{"a line without an end", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(strings.Repeat("\\\n", 1<<20)), 0o644))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := plant(t, "-- etc/hostname --\nhere\n")
			c.set(t, root+tab)
			var want []string
			if c.want != "" {
				want = []string{tab + ":0 " + c.want}
			}
			if diff := cmp.Diff(want, problems(scanned(t, root))); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	root := plant(t, "-- etc/anacrontab --\n1 5 fifo a\n1 5 link b\n1 5 .. c\n1 5 big d\n-- etc/secret --\n20260301\n-- var/spool/anacron/link -> ../../../etc/secret --\n")
	must(t, unix.Mkfifo(root+stampDir+"/fifo", 0o600))
	must(t, os.WriteFile(root+stampDir+"/big", []byte("20260301"+strings.Repeat(" ", 100)), 0o600))
	for _, job := range scanned(t, root).Jobs {
		if job.Evidence != nil {
			t.Errorf("%s has a stamp: %+v", job.Command, job.Evidence)
		}
	}
}

// TestManyAnacronLines: a file of nothing but lines costs little and is told in part.
func TestManyAnacronLines(t *testing.T) {
	var b strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&b, "V%d=%d\n%d 5 job%d /bin/true %d\nbad\n", i, i, i%30, i, i)
	}
	root := plant(t, "-- etc/anacrontab --\n"+b.String()+"-- etc/os-release --\nID=fedora\n")
	report := scanned(t, root)
	if len(report.Jobs) == 0 || len(report.Jobs) > fleet.MaxReportJobs || len(report.Problems) != maxAnacronProblems+2 {
		t.Errorf("%d jobs, %d problems", len(report.Jobs), len(report.Problems))
	}
}

// FuzzAnacrontab holds that every line is a job, a setting, a problem or
// nothing, and that what is told of a job was written there.
func FuzzAnacrontab(f *testing.F) {
	f.Add("SHELL=/bin/sh\nRANDOM_DELAY=45\nSTART_HOURS_RANGE=3-22\n1 5 cron.daily nice run-parts /etc/cron.daily\n")
	f.Add("@monthly 15 m x \\\n y\n= \n\\")
	f.Add("1 5 a\\\n\f\n")
	f.Add("\\\n\n#\\\n1 1 1 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, names := range [][]string{debianPeriods, croniePeriods} {
			tab := parseAnacrontab([]byte(text), names)
			last := 0
			for _, e := range tab.entries {
				if e.line <= last || e.line > strings.Count(text, "\n")+1 || e.ident == "" || e.command == "" || e.settings > len(tab.settings) {
					t.Fatalf("%+v after line %d", e, last)
				}
				if strings.ContainsAny(e.ident, "/ \t\n") || strings.Contains(e.command, "\n") || !strings.Contains(strings.NewReplacer("\\\n", "", "\\", "").Replace(text), e.period) {
					t.Fatalf("%+v", e)
				}
				last = e.line
			}
			if n := len(tab.entries) + len(tab.settings) + len(tab.problems); n > strings.Count(text, "\n")+2 {
				t.Fatalf("%d things in %q", n, text)
			}
		}
	})
}
