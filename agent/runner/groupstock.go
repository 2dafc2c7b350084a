package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// groupStock keeps cgroups at hand that were made when there was time: making
// one takes a lock that each start and each end of a process in another needs,
// too. No run gets one that another had, for that may have changed it. Its zero
// value is to have none.
type groupStock struct {
	mu     sync.Mutex
	prefix string // of their names, another one for each agent
	count  int    // made so far
	wanted int
	ready  []string        // paths
	held   map[string]bool // the names of those, and of what runs have that are not over
}

// maxReadyGroups bounds what the stock takes of the kernel's memory, which is 8 KiB
// for each.
const maxReadyGroups = 1024

// keep sets how many there are to be.
func (s *groupStock) keep(wanted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = min(wanted, maxReadyGroups)
}

// add makes one more below a directory where the stock is short of some, and
// reports whether it was.
func (s *groupStock) add(dir string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == "" || len(s.ready) >= s.wanted {
		return false, nil
	}
	if s.count++; s.count == 1 {
		s.prefix, s.held = "ready-"+strconv.FormatInt(time.Now().UnixNano(), 36)+"-", map[string]bool{}
	}
	path := filepath.Join(dir, s.prefix+strconv.Itoa(s.count))
	if err := os.Mkdir(path, 0o755); err != nil {
		return false, err
	}
	_, err := os.Lstat(path) // who opens it finds it faster then
	s.ready, s.held[filepath.Base(path)] = append(s.ready, path), true
	return true, err
}

// take returns one for a run; empty: there is none.
func (s *groupStock) take() (path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.ready) - 1; last >= 0 {
		path, s.ready = s.ready[last], s.ready[:last]
	}
	return path
}

// over tells that the run is over that had it.
func (s *groupStock) over(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, filepath.Base(path))
}

// holds reports whether a cgroup of that name is in stock, or a run has it.
func (s *groupStock) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name]
}

// close removes what is in stock.
func (s *groupStock) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range s.ready {
		_ = unix.Rmdir(path) // or the next agent sweeps it away
	}
	s.ready, s.wanted = nil, 0
}

// lend returns where the cgroup of a run is to be; empty: it gets none. One that
// is made ready keeps no limits, and nobody asks it what a run has used.
func (g *cgroups) lend(run fleet.RunID, plain bool) string {
	if plain && g.dir != "" {
		if path := g.stock.take(); path != "" {
			return path
		}
	}
	return g.place(run)
}

// mkdirReady makes a cgroup unless it was made ready, and is there still.
func (g *cgroups) mkdirReady(dir string) error {
	if g.stock.holds(filepath.Base(dir)) {
		var now unix.Stat_t
		if unix.Lstat(dir, &now) == nil {
			return nil
		}
	}
	err := g.mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) && g.stock.holds(filepath.Base(dir)) {
		return nil
	}
	return err
}
