package collector

import (
	"context"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// checks are the components of /health beside raft, ledger and index, which
// the API looks at itself. Gossip with nobody is no fault: one collector alone has no
// one to talk to.
func checks(members func() []gossip.Member) []httpd.Check {
	return []httpd.Check{
		{Name: "gossip", Check: func(context.Context) (map[string]any, error) {
			counts := map[gossip.Status]int{}
			for _, member := range members() {
				counts[member.Status]++
			}
			return map[string]any{
				"alive": counts[gossip.StatusAlive], "failed": counts[gossip.StatusFailed], "left": counts[gossip.StatusLeft],
			}, nil
		}},
	}
}
