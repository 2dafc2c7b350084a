package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// grantor grants the places that a task has in the fleet.
type grantor interface {
	Lease(ctx context.Context, host fleet.HostID, request api.LeaseRequest) (fleet.Lease, error)
	ReturnLease(ctx context.Context, host fleet.HostID, task fleet.TaskID, run fleet.RunID) error
}

// settler makes what became of a run durable.
type settler interface {
	Settle(ctx context.Context, run fleet.Run) error
}

// queue holds the runs that wait for a place in the fleet. A run that waits is
// pending on disk, so it has an outcome whatever happens to the agent.
type queue struct {
	host    fleet.HostID
	grantor grantor
	record  settler
	start   func(ctx context.Context, spec runner.Spec) error
	ended   func(run *fleet.Run)
	log     *slog.Logger
	elapsed func() time.Duration // a clock that also counts while the host is suspended

	life context.Context // ends with the agent: who waits then waits on in the next one
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	waiting map[fleet.RunID]context.CancelCauseFunc
}

func newQueue(host fleet.HostID, from grantor, record settler, log *slog.Logger) *queue {
	q := &queue{host: host, grantor: from, record: record, log: log, elapsed: sinceBoot, waiting: map[fleet.RunID]context.CancelCauseFunc{}}
	q.life, q.end = context.WithCancel(context.Background())
	return q
}

// Close stops waiting. What waited is still pending on disk.
func (q *queue) Close() error {
	q.end()
	q.work.Wait()
	return nil
}

// Begin puts a run into the queue; it returns when that is on disk.
func (q *queue) Begin(ctx context.Context, spec runner.Spec) error {
	pending := spec.Run
	pending.State = fleet.RunPending
	pending.Detail = fmt.Sprintf("waits for one of %d places in the fleet", spec.Limits.Fleet)
	if err := q.record.Settle(ctx, pending); err != nil {
		return err
	}
	q.Resume(spec)
	return nil
}

// Resume lets a run that is pending on disk wait on.
func (q *queue) Resume(spec runner.Spec) {
	ctx, cancel := context.WithCancelCause(q.life)
	q.mu.Lock()
	q.waiting[spec.Run.ID] = cancel
	q.mu.Unlock()
	q.work.Go(func() {
		defer cancel(nil)
		q.wait(ctx, spec)
		q.mu.Lock()
		delete(q.waiting, spec.Run.ID)
		q.mu.Unlock()
	})
}

// waiting returns how to go on with a run that an earlier agent left pending, if
// the task is still that of the plan.
func waiting(run *fleet.Run, plan *fleet.Plan) (spec runner.Spec, waits bool) {
	if run.State != fleet.RunPending || plan == nil {
		return spec, false
	}
	for i := range plan.Assignments {
		a := &plan.Assignments[i]
		if a.Task.ID() == run.Task && a.Generation == run.Generation && a.Task.Limits.Fleet > 0 {
			again := *run
			again.Detail = ""
			return specOf(&a.Task, again), true
		}
	}
	return spec, false
}

// cancelled is why a run no longer waits.
type cancelled struct{ reason string }

func (c cancelled) Error() string { return c.reason }

// Cancel takes a run out of the queue, and reports whether it was there.
func (q *queue) Cancel(run fleet.RunID, reason string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	cancel, waits := q.waiting[run]
	if waits {
		cancel(cancelled{reason})
	}
	return waits
}

const (
	leasePoll     = 20 * time.Second // of one request; a place granted late in it can still be used
	leasePauseMin = 500 * time.Millisecond
	leasePauseMax = 15 * time.Second
)

// wait asks for a place until it is granted or the run has waited long enough.
func (q *queue) wait(ctx context.Context, spec runner.Spec) {
	patience := time.Duration(spec.Limits.Wait)
	if patience == 0 {
		patience = fleet.DefaultLeaseWait
	}
	end := spec.Run.Due.Add(patience)
	why := "no place came free"
	for pause := leasePauseMin; time.Now().Before(end); {
		asked := q.elapsed()
		lease, err := q.grantor.Lease(ctx, q.host, api.LeaseRequest{
			Task: spec.Run.Task, Run: spec.Run.ID, Wait: fleet.Duration(min(leasePoll, time.Until(end))),
		})
		e, said := errors.AsType[*fleet.Error](err)
		switch {
		case err == nil && q.elapsed()-asked < fleet.LeaseBegin:
			q.begin(ctx, spec, lease)
			return
		case err == nil: // granted, but too long ago: the grantor may count on its end already
			q.giveBack(spec)
		case ctx.Err() != nil:
			q.leave(ctx, spec)
			return
		case said && e.Code == api.CodeNoPlace:
			why, pause = err.Error(), leasePauseMin
			continue
		case said && e.Kind != fleet.Unavailable && e.Kind != fleet.Internal:
			q.settle(spec, fleet.RunMissed, fleet.MissedNoLease, err.Error())
			return
		default:
			why = "nobody was there to grant a place: " + err.Error()
		}
		select {
		case <-ctx.Done():
			q.leave(ctx, spec)
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, leasePauseMax)
	}
	q.giveBack(spec) // an answer may have been lost
	q.settle(spec, fleet.RunMissed, fleet.MissedNoLease, fmt.Sprintf("waited %s: %s", patience, why))
}

// begin starts the run under its lease.
func (q *queue) begin(ctx context.Context, spec runner.Spec, lease fleet.Lease) {
	spec.Facts = append(spec.Facts, runner.Fact{Name: "FENCE", Value: strconv.FormatUint(lease.Fence, 10)})
	if err := q.start(ctx, spec); err != nil {
		q.log.Info("run waits on, the agent is ending", "run", spec.Run.ID, "task", spec.Run.Task, "error", err)
		q.giveBack(spec)
	}
}

// leave takes a cancelled run out. When the agent ends, it stays pending.
func (q *queue) leave(ctx context.Context, spec runner.Spec) {
	q.giveBack(spec)
	if c, is := errors.AsType[cancelled](context.Cause(ctx)); is {
		q.settle(spec, fleet.RunSkipped, fleet.SkippedCancelled, c.reason)
	}
}

// giveBackTime is how long giving a lease back may take; it ends by itself, too.
const giveBackTime = 2 * time.Second

func (q *queue) giveBack(spec runner.Spec) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.life), giveBackTime)
	defer cancel()
	if err := q.grantor.ReturnLease(ctx, q.host, spec.Run.Task, spec.Run.ID); err != nil {
		q.log.Debug("lease not given back, it ends by itself", "run", spec.Run.ID, "task", spec.Run.Task, "error", err)
	}
}

func (q *queue) settle(spec runner.Spec, state fleet.RunState, reason fleet.Reason, detail string) {
	run := spec.Run
	run.State, run.Reason, run.Detail = state, reason, detail
	if err := q.record.Settle(context.WithoutCancel(q.life), run); err != nil {
		q.log.Error("outcome not recorded", "run", run.ID, "task", run.Task, "state", run.State, "error", err)
	}
	q.ended(&run)
}

// sinceBoot is how long the host is up, suspended or not.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Duration(time.Now().UnixNano()) // no kernel that Go runs on lacks it
	}
	return time.Duration(now.Nano())
}
