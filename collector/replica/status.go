package replica

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// State is the part that a member plays.
type State string

// The states.
const (
	Leading   State = "leader"
	Following State = "follower"
	Seeking   State = "candidate"
	Stopped   State = "stopped"
)

var states = map[raft.RaftState]State{
	raft.Leader: Leading, raft.Follower: Following, raft.Candidate: Seeking, raft.Shutdown: Stopped,
}

// Status is how this member stands.
type Status struct {
	ID          fleet.CollectorID
	Cluster     string
	State       State
	Leader      fleet.CollectorID // empty: unknown
	Term        uint64
	Applied     uint64        // last entry handed to the ledger
	Committed   uint64        // last entry known to be committed
	LastContact time.Duration // since the leader was heard; 0 on the leader, negative: never
	Members     []Member
}

// Peer is a member with what it says of itself now.
type Peer struct {
	Member
	Reachable bool
	Applied   uint64 // zero unless Reachable
	Term      uint64
}

// peerLimit is how long Peers waits for an answer.
const peerLimit = time.Second

// Cluster returns the id of the cluster that this member's certificate is of.
func (r *Replica) Cluster() string { return r.identity.cluster }

// Leader returns who leads and the address of its raft stream, empty when that
// is unknown.
func (r *Replica) Leader() (id fleet.CollectorID, address string) {
	at, leader := r.raft.LeaderWithID()
	return fleet.CollectorID(leader), string(at)
}

// Status returns how this member stands, without asking anyone.
func (r *Replica) Status() Status {
	leader, _ := r.Leader()
	s := Status{
		ID: r.id, Cluster: r.Cluster(), State: states[r.raft.State()], Leader: leader,
		Term: r.raft.CurrentTerm(), Applied: r.raft.AppliedIndex(), Committed: r.raft.CommitIndex(),
		Members: r.Members(),
	}
	switch last := r.raft.LastContact(); {
	case s.State == Leading:
	case last.IsZero():
		s.LastContact = -1
	default:
		s.LastContact = time.Since(last)
	}
	return s
}

// Peers asks every member how far it has come, for a second at most.
func (r *Replica) Peers(ctx context.Context) []Peer {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	members := r.Members()
	peers := make([]Peer, len(members))
	var asking sync.WaitGroup
	for i, member := range members {
		peers[i].Member = member
		if member.ID == r.id {
			said := r.report("")
			peers[i].Reachable, peers[i].Applied, peers[i].Term = true, said.Applied, said.Term
			continue
		}
		asking.Go(func() {
			if said, err := r.stream.ask(ctx, member, ""); err == nil {
				peers[i].Reachable, peers[i].Applied, peers[i].Term = true, said.Applied, said.Term
			}
		})
	}
	asking.Wait()
	return peers
}

// report is what this member says of itself, and whether another is a member.
func (r *Replica) report(about string) report {
	said := report{Applied: r.raft.AppliedIndex(), Term: r.raft.CurrentTerm()}
	if about != "" {
		_, said.Member = r.member(fleet.CollectorID(about))
	}
	return said
}

func compareID(a, b fleet.CollectorID) int { return cmp.Compare(a, b) }

// speaker is this member towards its peers: who it is, and how far.
type speaker struct {
	*identity
	*Replica
}
