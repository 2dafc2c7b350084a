package replica

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Member is one collector of the group as raft knows it.
type Member struct {
	ID      fleet.CollectorID
	Address string // host:port of its raft stream
	Voter   bool
}

// Bootstrap begins a new cluster with these members, all of them voters. It is
// called once in the life of a cluster, with the same list on one or more of
// its members. A directory that has raft state is refused.
func (r *Replica) Bootstrap(members []Member) error {
	if err := r.checkList(members); err != nil {
		return err
	}
	last, err := r.store.LastIndex()
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if last > 0 || len(r.Members()) > 0 {
		return r.begunAlready()
	}
	if err := r.identity.conceive(members); err != nil {
		return err
	}
	var configuration raft.Configuration
	for _, member := range members {
		configuration.Servers = append(configuration.Servers, raft.Server{
			ID: raft.ServerID(member.ID), Address: raft.ServerAddress(member.Address), Suffrage: raft.Voter,
		})
	}
	err = r.wait(r.ctx, r.raft.BootstrapCluster(configuration))
	if errors.Is(err, raft.ErrCantBootstrap) { // another member of the list was quicker
		return r.begunAlready()
	}
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	r.log.Info("cluster begun", "collector", r.id, "members", len(members))
	return nil
}

func (r *Replica) begunAlready() error {
	return fleet.Errorf(fleet.Conflict, "collector %s has raft state already", r.id).
		WithCode("already_bootstrapped").WithHint("just start it")
}

func (r *Replica) checkList(members []Member) error {
	seen := make(map[string]bool)
	self := false
	for _, member := range members {
		if err := checkMember(member); err != nil {
			return err
		}
		if seen[string(member.ID)] || seen[member.Address] {
			return fleet.Invalidf("members", string(member.ID), "id or address %s stands in the list twice", member.Address)
		}
		seen[string(member.ID)], seen[member.Address] = true, true
		self = self || member.ID == r.id && member.Address == r.Address()
	}
	if !self {
		return fleet.Invalidf("members", string(r.id), "this collector, at %s, is not in the list", r.Address())
	}
	return nil
}

