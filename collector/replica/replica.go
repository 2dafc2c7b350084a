// Package replica makes the ledgers of several collectors one: what is
// proposed here is acknowledged when a majority has it on disk, and is then
// applied everywhere in the same order.
//
// Only this room knows raft. One member leads at a time; Propose works there
// and nowhere else, WhileLeading runs what only a leader does. A time-out says
// that the outcome is unknown, because nobody can know it.
package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Replica is one member of the raft group. Its methods may be called from
// many goroutines.
type Replica struct {
	id     fleet.CollectorID
	self   Member // of a stopped one
	ledger Ledger
	log    *slog.Logger
	fatal  func(error)

	raft      *raft.Raft
	store     *logStore
	stream    *stream
	transport *raft.NetworkTransport
	canary    *canary
	identity  identity
	lead      leadership
	vouches   vouches

	limits LogLimits
	ctx    context.Context // ends when Close begins to stop the parts
	stop   context.CancelFunc
	parts  sync.WaitGroup

	gate     sync.RWMutex // held for reading while a proposal enters
	closing  atomic.Bool  // set under gate; no proposal enters any more
	inflight sync.WaitGroup
	close    sync.Once
}

const (
	rpcLimit        = 10 * time.Second // for a peer's answer; a snapshot gets more by its size
	connectionsKept = 3                // idle ones to each peer
	snapshotsKept   = 2
	logCache        = 512 // entries in memory, for followers that are nearly up to date
	handOverLimit   = 5 * time.Second
	drainLimit      = time.Second
)

// Open opens the data directory, begins to listen and takes part. A directory
// without raft state waits for Bootstrap, or for a leader that was asked to
// let it join.
func Open(cfg Config) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Replica{
		id: cfg.ID, ledger: cfg.Ledger, limits: cfg.Log.withDefaults(),
		log: cmp.Or(cfg.Logger, slog.Default()), fatal: cfg.Fatal,
	}
	if r.fatal == nil {
		r.fatal = die
	}
	r.lead.changed = make(chan struct{})
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.open(&cfg); err != nil {
		return nil, errors.Join(err, r.release())
	}
	r.parts.Go(r.watchLeadership)
	r.parts.Go(r.compact)
	r.parts.Go(func() { watchdog{touch: r.canary.touch, fatal: r.fatal}.run(r.ctx) })
	return r, nil
}

// open takes the files, the socket and raft, in this order.
func (r *Replica) open(cfg *Config) (err error) {
	if err = os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	if r.store, err = openLogStore(filepath.Join(cfg.Dir, "raft-log.db"), r.fatal); err != nil {
		return err
	}
	if r.canary, err = openCanary(filepath.Join(cfg.Dir, "canary")); err != nil {
		return err
	}
	if err = r.identity.load(r.store, r.ledger, cfg.ID, cfg.Credentials.ID().Cluster); err != nil {
		return err
	}
	raftLog := newRaftLog(r.log)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, raftLog)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	restore, err := r.needsRestore(snapshots)
	if err != nil {
		return err
	}
	if err = r.listen(cfg); err != nil {
		return err
	}
	r.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: r.stream, MaxPool: connectionsKept, Timeout: rpcLimit, Logger: raftLog,
		MaxRPCsInFlight: 1, // with pipelining, one refused entry stops replication to that peer for good
	})
	var logs raft.LogStore = r.store
	if cfg.wrap != nil {
		logs = cfg.wrap(logs)
	}
	cache, err := raft.NewLogCache(logCache, logs)
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	conf := cfg.raft(raftLog)
	conf.NoSnapshotRestoreOnStart = !restore
	r.raft, err = raft.NewRaft(conf, &machine{ledger: r.ledger, identity: &r.identity, fatal: r.fatal}, cache, r.store, snapshots, r.transport)
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	r.stream.begin(speaker{&r.identity, r})
	return nil
}

