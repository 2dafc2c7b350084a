package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// outcomes is what the proposers of a test were told, by the name they put.
type outcomes struct {
	mu      sync.Mutex
	acked   []string // told that it is done
	refused []string // told that nothing happened
	unknown int
	enough  chan struct{} // gets a word at every ackStep-th acknowledgement
}

const ackStep = 20

func (o *outcomes) note(t *testing.T, name string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, isOurs := errors.AsType[*fleet.Error](err)
	switch {
	case err == nil:
		if o.acked = append(o.acked, name); len(o.acked)%ackStep == 0 {
			select {
			case o.enough <- struct{}{}:
			default:
			}
		}
	case isOurs && e.Code == "outcome_unknown":
		o.unknown++
	case isOurs && (e.Code == "not_leader" || e.Code == "no_leader" || e.Code == "overloaded"):
		o.refused = append(o.refused, name)
	default:
		t.Errorf("%s: %v", name, err)
	}
}

// TestLeaderKilledTwentyTimes kills the leader under load. Whatever was
// acknowledged must be in every ledger at the end, and whatever was refused
// with "nothing happened" in none.
func TestLeaderKilledTwentyTimes(t *testing.T) {
	t.Parallel()
	const kills, proposers = 20, 4
	nodes := clusterWith(t, 3, func(n *node) {
		n.timing, n.limits = hasty, LogLimits{Trailing: 50, Entries: 200, Interval: 100 * time.Millisecond}
	})
	live := make([]atomic.Pointer[Replica], len(nodes))
	for i, n := range nodes {
		live[i].Store(n.Replica)
	}
	told := &outcomes{enough: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var proposing sync.WaitGroup
	for p := range proposers {
		proposing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("p%d-%d", p, i)
				limit, done := context.WithTimeout(ctx, 2*time.Second)
				_, err := live[leaderAt(live)].Load().Propose(limit, entryOf(name))
				done()
				if told.note(t, name, err); err != nil {
					<-time.After(5 * time.Millisecond) // the election takes its time
				}
			}
		})
	}
	for range kills {
		select {
		case <-told.enough:
		case <-time.After(testLimit):
			t.Fatal("nothing is acknowledged any more")
		}
		victim := leader(t, nodes...)
		victim.kill()
		leader(t, nodes...)
		victim.start()
		for i, n := range nodes {
			live[i].Store(n.Replica)
		}
	}
	cancel()
	proposing.Wait()
	equal(t, nodes...)
	if len(told.acked) < kills*ackStep {
		t.Errorf("void: only %d acknowledged", len(told.acked))
	}
	for _, n := range nodes {
		have := n.names()
		for _, name := range told.acked {
			if !have[name] {
				t.Errorf("%s has lost %s, which was acknowledged", n.id, name)
			}
		}
		for _, name := range told.refused {
			if have[name] {
				t.Errorf("%s has %s, which was refused", n.id, name)
			}
		}
	}
	t.Logf("%d acknowledged, %d refused, %d unknown", len(told.acked), len(told.refused), told.unknown)
}

// leaderAt returns which of the replicas says that it leads, or the first.
func leaderAt(live []atomic.Pointer[Replica]) int {
	for i := range live {
		if live[i].Load().Status().State == Leading {
			return i
		}
	}
	return 0
}
