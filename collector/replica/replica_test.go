package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestProposalsReachEveryMember(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			nodes := cluster(t, size, LogLimits{})
			first := leader(t, nodes...)
			var putting sync.WaitGroup
			for i := range 50 {
				putting.Go(func() {
					first.mustPut(fmt.Sprint("n-", i))
				})
			}
			putting.Wait()
			equal(t, nodes...)
			for _, n := range nodes {
				if names := n.names(); len(names) != 51 {
					t.Errorf("%s has %d of 51", n.id, len(names))
				}
				if n.Cluster() != first.Cluster() || len(n.Cluster()) != 32 {
					t.Errorf("%s is of cluster %q, %s of %q", n.id, n.Cluster(), first.id, first.Cluster())
				}
			}
		})
	}
}

func TestResultAndRefusal(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	result, err := n.Propose(t.Context(), &ledger.InitCluster{ID: n.Cluster(), At: time.Now()})
	if named, ok := result.Value.(ledger.Cluster); err != nil || !ok || named.ID != n.Cluster() || result.Index == 0 {
		t.Errorf("got %+v, %v", result, err)
	}
	_, err = n.Propose(t.Context(), &ledger.InitCluster{ID: "another", At: time.Now()})
	if fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a refusal is %v", err)
	}
	if applied, _ := n.ledger.Applied(); applied <= result.Index {
		t.Errorf("the refused entry %d is not counted as applied", applied)
	}
}

func TestAnotherLeaderTakesOver(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	first := leader(t, nodes...)
	first.mustPut("a", "b")
	term := first.Status().Term
	first.kill()
	second := leader(t, nodes...)
	second.mustPut("c")
	if now := second.Status(); now.Term <= term || now.State != Leading || now.Leader != second.id || now.LastContact != 0 {
		t.Errorf("the new leader says %+v", now)
	}
	first.start()
	equal(t, nodes...)
	for _, name := range []string{"a", "b", "c"} {
		if !first.names()[name] {
			t.Errorf("%s is lost", name)
		}
	}
}

func TestFollowersDoNotPropose(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	lead.mustPut("x")
	for _, n := range nodes {
		if n == lead {
			continue
		}
		n.await("x")
		err := n.put("y")
		wantCode(t, err, fleet.Unavailable, "not_leader")
		if e, ok := errors.AsType[*fleet.Error](err); !ok || !strings.Contains(e.Hint, string(lead.id)) || !strings.Contains(e.Hint, lead.address) {
			t.Errorf("the hint does not name %s at %s: %v", lead.id, lead.address, e)
		}
		wantCode(t, n.Verify(t.Context()), fleet.Unavailable, "not_leader")
		wantCode(t, n.Join(t.Context(), n.self(), ""), fleet.Unavailable, "not_leader")
		wantCode(t, n.Leave(t.Context(), n.id), fleet.Unavailable, "not_leader")
		if s := n.Status(); s.State != Following || s.LastContact < 0 || s.Leader != lead.id {
			t.Errorf("a follower says %+v", s)
		}
	}
	if err := lead.Verify(t.Context()); err != nil {
		t.Errorf("the leader: %v", err)
	}
}

func wantCode(t *testing.T, err error, kind fleet.Kind, code string) {
	t.Helper()
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || e.Kind != kind || e.Code != code {
		t.Errorf("got %v (%+v), want %s %s", err, e, kind, code)
	}
}

func TestTimeOutSaysThatTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	for _, n := range nodes {
		if n != lead {
			n.kill()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := lead.Propose(ctx, entryOf("perhaps"))
	wantCode(t, err, fleet.Unavailable, "outcome_unknown")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it waited for something else than its own deadline: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err = lead.Propose(ctx, entryOf("perhaps")); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNobodyLeadsAlone(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	ended := make(chan struct{})
	running := make(chan struct{})
	go lead.WhileLeading(t.Context(), func(ctx context.Context) error {
		close(running)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	})
	<-running
	for _, n := range nodes {
		if n != lead {
			n.kill()
		}
	}
	select {
	case <-ended:
	case <-time.After(testLimit):
		t.Fatal("it goes on leading without a majority")
	}
	wantCode(t, lead.put("x"), fleet.Unavailable, "no_leader")
}

func TestWhileLeadingPassesErrorsOn(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	broken := errors.New("broken")
	if err := n.WhileLeading(t.Context(), func(context.Context) error { return broken }); err != broken {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := n.WhileLeading(ctx, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("an ended context is %v", err)
	}
	done := make(chan error)
	go func() {
		done <- n.WhileLeading(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	n.stop()
	if err := <-done; err != nil {
		t.Errorf("a closed replica is %v", err)
	}
}

func TestOldLeaderCeasesBeforeTheNewOneBegins(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	var mu sync.Mutex
	leading := 0
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	took := make(chan *node, 10)
	for _, n := range nodes {
		watching.Go(func() {
			n.WhileLeading(ctx, func(ctx context.Context) error {
				mu.Lock()
				if leading++; leading > 1 {
					t.Error("two lead at once after an orderly hand-over")
				}
				mu.Unlock()
				took <- n
				<-ctx.Done()
				mu.Lock()
				leading--
				mu.Unlock()
				return nil
			})
		})
	}
	first := <-took
	first.stop()
	if second := <-took; second == first {
		t.Error("a stopped node leads")
	}
}

func TestRestartRepeatsNothing(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	for i := range 100 {
		lead.mustPut(fmt.Sprint("before-", i))
	}
	follower := nodes[0]
	if follower == lead {
		follower = nodes[1]
	}
	follower.await("before-99")
	follower.stop()
	for i := range 10 {
		lead.mustPut(fmt.Sprint("away-", i))
	}
	follower.start()
	follower.await("away-9")
	if fresh, restored := follower.ledger.fresh.Load(), follower.ledger.restored.Load(); fresh != 10 || restored != 0 {
		t.Errorf("%d entries were applied after the restart and %d snapshots restored, want 10 and 0", fresh, restored)
	}
	equal(t, nodes...)
}

func TestRestartAfterSnapshotRepeatsNothing(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 1, LogLimits{Trailing: 5})
	n := leader(t, nodes...)
	for i := range 50 {
		n.mustPut(fmt.Sprint("before-", i))
	}
	n.compactNow()
	if first, _ := n.store.FirstIndex(); first < 40 {
		t.Fatalf("the log begins at %d after a snapshot", first)
	}
	n.mustPut("after")
	n.stop()
	n.start()
	leader(t, n).mustPut("again")
	if fresh, restored := n.ledger.fresh.Load(), n.ledger.restored.Load(); fresh != 1 || restored != 0 {
		t.Errorf("%d entries were applied after the restart and %d snapshots restored, want 1 and 0", fresh, restored)
	}
	if got := len(n.names()); got != 52 {
		t.Errorf("%d names, want 52", got)
	}
}

func TestSnapshotReachesAMemberThatWasAwayForLong(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{Trailing: 5})
	lead := leader(t, nodes...)
	away := nodes[0]
	if away == lead {
		away = nodes[1]
	}
	away.kill()
	for i := range 50 {
		lead.mustPut(fmt.Sprint("n-", i))
	}
	lead.compactNow()
	away.start()
	away.await("n-49")
	if away.ledger.restored.Load() != 1 {
		t.Errorf("%d snapshots were restored", away.ledger.restored.Load())
	}
	equal(t, nodes...)
}
