package turn

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhoDependsOnARunHearsWhatItWaitsFor tells of each change, and of its end.
func TestWhoDependsOnARunHearsWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ready atomic.Bool
		var heard []string
		r := newRoom(newPlaces(0), func(c *Config) {
			c.Waits = func(run *fleet.Run, why string) { heard = append(heard, string(run.ID)+": "+why) }
		})
		defer r.Close()
		r.checks = func([]string) (string, error) {
			if ready.Load() {
				return "", nil
			}
			return "", errors.New("exit status 1")
		}
		task := &fleet.Task{Name: "a", On: fleet.Trigger{Daemon: true}, WaitFor: fleet.WaitFor{Command: []string{"/bin/up"}}}
		ask := r.ask("r1", task)
		ask.Run.Detail = "started again after exit 1"
		r.begin(t, ask)
		synctest.Wait()
		ready.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !r.began("r1") {
			t.Fatal("it did not begin")
		}
		want := []string{
			"r1: waits for what the task needs: command /bin/up",
			"r1: waits for what the task needs: command /bin/up: exit status 1",
			"r1: ",
		}
		if diff := cmp.Diff(want, withoutTurn(heard)); diff != "" {
			t.Error(diff)
		}
	})
}

// withoutTurn leaves out the wait for a slot, which lasts no time.
func withoutTurn(heard []string) (out []string) {
	for _, line := range heard {
		if line != "r1: waits for its turn: at most 1024 runs at once, 1000 begins a second" {
			out = append(out, line)
		}
	}
	return out
}
