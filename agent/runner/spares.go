package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// spareName is the directory of the spares among those of the tasks, whose
// names do not begin with a dot.
const spareName = ".spare"

// How many empty files are kept at hand: what came back, and as many as are
// stocked for the tasks of the host.
const (
	leastSpares = 128
	maxSpares   = 3072
)

// freshName is how the names of spares begin that no run has had.
const freshName = "new-"

// spares keeps empty files for the streams and the notes of runs: those of
// earlier runs into which nothing was written, and others that were made when
// there was time. Most commands say nothing, and making a file costs more than
// starting a process when many others were removed a moment ago (ext4 goes
// round the inodes that were freed in the last seconds, one by one).
type spares struct {
	dir   string
	agent owner

	rename func(from, to string) error // never over a file that is there

	// opening is held for reading while a stream is opened to be read, and for
	// writing while a file changes its run.
	opening sync.RWMutex

	mu    sync.Mutex
	free  map[owner][]string // paths, by whose they were
	fresh []string           // paths of those that nobody had
	kept  int                // in both
	count int                // the highest name given so far
	stock int                // how many there are to be; fewer than leastSpares may come back
}

// newSpares opens the store, with what an earlier agent has left in it.
func newSpares(dir string) (*spares, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	s := &spares{dir: dir, agent: owner{os.Geteuid(), os.Getegid()}, rename: renameNoReplace, free: map[owner][]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if err := s.takeUp(entry); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// takeUp takes a file of an earlier agent in, or removes what is no spare.
func (s *spares) takeUp(entry os.DirEntry) error {
	path := filepath.Join(s.dir, entry.Name())
	name, fresh := strings.CutPrefix(entry.Name(), freshName)
	number, err := strconv.Atoi(name)
	var now unix.Stat_t
	if err != nil || number <= 0 || s.kept >= maxSpares || unix.Lstat(path, &now) != nil || !blank(&now) {
		return os.RemoveAll(path)
	}
	s.count = max(s.count, number)
	s.put(path, owner{int(now.Uid), int(now.Gid)}, fresh)
	return nil
}

// put needs mu.
func (s *spares) put(path string, owner owner, fresh bool) {
	s.kept++
	if fresh {
		s.fresh = append(s.fresh, path)
	} else {
		s.free[owner] = append(s.free[owner], path)
	}
}

// next names one more spare; it needs mu.
func (s *spares) next(prefix string) string {
	s.count++
	return filepath.Join(s.dir, prefix+strconv.Itoa(s.count))
}

// keep sets how many there are to be.
func (s *spares) keep(stock int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stock = min(stock, maxSpares)
}

// add makes one more where the stock is short of some, and reports whether it
// was.
func (s *spares) add() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept >= s.stock {
		return false, nil
	}
	path := s.next(freshName)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	s.put(path, s.agent, true)
	return true, file.Close()
}

// file returns a file of that name and owner that did not exist before, new or
// not. A spare that cannot be used, as where the file system does not know
// RENAME_NOREPLACE, is no reason not to make one.
func (s *spares) file(path string, owner owner) (*os.File, error) {
	if kept, fresh := s.take(owner); kept != "" {
		if file, err := s.adapt(kept, path, owner, fresh); err == nil {
			return file, nil
		}
		os.Remove(kept)
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

// adapt gives a spare its name, and one that nobody had its owner.
func (s *spares) adapt(kept, path string, owner owner, fresh bool) (*os.File, error) {
	file, err := os.OpenFile(kept, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if fresh && owner != s.agent {
		err = file.Chown(owner.uid, owner.gid)
	}
	if err == nil {
		err = s.rename(kept, path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func renameNoReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// take takes out a spare of the same owner, or one that nobody had. Another's is
// not given away: he may have left a second name of it, or somebody who watches
// it.
func (s *spares) take(owner owner) (path string, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if free := s.free[owner]; len(free) > 0 {
		path, s.free[owner] = free[len(free)-1], free[:len(free)-1]
		s.kept--
	} else if n := len(s.fresh); n > 0 {
		path, fresh, s.fresh = s.fresh[n-1], true, s.fresh[:n-1]
		s.kept--
	}
	return path, fresh
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
	if s.kept >= max(s.stock, leastSpares) && !s.drop(owner) {
		file.Close()
		return os.Remove(path) == nil
	}
	kept := s.next("")
	if err := os.Rename(path, kept); err != nil {
		return false
	}
	file.Close()
	s.put(kept, owner, false)
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
	return os.Remove(old) == nil
}

// untouched reports whether a file is empty, as it was made, and open nowhere
// else; then it stays so, because its only name is ours.
func untouched(file *os.File) bool {
	if !unshared(file) {
		return false
	}
	var now unix.Stat_t
	return unix.Fstat(int(file.Fd()), &now) == nil && blank(&now)
}

// blank reports whether a file is empty, and has the mode and the one name that
// it was made with.
func blank(now *unix.Stat_t) bool {
	return now.Size == 0 && now.Nlink == 1 && now.Mode == unix.S_IFREG|0o600
}
