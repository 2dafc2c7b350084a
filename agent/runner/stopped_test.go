package runner

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// A step has the rights of the command's user, who may stop it, so that it gets
// no further than that.

// stoppedStep lets every step stop itself, and tells its process number.
func stoppedStep(t *testing.T, b *bench) (line func() string) {
	t.Helper()
	path, line := fifo(t)
	script := filepath.Join(b.dir, "step")
	write(t, script, "#!/bin/sh\necho $$ > "+path+"\nkill -STOP $$\n", 0o755)
	b.config.Step = append([]string{script}, steppedBy[1:]...)
	return line
}

func limited(b *bench) Spec {
	spec := b.spec(sh("echo executed"))
	spec.Limits.Rlimits = map[string]uint64{"nofile": 100}
	spec.Limits.Grace = fleet.Duration(time.Hour)
	spec.Retry = fleet.Retry{Attempts: 3}
	return spec
}

// TestARunIsCancelledWhoseStepIsStopped: nothing waits for it, and no attempt
// follows.
func TestARunIsCancelledWhoseStepIsStopped(t *testing.T) {
	b := newBench(t)
	line := stoppedStep(t, b)
	b.birth = time.Hour
	spec := limited(b)
	b.begin(spec)
	step := whole(t, pids(t, line())[0])
	if !b.Cancel(spec.Run.ID, "operator asked") {
		t.Fatal("no such run")
	}
	got := b.wait()
	if got.State != fleet.RunMissed || !got.Cancelled || got.Again != nil || !strings.HasPrefix(got.Detail, "operator asked") {
		t.Errorf("%+v", got)
	}
	<-step.gone
	b.config.Step = steppedBy
	if next := b.run(limited(b)); !next.Succeeded() {
		t.Errorf("the next run: %+v", next)
	}
}

// TestAStoppedStepIsNotWaitedForForever: where nobody cancels it, it is given up
// like everything that does not get as far as its program.
func TestAStoppedStepIsNotWaitedForForever(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			line := stoppedStep(t, b)
			b.birth = 200 * time.Millisecond
			spec := limited(b)
			spec.Retry = fleet.Retry{}
			b.begin(spec)
			step := whole(t, pids(t, line())[0])
			got := b.wait()
			if got.State != fleet.RunMissed || got.Reason != fleet.MissedForkFailed || !strings.Contains(got.Detail, "somebody has stopped the start") {
				t.Errorf("%+v", got)
			}
			<-step.gone
		})
	}
}
