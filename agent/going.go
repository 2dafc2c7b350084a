package agent

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
	mu    sync.Mutex
	tasks map[fleet.RunID]*fleet.Task
}

func newGoing() *going { return &going{tasks: map[fleet.RunID]*fleet.Task{}} }

func (g *going) begin(run fleet.RunID, task *fleet.Task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tasks[run] = task
}

func (g *going) over(run fleet.RunID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tasks, run)
}

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

// SetCheckpoint keeps what the next attempt of the task is given.
func (p patients) SetCheckpoint(task fleet.TaskID, value string) error {
	return fleet.Errorf(fleet.Unavailable, "checkpoints are not kept")
}

// Check runs a command as a task's own would be run.
func (p patients) Check(ctx context.Context, execute fleet.Execute, argv []string) (string, error) {
	return "", fleet.Errorf(fleet.Unavailable, "commands cannot be run to look at something")
}
