package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tree is a directory that is being removed with all that is in it. Commands
// made it, and processes that they left behind may still be at it: so it takes
// three descriptors however deep it is, because what lies in a directory below
// is brought up to the top first, and it takes no longer than it may.
type tree struct {
	top    *os.File
	until  time.Time
	raised int
}

// errTreeGrows says that there is no end to a tree.
var errTreeGrows = errors.New("something is still put into it")

// removeTree removes a directory, following no links; within bounds the time.
func removeTree(path string, within time.Duration) error {
	fd, err := openDir(path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	t := &tree{top: os.NewFile(uintptr(fd), path), until: time.Now().Add(within)}
	defer t.top.Close()
	for err = unix.Rmdir(path); errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST); err = unix.Rmdir(path) {
		if err := eachName(t.top, t.remove); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// remove removes an entry of the top. Of a directory all that is in it goes, or
// goes up.
func (t *tree) remove(name string) error {
	if time.Now().After(t.until) {
		return errTreeGrows
	}
	top := int(t.top.Fd())
	err := unix.Unlinkat(top, name, 0)
	if !isDir(err) {
		return ignoreMissing(err)
	}
	fd, err := unix.Openat(top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	below := os.NewFile(uintptr(fd), name)
	defer below.Close()
	err = eachName(below, func(name string) error {
		err := unix.Unlinkat(fd, name, 0)
		for isDir(err) || errors.Is(err, unix.EEXIST) {
			t.raised++
			err = unix.Renameat2(fd, name, top, fmt.Sprintf(".raised-%d", t.raised), unix.RENAME_NOREPLACE)
		}
		return ignoreMissing(err)
	})
	if err != nil {
		return err
	}
	err = unix.Unlinkat(top, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil // it was put in just now, and is seen again
	}
	return ignoreMissing(err)
}

// isDir reports whether unlink failed because it was asked of a directory.
func isDir(err error) bool { return errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) }

// eachName goes through a directory once.
func eachName(dir *os.File, do func(name string) error) error {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if err := do(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
