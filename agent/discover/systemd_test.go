package discover

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const annsHome = `
-- etc/passwd --
root:x:0:0::/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
-- root/secret 0600 --
[Timer]
OnCalendar=hourly
TOKEN=hunter2
-- root/units/x.timer --
[Timer]
OnCalendar=hourly
-- root/units/x.service --
[Service]
ExecStart=/bin/hunter2
-- home/ann/.config/systemd/user/good.timer --
[Timer]
OnCalendar=daily
-- home/ann/.config/systemd/user/good.service --
[Service]
ExecStart=/bin/good
`

// TestUsersReachNothingElse: whatever lies in a user's directories, a scan tells
// nothing that the user may not read, and does not hang on it.
func TestUsersReachNothingElse(t *testing.T) {
	const units = "/home/ann/.config/systemd/user"
	for _, c := range []struct {
		name string
		set  func(root string)
		want []string // problems
		root bool     // only root can be led astray: others follow no link of a user's
	}{
		{"a link to what only root reads", func(root string) { must(t, os.Symlink("/root/secret", root+units+"/b.timer")) },
			[]string{units + "/b.timer:0 its user may not read it, and neither does a scan"}, true},
		{"a hard link to it", func(root string) { must(t, os.Link(root+"/root/secret", root+units+"/b.timer")) },
			[]string{units + "/b.timer:0 its user may not read it, and neither does a scan"}, true},
		{"a directory that leads into a closed one", func(root string) {
			must(t, os.MkdirAll(root+"/home/ann/.local/share/systemd", 0o755))
			must(t, os.Symlink("/root/units", root+"/home/ann/.local/share/systemd/user"))
		}, []string{"/home/ann/.local/share/systemd/user:0 its user may not read it, and neither does a scan"}, true},
		{"drop-ins of a closed directory", func(root string) { must(t, os.Symlink("/root/units", root+units+"/good.timer.d")) },
			[]string{units + "/good.timer.d:0 its user may not read it, and neither does a scan"}, true},
		{"a service only root reads", func(root string) {
			must(t, os.Remove(root+units+"/good.service"))
			must(t, os.Symlink("/root/secret", root+units+"/good.service"))
		}, []string{units + "/good.service:0 its user may not read it, and neither does a scan"}, true},
		{"a FIFO", func(root string) { must(t, unix.Mkfifo(root+units+"/b.timer", 0o644)) },
			[]string{units + "/b.timer:0 it is a FIFO, not a regular file"}, false},
		{"50 MB", func(root string) {
			must(t, os.WriteFile(root+units+"/b.timer", nil, 0o644))
			must(t, os.Truncate(root+units+"/b.timer", 50<<20))
		}, []string{units + "/b.timer:0 it has 52428800 bytes; of a unit file no more than 1 MiB are read"}, false},
		{"a name that systemd passes over", func(root string) {
			must(t, os.WriteFile(root+units+"/$(reboot)\x1b[2J\n.timer", []byte("[Timer]\nOnCalendar=daily\n"), 0o644))
		}, nil, false},
		{"links in a circle", func(root string) {
			must(t, os.Symlink("d.timer", root+units+"/c.timer"))
			must(t, os.Symlink("c.timer", root+units+"/d.timer"))
		}, []string{units + "/c.timer:0 it is an alias, and they go round in a circle", units + "/d.timer:0 it is an alias, and they go round in a circle"}, false},
		{"links up and out", func(root string) {
			must(t, os.Symlink(strings.Repeat("../", 30)+"etc/shadow", root+units+"/b.timer"))
		}, []string{units + "/b.timer:0 the symbolic link points to nothing within the scanned root"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				t.Log("whoever is not root follows no link of a user's and may not read it")
				return
			}
			root := plant(t, annsHome)
			must(t, os.Chmod(root+"/root", 0o700))
			c.set(root)
			report := scanned(t, root)
			if diff := cmp.Diff(c.want, problems(report)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(report.Jobs) != 1 || report.Jobs[0].User != "ann" {
				t.Errorf("jobs %+v", report.Jobs)
			}
			if text := fmt.Sprintf("%+v", report); strings.Contains(text, "hunter2") {
				t.Errorf("a secret is told: %s", text)
			}
		})
	}
}

// TestStrictSearch: without the right to take on a user's rights, only what
// belongs to the user is read.
func TestStrictSearch(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can make files of two users")
		return
	}
	root := plant(t, annsHome+"-- home/ann/.config/systemd/user/roots.timer --\n[Timer]\nOnCalendar=daily\n-- home/ann/.config/systemd/user/l.timer -> /root/units/x.timer --\n"+
		"-- home/ann/.local/share/systemd/user/y.timer --\n[Timer]\nOnCalendar=daily\n")
	for _, name := range []string{"", "/good.timer", "/good.service"} {
		must(t, os.Chown(root+"/home/ann/.config/systemd/user"+name, 1000, 1000))
	}
	tree, err := openTree(root)
	must(t, err)
	defer tree.release()
	s := &scan{tree: tree, host: readHost(t.Context(), tree), now: noon, next: 2}
	m := userSystemd(&s.host.users.accounts[1])
	m.strict = true
	var out found
	s.timers(t.Context(), &out, m)
	want := []string{
		"/home/ann/.local/share/systemd/user:0 it does not belong to the user, so it is not looked at",
		"/home/ann/.config/systemd/user/l.timer:0 it is an alias of x.timer, of which there is no unit file",
		"/home/ann/.config/systemd/user/roots.timer:0 it does not belong to the user, so it is not read",
	}
	if diff := cmp.Diff(want, problems(fleet.Report{Problems: out.problems})); diff != "" || len(out.jobs) != 1 {
		t.Errorf("%d jobs, problems (-want +got):\n%s", len(out.jobs), diff)
	}
}

