//go:build acceptance

package acceptance

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// kills is how often the leader dies under load.
const kills = 20

// killWrites is how many writes must be taken after each of them.
const killWrites = 10

// TestLeaderKilledUnderLoad kills the leader again and again while tasks are
// written and agents run one-second tasks. No write that was acknowledged may
// be lost; no due instant may be lost or doubled on any agent. The truth about
// what ran comes from a probe file that the commands themselves append to.
func TestLeaderKilledUnderLoad(t *testing.T) {
	c := newCluster(t, 3, 3)
	probe := filepath.Join(c.dir, "probe")
	document := fmt.Sprintf("task: beat\non: {every: 1s}\nrun: {command: 'echo \"$FLEETCRON_OCCURRENCE\" >> %s'}\nwhere: {labels: role=test}\n", probe)
	c.put(t.Context(), "beat", document)
	c.eventually("the first beats", func(context.Context) error {
		if len(readProbe(t, probe)) < 3 {
			return fmt.Errorf("none yet")
		}
		return nil
	})

	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[fleet.TaskID]uint64{}
	for w := range 8 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprintf("w%d-%d", w, n)
				given, err := c.author.Task(ctx, fmt.Appendf(nil, "task: %s\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=test}\n", name), api.MediaYAML, "", author.Options{Reason: "load"})
				if err == nil {
					mu.Lock()
					acknowledged[given.Task.Task.ID()] = given.Task.Generation
					mu.Unlock()
				}
			}
		})
	}
	for range kills {
		before := count(&mu, acknowledged)
		leader := c.leader()
		leader.kill(syscall.SIGKILL)
		c.eventually("writes after the kill", func(context.Context) error {
			if count(&mu, acknowledged) < before+8+killWrites { // each writer may have had one under way
				return fmt.Errorf("none yet")
			}
			return nil
		})
		leader.start()
	}
	stop()
	writers.Wait()
	t.Logf("%d writes were acknowledged across %d kills", len(acknowledged), kills)
	if len(acknowledged) < killWrites*kills {
		t.Fatalf("only %d writes were acknowledged: too little load to show anything", len(acknowledged))
	}
	for id := range acknowledged {
		if _, err := c.client.Task(t.Context(), id); err != nil {
			t.Errorf("acknowledged task %s is lost: %v", id, err)
		}
	}
	c.checkBeats(probe)
}

// checkBeats stops the beating and compares the probe with the ledger.
func (c *cluster) checkBeats(probe string) {
	t := c.t
	c.eventually("a leader who pauses the task", func(ctx context.Context) error {
		_, err := c.author.State(ctx, "default/beat", fleet.TaskPaused, author.Options{})
		return err
	})
	hosts, err := c.client.Hosts(t.Context(), api.HostQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts.Items {
		c.eventually("the ledger to know what the probe knows of "+host.Name, func(ctx context.Context) error {
			return c.compare(ctx, host.ID, readProbe(t, probe)) // the last beats may still be on their way
		})
	}
	for occurrence, times := range readProbe(t, probe) {
		if times > 1 {
			t.Errorf("%s ran %d times", occurrence, times)
		}
	}
	c.proveAccount()
}

// proveAccount waits until the account holds: nothing that was due is missing
// and nothing is doubled, going by schedules and records alone.
func (c *cluster) proveAccount() {
	c.t.Helper()
	var said string
	c.eventually("the account to hold", func(context.Context) error {
		out, code := c.fleetctl("account", "--prove")
		if said = out; code != 0 || !strings.Contains(out, "difference 0") {
			return fmt.Errorf("exit %d: %s", code, out)
		}
		return nil
	})
	if strings.HasPrefix(said, "0 accounts") {
		c.t.Errorf("nothing was proven: %s", said)
	}
	if out, code := c.fleetctl("account"); code != 0 || !strings.Contains(out, "DIFFERENCE") {
		c.t.Errorf("exit %d: %s", code, out)
	}
}

// compare checks one host: the ledger's instants follow each other without a
// gap, none stands twice, and those that ran are those in the probe.
func (c *cluster) compare(ctx context.Context, host fleet.HostID, started map[string]int) error {
	outcome := map[int64]fleet.RunState{}
	var first, last int64
	query := api.RunQuery{Task: "default/beat", Host: string(host), Page: api.Page{Limit: api.MaxPage}}
	for {
		page, err := c.client.Runs(ctx, query)
		if err != nil {
			return err
		}
		for _, run := range page.Items {
			if run.State == fleet.RunSkipped && run.Reason == fleet.SkippedPaused {
				continue // instants of the pause at the end
			}
			for i := range run.Instants() {
				second := run.Due.Unix() + int64(i)
				if _, twice := outcome[second]; twice {
					return fmt.Errorf("instant %s has two records", time.Unix(second, 0).UTC())
				}
				outcome[second] = run.State
				if first == 0 || second < first {
					first = second
				}
				last = max(last, second)
			}
		}
		if page.Next == "" {
			break
		}
		query.After = page.Next
	}
	for second := first; second <= last; second++ {
		state, known := outcome[second]
		occurrence := fleet.Occurrence{Task: "default/beat", Scope: host, Nominal: time.Unix(second, 0)}.String()
		switch ran := started[occurrence] > 0; {
		case !known:
			return fmt.Errorf("%s has no record", occurrence)
		case state == fleet.RunUnknown: // agents were killed, but not their guardians
			return fmt.Errorf("%s ended in a way that nobody knows", occurrence)
		case ran && state != fleet.RunRan:
			return fmt.Errorf("%s ran, its record says %s", occurrence, state)
		case !ran && state == fleet.RunRan:
			return fmt.Errorf("%s did not run, its record says it did", occurrence)
		}
	}
	for occurrence := range started {
		if strings.Contains(occurrence, string(host)) {
			nominal, err := time.Parse(time.RFC3339Nano, occurrence[strings.LastIndex(occurrence, "@")+1:])
			if err != nil || nominal.Unix() < first || nominal.Unix() > last {
				return fmt.Errorf("%s ran outside what is recorded", occurrence)
			}
		}
	}
	return nil
}

func (c *cluster) put(ctx context.Context, name, document string) {
	c.t.Helper()
	c.eventually("task "+name+" to be accepted", func(context.Context) error {
		_, err := c.author.Task(ctx, []byte(document), api.MediaYAML, "", author.Options{})
		return err
	})
}

func count(mu *sync.Mutex, m map[fleet.TaskID]uint64) int {
	mu.Lock()
	defer mu.Unlock()
	return len(m)
}

// readProbe returns how often each occurrence was started.
func readProbe(t testing.TB, path string) map[string]int {
	t.Helper()
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	started := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		started[lines.Text()]++
	}
	return started
}

// atLeast returns an error while fewer than n occurrences were started.
func atLeast(started map[string]int, n int) error {
	if len(started) < n {
		return fmt.Errorf("%d of %d beats", len(started), n)
	}
	return nil
}
