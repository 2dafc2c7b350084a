package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// tinyDisk mounts a disk of a few inodes for one test.
func tinyDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,nr_inodes=24"); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func missedWith(t *testing.T, b *bench, reason fleet.Reason, want string) {
	t.Helper()
	got := b.run(b.spec(fleet.Command{Argv: []string{"/bin/true"}}))
	if got.State != fleet.RunMissed || got.Reason != reason || !strings.Contains(got.Detail, want) {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// runsAgain shows that the agent lives on.
func runsAgain(t *testing.T, b *bench) {
	t.Helper()
	if got := b.run(b.spec(fleet.Command{Argv: []string{"/bin/true"}})); !got.Succeeded() {
		t.Errorf("afterwards: %s %s: %s", got.State, got.Reason, got.Detail)
	}
}

func TestAFullDisk(t *testing.T) {
	disk := tinyDisk(t)
	b := newBench(t, func(c *Config) { c.Dir, c.States = filepath.Join(disk, "output"), filepath.Join(t.TempDir(), "states") })
	runsAgain(t, b)
	var filler []string
	for n := 0; ; n++ {
		path := filepath.Join(disk, strings.Repeat("x", n+1))
		if os.WriteFile(path, nil, 0o600) != nil {
			break
		}
		filler = append(filler, path)
	}
	// Those of the run before are used again: only the second finds no place.
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD`)
	b.begin(spec)
	started()
	missedWith(t, b, fleet.MissedForkFailed, "the disk of "+filepath.Join(disk, "output", "data+nightly")+" is full")
	write(t, hold, "\n", 0o600)
	b.wait()
	for _, path := range filler {
		os.Remove(path)
	}
	runsAgain(t, b)
}

func TestAReadOnlyDisk(t *testing.T) {
	disk := tinyDisk(t)
	b := newBench(t, alone, func(c *Config) { c.Dir, c.States = filepath.Join(disk, "output"), filepath.Join(t.TempDir(), "states") })
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	missedWith(t, b, fleet.MissedForkFailed, "the disk of "+b.config.Dir+" is read-only")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	runsAgain(t, b)
}

func TestTooManyOpenFiles(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			runsAgain(t, b)
			clear(b.spares.free) // so that files have to be made
			limitOf(t, os.Getpid(), unix.RLIMIT_NOFILE, uint64(highest(t)+1), func() {
				missedWith(t, b, fleet.MissedForkFailed, "raise LimitNOFILE of the agent")
			})
			runsAgain(t, b)
		})
	}
}

// TestAGuardianWithTooManyOpenFiles says so of the run, and lives on.
func TestAGuardianWithTooManyOpenFiles(t *testing.T) {
	b := newBench(t)
	runsAgain(t, b)
	guardian := b.guardian()
	limitOf(t, guardian.PID, unix.RLIMIT_NOFILE, 6, func() {
		missedWith(t, b, fleet.MissedForkFailed, "raise LimitNOFILE of the agent")
	})
	runsAgain(t, b)
	if b.guardian() != guardian {
		t.Error("the guardian died of it")
	}
}

// TestWhatTheKernelRefuses looks at the sentences for what a test cannot bring
// about everywhere: which limit of processes holds depends on kernel, rights
// and cgroups.
func TestWhatTheKernelRefuses(t *testing.T) {
	l := &launch{Argv: []string{"/bin/true"}, Dir: "/", user: "backup"}
	for _, test := range []struct {
		err    error
		reason fleet.Reason
		want   string
	}{
		{unix.EAGAIN, fleet.MissedForkFailed, "the process limit of user backup or of the host is reached: raise it or run fewer tasks at once"},
		{unix.ENOMEM, fleet.MissedForkFailed, "the host has no memory left for another process"},
		{unix.ENFILE, fleet.MissedForkFailed, tooManyFiles},
		{unix.EACCES, fleet.MissedForkFailed, "user backup may not execute /bin/true or may not enter /"},
		{unix.EIO, fleet.MissedForkFailed, "/bin/true: input/output error"},
		{settingError{"limits.nice -5", unix.EACCES}, fleet.MissedLimits, "limits.nice -5: permission denied: this agent may not give that to a command, run it as root"},
		{errLate, fleet.MissedNoLease, "its lease was granted too long ago to begin under it"},
	} {
		if got := explain(refusalOf("x", test.err).err(), l); got.reason != test.reason || got.detail != test.want {
			t.Errorf("%v: %s: %s", test.err, got.reason, got.detail)
		}
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "open", Path: "/var/x/y", Err: unix.EDQUOT}, "not started: no space for notes: the disk of /var/x is full, free some space or inodes there"},
		{&os.PathError{Op: "open", Path: "/var/x/y", Err: unix.EIO}, "not started: without notes: open /var/x/y: input/output error"},
	} {
		if got := notMade("notes", test.err); got.detail != test.want {
			t.Errorf("%v: %s", test.err, got.detail)
		}
	}
}

// limitOf calls do while a process has a soft limit.
func limitOf(t *testing.T, pid, resource int, value uint64, do func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Prlimit(pid, resource, &before, nil); err != nil {
		t.Fatal(err)
	}
}

// highest returns the highest descriptor that this process has open, when all
// below it are.
func highest(t *testing.T) int {
	t.Helper()
	for n := 0; ; n++ {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if len(entries)-1 == fd+1 { // the directory itself is one of them
			return fd
		}
	}
}
