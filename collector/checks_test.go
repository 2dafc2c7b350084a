package collector

import (
	"fmt"
	"testing"

	"github.com/fleetcron/fleetcron/shared/gossip"
)

func TestChecksTellHowTheComponentsAre(t *testing.T) {
	list := checks(func() []gossip.Member {
		return []gossip.Member{{Status: gossip.StatusAlive}, {Status: gossip.StatusAlive}, {Status: gossip.StatusFailed}}
	})
	want := map[string]string{"gossip": "map[alive:2 failed:1 left:0]"}
	if len(list) != len(want) {
		t.Errorf("%d checks", len(list))
	}
	for _, check := range list {
		details, err := check.Check(t.Context())
		if err != nil || fmt.Sprint(details) != want[check.Name] {
			t.Errorf("%s: %v, %v", check.Name, details, err)
		}
	}
}