func checkMember(member Member) error {
	if !fleet.ValidName(string(member.ID)) {
		return fleet.Invalidf("members.id", string(member.ID), "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	}
	if reason := addressFault(member.Address); reason != "" {
		return fleet.Invalidf("members.address", member.Address, "%s", reason)
	}
	return nil
}

// Address returns the address that the others dial.
func (r *Replica) Address() string { return r.stream.Addr().String() }

// Members returns the group as this member knows it, by id; empty before it
// belongs to one.
func (r *Replica) Members() []Member {
	future := r.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return membersOf(future.Configuration())
}

func membersOf(configuration raft.Configuration) (members []Member) {
	for _, server := range configuration.Servers {
		members = append(members, Member{
			ID: fleet.CollectorID(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter,
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return compareID(a.ID, b.ID) })
	return members
}

func (r *Replica) member(id fleet.CollectorID) (Member, bool) {
	members := r.Members()
	i := slices.IndexFunc(members, func(member Member) bool { return member.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

func (r *Replica) voters() (n int) {
	for _, member := range r.Members() {
		if member.Voter {
			n++
		}
	}
	return n
}

// nameOf returns the id of the member at an address, or nothing.
func (r *Replica) nameOf(address string) string {
	for _, member := range r.Members() {
		if member.Address == address {
			return string(member.ID)
		}
	}
	return ""
}

// isAt reports whether a member is at an IP address.
func (r *Replica) isAt(address netip.Addr) bool {
	return slices.ContainsFunc(r.Members(), func(member Member) bool {
		at, err := netip.ParseAddrPort(member.Address)
		return err == nil && at.Addr().Unmap() == address
	})
}

// joinPause is between two looks at how far a joining member has come.
const joinPause = 50 * time.Millisecond

// Join takes a collector into the group: without a vote first, and with one
// when it has caught up. cluster is the id that it says it belongs to, empty
// for a new one. Only the leader can do it; a Join that was cut short is
// completed by repeating it. Whoever is a voter at that address already stays.
func (r *Replica) Join(ctx context.Context, joining Member, cluster string) error {
	if err := r.checkJoin(joining, cluster); err != nil {
		return err
	}
	known, found := r.member(joining.ID)
	if found && known.Voter && known.Address == joining.Address {
		return nil
	}
	if _, err := r.stream.ask(ctx, joining, ""); err != nil {
		return &fleet.Error{
			Kind: kindOr(err, fleet.Unavailable), Code: "join_refused", Err: err,
			Message: fmt.Sprintf("collector %s at %s", joining.ID, joining.Address),
			Hint:    "it must be running, with an empty data directory or one of this cluster",
		}
	}
	id, address := raft.ServerID(joining.ID), raft.ServerAddress(joining.Address)
	if err := r.wait(ctx, r.raft.AddNonvoter(id, address, 0, proposeLimit)); err != nil {
		return r.explain(err)
	}
	r.log.Info("collector joins", "collector", joining.ID, "address", joining.Address)
	if err := r.awaitCaughtUp(ctx, joining); err != nil {
		return err
	}
	if err := r.wait(ctx, r.raft.AddVoter(id, address, 0, proposeLimit)); err != nil {
		return r.explain(err)
	}
	r.log.Info("collector votes", "collector", joining.ID)
	return nil
}

func (r *Replica) checkJoin(joining Member, cluster string) error {
	if r.raft.State() != raft.Leader {
		return r.notLeader()
	}
	if err := checkMember(joining); err != nil {
		return err
	}
	if mine := r.Cluster(); cluster != "" && cluster != mine {
		return fleet.Errorf(fleet.Conflict, "collector %s belongs to cluster %s, this is %s", joining.ID, cluster, mine).
			WithCode("other_cluster").WithHint("give it an empty data directory, or ask a collector of its own cluster")
	}
	if other := r.nameOf(joining.Address); other != "" && other != string(joining.ID) {
		return fleet.Errorf(fleet.Conflict, "address %s belongs to collector %s already", joining.Address, other).
			WithHint("fleetctl collectors")
	}
	return nil
}

// awaitCaughtUp waits until a member has applied what was committed one look
// ago, so that a busy cluster lets it in too.
func (r *Replica) awaitCaughtUp(ctx context.Context, joining Member) error {
	before := r.raft.CommitIndex()
	for {
		said, err := r.stream.ask(ctx, joining, "")
		if err == nil && said.Applied >= before {
			return nil
		}
		before = r.raft.CommitIndex()
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return &fleet.Error{
				Kind: fleet.Unavailable, Code: "join_incomplete", Err: ctx.Err(),
				Message: fmt.Sprintf("collector %s has no vote yet: it is at entry %d of %d", joining.ID, said.Applied, before),
				Hint:    "repeat the join to go on waiting",
			}
		case <-r.ctx.Done():
			return unknown(raft.ErrRaftShutdown)
		}
		if r.raft.State() != raft.Leader {
			return r.notLeader()
		}
	}
}

// Leave takes a collector out of the group. Only the leader can do it; it may
// take itself out and then leads no longer. The last voter stays, and so does
// one whose leaving would leave no majority of members that answer.
func (r *Replica) Leave(ctx context.Context, id fleet.CollectorID) error {
	if r.raft.State() != raft.Leader {
		return r.notLeader()
	}
	leaving, found := r.member(id)
	if !found {
		return fleet.Errorf(fleet.NotFound, "no collector %s in the group", id).WithHint("fleetctl collectors")
	}
	if err := r.checkLeave(ctx, leaving); err != nil {
		return err
	}
	if err := r.wait(ctx, r.raft.RemoveServer(raft.ServerID(id), 0, proposeLimit)); err != nil {
		return r.explain(err)
	}
	r.log.Info("collector left the group", "collector", id)
	return nil
}

func (r *Replica) checkLeave(ctx context.Context, leaving Member) error {
	stay, answer := 0, 0
	for _, peer := range r.Peers(ctx) {
		if peer.Voter && peer.ID != leaving.ID {
			stay++
			if peer.Reachable {
				answer++
			}
		}
	}
	if !leaving.Voter || answer > stay/2 {
		return nil
	}
	return fleet.Errorf(fleet.Conflict, "without collector %s only %d of %d voters would answer, which is no majority", leaving.ID, answer, stay).
		WithCode("no_majority").WithHint("start or remove the silent collectors first: fleetctl collectors")
}

// kindOr returns err's kind, or another one where err says none.
func kindOr(err error, other fleet.Kind) fleet.Kind {
	if kind := fleet.KindOf(err); kind != fleet.Internal {
		return kind
	}
	return other
}
