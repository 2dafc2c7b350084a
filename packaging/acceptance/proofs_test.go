//go:build acceptance

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// TestWhatHostsSignHolds has a host run a task each second while its agent is
// killed again and again, and asks at the end: each outcome is signed, once, as
// the collectors tell it; an export holds by key and head of the host itself; and
// whoever alters an outcome is found out.
func TestWhatHostsSignHolds(t *testing.T) {
	c := newCluster(t, 1, 1)
	c.put(t.Context(), "tick", "task: tick\non: {every: 1s}\nrun: {command: [/bin/sh, -c, 'exit 3']}\nwhere: {labels: role=test}\n")
	for round := range 3 {
		c.known("default/tick", 4*(round+1))
		c.agents[0].kill(syscall.SIGKILL)
		c.agents[0].start()
	}
	c.known("default/tick", 16)
	if out, code := c.fleetctl("pause", "default/tick"); code != 0 {
		t.Fatal(out)
	}
	blocks := c.proven("default/tick")
	keys := map[string]bool{}
	for i := range blocks {
		if err := blocks[i].Check(); err != nil || len(blocks[i].Marks) > 0 {
			t.Errorf("%v, marked %v", err, blocks[i].Marks)
		}
		keys[blocks[i].Key.Fingerprint()] = true
		for _, entry := range blocks[i].Lines {
			if entry.Line.Attempt > 0 && entry.Line.Statement == nil {
				t.Errorf("a run of which nobody signed anything: %+v", entry.Line)
			}
		}
	}
	if out, code := c.fleetctl("proofs", "check"); code != 0 {
		t.Errorf("the collectors tell otherwise: %d %s", code, out)
	}

	var host struct{ Key, Head string }
	if err := json.Unmarshal([]byte(c.must(binary(t, "fleetcron-agent"), "proofs", "-o", "json", "--config", c.dir+"/a1.yaml")), &host); err != nil || len(keys) != 1 || !keys[host.Key] {
		t.Fatalf("%v: the host signs with %s, the blocks are by %v", err, host.Key, keys)
	}
	if list, err := c.client.ProofHosts(t.Context()); err != nil || len(list.Items) != 1 || len(list.Items[0].Keys) != 1 || list.Items[0].Keys[0].How != proof.Enrolled {
		t.Errorf("its key did not come with the enrolment: %v %+v", err, list.Items)
	}
	exported, code := c.fleetctl("proofs", "export")
	if code != 0 {
		t.Fatal(exported)
	}
	verify := func(text string) (string, int) {
		file := filepath.Join(c.dir, "proofs.jsonl")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return c.fleetctl("proofs", "verify", file, "--key", "host-1="+host.Key, "--head", "host-1="+host.Head)
	}
	for what, text := range map[string]string{"the collectors": exported, "the host": c.must(binary(t, "fleetcron-agent"), "proofs", "export", "--config", c.dir+"/a1.yaml")} {
		if out, code := verify(text); code != 0 || !strings.Contains(out, "host-1: lines 1 to ") || !strings.Contains(out, "by the key that you named") {
			t.Errorf("what %s exported: %d %s", what, code, out)
		}
		if out, code := verify(strings.Replace(text, `"exit":3`, `"exit":0`, 1)); code != 1 || !strings.Contains(out, "BROKEN") {
			t.Errorf("what %s exported, one outcome altered: %d %s", what, code, out)
		}
		whole := strings.SplitAfter(text, "\n")
		if out, code := verify(strings.Join(whole[:len(whole)-3], "") + whole[len(whole)-2]); code != 1 {
			t.Errorf("what %s exported, its last block dropped: %d %s", what, code, out)
		}
	}
}

// known waits until the collectors know of so many runs that are over.
func (c *cluster) known(task fleet.TaskID, want int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d runs of %s", want, task), func(ctx context.Context) error {
		over, _, err := c.over(ctx, task)
		if err == nil && len(over) < want {
			err = fmt.Errorf("%d so far", len(over))
		}
		return err
	})
}

// over returns the runs of a task that are over, and how many are not.
func (c *cluster) over(ctx context.Context, task fleet.TaskID) (over map[fleet.RunID]bool, open int, err error) {
	list, err := c.client.Runs(ctx, api.RunQuery{Task: task, Page: api.Page{Limit: api.MaxPage}})
	over = map[fleet.RunID]bool{}
	for i := range list.Items {
		if list.Items[i].State.Terminal() {
			over[list.Items[i].ID] = true
		} else {
			open++
		}
	}
	return over, open, err
}

// proven waits until the collectors have a line of every run of a task, and of
// none two.
func (c *cluster) proven(task fleet.TaskID) (blocks []api.ProofBlock) {
	c.t.Helper()
	c.eventually("proofs of every run of "+string(task), func(ctx context.Context) error {
		over, open, err := c.over(ctx, task)
		if err != nil || open > 0 {
			return fmt.Errorf("%d runs go on, %w", open, err)
		}
		blocks = nil
		lines := map[fleet.RunID]int{}
		for block, err := range c.client.EveryProof(ctx, api.ProofQuery{Page: api.Page{Limit: api.MaxPage}}) {
			if err != nil {
				return err
			}
			blocks = append(blocks, block)
			for _, entry := range block.Lines {
				if lines[entry.Line.Run]++; lines[entry.Line.Run] > 1 {
					c.t.Errorf("run %s is signed twice", entry.Line.Run)
				}
			}
		}
		for run := range over {
			if lines[run] == 0 {
				return fmt.Errorf("nothing is signed of run %s; %d of %d are", run, len(lines), len(over))
			}
		}
		return nil
	})
	return blocks
}
