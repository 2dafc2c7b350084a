package search

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// counting counts how often the jobs of each host are read.
type counting struct {
	*fleetOf
	mu    sync.Mutex
	reads map[fleet.HostID]int
}

func (c *counting) Jobs(scope fleet.Scope, id fleet.HostID) ([]api.JobView, error) {
	c.mu.Lock()
	c.reads[id]++
	c.mu.Unlock()
	return c.fleetOf.Jobs(scope, id)
}

// TestAFleetIsReadOnce: whoever shares the reading has what the index has, and
// no host is read twice for it.
func TestAFleetIsReadOnce(t *testing.T) {
	source := &counting{fleetOf: newFleet(), reads: map[fleet.HostID]int{}}
	for n := range 200 {
		source.put(n, fmt.Sprintf("web-%03d", n), nil, job("/etc/b", 1, "root", "@daily", "/bin/one"), job("/etc/a", 7, "root", "@daily", "/bin/two"))
	}
	x := New(source)
	if x.Loaded() {
		t.Error("loaded before anything was read")
	}
	var mu sync.Mutex
	told := map[fleet.HostID][]api.JobView{}
	x.Share(func(id fleet.HostID, host *ledger.Host, jobs []api.JobView) {
		mu.Lock()
		defer mu.Unlock()
		if told[id] = jobs; host == nil {
			delete(told, id)
		}
	})
	ended, end := context.WithCancel(t.Context())
	end()
	if err := x.CatchUp(ended); !errors.Is(err, context.Canceled) || x.Loaded() {
		t.Errorf("stopped while it read: %v, loaded %v", err, x.Loaded())
	}
	clear(source.reads)
	if err := x.CatchUp(t.Context()); err != nil || !x.Loaded() {
		t.Fatalf("%v, loaded %v", err, x.Loaded())
	}
	list, err := x.Query(everywhere, api.JobQuery{Text: "/bin/"})
	if err != nil || list.Total != 400 || len(told) != 200 {
		t.Errorf("%d jobs, %d hosts told, %v", list.Total, len(told), err)
	}
	for id, jobs := range told {
		if source.reads[id] != 1 || len(jobs) != 2 || jobs[0].Source != "/etc/a" {
			t.Errorf("host %s: read %d times, %v", id, source.reads[id], jobs)
		}
	}
	gone := fleet.HostID(fmt.Sprintf("%032x", 7))
	source.fleetOf.mu.Lock()
	delete(source.hosts, gone)
	source.fleetOf.mu.Unlock()
	x.mark(gone)
	if list, err = x.Query(everywhere, api.JobQuery{}); err != nil || list.Total != 398 || told[gone] != nil {
		t.Errorf("%d jobs after a host went, told %v, %v", list.Total, told[gone], err)
	}
}

// TestARestoredFleetIsRead: a fleet that became another at once is read before
// the index counts as loaded again; a host that changes is no such thing.
func TestARestoredFleetIsRead(t *testing.T) {
	source := newFleet()
	x := New(source)
	var loaded atomic.Bool
	x.Share(func(fleet.HostID, *ledger.Host, []api.JobView) { loaded.Store(x.Loaded()) })
	for n := range worthwhile + 1 {
		x.mark(source.put(n, fmt.Sprintf("web-%03d", n), nil))
	}
	if err := x.CatchUp(t.Context()); err != nil || loaded.Load() || !x.Loaded() {
		t.Errorf("%v: loaded %v while it read, then %v", err, loaded.Load(), x.Loaded())
	}
	x.mark(source.put(7, "web-seven", nil))
	if err := x.CatchUp(t.Context()); err != nil || !loaded.Load() {
		t.Errorf("%v: one host is not the fleet", err)
	}
}

// TestAnEmptyFleetIsLoaded: a new collector has nothing to read first.
func TestAnEmptyFleetIsLoaded(t *testing.T) {
	if !New(newFleet()).Loaded() {
		t.Error("not loaded")
	}
}
