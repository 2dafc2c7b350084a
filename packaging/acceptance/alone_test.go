//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAgentsRunAloneAndDeliverAfterwards kills every collector, kills and
// restarts an agent while none answers, and brings the collectors back: the
// runs went on, and each outcome arrives once.
func TestAgentsRunAloneAndDeliverAfterwards(t *testing.T) {
	c := newCluster(t, 3, 2)
	probe := filepath.Join(c.dir, "probe")
	c.put(t.Context(), "beat", fmt.Sprintf("task: beat\non: {every: 1s}\nrun: {command: 'echo \"$FLEETCRON_OCCURRENCE\" >> %s'}\nwhere: {labels: role=test}\n", probe))
	beats := func(more int) {
		t.Helper()
		until := len(readProbe(t, probe)) + more
		c.eventually(fmt.Sprintf("%d more beats", more), func(context.Context) error {
			if now := len(readProbe(t, probe)); now < until {
				return fmt.Errorf("%d to go", until-now)
			}
			return nil
		})
	}
	beats(4)
	for _, collector := range c.collectors {
		collector.kill(syscall.SIGKILL)
	}
	beats(6)
	c.agents[0].kill(syscall.SIGKILL)
	c.agents[0].start()
	beats(6)
	c.agents[1].kill(syscall.SIGTERM)
	c.agents[1].start()
	beats(6)
	for _, collector := range c.collectors {
		collector.start()
	}
	c.leader()
	beats(2)
	c.checkBeats(probe)
}

// TestRestartReplaysNothing restarts a collector that has applied thousands of
// entries: it is ready again at the index it had.
func TestRestartReplaysNothing(t *testing.T) {
	c := newCluster(t, 1, 1)
	for n := range 200 {
		c.put(t.Context(), "task", fmt.Sprintf("task: t%d\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=test}\n", n))
	}
	before, err := c.client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.collectors[0].kill(syscall.SIGKILL)
	start := time.Now()
	c.collectors[0].start()
	c.leader()
	after, err := c.client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Applied < before.Applied {
		t.Errorf("applied index fell from %d to %d", before.Applied, after.Applied)
	}
	t.Logf("ready %s after the start", time.Since(start).Round(time.Millisecond))
}

// agentKills is how often agents are ended under load.
const agentKills = 30

// TestAgentsKilledUnderLoad ends two agents in turns, politely and not, while
// each begins a run every second: whatever they were at, every instant has one
// outcome, and none ran twice.
func TestAgentsKilledUnderLoad(t *testing.T) {
	c := newCluster(t, 1, 2)
	probe := filepath.Join(c.dir, "probe")
	c.put(t.Context(), "beat", fmt.Sprintf("task: beat\non: {every: 1s}\nrun: {command: 'echo \"$FLEETCRON_OCCURRENCE\" >> %s'}\nwhere: {labels: role=test}\n", probe))
	for n := range agentKills {
		until := len(readProbe(t, probe)) + 1
		c.eventually("another beat", func(context.Context) error { return atLeast(readProbe(t, probe), until) })
		agent := c.agents[n%2]
		agent.kill([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM, syscall.SIGKILL}[n%4])
		agent.start()
	}
	c.checkBeats(probe)
}
