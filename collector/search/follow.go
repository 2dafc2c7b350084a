package search

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Share has reader told of every host that is read, with its jobs by source,
// line and id; nil for a host that is gone. So a fleet is read once for all who
// keep something of its jobs. reader may be called for several hosts at once,
// but not for one; it must not change the jobs, nor ask the index. Call Share
// before the index is asked or run.
func (x *Index) Share(reader func(fleet.HostID, *ledger.Host, []api.JobView)) {
	x.readers = append(x.readers, reader)
}

// Loaded reports whether the fleet is read: not so from the start on, and when
// most of it became another at once, as by a restore. Until then who asks waits.
func (x *Index) Loaded() bool { return x.loaded.Load() }

// mark notes that a host's description or inventory is another now. It
// returns at once: the ledger waits for it.
func (x *Index) mark(host fleet.HostID) {
	x.marking.Lock()
	x.marked[host] = true
	x.marking.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Run keeps the index up to date until ctx ends, so that those who ask need
// not wait for it.
func (x *Index) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		}
		if err := x.CatchUp(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// CatchUp takes in, and tells the readers of, every change of the source from
// before the call. If ctx ends, it returns its error, and what is left is taken
// in by the next call.
func (x *Index) CatchUp(ctx context.Context) error {
	x.following.Lock()
	defer x.following.Unlock()
	x.marking.Lock()
	marked := x.marked
	x.marked = map[fleet.HostID]bool{}
	x.marking.Unlock()
	if len(marked) > max(worthwhile, len(x.source.AllHosts(everywhere))/2) {
		x.loaded.Store(false)
	}
	if err := x.readAll(ctx, slices.Sorted(maps.Keys(marked))); err != nil {
		x.marking.Lock()
		maps.Copy(x.marked, marked)
		x.marking.Unlock()
		return err
	}
	x.loaded.Store(true)
	return nil
}

// readAll reads hosts on all cores, in the order in which they lie on disk.
func (x *Index) readAll(ctx context.Context, hosts []fleet.HostID) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(hosts)) {
		g.Go(func() error {
			for at := next.Add(1) - 1; at < int64(len(hosts)); at = next.Add(1) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := x.read(hosts[at]); err != nil {
					return fmt.Errorf("search: read jobs of host %s: %w", hosts[at], err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// read replaces what is known of one host, here and by the readers.
func (x *Index) read(id fleet.HostID) error {
	host, found := x.source.Host(everywhere, id)
	var jobs []api.JobView
	if found {
		var err error
		if jobs, err = x.source.Jobs(everywhere, id); err != nil {
			return err
		}
		slices.SortFunc(jobs, func(a, b api.JobView) int { return place(&a).compare(place(&b)) })
	}
	for _, tell := range x.readers {
		tell(id, host, jobs)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	if found {
		x.insert(host, jobs)
	}
	x.compact()
	return nil
}
