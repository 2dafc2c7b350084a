package discover

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestPackagesAreReadOnce: lists are read again only when dpkg did something.
func TestPackagesAreReadOnce(t *testing.T) {
	root := plant(t, "-- var/lib/dpkg/info/a.list --\n/etc/cron.d/x\n-- etc/cron.d/x --\n1 1 * * * root x\n")
	c := NewScanner(root, Options{Now: noon})
	owner := func() string {
		report, err := c.Scan(t.Context())
		must(t, err)
		return report.Jobs[0].Package
	}
	if got := owner(); got != "a" {
		t.Errorf("package %q, want a", got)
	}
	first := c.packages
	if owner(); c.packages != first {
		t.Error("the lists were read again")
	}
	must(t, os.Remove(root+"/var/lib/dpkg/info/a.list"))
	must(t, os.WriteFile(root+"/var/lib/dpkg/info/b.list", []byte("/etc/cron.d/x\n"), 0o644))
	must(t, os.Chtimes(root+"/var/lib/dpkg/info", noon, noon)) // the clock of a file system may be coarse
	if got := owner(); got != "b" {
		t.Errorf("package %q, want b", got)
	}
	must(t, os.RemoveAll(root+"/var/lib/dpkg"))
	if got := owner(); got != "" {
		t.Errorf("package %q, want none", got)
	}
}

func TestDiversions(t *testing.T) {
	p := &packages{owner: make(map[string]string)}
	diverted := readDiversions([]byte("/etc/cron.d/x\n/etc/cron.d/x.real\nmine\n/usr/lib/systemd/system/t.timer\n/etc/cron.d/moved\n:\ncut\n"))
	for _, name := range []string{"theirs", "mine"} {
		p.add(name, []byte("/etc/cron.d/x\n/usr/lib/systemd/system/t.timer\n/lib/systemd/system/u.timer\n/usr/bin/no"), diverted)
	}
	want := map[string]string{"/etc/cron.d/x": "mine", "/etc/cron.d/x.real": "theirs", "/etc/cron.d/moved": "mine", "/lib/systemd/system/u.timer": "mine"}
	if diff := cmp.Diff(want, p.owner); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// TestPackageTraps: what lies among the lists and is none neither hangs nor tricks a scan.
func TestPackageTraps(t *testing.T) {
	root := plant(t, "-- etc/cron.d/x --\n1 1 * * * root x\n-- etc/list --\n/etc/cron.d/x\n-- var/lib/dpkg/info/link.list -> /etc/list --\n-- var/lib/dpkg/info/dir.list/x --\n")
	must(t, unix.Mkfifo(root+"/var/lib/dpkg/info/fifo.list", 0o644))
	must(t, unix.Mkfifo(root+"/var/lib/dpkg/diversions", 0o644))
	must(t, os.WriteFile(root+"/var/lib/dpkg/info/huge.list", nil, 0o644))
	must(t, os.Truncate(root+"/var/lib/dpkg/info/huge.list", 50<<20))
	report := scanned(t, root)
	if len(report.Jobs) != 1 || report.Jobs[0].Package != "" || len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}
