package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatADaemonNeedsWaitsItself: a daemon that waits for a file is not up, and
// one that needs it does not begin before it.
func TestWhatADaemonNeedsWaitsItself(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	stop := startAgent(t, cfg)
	defer stop()
	host := await(t, "a registration", c.hosts).ID
	ready := filepath.Join(t.TempDir(), "ready")
	daemon := func(name string, change func(*fleet.Task)) fleet.Assignment {
		task := fleet.Task{Name: name, On: fleet.Trigger{Daemon: true}, Run: fleet.Execute{Command: fleet.Command{Shell: "exec sleep 1000"}}, Where: fleet.Where{Labels: "*"}}
		change(&task)
		return fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Since: time.Now().Add(-time.Second).UTC()}
	}
	base := daemon("base", func(t *fleet.Task) {
		t.WaitFor = fleet.WaitFor{File: []string{ready}, Every: fleet.Duration(time.Second)}
	})
	above := daemon("above", func(t *fleet.Task) { t.Needs = []string{"base"} })
	c.publish(fleet.Plan{Host: host, Index: 1, Assignments: []fleet.Assignment{above, base}})
	stands := func(s api.Stands, task fleet.TaskID, phase fleet.Phase) bool {
		return slices.ContainsFunc(s.Standings, func(one fleet.Standing) bool { return one.Task == task && one.Phase == phase })
	}
	c.told("that both wait", func(s api.Stands) bool {
		if stands(s, "default/above", fleet.PhaseRunning) {
			t.Fatalf("it is up before what it needs: %+v", s.Standings)
		}
		return stands(s, "default/above", fleet.PhaseWaiting) && slices.ContainsFunc(s.Standings, func(one fleet.Standing) bool {
			return one.Task == "default/base" && one.Phase == fleet.PhaseWaiting && strings.Contains(one.Detail, ready)
		})
	})
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.told("that both are up", func(s api.Stands) bool {
		return stands(s, "default/base", fleet.PhaseRunning) && stands(s, "default/above", fleet.PhaseRunning)
	})
	c.publish(fleet.Plan{Host: host, Index: 2, Tombstones: policytest.Retired("default/base", "default/above")})
	c.told("their end", func(s api.Stands) bool { return len(s.Standings) == 0 })
}
