package ledger

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Cluster is the identity that the first entry gave to the raft group.
type Cluster struct {
	ID      string    `json:"id"` // as in the certificates
	Created time.Time `json:"created"`
	Lineage string    `json:"lineage,omitempty"` // of the raft group that a recovery began; empty: the first one
}

// InitCluster gives the group its id. It returns the Cluster. Another id than
// the one it has is refused.
type InitCluster struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

func (cmd *InitCluster) apply(c *change) any {
	if cmd.ID == "" {
		return fleet.Invalidf("cluster", cmd.ID, "is missing")
	}
	if cluster, found := stored[Cluster](c, inMeta, []byte("cluster")); found {
		if cluster.ID != cmd.ID {
			return fleet.Errorf(fleet.Conflict, "this is cluster %s already", cluster.ID).WithCode("other_cluster")
		}
		return cluster
	}
	cluster := Cluster{ID: cmd.ID, Created: cmd.At}
	c.put(inMeta, []byte("cluster"), encode(cluster))
	c.notify(Collectors)
	return cluster
}

// Collector is where a member of the group is reached, which raft does not know.
type Collector struct {
	ID      fleet.CollectorID `json:"id"`
	API     string            `json:"api"` // URL
	Version string            `json:"version,omitempty"`
	Changed time.Time         `json:"changed"`
}

// PutCollector records where a collector is reached.
type PutCollector struct {
	ID      fleet.CollectorID `json:"id"`
	API     string            `json:"api"`
	Version string            `json:"version,omitempty"`
	At      time.Time         `json:"at"`
}

func (cmd *PutCollector) apply(c *change) any {
	if !fleet.ValidName(string(cmd.ID)) {
		return fleet.Invalidf("collector", string(cmd.ID), "want 1–63 of a-z 0-9 . _ -")
	}
	old, found := stored[Collector](c, inCollectors, key(string(cmd.ID)))
	if found && old.API == cmd.API && old.Version == cmd.Version {
		return nil
	}
	c.put(inCollectors, key(string(cmd.ID)), encode(Collector{cmd.ID, cmd.API, cmd.Version, cmd.At}))
	c.notify(Collectors)
	return nil
}

// DropCollector forgets a collector that left the group.
type DropCollector struct {
	ID fleet.CollectorID `json:"id"`
}

func (cmd *DropCollector) apply(c *change) any {
	if cmd.ID == "" || c.get(inCollectors, key(string(cmd.ID))) == nil {
		return fleet.Errorf(fleet.NotFound, "no collector %s", cmd.ID)
	}
	c.delete(inCollectors, key(string(cmd.ID)))
	c.notify(Collectors)
	return nil
}

// Descend gives the group another lineage, outside of any entry: only a
// collector that is stopped and about to be the only one there is may do it.
func (l *Ledger) Descend(lineage string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(bucketNames[inMeta]))
		cluster, err := decode[Cluster](meta.Get([]byte("cluster")))
		if err != nil {
			return err
		}
		cluster.Lineage = lineage
		return meta.Put([]byte("cluster"), encode(cluster))
	})
	if err != nil {
		return fmt.Errorf("begin lineage %s: %w", lineage, err)
	}
	return nil
}

// Cluster returns the identity of the group, and false before InitCluster.
func (l *Ledger) Cluster() (cluster Cluster, found bool, err error) {
	err = l.view(func(r *reader) error {
		cluster, found, err = row[Cluster](r, inMeta, []byte("cluster"))
		return err
	})
	return cluster, found, err
}

// Collectors returns every collector that said where it is reached, by id.
func (l *Ledger) Collectors() (list []Collector, err error) {
	err = l.view(func(r *reader) error {
		return eachRow(r, inCollectors, nil, func(_ []byte, collector Collector) bool {
			list = append(list, collector)
			return true
		})
	})
	return list, err
}

// eachRow walks the rows in a range until fn returns false.
func eachRow[T any](r *reader, b bucket, prefix []byte, fn func(key []byte, value T) bool) (err error) {
	each(r.bucket(b), prefix, nil, func(k, v []byte) bool {
		var value T
		if value, err = decode[T](v); err != nil {
			return false
		}
		return fn(k, value)
	})
	return err
}
