package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

const keptTree = `
-- etc/os-release --
ID=debian
-- etc/passwd --
root:x:0:0::/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
-- etc/crontab --
1 1 * * * root one
2 2 * * * root two
-- etc/cron.d/three --
3 3 * * * root three
-- var/spool/cron/crontabs/ann 0600 --
4 4 * * * four
-- etc/systemd/system/t.timer --
[Timer]
OnCalendar=daily
-- etc/systemd/system/t.timer.d/x.conf --
[Timer]
OnCalendar=weekly
-- etc/systemd/system/t.service --
[Service]
ExecStart=/five
`

// keeper scans a tree whose files change, go and cannot be read.
type keeper struct {
	*testing.T
	root    string
	scanner *Scanner
	trouble atomic.Value // func(path string) error
}

func newKeeper(t *testing.T) *keeper {
	k := &keeper{T: t, root: plant(t, keptTree)}
	k.scanner = NewScanner(k.root, Options{Now: noon})
	k.trouble.Store(func(string) error { return nil })
	k.scanner.trouble = func(path string) error { return k.trouble.Load().(func(string) error)(path) }
	k.sees("first", "one", "two", "three", "/five", "four")
	return k
}

// sees scans and compares what was found; a "~" before a command says that it
// is stale.
func (k *keeper) sees(when string, want ...string) []string {
	k.Helper()
	report, err := k.scanner.Scan(k.Context())
	must(k, err)
	must(k, report.Validate())
	var got []string
	for _, job := range report.Jobs {
		if job.Stale != nil {
			job.Command = "~" + job.Command
		}
		got = append(got, job.Command)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		k.Errorf("%s: %q, want %q; problems %q", when, got, want, problems(report))
	}
	return problems(report)
}

func (k *keeper) write(name, text string) {
	must(k, os.WriteFile(filepath.Join(k.root, name), []byte(text), 0o644))
}

// TestBadNewsIsConfirmed plays how files are written anew, and how they go.
func TestBadNewsIsConfirmed(t *testing.T) {
	const whole = "1 1 * * * root one\n2 2 * * * root two\n"
	for _, c := range []struct {
		name  string
		first func(k *keeper) // what the first look sees
		then  func(k *keeper) // what the second does
		want  []string        // of /etc/crontab
	}{
		{"truncated and written", func(k *keeper) { k.write("etc/crontab", "") }, func(k *keeper) { k.write("etc/crontab", whole) }, []string{"one", "two"}},
		{"written in parts", func(k *keeper) { k.write("etc/crontab", whole[:19]) }, func(k *keeper) { k.write("etc/crontab", whole) }, []string{"one", "two"}},
		{"cut within a line", func(k *keeper) { k.write("etc/crontab", whole[:35]) }, func(k *keeper) { k.write("etc/crontab", whole) }, []string{"one", "two"}},
		{"moved away and written", func(k *keeper) { must(k, os.Rename(k.root+"/etc/crontab", k.root+"/etc/crontab~")) },
			func(k *keeper) { k.write("etc/crontab", whole) }, []string{"one", "two"}},
		{"a mode that cron refuses for an instant", func(k *keeper) { must(k, os.Chmod(k.root+"/etc/crontab", 0o666)) },
			func(k *keeper) { must(k, os.Chmod(k.root+"/etc/crontab", 0o644)) }, []string{"one", "two"}},
		{"emptied for good", func(k *keeper) { k.write("etc/crontab", "") }, func(*keeper) {}, nil},
		{"gone for good", func(k *keeper) { must(k, os.Remove(k.root+"/etc/crontab")) }, func(*keeper) {}, nil},
		{"one job less", func(k *keeper) { k.write("etc/crontab", whole[:19]) }, func(*keeper) {}, []string{"one"}},
		{"one becomes another", func(k *keeper) { k.write("etc/crontab", whole[:19]+"2 2 * * * root new\n") }, func(*keeper) {}, []string{"one", "new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				c.first(k)
				k.sees("first look", "one", "two", "three", "/five", "four")
				if got := k.scanner.Again(); got != confirmAfter {
					t.Errorf("another look after %s", got)
				}
				time.Sleep(k.scanner.Again())
				c.then(k)
				if told := k.sees("second look", append(c.want, "three", "/five", "four")...); len(told) > 0 {
					t.Errorf("problems %q", told)
				}
				if got := k.scanner.Again(); got != 0 {
					t.Errorf("yet another look after %s", got)
				}
			})
		})
	}
}

// TestHeldBackNotForEver: whoever changes a file without end delays the report
// of others by no more than a moment.
func TestHeldBackNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		begin := time.Now()
		k.write("etc/cron.d/other", "5 5 * * * root other\n")
		for i := 0; ; i++ {
			k.write("etc/crontab", fmt.Sprintf("1 1 * * * root job%d\n", i))
			report, err := k.scanner.Scan(t.Context())
			must(t, err)
			if len(report.Jobs) == 5 && report.Jobs[0].Command == "other" {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		if took := time.Since(begin); took > maxHeld+200*time.Millisecond {
			t.Errorf("held back for %s", took)
		}
	})
}

