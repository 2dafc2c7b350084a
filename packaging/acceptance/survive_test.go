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

// TestWhatEndsWithoutItsAgentIsKnown kills an agent with -9 while one command
// waits and another one has a time limit. Both end before the next agent
// starts, and that one knows how, and when.
func TestWhatEndsWithoutItsAgentIsKnown(t *testing.T) {
	c := newCluster(t, 1, 1)
	path := func(name string) string { return filepath.Join(c.dir, name) }
	for _, name := range []string{"up", "go", "limited"} {
		if err := syscall.Mkfifo(path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tasks := []struct {
		id       fleet.TaskID
		document string
	}{ // that with the time limit last: it must not end before the agent does
		{"default/survivor", fmt.Sprintf("task: survivor\non: {manual: true}\nrun: {command: 'echo before; echo up > %s; read x < %s; echo after; exit 7'}\nwhere: {labels: role=test}\n", path("up"), path("go"))},
		{"default/limited", fmt.Sprintf("task: limited\non: {manual: true}\nrun: {command: 'echo up > %s; exec 9<>%s; read x <&9'}\nlimits: {timeout: 15s}\nwhere: {labels: role=test}\n", path("up"), path("limited"))},
	}
	for _, task := range tasks {
		c.put(t.Context(), string(task.id), task.document)
		c.applied(task.id)
	}
	for _, task := range tasks {
		if _, err := c.author.Run(t.Context(), task.id, nil, author.Options{}); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path("up")); err != nil || string(text) != "up\n" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	guardian := c.guardian()
	c.agents[0].kill(syscall.SIGKILL)
	killed := time.Now()
	if err := os.WriteFile(path("go"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.eventually("the guardian to end after its last command", func(context.Context) error {
		if _, err := os.Stat(guardian); err == nil {
			return fmt.Errorf("%s is there", guardian)
		}
		return nil
	})
	ended := time.Now()
	c.agents[0].start()
	for _, task := range tasks {
		id, run := task.id, c.ended(task.id)
		if run.State != fleet.RunRan || run.Ended == nil || run.Ended.Before(killed) || run.Ended.After(ended) {
			t.Errorf("%s: %+v, want it ended between %v and %v", id, run, killed, ended)
		}
		if limited := id == "default/limited"; limited != run.TimedOut || !limited && (run.Exit == nil || *run.Exit != 7) {
			t.Errorf("%s: %+v", id, run)
		}
		var output strings.Builder
		if id != "default/survivor" {
			continue
		}
		if err := c.client.Output(t.Context(), run.ID, "stdout", &output); err != nil || output.String() != "before\nafter\n" {
			t.Errorf("output %q, %v", &output, err)
		}
	}
}

// ended waits until a task's only run has an outcome.
func (c *cluster) ended(task fleet.TaskID) (run api.RunView) {
	c.t.Helper()
	c.eventually("an outcome of "+string(task), func(ctx context.Context) error {
		list, err := c.client.Runs(ctx, api.RunQuery{Task: task})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || !list.Items[0].State.Terminal() {
			return fmt.Errorf("%+v", list.Items)
		}
		run = list.Items[0]
		return nil
	})
	return run
}

// guardian returns the entry in /proc of the first agent's guardian.
func (c *cluster) guardian() string {
	c.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, entry := range entries {
		words, _ := os.ReadFile(entry + "/cmdline")
		stat, _ := os.ReadFile(entry + "/stat")
		_, tail, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(tail)
		if strings.HasSuffix(string(words), "\x00guardian\x00") && len(fields) > 1 && fields[1] == fmt.Sprint(c.agents[0].cmd.Process.Pid) {
			return entry
		}
	}
	c.t.Fatal("the agent has no guardian")
	return ""
}
