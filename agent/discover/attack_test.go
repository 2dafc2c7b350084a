package discover

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// told is all that a report says, as the collector hears it.
func told(t *testing.T, report fleet.Report) string {
	t.Helper()
	text, err := json.Marshal(report)
	must(t, err)
	return string(text)
}

// commandsOf lists the commands of a report in their order.
func commandsOf(report fleet.Report) (commands []string) {
	for _, job := range report.Jobs {
		commands = append(commands, job.Command)
	}
	return commands
}

// TestAttack96_NoTrapHidesItsNeighbours: whatever lies in a directory of
// tables is named with what it is, and the table beside it is read.
func TestAttack96_NoTrapHidesItsNeighbours(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=debian\n-- etc/cron.d/good --\n1 1 * * * root good\n-- etc/cron.d/dangling -> gone --\n-- etc/cron.d/folder/x --\n1 1 * * * root inner\n")
	must(t, unix.Mkfifo(root+"/etc/cron.d/pipe", 0o644))
	want := []string{"pipe:0 it is a FIFO, not a regular file", "dangling:0 the symbolic link points to nothing within the scanned root"}
	if err := unix.Mknod(root+"/etc/cron.d/device", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))); err == nil { // where it may
		want = append(want, "device:0 it is a device, not a regular file")
	}
	report := scanned(t, root)
	if got := commandsOf(report); !slices.Equal(got, []string{"good"}) {
		t.Errorf("commands %q", got)
	}
	for _, problem := range want {
		if !slices.Contains(problems(report), "/etc/cron.d/"+problem) {
			t.Errorf("problems %q, without %q", problems(report), problem)
		}
	}
}

