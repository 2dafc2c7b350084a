package outside

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// findings are what the last scan found, as the collectors are to hear it: a
// line that became a comment is no trouble while its task runs here, which only
// work knows.
type findings struct {
	up   interface{ SetReport(*fleet.Report) }
	work link.Caller

	mu    sync.Mutex
	last  *fleet.Report // as the reader told it
	anew  bool          // it was not passed on yet
	wake  chan struct{}
	ready sync.Once
}

// findingsEvery is how often is looked whether silent lines have a task still.
const findingsEvery = time.Minute

func (f *findings) set(report *fleet.Report) {
	f.mu.Lock()
	f.last, f.anew = report, true
	f.mu.Unlock()
	f.again()
}

func (f *findings) woken() chan struct{} {
	f.ready.Do(func() { f.wake = make(chan struct{}, 1) })
	return f.wake
}

// again looks once more who holds the silent lines.
func (f *findings) again() {
	select {
	case f.woken() <- struct{}{}:
	default:
	}
}

// Run passes on what is found, until ctx ends.
func (f *findings) Run(ctx context.Context) error {
	tick := time.NewTicker(findingsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.woken():
		case <-tick.C:
		}
		f.pass(ctx)
	}
}

// pass tells the collectors, where there is something to tell.
func (f *findings) pass(ctx context.Context) {
	f.mu.Lock()
	report, anew := f.last, f.anew
	f.anew = false
	f.mu.Unlock()
	if report == nil {
		return
	}
	silent := silentTasks(report.Problems)
	if len(silent) == 0 {
		if anew {
			f.up.SetReport(report)
		}
		return
	}
	held, err := link.Held.Call(ctx, f.work, silent)
	if err != nil {
		held = silent // nobody is accused while nobody knows
	}
	told := *report
	told.Problems = orphans(report.Problems, held)
	f.up.SetReport(&told)
}

// silentTasks lists the tasks for which lines became comments.
func silentTasks(problems []fleet.Problem) (tasks []fleet.TaskID) {
	for _, p := range problems {
		if task, silent := takeover.CommentOf(p.Text); silent {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// orphans leaves of the lines that became comments those that nobody runs: the
// host lost its state, or is a copy of another.
func orphans(problems []fleet.Problem, held []fleet.TaskID) []fleet.Problem {
	holds := make(map[fleet.TaskID]bool, len(held))
	for _, task := range held {
		holds[task] = true
	}
	left := make([]fleet.Problem, 0, len(problems))
	for _, p := range problems {
		task, silent := takeover.CommentOf(p.Text)
		if silent && holds[task] {
			continue
		}
		if silent {
			p.Reason = fmt.Sprintf("the line was made a comment for task %s, which this host does not have: nobody runs it; take the words before the line away", task)
		}
		left = append(left, p)
	}
	return left
}
