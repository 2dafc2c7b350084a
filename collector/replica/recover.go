package replica

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Remains is what a stopped member has on its disk.
type Remains struct {
	Cluster string
	Members []Member // as this one last knew the group; empty: it was in none
	Applied uint64   // the last entry in its ledger
	Last    uint64   // the last entry in its log: Last − Applied of them were perhaps never acknowledged
	Term    uint64   // of Last
}

// Survey reads what a stopped member has, and changes nothing that counts. Of
// several that are left, the one with the highest term, and among those the
// highest last entry, knows the most.
func Survey(cfg Config) (Remains, error) {
	return whileStopped(cfg, func(*Replica, raft.SnapshotStore, Remains) error { return nil })
}

// Recover makes a stopped member the only one of its cluster, after the others
// were lost for good: it takes every entry of its log for committed, and draws
// another lineage, so that no member of the old group that comes back can meet
// it. Certificates and sealed statements, which name the cluster, stay good.
// What only the lost members had is lost.
func Recover(cfg Config) (Remains, error) {
	return whileStopped(cfg, func(r *Replica, snapshots raft.SnapshotStore, remains Remains) error {
		if err := r.applyAll(snapshots); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		return r.beginAnew(snapshots, max(remains.Term, 1))
	})
}

// Restore makes a member without state the only one of its cluster, which
// begins with a backup: a snapshot of a ledger, of this cluster and no other.
// Its group has another lineage than the one that was backed up: both may be
// alive.
func Restore(cfg Config, backup io.Reader) (restored Remains, err error) {
	_, err = whileStopped(cfg, func(r *Replica, snapshots raft.SnapshotStore, remains Remains) error {
		if remains.Last > 0 || remains.Applied > 0 || len(remains.Members) > 0 {
			return fleet.Errorf(fleet.Conflict, "the data directory has state of cluster %s", remains.Cluster).
				WithCode("not_empty").WithHint("move it away first: a restore never overwrites")
		}
		if err := r.ledger.Restore(backup); err != nil {
			return err
		}
		cluster, found, err := r.ledger.Cluster()
		if err != nil || !found {
			return errors.Join(fleet.Errorf(fleet.Invalid, "the backup names no cluster"), err)
		}
		if err := r.identity.learn(r.ledger); err != nil {
			return err
		}
		applied, term := r.ledger.Applied()
		restored = Remains{Cluster: cluster.ID, Applied: applied, Last: applied, Term: term}
		return r.beginAnew(snapshots, max(term, 1))
	})
	return restored, err
}

// whileStopped does something with the files of a member that does not run, and
// returns what it had before.
func whileStopped(cfg Config, do func(*Replica, raft.SnapshotStore, Remains) error) (remains Remains, err error) {
	r, snapshots, err := openStopped(&cfg)
	defer func() { err = errors.Join(err, r.release()) }()
	if err != nil {
		return remains, err
	}
	if remains, err = r.survey(snapshots); err != nil {
		return remains, err
	}
	return remains, do(r, snapshots, remains)
}

// openStopped opens the files of a member that does not run.
func openStopped(cfg *Config) (*Replica, *raft.FileSnapshotStore, error) {
	r := &Replica{id: cfg.ID, ledger: cfg.Ledger, log: cmp.Or(cfg.Logger, slog.Default()), fatal: cfg.Fatal, stop: func() {}}
	if r.fatal == nil {
		r.fatal = die
	}
	if err := cfg.Validate(); err != nil {
		return r, nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return r, nil, fmt.Errorf("open replica: %w", err)
	}
	var err error
	if r.store, err = openLogStore(filepath.Join(cfg.Dir, "raft-log.db"), r.fatal); err != nil {
		return r, nil, err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, newRaftLog(r.log))
	if err != nil {
		return r, nil, fmt.Errorf("open snapshots: %w", err)
	}
	r.self = Member{ID: cfg.ID, Address: cmp.Or(cfg.Advertise, cfg.Bind), Voter: true}
	return r, snapshots, r.identity.load(r.store, r.ledger, cfg.ID, cfg.Credentials.ID().Cluster)
}

