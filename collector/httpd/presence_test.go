package httpd

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

type gossiped fleet.Presence

func (g gossiped) Presence(fleet.HostID) fleet.Presence { return fleet.Presence(g) }

func TestPresence(t *testing.T) {
	for name, c := range map[string]struct {
		gossip fleet.Presence
		called bool
		open   bool
		ago    time.Duration
		want   fleet.Presence
	}{
		"never heard of":                       {want: fleet.Silent},
		"gossips, never called":                {gossip: fleet.Alive, want: fleet.Alive},
		"calls, gossip has lost it":            {gossip: fleet.Silent, called: true, open: true, ago: time.Hour, want: fleet.Alive},
		"between two calls, gossip has lost":   {gossip: fleet.Silent, called: true, ago: time.Second, want: fleet.Alive},
		"killed: gossip lost it after a call":  {gossip: fleet.Silent, called: true, ago: 6 * time.Second, want: fleet.Silent},
		"stopped: it left after its last call": {gossip: fleet.Left, called: true, ago: 6 * time.Second, want: fleet.Left},
		"no gossip, called a minute ago":       {called: true, ago: time.Minute, want: fleet.Alive},
		"no gossip, called two minutes ago":    {called: true, ago: 2 * time.Minute, want: fleet.Silent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Deps: Deps{Presence: gossiped(c.gossip)}, calls: newCalls()}
				if c.called {
					end := s.calls.begin("h")
					if !c.open {
						end()
					}
				}
				time.Sleep(c.ago)
				if got := s.presence("h"); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestSkewIsToldWhileItIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		c.clock("h", time.Now()) // nobody calls
		if c.skew("h") != nil {
			t.Error("a skew of a host that never called")
		}
		c.begin("h")()
		if c.skew("h") != nil {
			t.Error("a skew of a host that did not say its time")
		}
		c.clock("h", time.Now().Add(-90*time.Second-300*time.Microsecond))
		if skew := c.skew("h"); skew == nil || *skew != fleet.Offset(-90*time.Second) {
			t.Errorf("skew %v, want 90 s behind", skew)
		}
		time.Sleep(quietLimit + time.Second)
		if skew := c.skew("h"); skew != nil {
			t.Errorf("skew %v, long after the last word", skew)
		}
	})
}
