package uplink

import (
	"context"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// planWait is how long a collector holds the question for a newer plan.
const planWait = time.Minute

// fetchPlans asks for the plan, and then for ever for a newer one.
func (u *Uplink) fetchPlans(ctx context.Context) {
	index := u.config.Index
	for ctx.Err() == nil {
		var plan fleet.Plan
		asked := time.Now()
		fetched := u.persist(ctx, nil, func(ctx context.Context) error {
			registered := u.inventory.nextRegistration()
			got, err := u.config.Collectors.Plan(ctx, u.id, index, planWait)
			if err != nil && fleet.KindOf(err) == fleet.NotFound {
				// The collectors are new, or lost what they knew.
				u.forget()
				u.wait(ctx, longestWait, nil, registered)
				index = 0
			}
			if err == nil && got.Index != index {
				err = u.config.Take(&got)
			}
			plan = got
			return err
		})
		if fetched && plan.Index != index {
			index = plan.Index
			u.log.Info("plan taken", "index", index, "tasks", len(plan.Assignments), "orders", len(plan.Orders))
		} else if time.Since(asked) < firstWait { // it should have waited
			u.wait(ctx, firstWait, nil, nil)
		}
	}
}

// SetPlan says what of a plan this host carries out: what is refused is not
// among it.
func (u *Uplink) SetPlan(plan *fleet.Plan) { u.applied.set(plan) }

// applied is what this host runs, to be told to the collectors.
type applied struct {
	mu      sync.Mutex
	current fleet.Applied
	news    chan struct{}
}

func (a *applied) set(plan *fleet.Plan) {
	generations := make(map[fleet.TaskID]uint64, len(plan.Assignments))
	for i := range plan.Assignments {
		if plan.Assignments[i].Refused != nil {
			continue
		}
		generations[plan.Assignments[i].Task.ID()] = plan.Assignments[i].Generation
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current = fleet.Applied{Host: plan.Host, Generations: generations, At: time.Now().UTC()}
	poke(a.news)
}

func (a *applied) get() fleet.Applied {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// SetApplied says which generation of each task this host carries out.
func (u *Uplink) SetApplied(applied fleet.Applied) {
	a := &u.applied
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current = applied
	poke(a.news)
}

func (u *Uplink) sendApplied(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.applied.news:
		}
		u.persist(ctx, u.applied.news, func(ctx context.Context) error {
			current := u.applied.get()
			current.Host = u.id
			return u.config.Collectors.Apply(ctx, current)
		})
	}
}