// TestEveryUser: where nobody lingers, what all users' systemds read is told once.
func TestEveryUser(t *testing.T) {
	report := scanned(t, plant(t, "-- etc/passwd --\nann:x:1000:1000::/home/ann:\n-- etc/systemd/user/timers.target.wants/a.timer -> /usr/lib/systemd/user/a.timer --\n"+
		"-- usr/lib/systemd/user/a.timer --\n[Timer]\nOnCalendar=daily\n-- usr/lib/systemd/user/a.service --\n[Service]\nExecStart=%h/x\n"))
	if len(report.Jobs) != 1 || len(report.Problems) > 0 {
		t.Fatalf("%+v", report)
	}
	job := report.Jobs[0]
	want := fleet.Verdict{Code: fleet.Disabled, Why: "it is for each user who is logged in, and nobody's systemd runs without a login (loginctl enable-linger)"}
	if job.User != "*" || job.Command != "%h/x" || job.Verdict != want || !job.Enabled {
		t.Errorf("%+v", job)
	}
}

// TestPartsInTurn: each part of a source has a time limit of its own, all have
// one together, and what must not wait goes first.
func TestPartsInTurn(t *testing.T) {
	root := plant(t, "-- etc/crontab --\n")
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan struct{})
		c := NewScanner(root, Options{Now: noon, Timeout: 5 * time.Second})
		order := make(chan string, 6)
		add := func(name string, first, hangs bool) part {
			return part{name: name, first: first, find: func(context.Context, *found) {
				if order <- name; hangs {
					<-ends
				}
			}}
		}
		c.sources = []source{{name: "/homes", find: func(_ context.Context, _ *scan, out *found) {
			out.parts = []part{add("/a", false, true), add("/b", false, false), add("/c", true, false), add("/d", false, true), add("/e", false, true), add("/f", false, false)}
		}}}
		begin := time.Now()
		report, err := c.Scan(t.Context())
		must(t, err)
		const hangs = " is it on a mount that does not answer?"
		want := []string{
			"/a:0 reading it took longer than 2s;" + hangs, "/d:0 reading it took longer than 2s;" + hangs, "/e:0 reading it took longer than 1s;" + hangs,
			"/homes:0 1 places were not looked at: others took all the time there is, 5s",
		}
		if diff := cmp.Diff(want, problems(report)); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
		took, turns := time.Since(begin), ""
		for range len(order) {
			turns += <-order
		}
		if took != 5*time.Second || turns != "/c/a/b/d/e" {
			t.Errorf("%s in %s", turns, took)
		}
		close(ends)
	})
}

// TestStamps: a stamp is evidence, but not the one made at the first activation.
func TestStamps(t *testing.T) {
	const timer = "-- etc/systemd/system/a.timer --\n[Timer]\nOnCalendar=daily\nPersistent=true\n-- etc/systemd/system/a.service --\n[Service]\nExecStart=/bin/a\n-- var/lib/systemd/timers/stamp-a.timer --\n"
	for _, c := range []struct {
		name    string
		written time.Time
		want    *fleet.Evidence
	}{
		{"written later", noon.Add(-time.Hour), &fleet.Evidence{Last: noon.Add(-time.Hour), Grade: "stamp", From: "/var/lib/systemd/timers/stamp-a.timer"}},
		{"of the time to come", noon.Add(time.Hour), nil},
	} {
		root := plant(t, timer)
		must(t, os.Chtimes(root+"/var/lib/systemd/timers/stamp-a.timer", c.written, c.written))
		if diff := cmp.Diff(c.want, scanned(t, root).Jobs[0].Evidence); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	report, err := Scan(t.Context(), plant(t, timer), Options{Now: time.Now().Add(time.Hour)})
	must(t, err)
	if e := report.Jobs[0].Evidence; e != nil && bornTimes(t) {
		t.Errorf("of the first activation: %+v", e)
	}
}

// bornTimes reports whether the file system tells when a file was made.
func bornTimes(t *testing.T) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, t.TempDir(), 0, unix.STATX_BTIME, &stat)
	return err == nil && stat.Mask&unix.STATX_BTIME != 0
}

// TestUnmounted: a home that an automounter would first have to mount is left alone.
func TestUnmounted(t *testing.T) {
	tree, err := openTree(plant(t, "-- proc/self/mountinfo --\n25 1 8:1 / / rw - ext4 /dev/sda rw\n30 25 0:3 / /home rw shared:1 - autofs auto.home rw\n31 30 0:4 / /home/my\\040ann rw - nfs4 s:/ann rw\n"))
	must(t, err)
	defer tree.release()
	s := &scan{tree: tree, live: true}
	away := s.unmounted(t.Context())
	for home, want := range map[string]bool{"/home/my ann": false, "/home/bob": true, "/root": false, "": false, "/home/my ann/x": false} {
		if got := away(home); got != want {
			t.Errorf("%q: %v, want %v", home, got, want)
		}
	}
}

func TestUserDirsAreNotTheSystems(t *testing.T) {
	a := &account{name: "ann", uid: 7, numbered: true, home: "/h"}
	private := userSystemd(a).private()
	if want := []string{"/h/.config/systemd/user", "/run/user/7/systemd/transient"}; !slices.Contains(private, want[0]) || !slices.Contains(private, want[1]) {
		t.Errorf("%q lacks one of %q", private, want)
	}
	for _, dir := range private {
		if !strings.HasPrefix(dir, "/h/") && !strings.HasPrefix(dir, "/run/user/7/") {
			t.Errorf("%s is everybody's", dir)
		}
	}
}
