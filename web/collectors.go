package web

import (
	"github.com/fleetcron/fleetcron/shared/api"
)

// collectorsPage is the raft group as the collector that answers sees it.
type collectorsPage struct {
	Cluster   api.Cluster
	Voters    int
	Reachable int // of the voters
	Quorum    int // voters that must agree
	Health    status
}

func (s *site) collectors(v *visit) (view, error) {
	if _, err := v.listing("/collectors"); err != nil {
		return view{}, err
	}
	cluster, err := s.src.Cluster(v.Context())
	if err != nil {
		return view{}, err
	}
	body := &collectorsPage{Cluster: cluster}
	for _, c := range cluster.Collectors {
		if !c.Voter {
			continue
		}
		body.Voters++
		if c.Reachable {
			body.Reachable++
		}
	}
	body.Quorum = body.Voters/2 + 1
	body.Health = body.health()
	return view{Title: "Collectors", Live: overviewAge, Body: body}, nil
}

// Spare is how many voters may still fail before changes wait.
func (c *collectorsPage) Spare() int { return max(0, c.Reachable-c.Quorum) }

func (c *collectorsPage) health() status {
	switch {
	case c.Cluster.Leader == "":
		return status{"bad", "no leader: agents go on alone, changes wait", "bad"}
	case c.Reachable < c.Voters:
		return status{"warn", count(c.Voters-c.Reachable, "voter") + " unreachable", "warn"}
	}
	return status{"ok", "all reachable", "ok"}
}

// Status is a member's state in the group.
func (c *collectorsPage) Status(member *api.Collector) status {
	switch {
	case !member.Reachable:
		return status{"silent", "unreachable", "warn"}
	case member.Leader:
		return status{"leader", "leader", "live"}
	case member.Voter:
		return status{"ok", "follower", "ok"}
	}
	return status{"pending", "catching up", "idle"}
}

// Lag is how many entries a member is behind; negative: not known.
func (c *collectorsPage) Lag(member *api.Collector) int {
	if member.Applied == 0 {
		return -1
	}
	return int(max(0, int64(c.Cluster.Committed)-int64(member.Applied)))
}
