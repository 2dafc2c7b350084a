package httpd

import (
	"github.com/fleetcron/fleetcron/shared/pki"
)

// planes says on which planes a route can be reached.
type planes uint8

const (
	toPeople    planes = 1 << iota // a token, or nothing where the route is public
	toAgents                       // a certificate of a host
	toNewcomers                    // nothing yet
	toPeers                        // a certificate of a collector
)

// The sets that routes have. What one collector passes on to another comes in
// on the plane of peers, with the name of who asked.
const (
	forPeople    = toPeople | toPeers
	forAgents    = toAgents | toPeers
	forNewcomers = toNewcomers | toPeers
	forPeers     = toPeers
	forMembers   = toAgents | toPeers
	forAnybody   = toPeople | toNewcomers | toPeers
)

// planeOf is every plane there is.
var planeOf = map[pki.Plane]planes{
	pki.PlaneOperator: toPeople,
	pki.PlaneAgent:    toAgents,
	pki.PlaneEnroll:   toNewcomers,
	pki.PlanePeer:     toPeers,
}

// On reports whether the route can be reached on a plane.
func (r *Route) On(plane pki.Plane) bool { return r.planes&planeOf[plane] != 0 }