// TestUnreadableIsStale: what cannot be read keeps its last good state, with
// the instant from which on that is so and the reason; all else goes on.
func TestUnreadableIsStale(t *testing.T) {
	for _, c := range []struct {
		path   string // that cannot be read
		err    error
		want   []string
		reason string
	}{
		{"/etc/crontab", unix.EIO, []string{"~one", "~two", "three", "/five", "four"}, "/etc/crontab:0 input/output error"},
		{"/etc/crontab", unix.EACCES, []string{"~one", "~two", "three", "/five", "four"}, "/etc/crontab:0 permission denied; a full scan needs root"},
		{"/etc/cron.d", unix.ESTALE, []string{"one", "two", "~three", "/five", "four"}, "/etc/cron.d:0 stale file handle"},
		{"/var/spool/cron/crontabs", unix.EHOSTDOWN, []string{"one", "two", "three", "/five", "~four"}, "/var/spool/cron/crontabs:0 host is down"},
		{"/var/spool/cron/crontabs/ann", errReplaced, []string{"one", "two", "three", "/five", "~four"}, "/var/spool/cron/crontabs/ann:0 " + errReplaced.Error()},
		{"/etc/systemd/system/t.timer", unix.EIO, []string{"one", "two", "three", "~/five", "four"}, "/etc/systemd/system/t.timer:0 input/output error"},
		{"/etc/systemd/system/t.timer.d/x.conf", unix.EIO, []string{"one", "two", "three", "~/five", "four"}, "/etc/systemd/system/t.timer.d/x.conf:0 input/output error"},
		{"/etc/systemd/system/t.service", unix.EIO, []string{"one", "two", "three", "~/five", "four"}, "/etc/systemd/system/t.service:0 input/output error"},
		{"/etc/systemd/system", unix.EIO, []string{"one", "two", "three", "~/five", "four"}, "/etc/systemd/system:0 input/output error"},
	} {
		t.Run(c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				begin := time.Now().UTC()
				k.trouble.Store(func(path string) error {
					if path == c.path {
						return c.err
					}
					return nil
				})
				k.write("etc/cron.d/six", "6 6 * * * root six\n") // the rest is read on
				want := slices.DeleteFunc(append(slices.Clone(c.want), "six"), func(s string) bool { return s == "six" && c.path == "/etc/cron.d" })
				for range 3 {
					if told := k.sees("unreadable", want...); len(told) != 1 || told[0] != c.reason {
						t.Errorf("problems %q, want %q", told, c.reason)
					}
					time.Sleep(time.Hour)
				}
				report, err := k.scanner.Scan(t.Context())
				must(t, err)
				for _, job := range report.Jobs {
					if job.Stale != nil && !job.Stale.Equal(begin) {
						t.Errorf("stale since %s, want %s", job.Stale, begin)
					}
				}
				k.trouble.Store(func(string) error { return nil })
				k.sees("readable again", "one", "two", "three", "/five", "four", "six")
			})
		})
	}
}

// TestTrulyGone: a directory that is not there any more is no matter of reading.
func TestTrulyGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		k.trouble.Store(func(path string) error {
			if path == "/etc/cron.d" {
				return unix.EIO
			}
			return nil
		})
		k.sees("unreadable", "one", "two", "~three", "/five", "four")
		k.trouble.Store(func(string) error { return nil })
		must(t, os.RemoveAll(k.root+"/etc/cron.d"))
		k.sees("first look", "one", "two", "~three", "/five", "four")
		time.Sleep(k.scanner.Again())
		k.sees("second look", "one", "two", "/five", "four")
	})
}

// TestHangsAreStale: a source that hangs keeps its jobs, and so does everything
// where the very first file hangs.
func TestHangsAreStale(t *testing.T) {
	for _, c := range []struct {
		path string
		want []string
		told string
	}{
		{"/etc/cron.d/three", []string{"one", "two", "~three", "/five", "four"}, "/etc/cron.d:0 reading it "},
		{"/etc/passwd", []string{"~one", "~two", "~three", "~/five", "~four"}, "/etc:0 reading it "},
	} {
		t.Run(c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				mount := make(chan struct{})
				k.trouble.Store(func(path string) error {
					if path == c.path {
						<-mount
					}
					return nil
				})
				for range 2 {
					begin := time.Now()
					if told := k.sees("hanging", c.want...); len(told) != 1 || !strings.HasPrefix(told[0], c.told) {
						t.Errorf("problems %q", told)
					}
					if took := time.Since(begin); took > 10*time.Second {
						t.Errorf("a scan took %s", took)
					}
				}
				close(mount)
				synctest.Wait()
				k.sees("back", "one", "two", "three", "/five", "four")
			})
		})
	}
}
