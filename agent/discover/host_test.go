package discover

import (
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestHostCron(t *testing.T) {
	for _, c := range []struct {
		name, tree string
		want       Cron
		spool      string
	}{
		{"Debian", "-- etc/os-release --\nID=debian\n", Debian, "/var/spool/cron/crontabs"},
		{"Ubuntu's child", "-- usr/lib/os-release --\nID=pop\nID_LIKE=\"ubuntu debian\"\n", Debian, "/var/spool/cron/crontabs"},
		{"Alma", "-- etc/os-release --\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n", Cronie, "/var/spool/cron"},
		{"SLES", "-- etc/os-release --\nID=\"sles\"\n-- usr/sbin/cron --\n-- bin/sh --\n", Cronie, "/var/spool/cron/tabs"},
		{"Alpine", "-- etc/os-release --\nID=alpine\n-- etc/crontabs/root --\n", Busybox, "/etc/crontabs"},
		{"Alpine, spool only", "-- etc/os-release --\nID=alpine\n", Busybox, "/var/spool/cron/crontabs"},
		{"Gentoo", "-- etc/os-release --\nID=gentoo\n", Cronie, "/var/spool/cron/crontabs"},
		{"Alpine with cronie", "-- etc/os-release --\nID=alpine\n-- usr/sbin/crond --\n", Cronie, "/var/spool/cron/crontabs"},
		{"Debian with cronie", "-- etc/os-release --\nID=debian\n-- usr/sbin/crond --\n", Cronie, "/var/spool/cron/crontabs"},
		{"busybox under another name", "-- usr/sbin/crond -> /bin/busybox.static --\n-- bin/busybox.static --\n", Busybox, "/var/spool/cron/crontabs"},
		{"a system without cron", "-- etc/os-release --\nID=debian\n-- bin/sh --\n", None, "/var/spool/cron/crontabs"},
		{"a system with it", "-- etc/os-release --\nID=debian\n-- bin/sh --\n-- usr/sbin/cron --\n", Debian, "/var/spool/cron/crontabs"},
		{"Debian with busybox beside", "-- etc/os-release --\nID=debian\n-- bin/sh --\n-- usr/sbin/cron --\n-- usr/sbin/crond -> /bin/busybox --\n-- bin/busybox --\n", Debian, "/var/spool/cron/crontabs"},
		{"Fedora with busybox beside", "-- etc/os-release --\nID=fedora\n-- usr/sbin/crond --\n-- usr/bin/crond -> busybox --\n-- usr/bin/busybox --\n", Cronie, "/var/spool/cron"},
		{"Arch with Debian's and busybox", "-- etc/os-release --\nID=arch\n-- usr/sbin/cron --\n-- bin/crond -> busybox --\n-- bin/busybox --\n", Debian, "/var/spool/cron/crontabs"},
		{"systemd-cron", "-- etc/os-release --\nID=arch\n-- bin/sh --\n-- usr/lib/systemd/system-generators/systemd-crontab-generator --\n", Cronie, "/var/spool/cron"},
		{"busybox with a spool of its own", "-- etc/os-release --\nID=alpine\n-- etc/conf.d/crond --\nCRON_OPTS=\"-c /data/tabs -l 2\"\n", Busybox, "/data/tabs"},
		{"nothing known", "-- etc/hostname --\nx\n", Debian, "/var/spool/cron/crontabs"},
	} {
		root := plant(t, c.tree)
		got, err := HostCron(t.Context(), root)
		must(t, err)
		tree, err := openTree(root)
		must(t, err)
		s := scan{tree: tree, host: readHost(t.Context(), tree)}
		if spool := s.spool(); got != c.want || spool != c.spool {
			t.Errorf("%s: %s in %s, want %s in %s", c.name, got, spool, c.want, c.spool)
		}
		tree.release()
	}
}

// TestWhichCronRuns: of several crons that are installed, the one that runs
// reads the tables.
func TestWhichCronRuns(t *testing.T) {
	const both = "-- etc/os-release --\nID=debian\n-- usr/sbin/cron --\n-- usr/sbin/crond -> /bin/busybox --\n-- bin/busybox --\n-- proc/1/comm --\ninit\n" +
		"-- proc/self/ns/pid -> pid:[1] --\n-- proc/1/ns/pid -> pid:[1] --\n-- proc/7/ns/pid -> pid:[1] --\n-- proc/7/comm --\n"
	for _, c := range []struct {
		name, tree string
		want       Cron
		down       bool
	}{
		{"Debian's", both + "cron\n", Debian, false},
		{"busybox's", both + "crond\n", Busybox, false},
		{"none", both + "sshd\n", Debian, true},
		{"systemd", "-- etc/os-release --\nID=debian\n-- bin/sh --\n-- lib/systemd/system-generators/systemd-crontab-generator --\n-- proc/1/comm --\nsystemd\n", Debian, false},
	} {
		tree, err := openTree(plant(t, c.tree))
		must(t, err)
		h := readHost(t.Context(), tree)
		if h.look(t.Context(), tree); h.cron != c.want || h.cronDown != c.down {
			t.Errorf("%s: %s, down %v", c.name, h.cron, h.cronDown)
		}
		tree.release()
	}
}

func TestZone(t *testing.T) {
	for _, c := range []struct{ name, tree, want string }{
		{"a link", "-- etc/localtime -> ../usr/share/zoneinfo/Europe/Berlin --\n-- etc/timezone --\nAsia/Tokyo\n", "Europe/Berlin"},
		{"a name", "-- etc/timezone --\nAsia/Tokyo\n", "Asia/Tokyo"},
		{"SUSE's name", "-- etc/sysconfig/clock --\nTIMEZONE=\"Asia/Kolkata\"\n", "Asia/Kolkata"},
		{"nonsense", "-- etc/timezone --\n../../etc/passwd\n", "UTC"},
		{"none", "-- etc/hostname --\nx\n", "UTC"},
	} {
		facts, err := Facts(t.Context(), plant(t, c.tree))
		must(t, err)
		if facts.Timezone != c.want {
			t.Errorf("%s: %q, want %q", c.name, facts.Timezone, c.want)
		}
	}
}

func TestFacts(t *testing.T) {
	facts, err := Facts(t.Context(), plant(t, "-- etc/os-release --\nID=alpine\nPRETTY_NAME='Alpine Linux v3.20'\n-- etc/hostname --\n# name\nedge-1\n"))
	must(t, err)
	if facts.Name != "edge-1" || facts.OS != "Alpine Linux v3.20" || facts.Cron != "busybox" || facts.Timezone != "UTC" {
		t.Errorf("%+v", facts)
	}
	if facts.Kernel == "" || facts.Arch == "" || facts.CPUs < 1 || facts.MemoryBytes < 1<<20 {
		t.Errorf("the machine: %+v", facts)
	}
}

// TestVerdicts are those the four hosts do not show.
func TestVerdicts(t *testing.T) {
	const job = "1 1 * * * root x\n"
	for _, c := range []struct{ name, tree, source, why string }{
		{"no cron", "-- bin/sh --\n-- etc/crontab --\n" + job, "/etc/crontab", "no cron daemon is installed on this host, so nothing reads its crontabs (install one, or remove the file)"},
		{"no passwd: users are not judged", "-- etc/crontab --\n" + job, "/etc/crontab", ""},
		{"a directory service may know the user", "-- etc/passwd --\nann:x:1:1::/:\n-- etc/nsswitch.conf --\npasswd: files sss\n-- etc/crontab --\n" + job, "/etc/crontab", ""},
		{"local services do not", "-- etc/passwd --\nann:x:1:1::/:\n-- etc/nsswitch.conf --\npasswd: files [NOTFOUND=return] systemd\n-- etc/crontab --\n1 1 * * * ann y\n" + job,
			"/etc/crontab", "Debian's cron ignores the whole file because of line 2: bad username (correct that line, and the others run as well)"},
		{"cron -l", "-- etc/default/cron --\nEXTRA_OPTS=\"-L 2 -l\"\n-- etc/cron.d/vendor.org-job --\n" + job, "/etc/cron.d/vendor.org-job", ""},
		{"crond -p", "-- etc/os-release --\nID=fedora\n-- etc/sysconfig/crond --\nCRONDARGS=\"-p\"\n-- etc/crontab 0777 --\n" + job, "/etc/crontab", ""},
		{"crond -c, another host", "-- etc/os-release --\nID=fedora\n-- etc/hostname --\nb\n-- etc/sysconfig/crond --\nCRONDARGS=-c\n-- var/spool/cron/.cron.hostname --\na\n-- var/spool/cron/root 0600 --\n1 1 * * * x\n", "/var/spool/cron/root",
			"crond -c runs users' tables only on the host that /var/spool/cron/.cron.hostname names, which is \"a\" (crontab -n b moves them here)"},
		{"crond -c, this host", "-- etc/os-release --\nID=fedora\n-- etc/hostname --\na\n-- etc/sysconfig/crond --\nCRONDARGS=-c\n-- var/spool/cron/.cron.hostname --\na\n-- var/spool/cron/root 0600 --\n1 1 * * * x\n", "/var/spool/cron/root", ""},
		{"RANDOM_DELAY", "-- etc/os-release --\nID=fedora\n-- etc/crontab --\nRANDOM_DELAY=30\n" + job, "/etc/crontab", "up to 30 minutes late, by RANDOM_DELAY"},
		{"RANDOM_DELAY of no number", "-- etc/os-release --\nID=fedora\n-- etc/crontab --\nRANDOM_DELAY=1441\n" + job, "/etc/crontab", ""},
		{"RANDOM_DELAY, which Debian's cron does not know", "-- etc/crontab --\nRANDOM_DELAY=30\n" + job, "/etc/crontab", ""},
		{"run-parts --regex", "-- etc/crontab --\n1 1 * * * root run-parts --regex='^.*\\.sh$' /etc/cron.daily\n-- etc/cron.daily/a.sh 0755 --\n", "/etc/cron.daily/a.sh", "run-parts is called by /etc/crontab line 1"},
		{"run-parts --lsbsysinit", "-- etc/crontab --\n1 1 * * * root run-parts --lsbsysinit -- /etc/cron.daily/\n-- etc/cron.daily/a.b-c 0755 --\n", "/etc/cron.daily/a.b-c", "run-parts is called by /etc/crontab line 1"},
		{"a call that does not run", "-- etc/crontab --\n1 1 * * * root run-parts /etc/cron.daily\nx\n-- etc/cron.daily/a 0755 --\n", "/etc/cron.daily/a",
			"run-parts is called by /etc/crontab line 1, which does not run: Debian's cron ignores the whole file because of line 2: bad minute (correct that line, and the others run as well)"},
		{"anacron goes first", "-- etc/crontab --\n1 1 * * * root test -x /usr/sbin/anacron || run-parts /etc/cron.daily\n-- etc/anacrontab --\n# x\n1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n-- etc/cron.daily/a 0755 --\n",
			"/etc/cron.daily/a", "anacron starts it, by /etc/anacrontab line 2: every day, 5 minutes after anacron begins"},
		{"jobs.allow", "-- etc/os-release --\nID=rhel\n-- etc/cron.d/x --\n1 1 * * * root run-parts /etc/cron.daily\n-- etc/cron.daily/a 0755 --\n-- etc/cron.daily/jobs.allow --\nb\n", "/etc/cron.daily/a", "jobs.allow in its directory does not name it, so run-parts passes over it (add it there)"},
		{"a hard link", "-- etc/cron.d/x 0646 --\n" + job, "/etc/cron.d/x", "others than its owner may write the file, so cron ignores it (chmod go-w /etc/cron.d/x)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, job := range scanned(t, plant(t, c.tree)).Jobs {
				if job.Source != c.source {
					continue
				}
				if job.Verdict.Why != c.why {
					t.Errorf("%+v, want why %q", job.Verdict, c.why)
				}
				return
			}
			t.Errorf("no job of %s", c.source)
		})
	}
}

