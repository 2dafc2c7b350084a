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

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ran waits until the task has so many successful runs, and returns all its runs.
func (c *cluster) ran(task fleet.TaskID, want int) (runs []api.RunView) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d runs of %s", want, task), func(ctx context.Context) error {
		list, err := c.client.Runs(ctx, api.RunQuery{Task: task})
		if err != nil {
			return err
		}
		good := 0
		for i := range list.Items {
			if list.Items[i].Succeeded() {
				good++
			}
		}
		if runs = list.Items; good < want {
			return fmt.Errorf("%d so far: %+v", good, list.Items)
		}
		return nil
	})
	return runs
}

// applied waits until every host of a task has it.
func (c *cluster) applied(task fleet.TaskID) {
	c.t.Helper()
	c.eventually("hosts with "+string(task), func(ctx context.Context) error {
		hosts, err := c.client.TaskHosts(ctx, task)
		for _, host := range hosts {
			if host.Applied == 0 {
				return fmt.Errorf("%s lacks it", host.Name)
			}
		}
		return err
	})
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// TestTasksRunWhenSomethingHappens raises an event, calls a webhook and makes a
// file, and finds each task run once where it should.
func TestTasksRunWhenSomethingHappens(t *testing.T) {
	c := newCluster(t, 1, 2)
	probe := filepath.Join(c.dir, "probe")
	command := fmt.Sprintf(`command: 'echo "$FLEETCRON_CAUSE|$FLEETCRON_PAYLOAD" >> %s'`, probe)
	c.put(t.Context(), "on-event", "task: on-event\non: {event: deployed}\nrun: {"+command+"}\nwhere: {labels: role=test}\n")
	c.put(t.Context(), "on-hook", "task: on-hook\non: {webhook: true}\nrun: {"+command+"}\nwhere: {hosts: [host-1]}\n")
	c.put(t.Context(), "on-file", fmt.Sprintf("task: on-file\non: {file: '%s/in/*.csv'}\nrun: {%s}\nwhere: {hosts: [host-2]}\n", c.dir, command))
	for _, task := range []fleet.TaskID{"default/on-event", "default/on-hook", "default/on-file"} {
		c.applied(task)
	}
	ordered, err := c.author.Event(t.Context(), "deployed", `{"version":"1.2"}`, author.Options{Reason: "release"})
	if err != nil || len(ordered.Orders) != 2 {
		t.Fatalf("%+v, %v", ordered, err)
	}
	c.ran("default/on-event", 2)
	if _, err := c.client.Hook(t.Context(), "default/on-hook", nil); err != nil {
		t.Fatal(err)
	}
	c.ran("default/on-hook", 1)

	c.agents[1].kill(syscall.SIGKILL) // what happens while nobody looks is seen afterwards
	c.write("in/a.csv", "1,2\n")
	c.agents[1].start()
	c.ran("default/on-file", 1)

	got := strings.Join(lines(t, probe), "\n")
	want := strings.Join([]string{"event", `deployed|{"version":"1.2"}`, "event", `deployed|{"version":"1.2"}`, "webhook|{}", "file|" + c.dir + "/in/a.csv"}, "\n")
	if got != want {
		t.Errorf("the commands saw\n%s\nwant\n%s", got, want)
	}
	if _, err := c.author.Event(t.Context(), "nobody-waits", "", author.Options{}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("an event that nobody waits for: %v", err)
	}
	c.proveAccount()
}

// TestAMaximumHoldsInTheWholeFleet lets four hosts run a task of which two may
// run at once, kills the leader meanwhile, and looks at what ran side by side.
func TestAMaximumHoldsInTheWholeFleet(t *testing.T) {
	c := newCluster(t, 3, 4)
	probe := filepath.Join(c.dir, "probe")
	c.put(t.Context(), "narrow", fmt.Sprintf(`task: narrow
on: {event: go}
run: {command: 'echo + >> %[1]s; sleep 1; echo - >> %[1]s; test -n "$FLEETCRON_FENCE"'}
where: {labels: role=test}
limits: {fleet: 2, timeout: 10s, overlap: queue}
`, probe))
	c.applied("default/narrow")
	if _, err := c.author.Event(t.Context(), "go", "", author.Options{}); err != nil {
		t.Fatal(err)
	}
	leader := c.leader()
	leader.kill(syscall.SIGKILL)
	leader.start()
	runs := c.ran("default/narrow", 4)
	if len(runs) != 4 {
		t.Errorf("%d runs of one event on four hosts", len(runs))
	}
	at := 0
	for i, step := range lines(t, probe) {
		if step == "+" {
			at++
		} else {
			at--
		}
		if at > 2 {
			t.Errorf("%d ran side by side at step %d: %v", at, i, lines(t, probe))
		}
	}
	if at != 0 {
		t.Errorf("%d have not ended", at)
	}
	c.proveAccount()
}
