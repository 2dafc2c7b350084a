package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// spareName is the directory of the spares among those of the tasks, whose
// names do not begin with a dot.
const spareName = ".spare"

// maxSpares is how many empty files are kept at hand.
const maxSpares = 128

// spares keeps the files of streams into which nothing was written, for later
// runs: most commands say nothing, and making a file costs more than starting
// a process when many others were removed a moment ago (ext4 goes round the
// inodes that were freed in the last seconds, one by one).
type spares struct {
	dir   string
	agent owner

	rename func(from, to string) error // never over a file that is there

	// opening is held for reading while a stream is opened to be read, and for
	// writing while a file changes its run.
	opening sync.RWMutex

	mu    sync.Mutex
	free  []spare
	count int // names given so far
}

// spare is an empty file that nobody else has open.
type spare struct {
	file  *os.File
	path  string
	owner owner
}

// newSpares makes an empty store. What an earlier agent kept is removed.
func newSpares(dir string) (*spares, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return &spares{dir: dir, agent: owner{os.Geteuid(), os.Getegid()}, rename: renameNoReplace}, nil
}

// file returns a file of that name and owner that did not exist before, new or
// not. A spare that cannot be used, as where the file system does not know
// RENAME_NOREPLACE, is no reason not to make one.
func (s *spares) file(path string, owner owner) (*os.File, error) {
	if kept, found := s.take(); found {
		if s.adapt(kept, path, owner) == nil {
			return kept.file, nil
		}
		os.Remove(kept.path)
		kept.file.Close()
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if owner != s.agent {
		err = file.Chown(owner.uid, owner.gid)
	}
	if err != nil {
		os.Remove(path)
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

func (s *spares) adapt(kept spare, path string, owner owner) error {
	if kept.owner != owner {
		if err := kept.file.Chown(owner.uid, owner.gid); err != nil {
			return err
		}
	}
	return s.rename(kept.path, path)
}

func renameNoReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

func (s *spares) take() (spare, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return spare{}, false
	}
	last := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return last, true
}

// give takes the file of a stream back if it is empty and nobody but its
// caller has it open: a process that a run left behind may still write into it.
// Otherwise it returns false, and the file stays what it is.
func (s *spares) give(file *os.File, path string, owner owner) bool {
	s.opening.Lock()
	defer s.opening.Unlock()
	if !untouched(file) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) >= maxSpares {
		file.Close()
		return os.Remove(path) == nil
	}
	s.count++
	kept := filepath.Join(s.dir, fmt.Sprint(s.count))
	if err := os.Rename(path, kept); err != nil {
		return false
	}
	s.free = append(s.free, spare{file, kept, owner})
	return true
}

// untouched reports whether a file is empty and open nowhere else; then it stays
// empty, because its name is ours.
func untouched(file *os.File) bool {
	if !unshared(file) {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Size() == 0
}

// close lets go of the files and removes them.
func (s *spares) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kept := range s.free {
		kept.file.Close()
	}
	s.free = nil
	return os.RemoveAll(s.dir)
}