// needsRestore reports whether the ledger lacks something that the newest
// snapshot holds and the log does not, as after a crash between receiving a
// snapshot and taking it over. A ledger that is ahead of the log is refused.
func (r *Replica) needsRestore(snapshots raft.SnapshotStore) (bool, error) {
	list, err := snapshots.List()
	if err != nil {
		return false, fmt.Errorf("list snapshots: %w", err)
	}
	var snapshot uint64
	if len(list) > 0 {
		snapshot = list[0].Index
	}
	last, err := r.store.LastIndex()
	if err != nil {
		return false, fmt.Errorf("open raft log: %w", err)
	}
	applied, _ := r.ledger.Applied()
	if applied > max(last, snapshot) {
		return false, fleet.Errorf(fleet.Conflict, "the ledger holds entry %d, the raft log ends at %d: they are not of the same data directory", applied, max(last, snapshot)).
			WithCode("mixed_directory").
			WithHint("put back the directory that belongs to the ledger, or begin with an empty one and join again")
	}
	for index := applied + 1; index <= snapshot; index++ {
		var entry raft.Log
		if err := r.store.GetLog(index, &entry); err != nil || entry.Type == raft.LogCommand {
			return true, nil
		}
	}
	return false, nil
}

// listen opens the socket; callers wait until raft is there.
func (r *Replica) listen(cfg *Config) error {
	listener, err := net.Listen("tcp", cfg.Bind)
	if err != nil {
		return &fleet.Error{Kind: fleet.Unavailable, Message: "raft on " + cfg.Bind, Err: err, Hint: "see who listens there: ss -lntp"}
	}
	shown := listener.Addr()
	if cfg.Advertise != "" {
		if shown, err = net.ResolveTCPAddr("tcp", cfg.Advertise); err != nil {
			return errors.Join(fmt.Errorf("raft advertises %s: %w", cfg.Advertise, err), listener.Close())
		}
	}
	r.stream = newStream(listener, shown, r.log, cfg.Credentials, cfg.Judge)
	return nil
}

// compact takes a snapshot when the log has grown by many bytes; raft itself
// counts entries only, and one entry may hold a thousand records.
func (r *Replica) compact() {
	every := time.NewTicker(r.limits.Interval)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-r.ctx.Done():
			return
		}
		if r.store.written.Load() < r.limits.Bytes {
			continue
		}
		r.store.written.Store(0)
		if err := r.wait(r.ctx, r.raft.Snapshot()); err != nil && err != raft.ErrNothingNewToSnapshot && r.ctx.Err() == nil {
			r.log.Warn("raft log not compacted", "error", err)
		}
	}
}

// Close hands leadership over, stops taking part, and then closes socket and
// files, in this order: a log that is closed under raft looks like a broken disk.
func (r *Replica) Close() error {
	var err error
	r.close.Do(func() {
		if r.raft.State() == raft.Leader && r.voters() > 1 {
			r.handOver()
		}
		r.drain()
		err = r.shutdown()
	})
	return err
}

func (r *Replica) handOver() {
	ctx, cancel := context.WithTimeout(r.ctx, handOverLimit)
	defer cancel()
	if err := r.wait(ctx, r.raft.LeadershipTransfer()); err != nil {
		r.log.Warn("leadership not handed over", "error", err)
	}
}

// drain lets no proposal in and waits a moment for those under way.
func (r *Replica) drain() {
	r.gate.Lock()
	r.closing.Store(true)
	r.gate.Unlock()
	drained := make(chan struct{})
	go func() {
		r.inflight.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainLimit):
		r.stop() // their waiters go with an unknown outcome
		<-drained
	}
}

func (r *Replica) shutdown() error {
	r.stop()
	stopped := r.raft.Shutdown()
	err := r.transport.Close()
	if failed := stopped.Error(); failed != nil {
		err = errors.Join(err, failed)
	}
	r.parts.Wait()
	return errors.Join(err, r.release())
}

// release closes what open took, as far as it came.
func (r *Replica) release() error {
	r.stop()
	var errs []error
	if r.transport != nil {
		errs = append(errs, r.transport.Close())
	}
	if r.stream != nil {
		errs = append(errs, r.stream.Close())
	}
	if r.canary != nil {
		errs = append(errs, r.canary.file.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
