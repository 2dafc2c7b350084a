package collector

import (
	"context"
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// presence is what gossip knows of the hosts, within seconds. It is observed,
// never stored, and decides nothing: a host that gossip has lost may still call.
type presence struct {
	members func() []gossip.Member

	mu    sync.RWMutex // guards hosts
	hosts map[fleet.HostID]fleet.Presence
}

func newPresence(members func() []gossip.Member) *presence {
	return &presence{members: members, hosts: map[fleet.HostID]fleet.Presence{}}
}

// presences translates what gossip says of a member.
var presences = map[gossip.Status]fleet.Presence{
	gossip.StatusAlive:  fleet.Alive,
	gossip.StatusFailed: fleet.Silent,
	gossip.StatusLeft:   fleet.Left,
}

// Run follows the events until ctx ends.
func (p *presence) Run(ctx context.Context, events <-chan gossip.Event) error {
	for {
		p.learn()
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-events:
			if !open {
				return nil
			}
			drain(events) // many that come at once are looked at once
		}
	}
}

func drain(events <-chan gossip.Event) {
	for {
		select {
		case _, open := <-events:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// learn replaces what was known by what gossip says now.
func (p *presence) learn() {
	now := map[fleet.HostID]fleet.Presence{}
	for _, member := range p.members() {
		if id := fleet.HostID(member.Name); id.Valid() {
			now[id] = presences[member.Status]
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts = now
}

// Presence returns what gossip knows of the host; empty: nothing.
func (p *presence) Presence(host fleet.HostID) fleet.Presence {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.hosts[host]
}
