package replica

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/collector/ledger"
)

// Ledger is what is replicated; *ledger.Ledger is one.
type Ledger interface {
	Apply(entries []ledger.Entry) []any
	Applied() (index, term uint64)
	Snapshot() (*ledger.Snapshot, error)
	Restore(r io.Reader) error
	Descend(lineage string) error
	Cluster() (ledger.Cluster, bool, error)
}

// machine is the bridge between raft and the ledger, and holds no meaning of
// its own.
type machine struct {
	ledger   Ledger
	identity *identity
	fatal    func(error)
}

var _ raft.BatchingFSM = (*machine)(nil)

// ApplyBatch applies commands in one transaction; raft's own entries among
// them get a nil result.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	defer m.end()
	results := make([]any, len(logs))
	entries := make([]ledger.Entry, 0, len(logs))
	for _, entry := range logs {
		if entry.Type == raft.LogCommand {
			entries = append(entries, ledger.Entry{Index: entry.Index, Term: entry.Term, Data: entry.Data})
		}
	}
	applied := m.ledger.Apply(entries)
	for i, entry := range logs {
		if entry.Type == raft.LogCommand {
			results[i], applied = applied[0], applied[1:]
		}
	}
	m.identity.learn(m.ledger)
	return results
}

// Apply applies one entry.
func (m *machine) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

// Snapshot begins a snapshot that is written while entries are applied.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	snapshot, err := m.ledger.Snapshot()
	if err != nil {
		return nil, err
	}
	return persisted{snapshot}, nil
}

// Restore replaces the ledger by a snapshot.
func (m *machine) Restore(from io.ReadCloser) error {
	if err := m.ledger.Restore(from); err != nil {
		return err
	}
	m.identity.learn(m.ledger)
	return nil
}

// end ends the process when the ledger cannot go on.
func (m *machine) end() {
	if reason := recover(); reason != nil {
		err, ok := reason.(error)
		if !ok {
			err = fmt.Errorf("ledger: %v", reason)
		}
		m.fatal(err)
		panic(reason)
	}
}

// persisted writes a snapshot of the ledger into raft's store.
type persisted struct{ snapshot *ledger.Snapshot }

// Persist writes everything to the sink.
func (p persisted) Persist(sink raft.SnapshotSink) error {
	if _, err := p.snapshot.WriteTo(sink); err != nil {
		return fmt.Errorf("write snapshot: %w (cancelled: %v)", err, sink.Cancel())
	}
	return sink.Close()
}

// Release lets the snapshot go.
func (p persisted) Release() { p.snapshot.Close() }
