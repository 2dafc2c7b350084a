package evidence

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// said is an event as a test writes it.
type said struct {
	What   act
	Kind   fleet.JobKind
	At     string
	User   string
	Text   string
	Cut    bool
	PID    int
	Child  int
	Result string
}

// hear takes a line apart and understands it, as a round does.
func hear(text string) (said, bool) {
	e, ok := parseLine([]byte(text))
	if !ok {
		return said{}, false
	}
	v, ok := understand(&e)
	if !ok {
		return said{}, false
	}
	c := clock{zone: time.UTC, last: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	at, ok := c.read(e.stamp)
	return said{v.what, v.kind, at.UTC().Format(time.RFC3339Nano), v.user, string(v.text), v.cut, v.pid, v.child, v.result}, ok
}

// TestWhatProgramsSay has a line of every program, in every form of log.
func TestWhatProgramsSay(t *testing.T) {
	const day, instant = "Nov 21 12:03:01 ", "2026-11-21T12:03:01Z"
	for line, want := range map[string]said{
		// Debian's cron, by its log levels
		day + "vm CRON[29453]: (root) CMD (sleep 5)":                                       {started, fleet.KindCron, instant, "root", "sleep 5", false, 29453, 0, ""},
		day + "vm CRON[29445]: (root) CMD ([29453] sleep 5)":                               {started, fleet.KindCron, instant, "root", "[29453] sleep 5", false, 29445, 0, ""},
		day + "vm CRON[29449]: (root) CMD (   cd / && echo )":                              {started, fleet.KindCron, instant, "root", "   cd / && echo ", false, 29449, 0, ""},
		day + "vm CRON[29445]: (root) END ([29453] sleep 5)":                               {ended, fleet.KindCron, instant, "root", "[29453] sleep 5", false, 29445, 0, ""},
		day + "vm CRON[29446]: (CRON) error (grandchild #29452 failed with exit status 3)": {failed, fleet.KindCron, instant, "", "", false, 29446, 29452, "exit 3"},
		day + "vm CRON[29451]: (CRON) error (grandchild #29460 terminated by signal 9)":    {failed, fleet.KindCron, instant, "", "", false, 29451, 29460, "signal KILL"},
		// the same in the other forms that rsyslog and syslog-ng write
		"2026-11-21T12:03:01.708571+01:00 vm CRON[7]: (a) CMD (x)": {started, fleet.KindCron, "2026-11-21T11:03:01.708571Z", "a", "x", false, 7, 0, ""},
		"2026-11-21T12:03:01+0100 vm CRON[7]: (a) CMD (x)":         {started, fleet.KindCron, "2026-11-21T11:03:01Z", "a", "x", false, 7, 0, ""},
		"<78>1 2026-11-21T12:03:01Z vm CRON 7 - -  (a) CMD (x)":    {started, fleet.KindCron, instant, "a", "x", false, 7, 0, ""},
		"<78>" + day + "vm CRON[7]: (a) CMD (x)":                   {started, fleet.KindCron, instant, "a", "x", false, 7, 0, ""},
		"Nov  1 02:03:04 vm CRON[7]: (a) CMD (x: y) [z])":          {started, fleet.KindCron, "2026-11-01T02:03:04Z", "a", "x: y) [z]", false, 7, 0, ""},
		// what a log has cut
		day + "vm CRON[7]: (a) CMD (x --with much": {started, fleet.KindCron, instant, "a", "x --with much", true, 7, 0, ""},
		// cronie, SUSE, and old ones
		day + "el9 CROND[12346]: (root) CMD (run-parts /etc/cron.hourly)":    {started, fleet.KindCron, instant, "root", "run-parts /etc/cron.hourly", false, 12346, 0, ""},
		day + "el9 CROND[12345]: (root) CMDEND (run-parts /etc/cron.hourly)": {ended, fleet.KindCron, instant, "root", "run-parts /etc/cron.hourly", false, 12345, 0, ""},
		day + "el5 crond[99]: (root) CMD (x)":                                {started, fleet.KindCron, instant, "root", "x", false, 99, 0, ""},
		day + "sles /usr/sbin/cron[99]: (root) CMD (x)":                      {started, fleet.KindCron, instant, "root", "x", false, 99, 0, ""},
		// busybox, as its syslogd writes it
		day + "alpine cron.info crond[2156]: USER root pid 2240 cmd run-parts /etc/periodic/15min": {started, fleet.KindCron, instant, "root", "run-parts /etc/periodic/15min", true, 2240, 0, ""},
		day + "crond[2156]: USER joe pid  41 cmd x":                                                {started, fleet.KindCron, instant, "joe", "x", true, 41, 0, ""},
		// anacron
		day + "vm anacron[5]: Job `cron.daily' started":                             {started, fleet.KindAnacron, instant, "", "cron.daily", false, 0, 0, ""},
		day + "vm anacron[5]: Job `cron.daily' terminated":                          {ended, fleet.KindAnacron, instant, "", "cron.daily", false, 0, 0, "success"},
		day + "vm anacron[5]: Job `it's' terminated (mailing output)":               {ended, fleet.KindAnacron, instant, "", "it's", false, 0, 0, "success"},
		day + "vm anacron[5]: Job `x' terminated (exit status: 4) (mailing output)": {ended, fleet.KindAnacron, instant, "", "x", false, 0, 0, "exit 4"},
		day + "vm anacron[5]: Job `x' terminated due to signal 15":                  {ended, fleet.KindAnacron, instant, "", "x", false, 0, 0, "signal TERM"},
		day + "vm anacron[5]: Job `x' terminated abnormally":                        {ended, fleet.KindAnacron, instant, "", "x", false, 0, 0, "abnormal end"},
		// RHEL's run-parts, now and in version 7
		day + "el9 run-parts[8]: (/etc/cron.daily) starting logrotate":  {started, fleet.KindRunParts, instant, "", "/etc/cron.daily/logrotate", false, 0, 0, ""},
		day + "el7 run-parts(/etc/cron.daily)[8]: finished logrotate":   {ended, fleet.KindRunParts, instant, "", "/etc/cron.daily/logrotate", false, 0, 0, ""},
		day + "el7 run-parts(/etc/cron.daily/)[8]: starting logrotate ": {started, fleet.KindRunParts, instant, "", "/etc/cron.daily/logrotate", false, 0, 0, ""},
	} {
		got, ok := hear(line)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s\n%s", line, diff)
		}
	}
}

