package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func TestMain(m *testing.M) {
	// A proposal that was committed but not applied when raft stopped is never
	// answered by it; its waiter has gone on, its goroutine has not.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/raft.(*deferError).Error"))
}

// calm is for tests on a busy machine; hasty for those that lose leaders on
// purpose and do not mind losing more.
var (
	calm  = Timing{Heartbeat: 800 * time.Millisecond, Election: 800 * time.Millisecond, Lease: 600 * time.Millisecond, Commit: 5 * time.Millisecond}
	hasty = Timing{Heartbeat: 250 * time.Millisecond, Election: 250 * time.Millisecond, Lease: 200 * time.Millisecond, Commit: 5 * time.Millisecond}
)

const testLimit = 60 * time.Second

// counted is a ledger that counts what is really applied to it.
type counted struct {
	*ledger.Ledger
	calls, fresh, restored atomic.Int64
}

func (c *counted) Apply(entries []ledger.Entry) []any {
	before, _ := c.Applied()
	for _, entry := range entries {
		if entry.Index > before {
			c.fresh.Add(1)
		}
	}
	c.calls.Add(1)
	return c.Ledger.Apply(entries)
}

func (c *counted) Restore(r io.Reader) error {
	c.restored.Add(1)
	return c.Ledger.Restore(r)
}

// node is one collector of a test, which may be stopped and started again.
type node struct {
	t       testing.TB
	id      fleet.CollectorID
	dir     string
	address string
	timing  Timing
	limits  LogLimits
	group   []*node // who may lead instead of it; empty: nobody
	wrap    func(raft.LogStore) raft.LogStore
	fatal   func(error)
	log     *slog.Logger
	fleet   *pkitest.Fleet
	creds   *pki.Credentials
	judge   pki.Judge

	ledger *counted
	*Replica
	up bool
}

func newNode(t testing.TB, id fleet.CollectorID) *node {
	n := &node{t: t, id: id, dir: t.TempDir(), address: "127.0.0.1:0", timing: calm, log: slog.New(slog.DiscardHandler), fleet: fleetOf(t)}
	n.fatal = func(err error) { t.Errorf("%s: fatal: %v", id, err) }
	if os.Getenv("FLEETCRON_TEST_LOG") != "" {
		n.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", id)
	}
	t.Cleanup(n.stop)
	return n
}

// fleets holds one certificate authority for all nodes of a test.
var fleets sync.Map // of testing.TB: *pkitest.Fleet

func fleetOf(t testing.TB) *pkitest.Fleet {
	if made, found := fleets.Load(t); found {
		return made.(*pkitest.Fleet)
	}
	t.Cleanup(func() { fleets.Delete(t) })
	made, _ := fleets.LoadOrStore(t, pkitest.New(t))
	return made.(*pkitest.Fleet)
}

func (n *node) config() Config {
	if n.creds == nil || n.creds.ID().Name != string(n.id) || n.creds.ID().Cluster != n.fleet.Cluster {
		n.creds = n.fleet.Collector(string(n.id))
	}
	return Config{
		Credentials: n.creds, Judge: n.judge,
		ID: n.id, Dir: filepath.Join(n.dir, "raft"), Bind: n.address, Ledger: n.ledger, Logger: n.log,
		Timing: n.timing, Log: n.limits, Fatal: n.fatal, wrap: n.wrap,
	}
}

func (n *node) start() *node {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatalf("%s: %v", n.id, err)
	}
	return n
}

func (n *node) tryStart() error {
	opened, err := ledger.Open(filepath.Join(n.dir, "ledger.db"))
	if err != nil {
		return err
	}
	n.ledger = &counted{Ledger: opened}
	if n.Replica, err = Open(n.config()); err != nil {
		opened.Close()
		return err
	}
	n.address, n.up = n.Replica.Address(), true
	return nil
}

func (n *node) stop() {
	if n.up {
		n.halt(n.Replica.Close)
	}
}

// kill stops the node without handing anything over or waiting for anything,
// as close to kill -9 as one process comes.
func (n *node) kill() {
	n.halt(func() error {
		n.gate.Lock()
		n.closing.Store(true)
		n.gate.Unlock()
		n.Replica.stop()
		return n.shutdown()
	})
}

