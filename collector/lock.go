package collector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// lockFile is held by the one process that may use a data directory, whose pid
// it holds.
const lockFile = "lock"

// lockDir makes the data directory where it is missing, and holds it until
// the file is closed or the process ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		err := inUse(dir, file)
		return nil, errors.Join(err, file.Close())
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data_dir: %w", err), file.Close())
	}
	return file, nil
}

// inUse names the process that holds the directory, as well as that is known.
func inUse(dir string, file *os.File) error {
	text := make([]byte, 20)
	n, _ := file.ReadAt(text, 0)
	holder := "another process"
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n]))); err == nil {
		holder = fmt.Sprintf("pid %d", pid)
	}
	return fleet.Errorf(fleet.Conflict, "data directory %s is in use by %s", dir, holder).
		WithCode("in_use").WithHint("stop that collector, or give this one a data_dir of its own")
}