// TestWhatSaysNothing has lines that look like one that does.
func TestWhatSaysNothing(t *testing.T) {
	const day = "Nov 21 12:03:01 "
	for _, line := range []string{
		"", " ", ":", "<78>", "<78>1 ", "Nov 21 12:03:01", day, day + "vm",
		day + "vm CRON[1]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
		day + "vm cron[1]: (CRON) INFO (Running @reboot jobs)",
		day + "vm cron[1]: (*system*) RELOAD (/etc/crontab)",
		day + "vm crontab[1]: (root) REPLACE (root)",
		day + "vm CRON[1]: (root) CMD", day + "vm CRON[1]: (root", day + "vm CRON[1]: root) CMD (x)",
		day + "vm CRON[1]: (CRON) error (grandchild #x failed with exit status 3)",
		day + "vm CRON[1]: (CRON) error (grandchild #4 failed with exit status 999999999)",
		day + "vm CRON[1]: (CRON) error (can't fork)",
		day + "vm sshd[1]: (root) CMD (x)",
		day + "vm crond[1]: USER root pid x cmd y", day + "vm crond[1]: USER root",
		day + "vm anacron[1]: Will run job `cron.daily' in 5 min.", day + "vm anacron[1]: Job `' started", day + "vm anacron[1]: Job `x' locked by another anacron - skipping",
		day + "vm run-parts[1]: (/etc/cron.daily) removing x", day + "vm run-parts: x", day + "vm run-parts[1]: () starting x",
		"Nov 31 12:03:01 vm CRON[1]: (a) CMD (x)", "Nob 21 12:03:01 vm CRON[1]: (a) CMD (x)", "Nov 21 25:03:01 vm CRON[1]: (a) CMD (x)",
		"2026-11-21 12:03:01 vm CRON[1]: (a) CMD (x)", "yesterday vm CRON[1]: (a) CMD (x)",
		"crond: USER root pid 12 cmd x", // busybox to a file of its own: nobody says when
	} {
		if got, ok := hear(line); ok {
			t.Errorf("%q says %+v", line, got)
		}
	}
}

// FuzzLine holds what a line says to the line: nothing is made up, and an
// instant is never later than when the log was written.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		"Nov 21 12:03:01 vm CRON[29453]: (root) CMD (sleep 5)", "<78>1 2026-11-21T12:03:01Z vm CRON 7 - -  (a) CMD (x)",
		"Nov 21 12:03:01 alpine cron.info crond[2156]: USER root pid 2240 cmd x", "Nov 21 12:03:01 vm anacron[5]: Job `x' terminated (exit status: 4)",
		"Feb 29 12:03:01 el9 run-parts[8]: (/etc/cron.daily) starting x", "Nov 21 12:03:01 vm CRON[1]: (CRON) error (grandchild #4 failed with exit status 3)",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := hear(line)
		if !ok {
			return
		}
		at, err := time.Parse(time.RFC3339Nano, got.At)
		if err != nil || got.What == 0 || got.Kind == "" || got.PID < 0 || got.Child < 0 {
			t.Fatalf("%q says %+v", line, got)
		}
		if line[0] >= 'A' && at.After(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)) {
			t.Fatalf("%q is of %s", line, at)
		}
		if got.Kind != fleet.KindRunParts && !strings.Contains(line, got.Text) || !strings.Contains(line, got.User) {
			t.Fatalf("%q says %+v", line, got)
		}
	})
}

func TestInstants(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		zone       *time.Location
		last, prev string
		text, want string
	}{
		"this year":                  {time.UTC, "2026-11-21T12:00:00Z", "", "Nov 21 11:59:59", "2026-11-21T11:59:59Z"},
		"a little ahead":             {time.UTC, "2026-11-21T12:00:00Z", "", "Nov 21 12:00:30", "2026-11-21T12:00:30Z"},
		"last year":                  {time.UTC, "2026-01-03T12:00:00Z", "", "Dec 31 23:59:59", "2025-12-31T23:59:59Z"},
		"over the year by the clock": {time.UTC, "2025-12-31T23:59:59Z", "", "Jan  1 00:00:01", "2026-01-01T00:00:01Z"},
		"a leap day":                 {time.UTC, "2027-02-01T00:00:00Z", "", "Feb 29 01:00:00", "2024-02-29T01:00:00Z"},
		"local time":                 {berlin, "2026-07-02T00:00:00Z", "", "Jul  1 02:30:00", "2026-07-01T00:30:00Z"},
		"the equal hour, alone":      {berlin, "2026-10-26T00:00:00Z", "", "Oct 25 02:30:00", "2026-10-25T00:30:00Z"},
		"the equal hour, first":      {berlin, "2026-10-26T00:00:00Z", "2026-10-25T00:29:00Z", "Oct 25 02:30:00", "2026-10-25T00:30:00Z"},
		"the equal hour, again":      {berlin, "2026-10-26T00:00:00Z", "2026-10-25T00:59:00Z", "Oct 25 02:30:00", "2026-10-25T01:30:00Z"},
		"the equal hour, not yet":    {berlin, "2026-10-25T00:31:00Z", "2026-10-25T00:59:00Z", "Oct 25 02:30:00", "2026-10-25T00:30:00Z"},
	} {
		instant := func(text string) time.Time {
			at, _ := time.Parse(time.RFC3339, text)
			return at
		}
		read := clock{zone: c.zone, last: instant(c.last), prev: instant(c.prev)}
		if at, ok := read.read([]byte(c.text)); !ok || !at.Equal(instant(c.want)) {
			t.Errorf("%s: %s is %s, want %s", name, c.text, at.UTC(), c.want)
		}
	}
}

func TestRenderings(t *testing.T) {
	for command, want := range map[string][]string{
		"sleep 5":            {"sleep 5"},
		"  echo x  ":         {"echo x"},
		`date +\%F`:          {"date +%F", `date +\%F`},
		"mail x%hello%there": {"mail x", "mail x%hello%there"},
		`echo a\\b`:          {`echo a\b`, `echo a\\b`},
		"echo\tx":            {"echo^Ix"},
		"echo \x7f\x1b":      {"echo ^?^["},
		"echo grüße":         {`echo gr\303\274\303\237e`, `echo gr\374\337e`},
		"echo €":             {`echo \342\202\254`},
	} {
		if diff := cmp.Diff(want, renderings(command)); diff != "" {
			t.Errorf("%q: %s", command, diff)
		}
	}
}
