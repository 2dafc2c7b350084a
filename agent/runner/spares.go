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
	free  map[owner][]spare
	kept  int // in free
	count int // names given so far
}

// spare is an empty file that nobody else has open.
type spare struct {
	file *os.File
	path string
}

// newSpares makes an empty store. What an earlier agent kept is removed.
func newSpares(dir string) (*spares, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return &spares{dir: dir, agent: owner{os.Geteuid(), os.Getegid()}, rename: renameNoReplace, free: map[owner][]spare{}}, nil
}

// file returns a file of that name and owner that did not exist before, new or
// not. A spare that cannot be used, as where the file system does not know
// RENAME_NOREPLACE, is no reason not to make one.
func (s *spares) file(path string, owner owner) (*os.File, error) {
	if kept, found := s.take(owner); found {
		if s.rename(kept.path, path) == nil {
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

func renameNoReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// take takes out a spare of the same owner. Another's is not given away: he may
// have left a second name of it, or somebody who watches it.
func (s *spares) take(owner owner) (spare, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[owner]
	if len(free) == 0 {
		return spare{}, false
	}
	last := free[len(free)-1]
	s.free[owner] = free[:len(free)-1]
	s.kept--
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
	if s.kept >= maxSpares && !s.drop(owner) {
		file.Close()
		return os.Remove(path) == nil
	}
	s.count++
	kept := filepath.Join(s.dir, fmt.Sprint(s.count))
	if err := os.Rename(path, kept); err != nil {
		return false
	}
	s.free[owner] = append(s.free[owner], spare{file, kept})
	s.kept++
	return true
}

// drop removes a spare of the owner who has most, unless that is the one who
// gives. It needs mu.
func (s *spares) drop(giver owner) bool {
	most := giver
	for owner, free := range s.free {
		if len(free) > len(s.free[most]) {
			most = owner
		}
	}
	if most == giver {
		return false
	}
	old := s.free[most][0]
	s.free[most] = s.free[most][1:]
	s.kept--
	old.file.Close()
	return os.Remove(old.path) == nil
}

// untouched reports whether a file is empty, as it was made, and open nowhere
// else; then it stays so, because its only name is ours.
func untouched(file *os.File) bool {
	if !unshared(file) {
		return false
	}
	var now unix.Stat_t
	err := unix.Fstat(int(file.Fd()), &now)
	return err == nil && now.Size == 0 && now.Nlink == 1 && now.Mode&0o7777 == 0o600
}

// close lets go of the files and removes them.
func (s *spares) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, free := range s.free {
		for _, kept := range free {
			kept.file.Close()
		}
	}
	s.free, s.kept = map[owner][]spare{}, 0
	return os.RemoveAll(s.dir)
}
