//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/author"
)

// TestWhatACommandSaysIsSeenAndKept lets a command say how far it is, with the
// program that is there for it: everybody sees it, the agent's death changes
// nothing, and the next attempt goes on where the first one ended.
func TestWhatACommandSaysIsSeenAndKept(t *testing.T) {
	c := newCluster(t, 1, 1)
	notify, sign := binary(t, "fleetcron-agent")+" notify", filepath.Join(c.dir, "go")
	c.put(t.Context(), "import", fmt.Sprintf(`task: import
on: {manual: true}
run:
  command: |
    if [ "$FLEETCRON_ATTEMPT" = 2 ]; then echo "on from $FLEETCRON_CHECKPOINT"; exit 0; fi
    %[1]s --progress 40 loading || exit 9
    while [ ! -e %[2]s ] && [ -d %[3]s ]; do sleep 0.1; done
    %[1]s --checkpoint "row 7" || exit 9
    exit 5
where: {labels: role=test}
retry: {attempts: 2, base: 1ms}
limits: {stall: 5m}
`, notify, sign, c.dir))
	c.applied("default/import")
	if _, err := c.author.Run(t.Context(), "default/import", nil, author.Options{}); err != nil {
		t.Fatal(err)
	}
	shown := func(ctx context.Context) error {
		live, err := c.client.Live(ctx, "host-1")
		if err != nil {
			return err
		}
		if len(live.Runs) != 1 || live.Runs[0].Progress == nil || *live.Runs[0].Progress != 40 || live.Runs[0].Message != "loading" {
			return fmt.Errorf("%+v", live.Runs)
		}
		return nil
	}
	c.eventually("its progress", shown)
	c.agents[0].kill(syscall.SIGKILL)
	c.agents[0].start()
	c.eventually("its progress, told by another agent", shown)
	c.write("go", "")
	runs := c.ran("default/import", 1)
	for _, run := range runs {
		if run.Exit == nil || *run.Exit != map[int]int{1: 5, 2: 0}[run.Attempt] || (run.Again != nil) != (run.Attempt == 1) {
			t.Errorf("%+v", run)
		}
		if run.Attempt == 1 {
			continue
		}
		var output bytes.Buffer
		if err := c.client.Output(t.Context(), run.ID, "stdout", &output); err != nil || output.String() != "on from row 7\n" {
			t.Errorf("the second attempt said %q, %v", output.String(), err)
		}
	}
	if len(runs) != 2 {
		t.Errorf("%d runs", len(runs))
	}
}
