package work

import (
	"context"
	"errors"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// recorder makes durable what becomes of runs that are none yet, and what else
// the scheduler decides.
type recorder struct {
	journal *journal.Journal
	did     func() // tells that an order was carried out; nil: nobody
}

// Hold records that a run waits. While the disk is full nothing waits.
func (r recorder) Hold(ctx context.Context, run fleet.Run, handle []byte) error {
	return r.journal.Record(ctx, run, handle)
}

// Settle records an outcome. While the disk is full the journal keeps it in
// memory and writes it first when there is space.
func (r recorder) Settle(ctx context.Context, run fleet.Run) error {
	err := r.journal.Record(ctx, run, nil)
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

// Count records from when on a task is due. While the disk is full the journal
// keeps it as it keeps outcomes.
func (r recorder) Count(ctx context.Context, stint fleet.Stint) error {
	err := r.journal.Count(ctx, stint)
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

// Remember records what the scheduler wants to know again.
func (r recorder) Remember(ctx context.Context, task fleet.TaskID, memo []byte) error {
	err := r.journal.Remember(ctx, task, memo)
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

// Did records that an order was carried out.
func (r recorder) Did(ctx context.Context, order fleet.Order) error {
	err := r.journal.Did(ctx, order.ID, time.Now())
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	if err == nil && r.did != nil {
		r.did()
	}
	return err
}
