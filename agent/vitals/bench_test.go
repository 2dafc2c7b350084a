package vitals

import (
	"fmt"
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const manyRuns = 200

// crowd is a host with 200 runs that sleep, one process each.
type crowd struct {
	host
	pids map[fleet.RunID][]int
}

func (c *crowd) Families([]fleet.RunID) map[fleet.RunID][]int { return c.pids }

func newCrowd(b *testing.B) (*Vitals, *crowd) {
	c := &crowd{pids: map[fleet.RunID][]int{}}
	c.dir = b.TempDir()
	task := &fleet.Task{Name: "d", Limits: fleet.Limits{Stall: fleet.Duration(time.Hour)}}
	for i := range manyRuns {
		command := exec.CommandContext(b.Context(), "/bin/sleep", "1000")
		if err := command.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { command.Wait() })
		going := startsNow(fleet.RunID(fmt.Sprint("run-", i)), task)
		going.Run.PID = command.Process.Pid
		c.going = append(c.going, going)
		c.pids[going.Run.ID] = []int{command.Process.Pid}
	}
	return New(Config{
		Runs: c, Logger: slog.New(slog.DiscardHandler),
		Condemned: func(fleet.TaskID, fleet.RunID, fleet.Reason, string) {},
	}), c
}

// BenchmarkLook is what 200 runs cost once a second: their notes are looked at,
// and nobody has written any.
func BenchmarkLook(b *testing.B) {
	v, c := newCrowd(b)
	for _, going := range c.going {
		openNotes(b, c.Notes(going.Run.ID)).write("HEARTBEAT\n")
	}
	v.weighing = true // that is the other benchmark
	for b.Loop() {
		v.look(b.Context())
	}
}

// BenchmarkSample is what 200 runs cost once in ten seconds, but for finding
// their processes.
func BenchmarkSample(b *testing.B) {
	v, c := newCrowd(b)
	v.look(b.Context())
	v.work.Wait()
	for b.Loop() {
		uses := make(map[fleet.RunID]use, manyRuns)
		for run, pids := range c.pids {
			uses[run] = v.weighs(pids, 0)
		}
		v.state.step(time.Now(), measured{uses})
	}
}
