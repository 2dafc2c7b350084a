package discover

import (
	"encoding/binary"
	"os"
	"strings"
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

// TestRPM: files of rpm's packages are told from its database, which is read
// again only when rpm did something. What dpkg owns stays dpkg's.
func TestRPM(t *testing.T) {
	root := plant(t, "-- etc/cron.d/nightly --\n1 1 * * * root x\n-- etc/cron.d/own --\n1 1 * * * root y\n"+
		"-- etc/cron.d/bulk --\n1 1 * * * root z\n-- var/lib/dpkg/info/d.list --\n/etc/cron.d/bulk\n-- usr/lib/sysimage/rpm/x --\n")
	must(t, os.WriteFile(root+"/usr/lib/sysimage/rpm/Packages.db", ndbOf("nightly", "/etc/cron.d/nightly", "/etc/cron.d/bulk"), 0o644))
	c := NewScanner(root, Options{Now: noon})
	owners := func() string {
		report, err := c.Scan(t.Context())
		must(t, err)
		list := ""
		for _, job := range report.Jobs {
			list += job.Source + " " + job.Package + "; "
		}
		for _, told := range problems(report) {
			list += told + "; "
		}
		return list
	}
	const first = "/etc/cron.d/bulk d; /etc/cron.d/nightly nightly; /etc/cron.d/own ; "
	if got := owners(); got != first {
		t.Errorf("%q, want %q", got, first)
	}
	read := c.packages
	if owners(); c.packages != read {
		t.Error("the database was read again")
	}
	must(t, os.WriteFile(root+"/usr/lib/sysimage/rpm/Packages.db", ndbOf("weekly", "/etc/cron.d/own"), 0o644))
	const second = "/etc/cron.d/bulk d; /etc/cron.d/nightly ; /etc/cron.d/own weekly; "
	if got := owners(); got != second {
		t.Errorf("%q, want %q", got, second)
	}
	must(t, os.WriteFile(root+"/usr/lib/sysimage/rpm/Packages.db", []byte("RpmP, but broken"), 0o644))
	const broken = "/etc/cron.d/bulk d; /etc/cron.d/nightly ; /etc/cron.d/own ; /usr/lib/sysimage/rpm/Packages.db:0 ndb: the head at byte 0 is broken; "
	for range 2 {
		if got := owners(); got != broken {
			t.Errorf("%q, want %q", got, broken)
		}
	}
	must(t, os.Remove(root+"/usr/lib/sysimage/rpm/Packages.db"))
	must(t, unix.Mkfifo(root+"/usr/lib/sysimage/rpm/Packages.db", 0o644))
	if got := owners(); !strings.HasSuffix(got, "/etc/cron.d/own ; ") {
		t.Errorf("a FIFO: %q", got)
	}
}

// ndbOf is the least database of rpm's: one page of slots, one package.
func ndbOf(name string, files ...string) []byte {
	var index, data []byte
	add := func(tag, kind, count uint32, value string) {
		for _, n := range []uint32{tag, kind, uint32(len(data)), count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		data = append(data, value...)
	}
	add(1000, 6, 1, name+"\x00")
	add(1027, 8, uint32(len(files)), strings.Join(files, "\x00")+"\x00") // whole names, as before rpm 4
	blob := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), uint32(len(data))), append(index, data...)...)
	page := make([]byte, 4096)
	copy(page, "RpmP")
	page[12] = 1
	for at := 32; at < len(page); at += 16 {
		copy(page[at:], "Slot")
	}
	page[36], page[41] = 1, 1 // the package 1, at 256 blocks of 16 bytes
	head := append([]byte("BlbS\x01\x00\x00\x00\x00\x00\x00\x00"), binary.LittleEndian.AppendUint32(nil, uint32(len(blob)))...)
	return append(append(page, head...), blob...)
}
