package pki

import "slices"

// Plane is one kind of conversation on a listener, told apart by ALPN before a
// byte of it is read.
type Plane string

// The planes. A client that names none speaks the operators' one.
const (
	PlaneAgent    Plane = "fc-agent/1"  // agents to collectors
	PlanePeer     Plane = "fc-peer/1"   // collectors to each other, on behalf of others
	PlaneEnroll   Plane = "fc-enroll/1" // those who have no certificate yet
	PlaneRaft     Plane = "fc-raft/1"   // raft, on its own port
	PlaneOperator Plane = "http/1.1"    // people and their tools, who have tokens
)

// entry is who may come in on a plane.
type entry struct {
	role Role   // that the certificate must have; empty: nobody shows one
	code string // of the refusal of another role
}

var entries = map[Plane]entry{
	PlaneAgent:    {RoleAgent, CodeNotAgent},
	PlanePeer:     {RoleCollector, CodeNotCollector},
	PlaneRaft:     {RoleCollector, CodeRaftPeer},
	PlaneEnroll:   {},
	PlaneOperator: {},
}

// planeOf returns the plane of those served that a client asks for; false when
// it asks for one of ours that is not served here.
func planeOf(offered []string, served []Plane) (Plane, bool) {
	for _, name := range offered {
		plane := Plane(name)
		if _, ours := entries[plane]; ours && plane != PlaneOperator {
			return plane, slices.Contains(served, plane)
		}
	}
	return PlaneOperator, slices.Contains(served, PlaneOperator)
}

// PlaneOf returns the plane that a finished handshake agreed on.
func PlaneOf(negotiated string) Plane {
	if negotiated == "" {
		return PlaneOperator
	}
	return Plane(negotiated)
}
