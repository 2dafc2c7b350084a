package runner

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Expected is a task that runs may come of.
type Expected struct {
	Task    fleet.TaskID
	Execute fleet.Execute
}

// expects is what is made ready for runs to come.
type expects struct {
	news chan struct{} // holds one when there is something to make ready

	mu    sync.Mutex // held while something is made for a task
	tasks []Expected // for which nothing was made yet
	crowd bool       // so many tasks that a rush may come
}

const (
	// filesPerRun are those of two streams and of the notes.
	filesPerRun = 3
	// restock is how often the stock of files is looked at: a crowd has passed
	// by then.
	restock = 5 * time.Second
)

// Expect lets what the first runs of these tasks need be made before they are
// due, while nothing starts: their directories, and files and cgroups for as
// many runs as the host has tasks in all; and the guardians, where there may be
// a rush. Run does it.
func (r *Runner) Expect(fresh []Expected, all int) {
	r.expects.mu.Lock()
	r.expects.tasks = append(r.expects.tasks, fresh...)
	r.expects.crowd = all >= crowded
	r.expects.mu.Unlock()
	r.spares.keep(filesPerRun * all)
	r.cgroups.stock.keep(all)
	select {
	case r.expects.news <- struct{}{}:
	default:
	}
}

// unexpect takes a task out that the host no longer has.
func (r *Runner) unexpect(task fleet.TaskID) {
	r.expects.mu.Lock()
	defer r.expects.mu.Unlock()
	r.expects.tasks = slices.DeleteFunc(r.expects.tasks, func(e Expected) bool { return e.Task == task })
}

// makeReady makes what is expected until ctx ends, half of the time at most.
func (r *Runner) makeReady(ctx context.Context) {
	tick := time.NewTicker(restock)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.expects.news:
		case <-tick.C:
		}
		r.readyGuardians()
		for more := true; more && ctx.Err() == nil && r.rush.calm(); {
			began := time.Now()
			more = r.makeOne()
			select {
			case <-time.After(time.Since(began)):
			case <-ctx.Done():
			}
		}
	}
}

// makeOne makes ready for one task, or one file, and reports whether there may
// be more to do. What cannot be made now is left to the run, which says why.
func (r *Runner) makeOne() bool {
	r.expects.mu.Lock()
	defer r.expects.mu.Unlock()
	if n := len(r.expects.tasks); n > 0 {
		next := &r.expects.tasks[n-1]
		r.makeDirs(next)
		r.expects.tasks = r.expects.tasks[:n-1]
		return true
	}
	r.expects.tasks = nil
	for _, add := range []func() (bool, error){r.spares.add, func() (bool, error) { return r.cgroups.stock.add(r.cgroups.dir) }} {
		if made, err := add(); made && err == nil {
			return true
		}
	}
	return false
}

// makeDirs makes the directories of a task where there are none. What is there
// may be in use: whose it is to be is looked at when a run begins.
func (r *Runner) makeDirs(next *Expected) {
	_ = os.Mkdir(taskDir(r.config.Dir, next.Task), 0o700)
	r.keeps.of(taskDir(r.config.Dir, next.Task), fleet.Keep{})
	r.states.recall(next.Task)
	dir, _, err := r.states.place(next.Task)
	if err != nil {
		return
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return
	}
	_, credential, err := r.accounts.become(&next.Execute, os.Geteuid())
	if err == nil {
		_, _ = r.states.prepare(next.Task, r.ownerOf(credential))
	}
}
