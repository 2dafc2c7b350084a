package agent

import (
	"context"
	"errors"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// starter lets the scheduler begin runs.
type starter struct {
	runner *runner.Runner
	host   fleet.HostID
}

// Begin begins a run; it returns when that is on disk.
func (s starter) Begin(ctx context.Context, due scheduler.Due) error {
	task := &due.Assignment.Task
	return s.runner.Start(ctx, runner.Spec{Run: due.Record(s.host), Execute: task.Run, Limits: task.Limits})
}

// Cancel stops a run; one that has ended meanwhile needs no stopping.
func (s starter) Cancel(run fleet.RunID, reason string) { s.runner.Cancel(run, reason) }

// recorder lets the scheduler settle what does not become a run.
type recorder struct{ journal *journal.Journal }

// Settle records an outcome. While the disk is full the journal keeps it in
// memory and writes it first when there is space.
func (r recorder) Settle(ctx context.Context, run fleet.Run) error {
	err := r.journal.Record(ctx, run, nil)
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

// Pass records that nothing of the task is due up to an instant.
func (r recorder) Pass(ctx context.Context, task fleet.TaskID, until time.Time) error {
	return r.journal.Watermark(ctx, task, until)
}

func runsOf(open []journal.OpenRun) []fleet.Run {
	runs := make([]fleet.Run, len(open))
	for i := range open {
		runs[i] = open[i].Run
	}
	return runs
}
