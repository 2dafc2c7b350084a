package collector

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

func TestChecksTellHowTheComponentsAre(t *testing.T) {
	broken := errors.New("index is gone")
	var fault error
	list := checks(
		func() []gossip.Member {
			return []gossip.Member{{Status: gossip.StatusAlive}, {Status: gossip.StatusAlive}, {Status: gossip.StatusFailed}}
		},
		func(api.JobQuery) (api.List[api.JobView], error) { return api.List[api.JobView]{Total: 7}, fault },
	)
	want := map[string]string{"gossip": "map[alive:2 failed:1 left:0]", "search": "map[jobs:7]"}
	for _, check := range list {
		details, err := check.Check(t.Context())
		if err != nil || fmt.Sprint(details) != want[check.Name] {
			t.Errorf("%s: %v, %v", check.Name, details, err)
		}
	}
	fault = broken
	if _, err := list[1].Check(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a broken search is well: %v", err)
	}
}
