package collector

import (
	"context"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// group shows the raft group in the words of the API.
type group struct{ *replica.Replica }

// Propose carries a command out and returns its result.
func (g group) Propose(ctx context.Context, command ledger.Command) (any, error) {
	result, err := g.Replica.Propose(ctx, command)
	return result.Value, err
}

// Leader returns who leads; empty: unknown.
func (g group) Leader() fleet.CollectorID {
	id, _ := g.Replica.Leader()
	return id
}

// Status returns how this collector stands.
func (g group) Status() httpd.Status {
	s := g.Replica.Status()
	return httpd.Status{
		ID: s.ID, Leading: s.State == replica.Leading, Term: s.Term,
		Applied: s.Applied, Committed: s.Committed, LastContact: s.LastContact,
	}
}

// Peers asks every member how far it is.
func (g group) Peers(ctx context.Context) []httpd.Peer {
	peers := g.Replica.Peers(ctx)
	out := make([]httpd.Peer, len(peers))
	for i, p := range peers {
		out[i] = httpd.Peer{ID: p.ID, Raft: p.Address, Voter: p.Voter, Reachable: p.Reachable, Applied: p.Applied, Term: p.Term}
	}
	return out
}

// Join takes a member in.
func (g group) Join(ctx context.Context, join api.Join) error {
	return g.Replica.Join(ctx, replica.Member{ID: join.ID, Address: join.Raft, Voter: true}, join.Cluster)
}