func (n *node) halt(end func() error) {
	n.t.Helper()
	n.up = false
	if err := end(); err != nil {
		n.t.Errorf("%s: close: %v", n.id, err)
	}
	if err := n.ledger.Close(); err != nil {
		n.t.Errorf("%s: close ledger: %v", n.id, err)
	}
}

func (n *node) self() Member { return Member{ID: n.id, Address: n.address} }

// cluster starts n bootstrapped nodes.
func cluster(t testing.TB, n int, limits LogLimits) []*node {
	t.Helper()
	return clusterWith(t, n, func(node *node) { node.limits = limits })
}

func clusterWith(t testing.TB, n int, change func(*node)) []*node {
	t.Helper()
	nodes := make([]*node, n)
	var members []Member
	for i := range nodes {
		nodes[i] = newNode(t, fleet.CollectorID(fmt.Sprint("c", i+1)))
		change(nodes[i])
		members = append(members, nodes[i].start().self())
	}
	for _, node := range nodes {
		node.group = nodes
		if err := node.Bootstrap(members); err != nil && codeOf(err) != "already_bootstrapped" {
			t.Fatal(err)
		}
	}
	return nodes
}

// leader waits until one of the nodes that are up leads and returns it.
func leader(t testing.TB, nodes ...*node) *node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	found := make(chan *node, len(nodes))
	var waiting sync.WaitGroup
	for _, n := range nodes {
		if n.up {
			waiting.Go(func() {
				n.WhileLeading(ctx, func(context.Context) error {
					found <- n
					return context.Canceled
				})
			})
		}
	}
	defer waiting.Wait()
	defer cancel()
	select {
	case n := <-found:
		return n
	case <-ctx.Done():
		t.Fatal("nobody leads")
		return nil
	}
}

// entryOf is a small command that leaves a trace of its name.
func entryOf(name string) ledger.Command {
	return &ledger.PutCollector{ID: fleet.CollectorID(name), API: "http://127.0.0.1:1", At: time.Unix(1, 0).UTC()}
}

func (n *node) put(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	_, err := n.Propose(ctx, entryOf(name))
	return err
}

// mustPut puts the names, on another member when this one has lost the lead.
func (n *node) mustPut(names ...string) {
	n.t.Helper()
	for _, name := range names {
		err := n.put(name)
		for fleet.KindOf(err) == fleet.Unavailable && len(n.group) > 1 {
			err = leader(n.t, n.group...).put(name)
		}
		if err != nil {
			n.t.Fatalf("%s: put %s: %v", n.id, name, err)
		}
	}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		return e.Code
	}
	return ""
}

// names returns the names that were put, as a set.
func (n *node) names() map[string]bool {
	n.t.Helper()
	list, err := n.ledger.Collectors()
	if err != nil {
		n.t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, collector := range list {
		names[string(collector.ID)] = true
	}
	return names
}

// await waits until the node's ledger holds the name.
func (n *node) await(name string) {
	n.t.Helper()
	late := time.After(testLimit)
	for {
		_, changed := n.ledger.Watch(ledger.Collectors)
		if n.names()[name] {
			return
		}
		select {
		case <-changed:
		case <-late:
			n.t.Fatalf("%s: %s does not arrive; %+v", n.id, name, n.Status())
		}
	}
}

// equal wants the nodes' ledgers to hold the same bytes once the leader's last
// word has reached all of them.
func equal(t testing.TB, nodes ...*node) {
	t.Helper()
	leader(t, nodes...).mustPut("the-last-word")
	var want []byte
	for i, n := range nodes {
		n.await("the-last-word")
		var got bytes.Buffer
		snapshot, err := n.ledger.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		snapshot.Close()
		if i == 0 {
			want = got.Bytes()
		} else if !bytes.Equal(want, got.Bytes()) {
			t.Errorf("ledgers of %s and %s differ", nodes[0].id, n.id)
		}
	}
}

// compactNow makes a node cut its log down to a snapshot.
func (n *node) compactNow() {
	n.t.Helper()
	if err := n.raft.Snapshot().Error(); err != nil && err != raft.ErrNothingNewToSnapshot {
		n.t.Fatalf("%s: snapshot: %v", n.id, err)
	}
}
