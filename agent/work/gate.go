package work

import (
	"context"
	"log/slog"
	"sync"

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
// keeps the plan as the collectors gave it, to be opened again when the policy
// is another.
type keeper struct {
	gate  *policy.Gate
	id    fleet.HostID
	save  func(plan *fleet.Plan) error
	carry func(plan *fleet.Plan, stored bool)
	tell  func(plan *fleet.Plan, report fleet.PolicyReport)
	log   *slog.Logger

	mu    sync.Mutex
	given *fleet.Plan // nil: none
}

// Take makes a plan of the collectors the one in force.
func (k *keeper) Take(plan *fleet.Plan) error {
	if plan.Host != k.id {
		return fleet.Errorf(fleet.Invalid, "the plan is of host %q, this one is %q", plan.Host, k.id)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	opened := k.open(plan)
	if err := k.save(plan); err != nil {
		return err
	}
	k.given = plan
	k.carry(opened, false)
	k.tell(opened, k.gate.Report())
	return nil
}

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