// TestIDs: an edited schedule keeps the id, an equal line has one of its own.
func TestIDs(t *testing.T) {
	ids := func(text string) []fleet.JobID {
		var ids []fleet.JobID
		for _, job := range scanned(t, plant(t, "-- etc/crontab --\n"+text)).Jobs {
			ids = append(ids, job.ID)
		}
		return ids
	}
	before := ids("1 1 * * * root a  b\n2 2 * * * root a b\n3 3 * * * root c\n")
	after := ids("# moved\n9 9 * * * root a b\n2 2 * * * root a b\n3 3 * * * root d\n")
	if before[0] != after[0] || before[1] != after[1] || before[2] == after[2] || before[0] == before[1] {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestTableIsSafeToPrint(t *testing.T) {
	report := scanned(t, plant(t, "-- etc/hostname --\nweb-1\n-- etc/timezone --\nEurope/Berlin\n-- etc/crontab --\n30 2 * * * root echo '\x1b[2J\u202egnp.exe\x07'\n@reboot root warm\n0 0 30 2 * root never\n"+
		"-- etc/cron.d/bad --\nx\x1b]0;title\n"))
	var b strings.Builder
	must(t, WriteTable(&b, report))
	const want = `web-1  2 jobs, 1 job that cannot run, 1 problem  scanned 2026-03-06 12:00 UTC

NEXT                      SCHEDULE    USER  COMMAND                          SOURCE
Sat 2026-03-07 02:30 CET  30 2 * * *  root  echo '\x1b[2J\u202egnp.exe\x07'  /etc/crontab:1
at boot                   @reboot     root  warm                            /etc/crontab:2

Cannot run
SCHEDULE    USER  COMMAND  SOURCE          WHY
0 0 30 2 *  root  never    /etc/crontab:3  no day of the calendar fits its schedule, so it never comes (correct its day or month)

Problems
SOURCE  PROBLEM  LINE
/etc/cron.d/bad:1  the line begins with "x\x1b]0;title", so it is no job, setting or comment (cron says: bad minute)  x\x1b]0;title
`
	if got := squeeze(b.String()); got != squeeze(want) {
		t.Errorf("got:\n%s", b.String())
	}
	for _, r := range b.String() {
		if r != '\n' && r < ' ' {
			t.Errorf("control character %q", r)
		}
	}
}

// squeeze leaves out how wide the columns are.
func squeeze(s string) string {
	for strings.Contains(s, "   ") {
		s = strings.ReplaceAll(s, "   ", "  ")
	}
	return s
}
