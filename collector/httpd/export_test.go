package httpd

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// CheckRoutes lets a test show a map with a hole.
var CheckRoutes = checkRoutes

// Polls reports whether the host's agent looks for questions here.
func (s *Server) Polls(host fleet.HostID) bool { return s.desk.polls(host) }

// InFlight returns how many agents' requests are under way.
func (s *Server) InFlight() (n int) {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	for _, state := range s.calls.hosts {
		n += state.open
	}
	return n
}

// Remembered returns how many hosts have a place in memory.
func (s *Server) Remembered() int { return len(s.calls.hosts) + len(s.desk.hosts) }

// Holds reports whether a role holds a permission.
func Holds(role fleet.Role, permission Permission) bool {
	return permission == AnyPerson || slices.Contains(roles[permission], role)
}

// Held reports whether a caller of a kind may use the route.
func (r Route) Held(kind fleet.PrincipalKind) bool {
	return permits(&fleet.Principal{Kind: kind}, r.Permission)
}

// Remark writes down what was noted.
func (s *Server) Remark(ctx context.Context) { s.tellOnce(ctx) }

// Limits shows who has to wait.
type Limits struct{ *limits }

// NewLimits returns limits that nobody has reached.
func NewLimits() Limits { return Limits{newLimits()} }

// Failed notes that an address failed to say who it is.
func (l Limits) Failed(from netip.Addr, token string) time.Duration { return l.failed(from, token) }

// Remembered returns how many addresses are.
func (l Limits) Remembered() int { return len(l.failures) }
