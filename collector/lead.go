package collector

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
)

// pruneEvery is how often the leader looks for what is old.
const pruneEvery = 10 * time.Minute

// trustKept is how long it can be seen who had a token, or enrolled what, after
// that ended. The audit chain tells of it for ever.
const trustKept = 90 * 24 * time.Hour

// lead is what only a leader does: it keeps the history bounded, and rings the
// agents when plans changed.
type lead struct {
	retention Retention
	propose   func(context.Context, ledger.Command) (replica.Result, error)
	watch     func(ledger.Topic) (uint64, <-chan struct{})
	ring      func()
	step      func(time.Time) (time.Duration, error) // of a rotation of the gossip key
	log       *slog.Logger
}

// Run leads until ctx ends, which it does when this collector leads no longer.
func (l *lead) Run(ctx context.Context) error {
	l.log.Info("leading")
	defer l.log.Info("leading no longer")
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.prune(ctx) })
	g.Go(func() error { return l.doorbell(ctx) })
	g.Go(func() error { return stepRing(ctx, l.step, l.log) })
	return g.Wait()
}

// prune removes old runs and changes of jobs, and what expired, in small
// commands so that none of them holds up the others.
func (l *lead) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for more := true; more && ctx.Err() == nil; {
				more = l.pruneOnce(ctx, now)
			}
		}
	}
}

func (l *lead) pruneOnce(ctx context.Context, now time.Time) (more bool) {
	result, err := l.propose(ctx, &ledger.Prune{
		At:            now.UTC(),
		RunsBefore:    now.Add(-time.Duration(l.retention.Age)).UTC(),
		RunsOfTask:    l.retention.PerTask,
		ChangesBefore: now.Add(-time.Duration(l.retention.Changes)).UTC(),
		TrustBefore:   now.Add(-trustKept).UTC(),
		ProofsBefore:  now.Add(-time.Duration(l.retention.Proofs)).UTC(),
		ProofBytes:    int64(l.retention.Signed),
	})
	if err != nil {
		l.log.Warn("old records stay until the next try", "error", err)
		return false
	}
	pruned, _ := result.Value.(ledger.Pruned)
	if pruned != (ledger.Pruned{}) {
		l.log.Info("old records removed", "runs", pruned.Runs, "orders", pruned.Orders, "requests", pruned.Requests,
			"acknowledgements", pruned.Acks, "changes", pruned.Changes, "proofs", pruned.Proofs)
	}
	return pruned.More
}

// doorbell rings once for any number of changes of the same moment. Whoever
// hears it asks a collector; whoever does not hears of the change by waiting.
func (l *lead) doorbell(ctx context.Context) error {
	for {
		_, tasks := l.watch(ledger.Tasks)
		_, orders := l.watch(ledger.Orders)
		select {
		case <-ctx.Done():
			return nil
		case <-tasks:
		case <-orders:
		}
		l.ring()
	}
}
