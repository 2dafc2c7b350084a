package replica

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// identity is who a data directory belongs to: a member, of a cluster, and of
// one lineage of the cluster's raft group. The cluster is what certificates and
// sealed statements name, and stays as long as they do. The lineage begins with
// the group, and another one with each recovery or restore, so that members who
// were thought lost cannot meet those who went on without them. A member without
// a lineage is unborn and takes that of the first member that calls it.
type identity struct {
	member  fleet.CollectorID
	cluster string
	store   *logStore

	mu      sync.Mutex // guards what follows
	lineage string
	settled bool // the ledger was seen to agree
}

var (
	memberKey  = []byte("fleetcron/member")
	lineageKey = []byte("fleetcron/lineage")
)

const (
	lineageSize = 16 // hex digits, after a letter that says how it began
	bootstrap   = "b"
	recovery    = "r"
)

// load reads the identity, and refuses a directory of another member, cluster
// or lineage.
func (i *identity) load(store *logStore, ledger Ledger, member fleet.CollectorID, cluster string) error {
	i.member, i.store, i.cluster = member, store, cluster
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
	if i.lineage, err = i.stable(lineageKey); err != nil {
		return err
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

// learn takes from the ledger what is not known yet, and refuses it when it
// says otherwise.
func (i *identity) learn(ledger Ledger) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.settled {
		return nil
	}
	cluster, found, err := ledger.Cluster()
	if err != nil {
		return fmt.Errorf("read cluster: %w", err)
	}
	if !found {
		return nil
	}
	if i.cluster != cluster.ID {
		return fleet.Errorf(fleet.Conflict, "the ledger is of cluster %s, the certificate of this collector of cluster %s", cluster.ID, i.cluster).
			WithCode("other_cluster").WithHint("put back the identity that belongs to the ledger, or begin with an empty directory and join")
	}
	if i.lineage == "" && cluster.Lineage != "" {
		i.lineage = cluster.Lineage
		if err := i.store.Set(lineageKey, []byte(i.lineage)); err != nil {
			return err
		}
	}
	if i.lineage != cluster.Lineage && (cluster.Lineage != "" || strings.HasPrefix(i.lineage, recovery)) {
		return fleet.Errorf(fleet.Conflict, "the ledger is of lineage %s, the raft log beside it of lineage %s", cmp.Or(cluster.Lineage, "of the first collectors"), i.lineage).
			WithCode("mixed_directory").WithHint("put back the directory that belongs to the ledger, or begin with an empty one and join again")
	}
	i.settled = true
	return nil
}

// descend notes another lineage.
func (i *identity) descend(lineage string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.store.Set(lineageKey, []byte(lineage)); err != nil {
		return err
	}
	i.lineage = lineage
	return nil
}

// hello returns what this member says of itself.
func (i *identity) hello() hello {
	i.mu.Lock()
	defer i.mu.Unlock()
	return hello{Version: streamVersion, Lineage: i.lineage, From: string(i.member)}
}

// called judges a caller, and takes its lineage when this member has none.
func (i *identity) called(caller, self hello) error {
	if err := judge(caller, self); err != nil || caller.Asks {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.lineage != "" {
		return nil
	}
	i.lineage = caller.Lineage
	return i.store.Set(lineageKey, []byte(i.lineage))
}

// conceive notes the list that this member is bootstrapped with.
func (i *identity) conceive(members []Member) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	begun := lineageOf(i.cluster, members)
	if i.lineage != "" && i.lineage != begun {
		return fleet.Errorf(fleet.Conflict, "collector %s belongs to a group already", i.member).WithCode("already_bootstrapped")
	}
	i.lineage = begun
	return i.store.Set(lineageKey, []byte(i.lineage))
}

// lineageOf is the same for everyone who was given the same members.
func lineageOf(cluster string, members []Member) string {
	lines := []string{cluster + "\n"}
	for _, member := range members {
		lines = append(lines, string(member.ID)+" "+member.Address+"\n")
	}
	slices.Sort(lines[1:])
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return bootstrap + hex.EncodeToString(sum[:])[:lineageSize]
}

// newLineage draws one for a recovery.
func newLineage() string {
	chance := make([]byte, lineageSize/2)
	rand.Read(chance) // never fails: it ends the process instead
	return recovery + hex.EncodeToString(chance)
}
