package httpd

import (
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How long after its last call an agent still counts as there: always, because
// the next call is on its way; and where gossip knows nothing of it.
const (
	betweenCalls = 5 * time.Second
	quietLimit   = 90 * time.Second
)

// calls remembers which agents call this collector.
type calls struct {
	mu    sync.Mutex
	hosts map[fleet.HostID]*callState
}

type callState struct {
	open int       // requests under way
	last time.Time // when the last one ended
	skew *fleet.Offset
	told time.Time // when the host's clock was last compared
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

// clock notes what time a known host's clock says it is now.
func (c *calls) clock(host fleet.HostID, says time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state := c.hosts[host]; state != nil {
		state.told = time.Now()
		ahead := fleet.Offset(says.Sub(state.told).Round(time.Millisecond))
		state.skew = &ahead
	}
}

// skew returns how far the host's clock is ahead of ours, or nil where it has
// not been heard of lately.
func (c *calls) skew(host fleet.HostID) *fleet.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.hosts[host]
	if state == nil || time.Since(state.told) > quietLimit {
		return nil
	}
	return state.skew
}

// here reports whether the host calls, or did so no longer ago than within.
func (c *calls) here(host fleet.HostID, within time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.hosts[host]
	return state != nil && (state.open > 0 || time.Since(state.last) <= within)
}

// presence says what is known of a host right now: it is alive if it calls
// this collector or gossips. What gossip says holds against a call of a minute
// ago: it sees a host go within seconds.
func (s *Server) presence(host fleet.HostID) fleet.Presence {
	if s.calls.here(host, betweenCalls) {
		return fleet.Alive
	}
	if s.Presence != nil {
		if seen := s.Presence.Presence(host); seen != "" {
			return seen
		}
	}
	if s.calls.here(host, quietLimit) {
		return fleet.Alive
	}
	return fleet.Silent
}
