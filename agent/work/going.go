package work

import (
	"context"
	"sync"

	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/vitals"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// going remembers the tasks of the runs that go on, as they were when the runs
// began: that is what a run is held to.
type going struct {
	mu      sync.Mutex
	tasks   map[fleet.RunID]*fleet.Task // nil: nobody knows the task any more
	changed chan struct{}               // closed and replaced when a run is over
}

func newGoing() *going {
	return &going{tasks: map[fleet.RunID]*fleet.Task{}, changed: make(chan struct{})}
}

func (g *going) begin(run fleet.RunID, task *fleet.Task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tasks[run] = task
}

func (g *going) over(run fleet.RunID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tasks, run)
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait returns when none of the runs that count goes on, or ctx ends; it says how
// many go on then.
func (g *going) wait(ctx context.Context, counts func(task *fleet.Task) bool) int {
	for {
		g.mu.Lock()
		n := 0
		for _, task := range g.tasks {
			if counts(task) {
				n++
			}
		}
		changed := g.changed
		g.mu.Unlock()
		if n == 0 {
			return 0
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return n
		}
	}
}

// ends is for runs that end by themselves.
func ends(task *fleet.Task) bool { return task == nil || !task.Supervised() }

// every is for all runs.
func every(*fleet.Task) bool { return true }

// task returns the task of a run; nil: nobody knows it any more.
func (g *going) task(run fleet.RunID) *fleet.Task {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tasks[run]
}

// patients is what goes on, for those who watch over it.
type patients struct {
	*runner.Runner
	tasks *going
}

// Going returns the runs whose processes go on, with their tasks.
func (p patients) Going() []vitals.Going {
	runs := p.Runner.Going()
	list := make([]vitals.Going, len(runs))
	for i, run := range runs {
		list[i] = vitals.Going{Run: run, Task: p.tasks.task(run.ID)}
	}
	return list
}