func (r *Replica) survey(snapshots raft.SnapshotStore) (remains Remains, err error) {
	remains.Cluster = r.identity.cluster
	remains.Applied, remains.Term = r.ledger.Applied()
	remains.Last = remains.Applied
	list, err := snapshots.List()
	if err != nil {
		return remains, fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) > 0 {
		remains.Members = membersOf(list[0].Configuration)
		if list[0].Index > remains.Last {
			remains.Last, remains.Term = list[0].Index, list[0].Term
		}
	}
	err = r.eachEntry(func(entry *raft.Log) error {
		if entry.Index >= remains.Last {
			remains.Last, remains.Term = entry.Index, entry.Term
		}
		if entry.Type == raft.LogConfiguration {
			remains.Members = membersOf(raft.DecodeConfiguration(entry.Data))
		}
		return nil
	})
	return remains, err
}

// eachEntry walks the log from its first entry to its last.
func (r *Replica) eachEntry(see func(*raft.Log) error) error {
	first, err := r.store.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := r.store.LastIndex()
	if err != nil {
		return err
	}
	for index := first; index <= last; index++ {
		var entry raft.Log
		if err := r.store.GetLog(index, &entry); err != nil {
			return fmt.Errorf("entry %d of the raft log: %w", index, err)
		}
		if err := see(&entry); err != nil {
			return err
		}
	}
	return nil
}

// applyAll brings the ledger to the end of the log.
func (r *Replica) applyAll(snapshots raft.SnapshotStore) error {
	restore, err := r.needsRestore(snapshots)
	if err != nil {
		return err
	}
	m := &machine{ledger: r.ledger, identity: &r.identity, fatal: r.fatal}
	if restore {
		list, err := snapshots.List()
		if err != nil {
			return err
		}
		_, source, err := snapshots.Open(list[0].ID)
		if err != nil {
			return err
		}
		if err := errors.Join(m.Restore(source), source.Close()); err != nil {
			return err
		}
	}
	applied, _ := r.ledger.Applied()
	return r.eachEntry(func(entry *raft.Log) error {
		if entry.Index > applied && entry.Type == raft.LogCommand {
			m.Apply(entry)
		}
		return nil
	})
}

// beginAnew gives the group another lineage and this member alone, as a
// snapshot that stands for everything before. The log goes last: who is
// interrupted repeats it.
func (r *Replica) beginAnew(snapshots raft.SnapshotStore, term uint64) error {
	lineage := newLineage()
	// Whoever is interrupted here belongs to the lineage that the ledger names.
	if err := r.identity.descend(""); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	if err := r.ledger.Descend(lineage); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	if err := r.identity.descend(lineage); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	last, err := r.store.LastIndex()
	if err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	applied, _ := r.ledger.Applied()
	last = max(last, applied)
	if err := r.snapshotAlone(snapshots, last, term); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	if err := r.store.SetUint64(currentTerm, max(term, r.termOf())); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	if err := r.store.DeleteRange(0, last); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	r.log.Info("group begun anew", "lineage", lineage, "collector", r.id, "entry", last)
	return nil
}

// currentTerm is where raft itself keeps the term that it is in.
var currentTerm = []byte("CurrentTerm")

func (r *Replica) termOf() uint64 {
	term, err := r.store.GetUint64(currentTerm)
	if err != nil {
		return 0
	}
	return term
}

// snapshotAlone writes a snapshot whose configuration is this member alone.
func (r *Replica) snapshotAlone(snapshots raft.SnapshotStore, last, term uint64) error {
	alone := raft.Configuration{Servers: []raft.Server{{
		ID: raft.ServerID(r.self.ID), Address: raft.ServerAddress(r.self.Address), Suffrage: raft.Voter,
	}}}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(r.self.Address)) // names the address, and is not used
	sink, err := snapshots.Create(raft.SnapshotVersionMax, last, term, alone, 1, transport)
	if err != nil {
		return err
	}
	snapshot, err := r.ledger.Snapshot()
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	defer snapshot.Close()
	return persisted{snapshot}.Persist(sink)
}
