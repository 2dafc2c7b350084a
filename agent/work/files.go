package work

import (
	"context"
	"slices"
	"sync"

	"github.com/fleetcron/fleetcron/agent/filewatch"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// planner gives the scheduler what is to be done: the plan of the collectors
// and, beside it, the orders that this host's own files call for.
type planner struct {
	files   *filewatch.Watcher
	decided func(fleet.OrderID) bool
	armed   func([]fleet.Assignment) []fleet.Assignment // those that may begin; a copy
	give    func(plan *fleet.Plan, stored bool)

	mu    sync.Mutex
	plan  fleet.Plan // of the collectors
	known bool       // there was one
}

// Plan takes a plan of the collectors.
func (p *planner) Plan(plan *fleet.Plan, stored bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.known = *plan, true
	p.files.Set(watches(plan))
	p.giveAll(stored)
}

// Run gives the scheduler the orders of files as they come, until ctx ends.
func (p *planner) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.files.Changed():
		}
		p.mu.Lock()
		p.giveAll(true) // the collectors said nothing new
		p.mu.Unlock()
	}
}

// Again gives the scheduler the same plan: what may begin is another.
func (p *planner) Again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveAll(true)
}

// giveAll needs mu. Without a plan it gives nothing: an empty one would say that
// this host has nothing to do any more.
func (p *planner) giveAll(stored bool) {
	if !p.known {
		return
	}
	whole := p.plan
	whole.Assignments = p.armed(p.plan.Assignments)
	whole.Orders = slices.Concat(p.plan.Orders, p.files.Orders(p.decided))
	p.give(&whole, stored)
}

// watches lists the files that enabled tasks of the plan wait for.
func watches(plan *fleet.Plan) (list []filewatch.Watch) {
	for i := range plan.Assignments {
		if a := &plan.Assignments[i]; a.Task.On.File != "" && a.State == fleet.TaskEnabled && a.Refused == nil {
			list = append(list, filewatch.Watch{Task: a.Task.ID(), Pattern: a.Task.On.File})
		}
	}
	return list
}
