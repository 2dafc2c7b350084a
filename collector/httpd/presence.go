package httpd

import (
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// quietLimit is how long after its last call an agent still counts as there.
const quietLimit = 90 * time.Second

// calls remembers which agents call this collector.
type calls struct {
	mu    sync.Mutex
	hosts map[fleet.HostID]*callState
}

type callState struct {
	open int       // requests under way
	last time.Time // when the last one ended
}

func newCalls() *calls { return &calls{hosts: map[fleet.HostID]*callState{}} }

// begin notes a call of a known host and returns what notes its end.
func (c *calls) begin(host fleet.HostID) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.hosts[host]
	if state == nil {
		state = new(callState)
		c.hosts[host] = state
	}
	state.open++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		state.open--
		state.last = time.Now()
	}
}

func (c *calls) here(host fleet.HostID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.hosts[host]
	return state != nil && (state.open > 0 || now.Sub(state.last) <= quietLimit)
}

// presence says what is known of a host right now: it is alive if it calls
// this collector or gossips.
func (s *Server) presence(host fleet.HostID) fleet.Presence {
	if s.calls.here(host, time.Now()) {
		return fleet.Alive
	}
	if s.Presence != nil {
		if seen := s.Presence.Presence(host); seen != "" {
			return seen
		}
	}
	return fleet.Silent
}
