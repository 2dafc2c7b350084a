package discover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// problems tells a report's problems in one string each.
func problems(report fleet.Report) []string {
	var told []string
	for _, p := range report.Problems {
		told = append(told, fmt.Sprintf("%s:%d %s", p.Source, p.Line, p.Reason))
	}
	return told
}

// TestAttack96_Traps puts in a table's place what must neither hang nor trick a scan.
func TestAttack96_Traps(t *testing.T) {
	const tab = "/etc/crontab"
	for _, c := range []struct {
		name string
		set  func(t *testing.T, path string)
		want string
	}{
		{"FIFO", func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o644)) }, "it is a FIFO, not a regular file"},
		{"socket", func(t *testing.T, path string) {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must(t, err)
			t.Cleanup(func() { unix.Close(fd) })
			t.Chdir(filepath.Dir(path)) // the name of a socket must be short
			must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Base(path)}))
		}, "it is a socket, not a regular file"},
		{"directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }, "a directory stands where a file is expected"},
		{"link to itself", func(t *testing.T, path string) { must(t, os.Symlink("crontab", path)) }, "the symbolic links go round in a circle"},
		{"link to nothing", func(t *testing.T, path string) { must(t, os.Symlink("gone", path)) }, "the symbolic link points to nothing within the scanned root"},
		{"link out of the root", func(t *testing.T, path string) {
			outside := filepath.Join(t.TempDir(), "outside")
			must(t, os.WriteFile(outside, []byte("1 1 * * * root stolen\n"), 0o644))
			must(t, os.Symlink(outside, path))
		}, "the symbolic link points to nothing within the scanned root"},
		{"link up and out of the root", func(t *testing.T, path string) {
			must(t, os.Symlink(strings.Repeat("../", 30)+"proc/self/environ", path))
		},
			"the symbolic link points to nothing within the scanned root"},
		{"link through a file", func(t *testing.T, path string) { must(t, os.Symlink("hostname/x", path)) }, "symbolic link: a part of its path is no directory"},
		{"link to a FIFO", func(t *testing.T, path string) {
			must(t, unix.Mkfifo(path+".fifo", 0o644))
			must(t, os.Symlink("crontab.fifo", path))
		}, "it is a FIFO, not a regular file"},
		{"50 MB", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o644))
			must(t, os.Truncate(path, 50<<20))
		}, "it has 52428800 bytes; more than 8 MiB are not read"},
		{"a line of 10 MB, cut by the cap", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("1 1 * * * root "+strings.Repeat("x", 10<<20)+"\n"), 0o644))
		}, "it has 10485776 bytes; more than 8 MiB are not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := plant(t, "-- etc/hostname --\nhere\n")
			c.set(t, root+tab)
			report := scanned(t, root)
			if diff := cmp.Diff([]string{tab + ":0 " + c.want}, problems(report)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(report.Jobs) > 0 {
				t.Errorf("jobs %+v", report.Jobs)
			}
		})
	}
}

