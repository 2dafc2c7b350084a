package replica

import (
	"context"

	"github.com/hashicorp/raft"
)

// Move tells the group where this member, which must lead, is dialled now, if
// that is elsewhere than the group knows.
func (r *Replica) Move(ctx context.Context) error {
	known, found := r.member(r.id)
	if !found || known.Address == r.Address() {
		return nil
	}
	if err := r.wait(ctx, r.raft.AddVoter(raft.ServerID(r.id), raft.ServerAddress(r.Address()), 0, proposeLimit)); err != nil {
		return r.explain(err)
	}
	r.log.Info("this collector has moved", "from", known.Address, "to", r.Address())
	return nil
}
