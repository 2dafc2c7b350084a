//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// smallDisk mounts a disk of the size on the directory. Only root can.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Fatalf("mount a small disk (needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// TestFullDiskOfACollector writes tasks until the disk is full. Whoever writes
// hears of it in a sentence; with space again, every task that was
// acknowledged is there and writes go on.
func TestFullDiskOfACollector(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
	data := filepath.Join(c.dir, "c1")
	smallDisk(t, data, "24m")
	c.begin(1)
	document := func(name string) []byte {
		return []byte(fmt.Sprintf("task: %s\ndescription: %s\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=none}\n", name, strings.Repeat("x", 4000)))
	}
	put := func(ctx context.Context, name string) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := c.author.Task(ctx, document(name), api.MediaYAML, "", author.Options{Unmatched: true})
		return err
	}
	full := func() bool { // what the machine has no time for is refused as well
		text, err := os.ReadFile(c.collectors[0].log)
		return err == nil && strings.Contains(string(text), "no space left on device")
	}
	var acknowledged []fleet.TaskID
	var refusal error
	for n, refused := 0, 0; (refusal == nil || !full()) && refused < 12 && n < 20_000; n++ {
		name := fmt.Sprintf("t%d", n)
		if refusal = put(t.Context(), name); refusal == nil {
			acknowledged = append(acknowledged, fleet.NewTaskID("", name))
		} else {
			refused++
		}
	}
	if refusal == nil || len(acknowledged) < 100 {
		t.Fatalf("%d tasks, then %v", len(acknowledged), refusal)
	}
	t.Logf("after %d tasks: %v", len(acknowledged), refusal)
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT, "mode=0700,size=256m"); err != nil {
		t.Fatal(err)
	}
	c.collectors[0].kill(syscall.SIGTERM) // it may have ended itself
	if !full() {
		t.Error("the log does not say that the disk is full")
	}
	c.collectors[0].start()
	c.leader()
	for _, id := range acknowledged {
		if _, err := c.client.Task(t.Context(), id); err != nil {
			t.Fatalf("acknowledged task %s is lost: %v", id, err)
		}
	}
	c.eventually("a write with space again", func(ctx context.Context) error { return put(ctx, "afterwards") })
}

// TestFullDiskOfAnAgent fills the agent's disk under it: it lives on, and every
// instant has an outcome, from the space that the journal set aside or as
// missed when that is used up.
func TestFullDiskOfAnAgent(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
	state := filepath.Join(c.dir, "a1")
	smallDisk(t, state, "64m")
	c.begin(1)
	c.addAgents(1)
	probe := filepath.Join(c.dir, "probe")
	c.put(t.Context(), "beat", fmt.Sprintf("task: beat\non: {every: 1s}\nrun: {command: 'echo \"$FLEETCRON_OCCURRENCE\" >> %s'}\nwhere: {labels: role=test}\n", probe))
	c.eventually("a beat", func(context.Context) error { return atLeast(readProbe(t, probe), 2) })
	ballast := filepath.Join(state, "ballast")
	fill(t, ballast)
	pid := c.agents[0].cmd.Process.Pid
	full := time.Now()
	c.eventually("ten more instants to have an outcome", func(ctx context.Context) error {
		runs, err := c.client.Runs(ctx, api.RunQuery{Task: "default/beat", Since: full})
		if err != nil {
			return err
		}
		settled := 0
		for _, run := range runs.Items {
			if run.State.Terminal() {
				settled += run.Instants()
			}
		}
		if settled < 10 {
			return fmt.Errorf("%d of them", settled)
		}
		return nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if c.agents[0].cmd.Process.Pid != pid || syscall.Kill(pid, 0) != nil {
		t.Fatal("the agent ended because of a full disk")
	}
	n := len(readProbe(t, probe))
	c.eventually("beats with space again", func(context.Context) error { return atLeast(readProbe(t, probe), n+2) })
	c.checkBeats(probe)
}

// fill writes a file until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 1<<20); err == nil; {
		_, err = file.Write(block)
	}
	for err = nil; err == nil; {
		_, err = file.Write(make([]byte, 512))
	}
}
