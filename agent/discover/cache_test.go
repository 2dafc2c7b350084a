package discover

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const cachedTree = `
-- etc/os-release --
ID=debian
-- etc/passwd --
root:x:0:0::/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
-- bin/sh 0755 --
-- bin/run-parts 0755 --
-- opt/one 0755 --
-- opt/deep/er/two 0755 --
#!/opt/one
-- etc/crontab --
1 1 * * * root /opt/one
*/7 * * * * root /opt/deep/er/two
17 * * * * root run-parts /etc/cron.hourly
-- etc/cron.hourly/part 0755 --
#!/bin/sh
-- etc/cron.d/three --
3 3 * * * ann /opt/three
-- var/spool/cron/crontabs/ann 0600 --
4 4 * * * /opt/link
-- opt/link -> one --
-- etc/systemd/system/t.timer --
[Timer]
OnCalendar=*:0/20
-- etc/systemd/system/t.service --
[Service]
ExecStart=/opt/one
-- etc/systemd/system/timers.target.wants/t.timer -> ../t.timer --
-- usr/lib/systemd/systemd --
-- usr/sbin/cron 0755 --
`

// changes to that tree, any of which may come in any order.
var treeChanges = []func(root string, i int) error{
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/crontab", fmt.Appendf(nil, "%d * * * * root /opt/one\n17 * * * * root run-parts /etc/cron.hourly\n", i%10), 0o644)
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/crontab", []byte("17 * * * * root run-parts --lsbsysinit /etc/cron.hourly\n"), 0o644)
	},
	func(root string, i int) error {
		return os.WriteFile(fmt.Sprintf("%s/etc/cron.d/n%d", root, i%3), []byte("5 5 * * * root /opt/deep/er/two\n"), 0o644)
	},
	func(root string, i int) error { return os.RemoveAll(fmt.Sprintf("%s/etc/cron.d/n%d", root, i%3)) },
	func(root string, i int) error {
		return os.Rename(root+"/etc/cron.d/three", fmt.Sprintf("%s/etc/cron.d/%d.off", root, i))
	},
	func(root string, i int) error {
		return os.Chmod(root+"/etc/cron.d/three", []os.FileMode{0o644, 0o666}[i%2])
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/cron.d/three", []byte("3 3 * * * ann /opt/three\n"), 0o644)
	},
	func(root string, i int) error {
		return os.Chmod(root+"/opt/one", []os.FileMode{0o755, 0o644, 0o777}[i%3])
	},
	func(root string, i int) error {
		return os.Chmod(root+"/opt/deep", []os.FileMode{0o755, 0o777, 0o700}[i%3])
	},
	func(root string, i int) error { return os.Rename(root+"/opt/deep/er", root+"/opt/deep/away") },
	func(root string, i int) error { return os.Rename(root+"/opt/deep/away", root+"/opt/deep/er") },
	func(root string, i int) error { return os.WriteFile(root+"/opt/three", nil, 0o755) },
	func(root string, i int) error { return os.Remove(root + "/opt/three") },
	func(root string, i int) error {
		_ = os.Remove(root + "/opt/link")
		return os.Symlink([]string{"one", "gone", "/opt/deep/er/two"}[i%3], root+"/opt/link")
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n"+[]string{"", "ann:x:1000:1000::/home/ann:/bin/sh\n"}[i%2]), 0o644)
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/shadow", fmt.Appendf(nil, "ann:x:20000:0:99999:7::%d:\n", 20_510+i%20), 0o600)
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/group", fmt.Appendf(nil, "g:x:%d:ann\n", i%2*1000), 0o644)
	},
	func(root string, i int) error {
		return os.WriteFile(root+"/etc/timezone", []byte([]string{"UTC\n", "Asia/Tokyo\n"}[i%2]), 0o644)
	},
	func(root string, i int) error {
		must := os.MkdirAll(root+"/etc/systemd/system/t.timer.d", 0o755)
		if must != nil {
			return must
		}
		return os.WriteFile(root+"/etc/systemd/system/t.timer.d/x.conf", fmt.Appendf(nil, "[Timer]\nOnCalendar=%d:0\n", i%24), 0o644)
	},
	func(root string, i int) error { return os.RemoveAll(root + "/etc/systemd/system/t.timer.d") },
	func(root string, i int) error {
		return os.Chmod(root+"/etc/cron.hourly/part", []os.FileMode{0o755, 0o644}[i%2])
	},
	func(root string, i int) error { return os.Remove(root + "/usr/sbin/cron") },
	func(root string, i int) error { return os.WriteFile(root+"/usr/sbin/cron", nil, 0o755) },
	func(root string, i int) error {
		return os.Chmod(root+"/var/spool/cron/crontabs/ann", []os.FileMode{0o600, 0o640}[i%2])
	},
	func(root string, i int) error {
		_ = os.RemoveAll(root + "/srv")
		if err := os.Rename(root+"/etc/cron.d", root+"/srv"); err != nil {
			return err
		}
		return os.Symlink("/srv", root+"/etc/cron.d")
	},
	func(string, int) error { return nil },
}

