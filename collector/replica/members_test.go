package replica

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 1, LogLimits{Trailing: 5})
	lead := leader(t, nodes...)
	for i := range 50 {
		lead.mustPut(fmt.Sprint("n-", i))
	}
	lead.compactNow()
	for _, id := range []fleet.CollectorID{"c2", "c3"} {
		joining := newNode(t, id).start()
		if err := lead.Join(t.Context(), joining.self(), ""); err != nil {
			t.Fatal(err)
		}
		if joining.Cluster() != lead.Cluster() {
			t.Errorf("%s is of cluster %q", id, joining.Cluster())
		}
		if joining.ledger.restored.Load() != 1 {
			t.Errorf("%s restored %d snapshots", id, joining.ledger.restored.Load())
		}
		if member, found := lead.member(id); !found || !member.Voter || member.Address != joining.address {
			t.Errorf("%s is %+v", id, member)
		}
		if err := lead.Join(t.Context(), joining.self(), lead.Cluster()); err != nil {
			t.Errorf("joining again: %v", err)
		}
		nodes = append(nodes, joining)
	}
	equal(t, nodes...)
	lead.kill()
	leader(t, nodes...).mustPut("without-the-first")
	for _, peer := range leader(t, nodes...).Peers(t.Context()) {
		if want := peer.ID != lead.id; peer.Reachable != want || (peer.Applied > 0) != want {
			t.Errorf("%s is seen as %+v", peer.ID, peer)
		}
	}
}

func TestJoinUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 1, LogLimits{})
	lead := leader(t, nodes...)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var n atomic.Int64
	for range 8 {
		load.Go(func() {
			for ctx.Err() == nil {
				lead.mustPut(fmt.Sprint("n-", n.Add(1)))
			}
		})
	}
	joining := newNode(t, "c2").start()
	if err := lead.Join(t.Context(), joining.self(), ""); err != nil {
		t.Error(err)
	}
	cancel()
	load.Wait()
	equal(t, lead, joining)
	if got, want := len(joining.names()), int(n.Load())+1; got != want {
		t.Errorf("%d names, want %d", got, want)
	}
}

func TestJoinOfASilentOneIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	lead := leader(t, cluster(t, 1, LogLimits{})...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	err = lead.Join(t.Context(), Member{ID: "c2", Address: address}, "")
	wantCode(t, err, fleet.Unavailable, "join_refused")
	if n := len(lead.Members()); n != 1 {
		t.Errorf("%d members", n)
	}
}

func TestLeave(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	lead.mustPut("x")
	var others []*node
	for _, n := range nodes {
		if n != lead {
			others = append(others, n)
		}
	}
	wantCode(t, lead.Leave(t.Context(), "c9"), fleet.NotFound, "")
	others[0].kill()
	wantCode(t, lead.Leave(t.Context(), others[1].id), fleet.Conflict, "no_majority")
	if err := lead.Leave(t.Context(), others[0].id); err != nil {
		t.Fatalf("the silent one: %v", err)
	}
	if err := lead.Leave(t.Context(), lead.id); err != nil {
		t.Fatalf("the leader itself: %v", err)
	}
	last := leader(t, others[1])
	last.mustPut("y")
	wantCode(t, last.Leave(t.Context(), last.id), fleet.Conflict, "no_majority")
	if members := last.Members(); len(members) != 1 || members[0].ID != last.id {
		t.Errorf("members are %v", members)
	}
}

func TestMemberWithANewAddress(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	lead.mustPut("x")
	moved := nodes[0]
	if moved == lead {
		moved = nodes[1]
	}
	moved.stop()
	moved.address = "127.0.0.1:0"
	moved.start()
	if err := lead.Join(t.Context(), moved.self(), moved.Cluster()); err != nil {
		t.Fatal(err)
	}
	equal(t, nodes...)
	if member, _ := lead.member(moved.id); member.Address != moved.address || !member.Voter {
		t.Errorf("it is %+v, want it at %s", member, moved.address)
	}
}

func TestAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	ours := leader(t, cluster(t, 1, LogLimits{})...)
	theirs := newNode(t, "d1").start()
	if err := theirs.Bootstrap([]Member{theirs.self()}); err != nil {
		t.Fatal(err)
	}
	leader(t, theirs).mustPut("theirs")

	err := ours.Join(t.Context(), theirs.self(), "")
	wantCode(t, err, fleet.Conflict, "join_refused")
	for _, part := range []string{ours.identity.hello().Lineage, theirs.identity.hello().Lineage, "d1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
	wantCode(t, ours.Join(t.Context(), Member{ID: "d1", Address: "127.0.0.1:1"}, "another"), fleet.Conflict, "other_cluster")
	if n := len(ours.Members()); n != 1 {
		t.Errorf("%d members", n)
	}
}

func TestClonedDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	ours := leader(t, cluster(t, 2, LogLimits{})...)
	theirs := newNode(t, "c3").start()
	if err := theirs.Bootstrap([]Member{theirs.self()}); err != nil {
		t.Fatal(err)
	}
	leader(t, theirs).mustPut("theirs")
	theirs.stop()

	clone := newNode(t, "c3")
	if err := os.CopyFS(clone.dir, os.DirFS(theirs.dir)); err != nil {
		t.Fatal(err)
	}
	clone.start()
	wantCode(t, ours.Join(t.Context(), clone.self(), ""), fleet.Conflict, "join_refused")
	clone.stop()

	clone.id = "c4"
	wantCode(t, clone.tryStart(), fleet.Conflict, "other_member")
}

func TestCloneOfAMemberIsRefused(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2, LogLimits{})
	lead := leader(t, nodes...)
	clone := newNode(t, lead.id).start()
	mine := lead.identity.hello()
	if _, err := clone.stream.ask(t.Context(), lead.self(), ""); err == nil || !strings.Contains(err.Error(), "both are called") {
		t.Errorf("the clone of %s: %v", mine.From, err)
	}
	wantCode(t, lead.Join(t.Context(), Member{ID: "c9", Address: lead.address}, ""), fleet.Conflict, "")
	other := nodes[0]
	if other == lead {
		other = nodes[1]
	}
	if _, err := lead.stream.ask(t.Context(), Member{ID: "c9", Address: other.address}, ""); err == nil || !strings.Contains(err.Error(), "c9 was meant") {
		t.Errorf("swapped addresses: %v", err)
	}
}

func TestMixedDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	n.mustPut("a", "b", "c")
	n.stop()
	if err := os.RemoveAll(filepath.Join(n.dir, "raft")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, n.tryStart(), fleet.Conflict, "mixed_directory")
}

func TestSecondProcessIsRefused(t *testing.T) {
	n := leader(t, cluster(t, 1, LogLimits{})...)
	second := newNode(t, n.id)
	second.dir = t.TempDir()
	second.start()
	second.stop()
	cfg := second.config()
	cfg.Dir = filepath.Join(n.dir, "raft")
	cfg.Ledger = n.ledger
	if _, err := Open(cfg); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got %v", err)
	}
}