// TestAttack97_AUsersTimerIsNoWayToAnotherFile: a link of a user to what only
// root may read is refused, and no byte of it is in the report.
func TestAttack97_AUsersTimerIsNoWayToAnotherFile(t *testing.T) {
	const shadow = "root:$6$s3cr3t:1::::::"
	const base = "-- etc/passwd --\nroot:x:0:0::/root:\nann:x:1000:1000::/home/ann:\n-- var/lib/systemd/linger/ann --\n-- usr/lib/systemd/systemd --\n-- etc/shadow 0600 --\n" + shadow + "\n[Timer]\nOnCalendar=daily\n[Service]\nExecStart=/s3cr3t\n"
	for name, planted := range map[string]string{
		"the timer":     "-- home/ann/.config/systemd/user/x.timer -> /etc/shadow --\n",
		"the service":   "-- home/ann/.config/systemd/user/x.timer --\n[Timer]\nOnCalendar=daily\n-- home/ann/.config/systemd/user/x.service -> /etc/shadow --\n",
		"a drop-in":     "-- home/ann/.config/systemd/user/x.timer --\n[Timer]\nOnCalendar=daily\n-- home/ann/.config/systemd/user/x.timer.d/a.conf -> /etc/shadow --\n",
		"the directory": "-- home/ann/.config/systemd/user -> ../../../../etc --\n-- etc/x.timer -> shadow --\n",
		"a table":       "-- var/spool/cron/crontabs/ann -> /etc/shadow --\n",
		"relative":      "-- home/ann/.config/systemd/user/x.timer -> ../../../../../etc/shadow --\n",
	} {
		root := plant(t, base+planted)
		for _, path := range []string{"home/ann", "home/ann/.config", "home/ann/.config/systemd", "home/ann/.config/systemd/user", "home/ann/.config/systemd/user/x.timer", "home/ann/.config/systemd/user/x.service", "home/ann/.config/systemd/user/x.timer.d", "home/ann/.config/systemd/user/x.timer.d/a.conf"} {
			_ = os.Lchown(root+"/"+path, 1000, 1000) // where it may, and where it is
		}
		if text := told(t, scanned(t, root)); strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestAttack99_TextsThatAreNoTables: what is no text of lines has a reason for
// each of its lines, or for all of it, and no such text hides another table.
func TestAttack99_TextsThatAreNoTables(t *testing.T) {
	wide := func(text string) string {
		var b strings.Builder
		b.WriteString("\xff\xfe")
		for _, unit := range utf16.Encode([]rune(text)) {
			b.WriteByte(byte(unit))
			b.WriteByte(byte(unit >> 8))
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"NUL":                   "1 1 * * * root a\x00b\n\x00\x00\x00\n",
		"CRLF":                  "1 1 * * * root a\r\n\r\n",
		"no final newline":      "1 1 * * * root a",
		"UTF-16":                wide("1 1 * * * root a\n"),
		"binary":                string([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0xff, 0xfe, '\n'}),
		"a line of a mebibyte":  "1 1 * * * root " + strings.Repeat("x", 1<<20) + "\n",
		"a field of a mebibyte": strings.Repeat("1,", 1<<19) + " 1 * * * root a\n",
	} {
		root := plant(t, "-- etc/os-release --\nID=debian\n-- etc/cron.d/good --\n1 1 * * * root good\n")
		must(t, os.WriteFile(root+"/etc/cron.d/bad", []byte(text), 0o644))
		report := scanned(t, root)
		if !slices.Contains(commandsOf(report), "good") {
			t.Errorf("%s hides another table", name)
		}
		said := slices.ContainsFunc(problems(report), func(p string) bool { return strings.HasPrefix(p, "/etc/cron.d/bad:") })
		said = said || slices.ContainsFunc(report.Jobs, func(job fleet.Job) bool {
			return job.Source == "/etc/cron.d/bad" && (!job.Verdict.Runs || len(job.Risks) > 0 || strings.Contains(job.Command, "\\"))
		})
		if !said && name != "NUL" { // of that, cron runs what stands before it, and so does the report
			t.Errorf("%s: nothing is said of it: %q, %+v", name, problems(report), report.Jobs)
		}
	}
}

// TestAttack100_WhatCronPassesOver says of a table in whose way a rule of the
// daemon stands, in the daemon's words, that its jobs do not run.
func TestAttack100_WhatCronPassesOver(t *testing.T) {
	if os.Geteuid() != 0 {
		return // the rules themselves are tried on every mode, owner and number of links without files
	}
	const base = "-- etc/os-release --\nID=debian\n-- etc/passwd --\nroot:x:0:0::/root:\nann:x:1000:1000::/home/ann:\n-- var/spool/cron/crontabs/ann 0600 --\n1 1 * * * x\n"
	for name, c := range map[string]struct {
		spoil func(path string) error
		code  fleet.VerdictCode
		term  string
	}{
		"a hard link":   {func(path string) error { return os.Link(path, path+".other") }, fleet.BadLinks, "NUMBER OF HARD LINKS > 1"},
		"another owner": {func(path string) error { return os.Chown(path, 1001, 1001) }, fleet.BadOwner, "WRONG FILE OWNER"},
		"mode 0666":     {func(path string) error { return os.Chmod(path, 0o666) }, fleet.BadMode, "INSECURE MODE (mode 0600 expected)"},
	} {
		root := plant(t, base)
		table := root + "/var/spool/cron/crontabs/ann"
		must(t, os.Chown(table, 1000, 1000))
		must(t, c.spoil(table))
		report := scanned(t, root)
		if len(report.Jobs) == 0 || report.Jobs[0].Verdict.Runs || report.Jobs[0].Verdict.Code != c.code || !strings.Contains(strings.Join(problems(report), "\n"), "(cron says: "+c.term) {
			t.Errorf("%s: %+v, %q", name, report.Jobs, problems(report))
		}
	}
}

// TestAttack102_NamesThatAreNoText: a file is the same one in each report,
// whatever bytes its name has, and two names that look alike are two.
func TestAttack102_NamesThatAreNoText(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=rhel\n-- etc/passwd --\nroot:x:0:0::/root:\n")
	must(t, os.MkdirAll(root+"/etc/cron.d", 0o755))
	for _, name := range []string{"a\nb", "a\x1bb", "..x..", "bad\xffname", "bad\xfename", strings.Repeat("n", 255)} {
		must(t, os.WriteFile(root+"/etc/cron.d/"+name, []byte("1 1 * * * root true\n"), 0o644))
	}
	first, second := scanned(t, root), scanned(t, root)
	seen := map[fleet.JobID]string{}
	for i, job := range first.Jobs {
		if !utf8.ValidString(job.Source) {
			t.Errorf("source %q", job.Source)
		}
		if other, twice := seen[job.ID]; twice {
			t.Errorf("%q and %q have one id", other, job.Source)
		}
		seen[job.ID] = job.Source
		if second.Jobs[i].ID != job.ID {
			t.Errorf("%q had %s and has %s", job.Source, job.ID, second.Jobs[i].ID)
		}
	}
	if len(first.Jobs) != 5 { // cron reads no name with a dot before it
		t.Errorf("%d jobs, problems %q", len(first.Jobs), problems(first))
	}
}
