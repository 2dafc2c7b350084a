package replica

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// identity is who a data directory belongs to. The cluster's id is in the
// ledger once the first entry is applied; before that, a member knows how the
// id will begin (its genesis, from the list it was bootstrapped with), or the
// id that the first leader to call it named.
type identity struct {
	member fleet.CollectorID
	store  *logStore

	mu      sync.Mutex // guards what follows
	cluster string
	genesis string
}

var (
	memberKey  = []byte("fleetcron/member")
	clusterKey = []byte("fleetcron/cluster")
	genesisKey = []byte("fleetcron/genesis")
)

const genesisSize = 8 // hex digits of a cluster's id that its first members decide

// load reads the identity, and refuses a directory of another member or
// cluster.
func (i *identity) load(store *logStore, ledger Ledger, member fleet.CollectorID) error {
	i.member, i.store = member, store
	owner, err := i.stable(memberKey)
	if err != nil {
		return err
	}
	if owner == "" {
		if err := store.Set(memberKey, []byte(member)); err != nil {
			return err
		}
	} else if owner != string(member) {
		return fleet.Errorf(fleet.Conflict, "the data directory belongs to collector %s, this is %s", owner, member).
			WithCode("other_member").WithHint("set id back to %s, or use an empty directory and join", owner)
	}
	if i.genesis, err = i.stable(genesisKey); err != nil {
		return err
	}
	if i.cluster, err = i.stable(clusterKey); err != nil {
		return err
	}
	cluster, found, err := ledger.Cluster()
	if err != nil {
		return fmt.Errorf("read cluster: %w", err)
	}
	if found && i.cluster != "" && cluster.ID != i.cluster {
		return fleet.Errorf(fleet.Conflict, "the ledger is of cluster %s, the raft log beside it of cluster %s", cluster.ID, i.cluster).
			WithCode("mixed_directory").WithHint("put back the directory that belongs to the ledger, or begin with an empty one and join again")
	}
	return i.learn(ledger)
}

func (i *identity) stable(name []byte) (string, error) {
	value, err := i.store.Get(name)
	if errors.Is(err, errNotFound) {
		return "", nil
	}
	return string(value), err
}

// learn takes the cluster's id from the ledger as soon as it is there.
func (i *identity) learn(ledger Ledger) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cluster != "" {
		return nil
	}
	cluster, found, err := ledger.Cluster()
	if err != nil || !found {
		return err
	}
	i.cluster = cluster.ID
	return i.store.Set(clusterKey, []byte(cluster.ID))
}

// rename notes another id of the cluster.
func (i *identity) rename(cluster string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.store.Set(clusterKey, []byte(cluster)); err != nil {
		return err
	}
	i.cluster = cluster
	return nil
}

// hello returns what this member says of itself.
func (i *identity) hello() hello {
	i.mu.Lock()
	defer i.mu.Unlock()
	return hello{Version: streamVersion, Cluster: i.cluster, Genesis: i.genesis, From: string(i.member)}
}

// called judges a caller, and joins its cluster when this member has none.
func (i *identity) called(caller, self hello) error {
	if err := judge(caller, self); err != nil || caller.Asks {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cluster != "" || i.genesis != "" {
		return nil
	}
	if caller.Cluster != "" {
		i.cluster = caller.Cluster
		return i.store.Set(clusterKey, []byte(i.cluster))
	}
	i.genesis = caller.Genesis
	return i.store.Set(genesisKey, []byte(i.genesis))
}

// conceive notes the list that this member is bootstrapped with.
func (i *identity) conceive(members []Member) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cluster != "" {
		return fleet.Errorf(fleet.Conflict, "collector %s belongs to cluster %s already", i.member, i.cluster).WithCode("already_bootstrapped")
	}
	i.genesis = genesisOf(members)
	return i.store.Set(genesisKey, []byte(i.genesis))
}

// genesisOf is the same for everyone who was given the same members.
func genesisOf(members []Member) string {
	lines := make([]string, len(members))
	for i, member := range members {
		lines[i] = string(member.ID) + " " + member.Address + "\n"
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, line := range lines {
		sum.Write([]byte(line))
	}
	return hex.EncodeToString(sum.Sum(nil))[:genesisSize]
}

// mint draws the cluster's id: 32 hex digits that begin with the genesis.
func (i *identity) mint() string {
	chance := make([]byte, (32-genesisSize)/2)
	rand.Read(chance) // never fails: it ends the process instead
	return i.hello().Genesis + hex.EncodeToString(chance)
}
