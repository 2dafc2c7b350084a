package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Result is what became of a command that was carried out.
type Result struct {
	Index uint64 // of its entry
	Value any    // what the command's documentation says
}

const (
	proposeLimit = 10 * time.Second // for the outcome, where ctx sets no deadline
	entryMax     = 16 << 20         // bytes of a command
)

// Propose carries a command out on every collector and returns when a
// majority has it on disk and this one has applied it. A refusal by the ledger
// is its *fleet.Error. Otherwise errors are Unavailable and their code says
// what is known:
//
//	not_leader       nothing happened; the hint names the leader
//	no_leader        nothing happened; nobody is known to lead
//	overloaded       nothing happened; try again later
//	outcome_unknown  it may or may not happen yet
func (r *Replica) Propose(ctx context.Context, command ledger.Command) (Result, error) {
	data, err := ledger.Encode(command)
	if err != nil {
		return Result{}, fmt.Errorf("propose: %w", err)
	}
	if len(data) > entryMax {
		return Result{}, fleet.Errorf(fleet.TooLarge, "a command of %d bytes; at most %d are replicated", len(data), entryMax)
	}
	if !r.enter() {
		return Result{}, r.notLeader()
	}
	defer r.inflight.Done()
	if r.raft.State() != raft.Leader {
		return Result{}, r.notLeader()
	}
	return r.propose(ctx, data)
}

// enter admits a proposal unless the replica is closing.
func (r *Replica) enter() bool {
	r.gate.RLock()
	defer r.gate.RUnlock()
	if r.closing.Load() {
		return false
	}
	r.inflight.Add(1)
	return true
}

func (r *Replica) propose(ctx context.Context, data []byte) (Result, error) {
	limit := proposeLimit
	if deadline, set := ctx.Deadline(); set {
		limit = max(time.Until(deadline), time.Nanosecond)
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var entry raft.ApplyFuture
	done := make(chan error, 1)
	go func() {
		entry = r.raft.ApplyLog(raft.Log{Data: data}, limit)
		done <- entry.Error()
	}()
	select {
	case err := <-done:
		if err != nil {
			return Result{}, r.explain(err)
		}
		if refusal, refused := entry.Response().(error); refused {
			return Result{Index: entry.Index()}, refusal
		}
		return Result{Index: entry.Index(), Value: entry.Response()}, nil
	case <-ctx.Done():
		return Result{}, unknown(ctx.Err())
	case <-r.ctx.Done():
		return Result{}, unknown(raft.ErrRaftShutdown)
	}
}

// explain turns raft's errors into ours.
func (r *Replica) explain(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return r.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return &fleet.Error{Kind: fleet.Unavailable, Code: "overloaded", Message: "the leader takes no more commands at present", Err: err}
	}
	return unknown(err)
}

// notLeader names who leads instead.
func (r *Replica) notLeader() error {
	id, address := r.Leader()
	if id == "" || id == r.id {
		return fleet.Errorf(fleet.Unavailable, "no leader").WithCode("no_leader").WithHint("fleetctl collectors")
	}
	return fleet.Errorf(fleet.Unavailable, "collector %s does not lead", r.id).
		WithCode("not_leader").WithHint("collector %s at %s leads", id, address)
}

func unknown(err error) error {
	return &fleet.Error{
		Kind: fleet.Unavailable, Code: "outcome_unknown", Err: err,
		Message: "the change may or may not have been made",
		Hint:    "read it back, or repeat the request with the same Idempotency-Key",
	}
}

// wait waits for one of raft's futures. Raft may leave one without an answer
// when it shuts down.
func (r *Replica) wait(ctx context.Context, future raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- future.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return raft.ErrRaftShutdown
	}
}
