package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// flakyLog refuses one StoreLogs of each every while it is on.
type flakyLog struct {
	raft.LogStore
	on    *atomic.Bool
	every int64
	calls atomic.Int64
}

var errFlaky = errors.New("no luck this time")

func (f *flakyLog) StoreLogs(entries []*raft.Log) error {
	if f.on.Load() && f.calls.Add(1)%f.every == 0 {
		return errFlaky
	}
	return f.LogStore.StoreLogs(entries)
}

// TestFollowersThatRefuseAnEntryCatchUp holds replication to going on after a
// follower refused: with raft's pipelining it would stop for good.
func TestFollowersThatRefuseAnEntryCatchUp(t *testing.T) {
	t.Parallel()
	on := make(map[fleet.CollectorID]*atomic.Bool)
	nodes := clusterWith(t, 3, func(n *node) {
		flag := new(atomic.Bool)
		on[n.id] = flag
		n.wrap = func(logs raft.LogStore) raft.LogStore { return &flakyLog{LogStore: logs, on: flag, every: 40} }
	})
	lead := leader(t, nodes...)
	for id, flag := range on {
		flag.Store(id != lead.id)
	}
	var putting sync.WaitGroup
	for p := range 16 {
		putting.Go(func() {
			for i := range 60 {
				lead.mustPut(fmt.Sprintf("p%d-%d", p, i))
			}
		})
	}
	putting.Wait()
	for _, flag := range on {
		flag.Store(false)
	}
	equal(t, nodes...)
	if got := len(lead.names()); got != 16*60+1 {
		t.Errorf("%d names, want %d", got, 16*60+1)
	}
}

// stuckLog blocks StoreLogs from when it is stuck until it is released.
type stuckLog struct {
	raft.LogStore
	stuck   atomic.Bool
	release chan struct{}
}

func (s *stuckLog) StoreLogs(entries []*raft.Log) error {
	if s.stuck.Load() {
		<-s.release
	}
	return s.LogStore.StoreLogs(entries)
}

func TestProposalDoesNotWaitForADiskThatHangs(t *testing.T) {
	t.Parallel()
	stuck := &stuckLog{release: make(chan struct{})}
	nodes := clusterWith(t, 1, func(n *node) {
		n.wrap = func(logs raft.LogStore) raft.LogStore { stuck.LogStore = logs; return stuck }
	})
	lead := leader(t, nodes...)
	stuck.stuck.Store(true)
	for range 3 { // the first is being stored, the others are not even taken in
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := lead.Propose(ctx, entryOf("perhaps"))
		cancel()
		wantCode(t, err, fleet.Unavailable, "outcome_unknown")
	}
	stuck.stuck.Store(false)
	close(stuck.release)
	lead.await("perhaps")
}

func TestFailingCanaryIsFatal(t *testing.T) {
	t.Parallel()
	told := make(chan error, 1)
	n := clusterWith(t, 1, func(n *node) { n.fatal = func(err error) { told <- err } })[0]
	n.canary.file.Close()
	select {
	case err := <-told:
		if !strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v", err)
		}
	case <-time.After(testLimit):
		t.Error("nobody noticed")
	}
	n.up = false
	if err := errors.Join(n.Replica.Close(), n.ledger.Close()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}

func TestLogIsCutByItsBytes(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 1, LogLimits{Bytes: 2000, Trailing: 5, Interval: 20 * time.Millisecond, Entries: 1 << 40})
	n := leader(t, nodes...)
	late := time.Now().Add(testLimit)
	for i := 0; ; i++ {
		n.mustPut(fmt.Sprint("n-", i))
		if first, err := n.store.FirstIndex(); err != nil || first > 1 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%d bytes are in the log", n.store.written.Load())
		}
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	for name, want := range map[string]string{".": "drwx------", "raft-log.db": "-rw-------", "canary": "-rw-------"} {
		if mode := modeOf(t, filepath.Join(n.dir, "raft", name)); mode != want {
			t.Errorf("%s is %s, want %s", name, mode, want)
		}
	}
}

func modeOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().String()
}
