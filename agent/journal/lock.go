package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const lockName = "lock"

// takeLock takes the kernel's lock on the directory's lock file. It ends with
// the process that holds it, however that ends: a file left behind locks
// nobody out.
func takeLock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for patience := dying; errors.Is(err, unix.EWOULDBLOCK) && patience > 0 && !lives(lockHolder(dir)); patience -= dyingLook {
		time.Sleep(dyingLook)
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock journal %s: %w", dir, err)
		}
		return nil, inUse(dir)
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil && !noSpace(err) {
		file.Close()
		return nil, fmt.Errorf("lock journal %s: %w", dir, err)
	}
	return file, nil
}

// A process that was killed keeps its lock until the last of its threads is gone.
const (
	dying     = 10 * time.Second
	dyingLook = 5 * time.Millisecond
)

// lives reports whether a process is more than what is left of one.
func lives(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// pid (name) state, and a name may hold anything
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func inUse(dir string) error {
	owner := "another process"
	if pid := lockHolder(dir); pid > 0 {
		owner = fmt.Sprintf("process %d", pid)
	}
	return fleet.Errorf(fleet.Conflict, "journal %s is in use by %s", dir, owner).
		WithHint("stop that agent first, or give this one a state_dir of its own")
}

// lockHolder returns the process that holds the lock, as the kernel lists it;
// zero when none does.
func lockHolder(dir string) int {
	var info unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, lockName), &info); err != nil {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fd:00:131 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], ":"+strconv.FormatUint(info.Ino, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			return pid
		}
	}
	return 0
}

func fdatasync(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }
