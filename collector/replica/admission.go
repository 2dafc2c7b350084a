package replica

import (
	"context"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// admits says why a caller whose certificate is good may not take part, or nil:
// raft is for members of the group alone. One who is in no group takes the
// first caller's word for it. One who lags behind may not know a new member
// yet, and may need it: it asks those whom it knows.
func (r *Replica) admits(caller hello) error {
	members := r.Members()
	if len(members) == 0 {
		return nil
	}
	if _, known := r.member(fleet.CollectorID(caller.From)); known {
		return nil
	}
	if !caller.Asks && r.vouched(members, caller.From) {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "collector %s is not in the raft group", caller.From).
		WithCode(codePeerUnknown).WithHint("fleetctl collectors")
}

// How long the others' word about a stranger counts.
const (
	vouchedFor = 30 * time.Second
	refusedFor = 3 * time.Second
	vouchesMax = 64
)

// vouches remembers what the others said of strangers.
type vouches struct {
	mu    sync.Mutex
	known map[string]vouch
}

type vouch struct {
	member bool
	until  time.Time
}

// vouched asks the members that this one knows whether a stranger is one.
func (r *Replica) vouched(members []Member, stranger string) bool {
	r.vouches.mu.Lock()
	defer r.vouches.mu.Unlock()
	now := time.Now()
	if said, known := r.vouches.known[stranger]; known && now.Before(said.until) {
		return said.member
	}
	said := vouch{r.askAbout(members, stranger), now.Add(refusedFor)}
	if said.member {
		said.until = now.Add(vouchedFor)
	}
	if r.vouches.known == nil || len(r.vouches.known) >= vouchesMax {
		r.vouches.known = make(map[string]vouch)
	}
	r.vouches.known[stranger] = said
	return said.member
}

// askAbout asks every other member at once, for a second at most.
func (r *Replica) askAbout(members []Member, stranger string) bool {
	ctx, cancel := context.WithTimeout(r.ctx, peerLimit)
	defer cancel()
	yes := make(chan struct{}, len(members))
	var asking sync.WaitGroup
	for _, member := range members {
		if member.ID == r.id {
			continue
		}
		asking.Go(func() {
			if said, err := r.stream.ask(ctx, member, stranger); err == nil && said.Member {
				yes <- struct{}{}
			}
		})
	}
	asking.Wait()
	return len(yes) > 0
}

// Rejudge asks Config.Judge about every peer that there is a connection with,
// and closes those that are welcome no more: somebody was revoked.
func (r *Replica) Rejudge() { r.stream.rejudge() }
