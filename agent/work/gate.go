package work

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// newGate opens the gate between what the collectors give and what is done.
func newGate(cfg Config, host fleet.Host, cluster string, book *journal.Journal, known bool, silent func(fleet.TaskID) bool, log *slog.Logger) (*policy.Gate, error) {
	return policy.New(policy.Config{
		Path: cfg.Policy, Dir: cfg.policyDir(), Host: host, Cluster: cluster,
		Journal: book.ID(), Known: known, Silent: silent, Log: log,
	})
}

// keeper lets nothing of a plan be carried out but what the gate opened. It
// keeps the plan as the collectors gave it, with what goes on beside it, to be
// opened again when the policy is another.
type keeper struct {
	gate  *policy.Gate
	id    fleet.HostID
	save  func(plan *fleet.Plan) error
	carry func(plan *fleet.Plan, stored bool)
	tell  func(plan *fleet.Plan, report fleet.PolicyReport)
	log   *slog.Logger

	mu    sync.Mutex
	given *fleet.Plan // nil: none
	rest  time.Time   // until when no other is taken
}

// maxPlan is how many things a plan may hold, and restTimes how many times as
// long as one has taken no other is taken: more than any host has to do, and
// enough that nobody keeps this part from doing it by giving it plans.
const (
	maxPlan   = 50_000
	restTimes = 4
)

// Offer makes a plan the one in force, in its turn.
func (k *keeper) Offer(ctx context.Context, plan *fleet.Plan) error {
	k.mu.Lock()
	wait := time.Until(k.rest)
	k.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	began := time.Now()
	err := k.Take(plan)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest = time.Now().Add(min(restTimes*time.Since(began), time.Minute))
	return err
}

// Take makes a plan of the collectors the one in force.
func (k *keeper) Take(plan *fleet.Plan) error {
	if plan.Host != k.id {
		return fleet.Errorf(fleet.Invalid, "the plan is of host %q, this one is %q", plan.Host, k.id)
	}
	if n := len(plan.Assignments) + len(plan.Orders) + len(plan.Adoptions) + len(plan.Sealed) + len(plan.Tombstones) + len(plan.Revoked); n > maxPlan {
		return fleet.Errorf(fleet.TooLarge, "the plan holds %d things, at most %d are taken", n, maxPlan)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	given := *plan
	given.Kept = nil // which no collector says
	opened, err := k.gate.Follow(&given, k.given, func(kept *fleet.Kept) error {
		given.Kept = kept
		return k.save(&given)
	})
	if err != nil {
		return err
	}
	checkPlan(opened, k.id, k.log)
	k.given = &given
	k.carry(opened, false)
	k.tell(opened, k.gate.Report())
	return nil
}

// open opens a plan that is kept, with what goes on beside it.
func (k *keeper) open(plan *fleet.Plan) *fleet.Plan {
	opened, _ := k.gate.Open(plan)
	checkPlan(opened, k.id, k.log)
	return opened
}

// index is that of the plan in force; zero: none.
func (k *keeper) index() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.given == nil {
		return 0
	}
	return k.given.Index
}

// Run opens the last plan again whenever the policy, or this host, is another,
// until ctx ends.
func (k *keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.gate.Changed():
		}
		k.mu.Lock()
		opened := &fleet.Plan{Host: k.id}
		if k.given != nil {
			opened = k.open(k.given)
			k.carry(opened, true) // the collectors said nothing new
		}
		k.tell(opened, k.gate.Report())
		k.mu.Unlock()
	}
}