// TestLinksOfOthers: what root did not make is not followed, and Debian's cron
// follows no link of a user at all.
func TestLinksOfOthers(t *testing.T) {
	root := plant(t, "-- etc/secret --\nroot:hash\n-- etc/cron.d/x -> ../secret --\n-- etc/passwd --\nann:x:7:7::/:\n-- var/spool/cron/crontabs/ann -> /etc/secret --\n")
	want := []string{"/var/spool/cron/crontabs/ann:0 a user's table must not be a symbolic link (cron says: CAN'T OPEN)"}
	if os.Lchown(root+"/etc/cron.d/x", 4321, 4321) == nil { // only root may
		want = append([]string{"/etc/cron.d/x:0 the symbolic link does not belong to root, so it is not followed (cron says: WRONG SYMLINK OWNER)"}, want...)
	} else {
		must(t, os.Remove(root+"/etc/cron.d/x"))
	}
	if diff := cmp.Diff(want, problems(scanned(t, root))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestDeviceNode needs the right to make one; without it, the node that any
// tree may hold as a link, /dev/null, is not within the root anyway.
func TestDeviceNode(t *testing.T) {
	root := plant(t, "-- etc/hostname --\nhere\n")
	if err := unix.Mknod(root+"/etc/crontab", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))); errors.Is(err, unix.EPERM) {
		t.Log("no right to make a device node here; the kind of file is checked in the same table as FIFOs")
		return
	} else {
		must(t, err)
	}
	if diff := cmp.Diff([]string{"/etc/crontab:0 it is a device, not a regular file"}, problems(scanned(t, root))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestUnreadable holds what a scan without the rights says. Root may read all,
// so it gives its rights up for the length of the test where it can.
func TestUnreadable(t *testing.T) {
	root := plant(t, "-- etc/crontab 0000 --\n1 1 * * * root x\n-- var/spool/cron/crontabs/ann --\n1 1 * * * x\n")
	must(t, os.Chmod(root+"/var/spool/cron/crontabs", 0))
	t.Cleanup(func() { _ = os.Chmod(root+"/var/spool/cron/crontabs", 0o755) })
	report := scanned(t, root)
	if os.Geteuid() == 0 {
		if len(report.Jobs) != 2 {
			t.Errorf("root found %d jobs, want 2", len(report.Jobs))
		}
		return
	}
	want := []string{
		"/etc/crontab:0 permission denied; a full scan needs root",
		"/var/spool/cron/crontabs:0 permission denied; a full scan needs root",
	}
	if diff := cmp.Diff(want, problems(report)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestHugeReport: many large tables become a bounded report that says so.
func TestHugeReport(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=alpine\n")
	must(t, os.MkdirAll(root+"/etc/crontabs", 0o755))
	text := []byte(strings.Repeat("1 1 * * * "+strings.Repeat("x", 100_000)+"\n", 20))
	for i := range 12 {
		must(t, os.WriteFile(fmt.Sprintf("%s/etc/crontabs/u%d", root, i), text, 0o600))
	}
	report := scanned(t, root)
	if n := len(report.Jobs); n == 0 || n > maxReportBytes/100_000 {
		t.Errorf("%d jobs", n)
	}
	want := fmt.Sprintf("/:0 %d jobs are left out: a report holds 20000 jobs and 16 MiB of commands", 240-len(report.Jobs))
	if got := problems(report); len(got) != 1 || got[0] != want {
		t.Errorf("problems %q, want %q", got, want)
	}
}

// TestAHangingSource: a source that does not come back costs its time limit,
// once, and the other sources are read.
func TestAHangingSource(t *testing.T) {
	root := plant(t, "-- etc/crontab --\n1 1 * * * root x\n")
	synctest.Test(t, func(t *testing.T) {
		mount := make(chan struct{})
		var starts atomic.Int32
		c := NewScanner(root, Options{Now: noon})
		c.sources = append([]source{{name: "/mnt", find: func(_ context.Context, _ *scan, out *found) {
			starts.Add(1)
			<-mount
			out.problem("/mnt", 0, "", "back")
		}}}, c.sources...)
		scan := func() ([]string, time.Duration) {
			begin := time.Now()
			report, err := c.Scan(t.Context())
			must(t, err)
			if len(report.Jobs) != 1 {
				t.Errorf("%d jobs", len(report.Jobs))
			}
			return problems(report), time.Since(begin)
		}
		for _, want := range []struct {
			problem string
			takes   time.Duration
			starts  int32
		}{
			{"/mnt:0 reading it took longer than 10s; is it on a mount that does not answer?", 10 * time.Second, 1},
			{"/mnt:0 reading it still hangs since an earlier scan; is it on a mount that does not answer?", 0, 1},
			{"/mnt:0 back", 0, 2},
		} {
			if want.starts == 2 {
				close(mount)
				synctest.Wait()
			}
			got, took := scan()
			if len(got) != 1 || got[0] != want.problem || took != want.takes || starts.Load() != want.starts {
				t.Errorf("%q after %s, %d starts; want %+v", got, took, starts.Load(), want)
			}
		}
	})
}

func TestScanErrors(t *testing.T) {
	if _, err := Scan(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a root that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, plant(t, "-- etc/crontab --\n"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	report := scanned(t, t.TempDir())
	if report.Jobs == nil || report.Problems == nil || len(report.Jobs)+len(report.Problems) > 0 {
		t.Errorf("an empty root: %+v", report)
	}
}

// FuzzScan holds that no content of any file a scan reads breaks it, and that
// its report is one the ledger takes.
func FuzzScan(f *testing.F) {
	f.Add("ID=debian\n", "1 1 * * * root x\n", "root:x:0:0::/:/bin/sh\n", "UTC")
	f.Add("ID=alpine\n", "* * * * 7 run-parts /etc/cron.daily\n", "", "Europe/Berlin\n")
	f.Add("ID='fedora'", "CRON_TZ=x\n@daily root -n run-parts --regex='[' /etc/cron.daily", "passwd:::", "../x")
	f.Fuzz(func(t *testing.T, release, table, passwd, zone string) {
		root := plant(t, "-- etc/cron.daily/a 0755 --\n")
		for name, content := range map[string]string{
			"etc/os-release": release, "etc/crontab": table, "etc/crontabs/root": table, "var/spool/cron/root": table,
			"etc/passwd": passwd, "etc/timezone": zone, "etc/anacrontab": table, "etc/nsswitch.conf": passwd,
		} {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
			must(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o600))
		}
		report := scanned(t, root)
		text, err := json.Marshal(report)
		must(t, err)
		var again fleet.Report
		must(t, json.Unmarshal(text, &again))
		if report.ContentHash() != again.ContentHash() {
			t.Error("the report differs after JSON")
		}
		must(t, WriteTable(io.Discard, report))
	})
}

// TestBytesThatAreNoUTF8: what is shown of them is not what runs, and the job
// says so.
func TestBytesThatAreNoUTF8(t *testing.T) {
	report := scanned(t, plant(t, "-- etc/crontab --\n1 1 * * * root echo \xff\n2 2 * * * root echo \u00ff\nA=\xfc\n3 3 * * * root true\nA=b\n4 4 * * * root true\n"))
	got := map[int]bool{}
	for _, job := range report.Jobs {
		got[job.Line] = job.Latin1
	}
	if diff := cmp.Diff(map[int]bool{1: true, 2: false, 4: true, 6: false}, got); diff != "" {
		t.Error(diff)
	}
}
