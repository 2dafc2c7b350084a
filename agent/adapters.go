package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// starter lets the scheduler begin runs.
type starter struct {
	runner    *runner.Runner
	host      fleet.HostID
	recorder  recorder
	ended     func(run *fleet.Run)
	addresses func() ([]netip.Addr, error) // of the host, now
	queue     *queue                       // of runs that wait for a place in the fleet
	start     func(ctx context.Context, spec runner.Spec) error
}

// Begin begins a run, lets it wait for its place in the fleet, or skips it where
// the host has left the task's networks; it returns when that is on disk.
func (s starter) Begin(ctx context.Context, due scheduler.Due) error {
	task := &due.Assignment.Task
	if s.away(task.Where.Networks) {
		run := due.Record(s.host)
		run.State, run.Reason = fleet.RunSkipped, fleet.SkippedAway
		run.Detail = "none of the host's addresses is in the task's networks now"
		err := s.recorder.Settle(ctx, run)
		if err == nil {
			s.ended(&run)
		}
		return err
	}
	spec := specOf(task, due.Record(s.host))
	spec.Facts = causeOf(due.Cause, due.Payload)
	if task.Limits.Fleet > 0 {
		return s.queue.Begin(ctx, spec)
	}
	return s.start(ctx, spec)
}

func specOf(task *fleet.Task, run fleet.Run) runner.Spec {
	return runner.Spec{Run: run, Execute: task.Run, Limits: task.Limits}
}

// causeOf is what a command is told of an event, a webhook or a file.
func causeOf(cause, payload string) []runner.Fact {
	if cause == "" {
		return nil
	}
	return []runner.Fact{{Name: "CAUSE", Value: cause}, {Name: "PAYLOAD", Value: payload}}
}

// away reports whether the task is bound to networks and none of the host's
// addresses lies in them at this instant. The plan was made from the addresses
// of the last scan, which may be a minute old. What cannot be read counts as
// it was planned.
func (s starter) away(networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return false
	}
	addresses, err := s.addresses()
	where := fleet.Where{Networks: networks}
	return err == nil && !where.Matches(&fleet.Host{Addresses: addresses})
}

// hostAddresses returns the addresses that the host has now.
func hostAddresses() ([]netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, address := range found {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			addresses = append(addresses, prefix.Addr())
		}
	}
	return addresses, nil
}

// Cancel stops a run; one that has ended meanwhile needs no stopping.
func (s starter) Cancel(run fleet.RunID, reason string) {
	if !s.queue.Cancel(run, reason) {
		s.runner.Cancel(run, reason)
	}
}

// Stop stops a run for what it does.
func (s starter) Stop(run fleet.RunID, because fleet.Reason, detail string) {
	s.Cancel(run, string(because)+": "+detail)
}

// board shows how tasks stand to nobody.
type board struct{}

func (board) Stand(fleet.Standing) {}

func (board) Unstand(fleet.TaskID) {}

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
	err := r.journal.Did(ctx, order.ID, order.Due)
	if errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

func runsOf(open []journal.OpenRun) []scheduler.RunFound {
	runs := make([]scheduler.RunFound, len(open))
	for i := range open {
		runs[i].Run = open[i].Run
	}
	return runs
}