// TestCrashBetweenSnapshotAndLedger has a member whose raft took over a
// snapshot that its ledger has not: as if it had been killed in between.
func TestCrashBetweenSnapshotAndLedger(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 1, LogLimits{Trailing: 1})
	n := leader(t, nodes...)
	n.mustPut("a")
	n.stop()
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(n.dir)); err != nil {
		t.Fatal(err)
	}
	n.start()
	leader(t, n)
	for i := range 20 {
		n.mustPut(fmt.Sprint("n-", i))
	}
	n.compactNow()
	n.stop()
	text, err := os.ReadFile(filepath.Join(old, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "ledger.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	leader(t, n).mustPut("after")
	if got := len(n.names()); got != 22 || n.ledger.restored.Load() != 1 {
		t.Errorf("%d names after %d restores, want 22 after 1", got, n.ledger.restored.Load())
	}
}

func TestBootstrapThatIsWrong(t *testing.T) {
	t.Parallel()
	n := newNode(t, "c1").start()
	self := n.self()
	for name, list := range map[string][]Member{
		"nobody":           nil,
		"others only":      {{ID: "c2", Address: "127.0.0.1:1"}},
		"another address":  {{ID: "c1", Address: "127.0.0.1:1"}},
		"an id twice":      {self, {ID: "c1", Address: "127.0.0.1:1"}},
		"an address twice": {self, {ID: "c2", Address: self.Address}},
		"a bad id":         {self, {ID: "C 2", Address: "127.0.0.1:1"}},
		"no port":          {self, {ID: "c2", Address: "127.0.0.1"}},
		"everywhere":       {self, {ID: "c2", Address: "0.0.0.0:7771"}},
	} {
		if err := n.Bootstrap(list); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Bootstrap([]Member{self}); err != nil {
		t.Fatal(err)
	}
	leader(t, n)
	wantCode(t, n.Bootstrap([]Member{self}), fleet.Conflict, "already_bootstrapped")
}

// TestLateMemberOfTheFirstListFindsIn has a member that was bootstrapped and
// then away until the cluster had its id.
func TestLateMemberOfTheFirstListFindsIn(t *testing.T) {
	t.Parallel()
	late, a, b := newNode(t, "c1").start(), newNode(t, "c2").start(), newNode(t, "c3").start()
	members := []Member{late.self(), a.self(), b.self()}
	if err := late.Bootstrap(members); err != nil {
		t.Fatal(err)
	}
	late.kill()
	for _, n := range []*node{a, b} {
		if err := n.Bootstrap(members); err != nil {
			t.Fatal(err)
		}
	}
	leader(t, a, b).mustPut("x")
	late.start()
	late.await("x")
	equal(t, late, a, b)
}

func TestOneBootstrapsForAll(t *testing.T) {
	t.Parallel()
	nodes := []*node{newNode(t, "c1").start(), newNode(t, "c2").start(), newNode(t, "c3").start()}
	if err := nodes[1].Bootstrap([]Member{nodes[0].self(), nodes[1].self(), nodes[2].self()}); err != nil {
		t.Fatal(err)
	}
	equal(t, nodes...)
	stranger := newNode(t, "c4").start()
	if err := stranger.Bootstrap([]Member{stranger.self(), nodes[0].self()}); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.stream.ask(t.Context(), nodes[0].self(), ""); err == nil || !strings.Contains(err.Error(), "belongs to group") {
		t.Errorf("another list is met with %v", err)
	}
}

func TestConfigThatIsWrong(t *testing.T) {
	_, err := Open(Config{ID: "no name", Bind: "0.0.0.0:7771", Advertise: "x"})
	if fleet.KindOf(err) != fleet.Invalid {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{`raft.id "no name"`, "raft.dir", "raft.ledger", `raft.advertise "x"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	second := newNode(t, "c2")
	second.address = n.address
	if err := second.tryStart(); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), n.address) {
		t.Errorf("got %v", err)
	}
}

func TestNoiseIsNotRaft(t *testing.T) {
	t.Parallel()
	n := leader(t, cluster(t, 1, LogLimits{})...)
	for name, noise := range map[string]string{
		"http":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"huge":           "fcr1\xff\xff",
		"no cbor":        "fcr1\x00\x04\xff\xff\xff\xff",
		"raft unguarded": "\x00\x81\xa1a",
		"nobody":         "fcr1\x00\x01\xa0",
	} {
		conn, err := net.Dial("tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(testLimit))
		io.WriteString(conn, noise)
		conn.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(conn); name != "nobody" && (err == nil && len(answer) > 0) {
			t.Errorf("%s: answered %q", name, answer)
		}
		conn.Close()
	}
	n.mustPut("x")
}
