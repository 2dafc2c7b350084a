package work

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// board holds how the tasks stand here, and which orders were carried out that
// have no run to show for it, for the collectors to hear.
type board struct {
	decided func(fleet.OrderID) bool

	mu        sync.Mutex
	standings map[fleet.TaskID]fleet.Standing
	orders    []fleet.OrderID // of the plan, of kinds that have no run

	news   chan struct{} // holds one when something changed
	primed chan struct{} // closed when there was a plan
	prime  sync.Once
}

func newBoard(decided func(fleet.OrderID) bool) *board {
	return &board{
		decided: decided, standings: map[fleet.TaskID]fleet.Standing{},
		news: make(chan struct{}, 1), primed: make(chan struct{}),
	}
}

// Stand says how a task stands now.
func (b *board) Stand(standing fleet.Standing) {
	b.change(func() { b.standings[standing.Task] = standing })
}

// Unstand says that there is nothing more to say of a task.
func (b *board) Unstand(task fleet.TaskID) {
	b.change(func() { delete(b.standings, task) })
}

// Did says that an order may have been carried out.
func (b *board) Did() { b.change(func() {}) }

// Plan says which orders somebody waits for.
func (b *board) Plan(plan *fleet.Plan) {
	var orders []fleet.OrderID
	for i := range plan.Orders {
		if kind := plan.Orders[i].Kind; kind != fleet.OrderRun && kind != fleet.OrderCancel {
			orders = append(orders, plan.Orders[i].ID)
		}
	}
	b.change(func() { b.orders = orders })
	b.prime.Do(func() { close(b.primed) })
}

func (b *board) change(do func()) {
	b.mu.Lock()
	do()
	b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// all is what the collectors are to hear.
func (b *board) all() fleet.Stands {
	b.mu.Lock()
	defer b.mu.Unlock()
	words := fleet.Stands{Standings: []fleet.Standing{}}
	for _, task := range slices.Sorted(maps.Keys(b.standings)) {
		words.Standings = append(words.Standings, b.standings[task])
	}
	for _, order := range b.orders {
		if b.decided(order) {
			words.Done = append(words.Done, order)
		}
	}
	return words
}

// lookAgain is how often is looked for orders that are known to be carried out
// only now, because the disk was full.
const lookAgain = time.Minute

// await returns when there is something to tell, given how many orders were told
// as carried out, and false when ctx ends.
func (b *board) await(ctx context.Context, done int) bool {
	for {
		select {
		case <-b.news:
			return true
		case <-time.After(lookAgain):
			if len(b.all().Done) != done {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// gather is how long changes are gathered before they are told as one.
const gather = 100 * time.Millisecond

// Run tells what changed, until ctx ends. It says nothing before the scheduler
// has gone through a plan: what is not said counts as gone.
func (b *board) Run(ctx context.Context, caughtUp func(context.Context) error, tell func(fleet.Stands)) error {
	select {
	case <-b.primed:
	case <-ctx.Done():
		return nil
	}
	if caughtUp(ctx) != nil {
		return nil
	}
	for {
		select {
		case <-b.news: // this is told now
		default:
		}
		words := b.all()
		tell(words)
		if !b.await(ctx, len(words.Done)) {
			return nil
		}
		select {
		case <-time.After(gather):
		case <-ctx.Done():
			return nil
		}
	}
}
