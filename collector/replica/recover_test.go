package replica

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// stopped opens the ledger of a node that does not run, for what is done to it.
func (n *node) stopped() Config {
	n.t.Helper()
	opened, err := ledger.Open(filepath.Join(n.dir, "ledger.db"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.ledger = &counted{Ledger: opened}
	return n.config()
}

func (n *node) recover() Remains {
	n.t.Helper()
	cfg := n.stopped()
	defer n.ledger.Close()
	surveyed, err := Survey(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	remains, err := Recover(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	if surveyed.Cluster != remains.Cluster || surveyed.Last != remains.Last || len(surveyed.Members) != len(remains.Members) {
		n.t.Errorf("surveyed %+v, recovered %+v", surveyed, remains)
	}
	return remains
}

func TestOneMemberGoesOnAfterTheOthersAreLost(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprint("compacted=", compacted), func(t *testing.T) {
			nodes := cluster(t, 3, LogLimits{})
			first := leader(t, nodes...)
			first.mustPut("a", "b", "c")
			var left *node
			for _, n := range nodes {
				if n != first {
					left = n
				}
			}
			left.await("c")
			if compacted {
				left.compactNow()
			}
			first.mustPut("d")
			left.await("d")
			old, before := left.Cluster(), left.identity.hello().Lineage
			for _, n := range nodes {
				n.kill()
			}

			remains := left.recover()
			if remains.Cluster != old || len(remains.Members) != 3 || remains.Last < remains.Applied || remains.Term == 0 {
				t.Errorf("remains %+v of cluster %s", remains, old)
			}
			left.group = nil
			left.start()
			leader(t, left)
			left.mustPut("e")
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				if !left.names()[name] {
					t.Errorf("%s is lost", name)
				}
			}
			if now := left.identity.hello().Lineage; now == before || now == "" {
				t.Errorf("the group is still %q, and the lost ones could come back into it", now)
			}
			if left.Cluster() != old {
				t.Errorf("the cluster is %s, and every certificate is of %s", left.Cluster(), old)
			}
			if members := left.Members(); len(members) != 1 || members[0].ID != left.id {
				t.Errorf("members %+v", members)
			}

			// A new member gets everything, by the snapshot.
			fresh := newNode(t, "c9").start()
			if err := left.Join(t.Context(), fresh.self(), ""); err != nil {
				t.Fatal(err)
			}
			equal(t, left, fresh)
			if fresh.identity.hello().Lineage != left.identity.hello().Lineage {
				t.Error("the new member is of another group")
			}

			// One that was believed lost is a stranger now.
			first.start()
			if err := left.Join(t.Context(), first.self(), ""); err == nil {
				t.Error("a member of the old cluster was taken in")
			}
		})
	}
}

func TestEntriesThatNobodyAppliedAreTakenForCommitted(t *testing.T) {
	nodes := cluster(t, 1, LogLimits{})
	n := nodes[0]
	leader(t, n)
	n.mustPut("a")
	n.compactNow()
	n.mustPut("b", "c")
	n.kill()
	// The ledger falls back behind the log, as when it was the last to be lost.
	n.wipeLedger()
	remains := n.recover()
	if remains.Applied != 0 || remains.Last == 0 {
		t.Errorf("remains %+v", remains)
	}
	n.start()
	leader(t, n)
	for _, name := range []string{"a", "b", "c"} {
		if !n.names()[name] {
			t.Errorf("%s is lost", name)
		}
	}
}

func TestRecoveringTwiceIsRecovering(t *testing.T) {
	n := cluster(t, 1, LogLimits{})[0]
	leader(t, n)
	n.mustPut("a")
	n.kill()
	n.recover()
	n.recover()
	n.start()
	leader(t, n)
	n.mustPut("b")
	if !n.names()["a"] {
		t.Error("a is lost")
	}
}

func TestARunningMemberIsNotRecovered(t *testing.T) {
	n := cluster(t, 1, LogLimits{})[0]
	if _, err := Recover(n.config()); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestANewClusterBeginsWithABackup(t *testing.T) {
	n := cluster(t, 1, LogLimits{})[0]
	leader(t, n)
	n.mustPut("a", "b")
	var backup bytes.Buffer
	snapshot, err := n.ledger.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.WriteTo(&backup); err != nil {
		t.Fatal(err)
	}
	snapshot.Close()
	whole := backup.Bytes()

	if _, err := Restore(otherOf(t, n).stopped(), bytes.NewReader(whole[:len(whole)-1])); err == nil {
		t.Error("a backup that is cut off was restored")
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if _, err := Restore(otherOf(t, n).stopped(), bytes.NewReader(damaged)); err == nil {
		t.Error("a damaged backup was restored")
	}

	fresh := otherOf(t, n)
	cfg := fresh.stopped()
	remains, err := Restore(cfg, bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	if remains.Cluster != n.Cluster() {
		t.Errorf("restored %+v", remains)
	}
	if _, err := Restore(cfg, bytes.NewReader(whole)); codeOf(err) != "not_empty" {
		t.Errorf("restored over what was restored: %v", err)
	}
	fresh.ledger.Close()
	fresh.start()
	leader(t, fresh)
	fresh.mustPut("c")
	if names := fresh.names(); !names["a"] || !names["b"] || fresh.identity.hello().Lineage == n.identity.hello().Lineage {
		t.Errorf("names %v in group %s, backed up was %s", names, fresh.identity.hello().Lineage, n.identity.hello().Lineage)
	}
	second := newNode(t, "c8").start()
	if err := fresh.Join(t.Context(), second.self(), ""); err != nil {
		t.Fatal(err)
	}
	equal(t, fresh, second)
}

// otherOf returns a node without state that never ran, at an address of its own.
func otherOf(t *testing.T, n *node) *node {
	fresh := newNode(t, n.id)
	fresh.address = "127.0.0.1:" + freePort(t)
	return fresh
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// wipeLedger removes the ledger's file.
func (n *node) wipeLedger() {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.dir, "ledger.db")); err != nil {
		n.t.Fatal(err)
	}
}
