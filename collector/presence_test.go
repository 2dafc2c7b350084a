package collector

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

func TestPresenceFollowsGossip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const host = fleet.HostID("00000000000000000000000000000001")
		var status atomic.Value // of gossip.Status
		status.Store(gossip.StatusAlive)
		p := newPresence(func() []gossip.Member {
			return []gossip.Member{{Name: string(host), Status: status.Load().(gossip.Status)}, {Name: "c1", Status: gossip.StatusAlive}}
		})
		events := make(chan gossip.Event)
		go p.Run(t.Context(), events)
		for _, step := range []struct {
			status gossip.Status
			want   fleet.Presence
		}{{gossip.StatusAlive, fleet.Alive}, {gossip.StatusFailed, fleet.Silent}, {gossip.StatusAlive, fleet.Alive}, {gossip.StatusLeft, fleet.Left}} {
			status.Store(step.status)
			events <- gossip.Event{}
			synctest.Wait()
			if got := p.Presence(host); got != step.want {
				t.Errorf("%s: got %s, want %s", step.status, got, step.want)
			}
		}
		if got := p.Presence("00000000000000000000000000000002"); got != "" {
			t.Errorf("a host nobody heard of is %s", got)
		}
		if got := p.Presence("c1"); got != "" {
			t.Errorf("a collector is a host: %s", got)
		}
		close(events)
	})
}