// TestRescanSeesWhatScanSees changes a tree at random and holds what a scanner
// says that remembers what it saw to what one says that sees it all anew.
func TestRescanSeesWhatScanSees(t *testing.T) {
	probe := filepath.Join(t.TempDir(), "probe")
	random := rand.New(rand.NewPCG(7, 8))
	kept := 0
	for range 40 { // for changes take ever more away
		root, now := plant(t, cachedTree), noon
		scanner := NewScanner(root, Options{})
		scanner.settled = 0
		told := ""
		for i := range 12 {
			change := random.IntN(len(treeChanges))
			told += fmt.Sprintf(" %d", change)
			now = now.Add(time.Duration(random.IntN(3)*random.IntN(3)) * []time.Duration{7 * time.Minute, 30 * time.Hour}[random.IntN(2)])
			if i == 0 {
				told, change = "", len(treeChanges)-1
			}
			tick(t, probe)
			_ = treeChanges[change](root, random.IntN(60)) // some undo others, and then fail
			tick(t, probe)
			scanner.opt.Now = now
			for range 2 {
				scanner.last = lastGood{} // it shall not hold anything back
				got, err := scanner.Scan(t.Context())
				must(t, err)
				want, err := Scan(t.Context(), root, Options{Now: now})
				must(t, err)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("after changes of the kinds%s (-anew +remembered):\n%s", told, diff)
				}
			}
			if scanner.opinions != nil && len(scanner.memos) > 4 {
				kept++
			}
		}
	}
	if kept < 400 {
		t.Errorf("only %d of 480 scans left all there is to remember", kept)
	}
}

// tick returns when the file system's clock has gone on, so that what comes
// before and after has other times.
func tick(t *testing.T, probe string) {
	var first, stat unix.Stat_t
	for i := 0; i == 0 || first.Ctim == stat.Ctim; i++ {
		must(t, os.WriteFile(probe, nil, 0o600))
		must(t, unix.Stat(probe, &stat))
		if i == 0 {
			first = stat
		}
	}
}

// TestFreshFilesAreReadAgain: the times of a file that was changed a moment ago
// do not tell of another change, so what it holds is not remembered.
func TestFreshFilesAreReadAgain(t *testing.T) {
	root := plant(t, cachedTree)
	scanner := NewScanner(root, Options{Now: noon})
	for range 2 {
		_, err := scanner.Scan(t.Context())
		must(t, err)
		if len(scanner.memos) > 3 || scanner.opinions != nil { // of what is not there
			t.Errorf("%d memos of files made just now", len(scanner.memos))
		}
	}
}

// TestMemosAge: what was read is not believed for ever.
func TestMemosAge(t *testing.T) {
	h := new(host)
	m := &memo{host: h, made: noon, now: noon}
	for _, c := range []struct {
		real time.Time
		now  time.Time
		host *host
		want bool
	}{
		{noon.Add(time.Minute), noon, h, true},
		{noon.Add(maxMemoAge), noon, h, false},
		{noon.Add(-time.Second), noon, h, false}, // a clock was set
		{noon.Add(time.Minute), noon.Add(-time.Second), h, false},
		{noon.Add(time.Minute), noon, new(host), false},
	} {
		if got := m.fits(&scan{now: c.now, host: c.host}, c.real); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
