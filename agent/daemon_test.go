package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// told waits until the agent says what is expected of how tasks stand.
func (c *collector) told(what string, is func(s api.Stands) bool) {
	c.t.Helper()
	for {
		if s := await(c.t, what, c.stands); is(s) {
			return
		}
	}
}

// TestADaemonIsStoppedUntilSomebodyStartsIt goes through orders, a new generation
// of another task and two restarts of the agent, over real HTTP and processes.
func TestADaemonIsStoppedUntilSomebodyStartsIt(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	stop := startAgent(t, cfg)
	host := await(t, "a registration", c.hosts).ID
	path, starts := witness(t)
	task := func(name, shell string, on fleet.Trigger, generation uint64) fleet.Assignment {
		return fleet.Assignment{
			Task:  fleet.Task{Name: name, On: on, Run: fleet.Execute{Command: fleet.Command{Shell: shell}}, Where: fleet.Where{Labels: "*"}},
			State: fleet.TaskEnabled, Generation: generation, Since: time.Now().Add(-time.Second).UTC(),
		}
	}
	daemon := task("serve", "echo $$ 1<> "+path+"; exec sleep 1000", fleet.Trigger{Daemon: true}, 1)
	order := func(kind fleet.OrderKind) fleet.Order {
		return fleet.Order{ID: fleet.OrderID(uuid.NewString()), Kind: kind, Host: host, Task: "default/serve", Due: time.Now().UTC(), Expires: time.Now().Add(time.Hour).UTC()}
	}
	here := func(o fleet.Order) fleet.OrderID { return seal.OrderID(string(o.ID), host, o.Task) }
	index := uint64(0)
	publish := func(generation uint64, orders ...fleet.Order) {
		index++
		other := task("other", "true", fleet.Trigger{Manual: true}, generation)
		c.publish(fleet.Plan{Host: host, Index: index, Assignments: []fleet.Assignment{daemon, other}, Orders: orders})
	}
	phase := func(want fleet.Phase, done ...fleet.OrderID) func(api.Stands) bool {
		return func(s api.Stands) bool {
			return len(s.Standings) == 1 && s.Standings[0].Task == "default/serve" && s.Standings[0].Phase == want && slices.Equal(s.Done, done)
		}
	}
	publish(1)
	c.told("the daemon's start", phase(fleet.PhaseRunning))
	first := await(t, "its start", starts)

	// A change of another task and a restart of the agent touch nothing of it.
	publish(2)
	for got := await(t, "the new generation", c.applied); got.Generations["default/other"] != 2; got = await(t, "the new generation", c.applied) {
	}
	stop()
	stop = startAgent(t, cfg)
	c.told("how it stands", phase(fleet.PhaseRunning))

	halt := order(fleet.OrderStop)
	publish(2, halt)
	c.told("its stop", phase(fleet.PhaseStopped, here(halt)))
	var pid int
	fmt.Sscan(first, &pid)
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Error("it is said to be stopped, and runs")
	}
	stop()
	stop = startAgent(t, cfg)
	c.told("that it is still stopped", phase(fleet.PhaseStopped, here(halt)))

	start := order(fleet.OrderStart)
	publish(2, start)
	c.told("its start", phase(fleet.PhaseRunning, here(start)))
	await(t, "its second start", starts)
	index++
	c.publish(fleet.Plan{Host: host, Index: index, Tombstones: policytest.Retired("default/serve", "default/other")})
	c.told("its end", func(s api.Stands) bool { return len(s.Standings) == 0 })
	stop()
	if len(starts) != 0 {
		t.Error("it was started once more: by a change of another task, by an agent that began, or after a person had stopped it")
	}
}
