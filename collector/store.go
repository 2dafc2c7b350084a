package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The stores a collector can keep its state in. Both are the same ledger and
// the same raft log; what differs is what they lie on.
const (
	StoreDisk   = "disk"   // in data_dir; what was acknowledged survives every restart
	StoreMemory = "memory" // gone when the collector ends: for trials and pipelines
)

// memoryDir is a file system in memory on every Linux.
const memoryDir = "/dev/shm"

// memoryStore is a data directory in memory, held by one process.
type memoryStore struct {
	path string
	lock *os.File
}

// takeMemory gives cfg an empty data directory in memory. What a killed
// collector of that id left there goes first.
func takeMemory(cfg *Config, parent string) (*memoryStore, error) {
	var at unix.Statfs_t
	if err := unix.Statfs(parent, &at); err != nil {
		return nil, fmt.Errorf("store memory: %s: %w", parent, err)
	}
	if at.Type != unix.TMPFS_MAGIC {
		return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{
			Field: "store", Value: StoreMemory, Reason: parent + " is no file system in memory on this machine; use disk",
		}}}
	}
	s := &memoryStore{path: filepath.Join(parent, fmt.Sprintf("fleetcron-%s-%d", cfg.ID, os.Geteuid()))}
	if err := s.take(); err != nil {
		return nil, fmt.Errorf("store memory: %w", err)
	}
	cfg.DataDir = s.path
	return s, nil
}

// take makes the directory, or empties the one that is there if it is ours and
// nobody holds it.
func (s *memoryStore) take() error {
	if err := os.Mkdir(s.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.OpenFile(s.path, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	info, err := dir.Stat()
	if err == nil && (info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) || info.Mode().Perm() != 0o700) {
		err = fmt.Errorf("%s belongs to somebody else or is open to others; remove it", s.path)
	}
	if err == nil && unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		err = fleet.Errorf(fleet.Conflict, "%s is in use by another process", s.path).
			WithCode("in_use").WithHint("stop the other collector, or give this one another id")
	}
	if err == nil {
		err = empty(s.path)
	}
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	s.lock = dir
	return nil
}

// Close frees the memory.
func (s *memoryStore) Close() error {
	return errors.Join(os.RemoveAll(s.path), s.lock.Close())
}

func empty(dir string) error {
	left, err := os.ReadDir(dir)
	for _, entry := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}
