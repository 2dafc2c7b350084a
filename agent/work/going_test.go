package work

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhoIsWaitedFor when an agent ends: not for daemons, which would never end.
func TestWhoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoing()
		g.begin("daemon", &fleet.Task{On: fleet.Trigger{Daemon: true}})
		g.begin("run", &fleet.Task{})
		g.begin("unknown", nil)
		go func() {
			time.Sleep(time.Minute)
			g.over("run")
			time.Sleep(time.Minute)
			g.over("unknown")
		}()
		begin := time.Now()
		if left := g.wait(t.Context(), ends); left != 0 || time.Since(begin) != 2*time.Minute {
			t.Errorf("%d left after %s", left, time.Since(begin))
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if left := g.wait(limited, every); left != 1 {
			t.Errorf("%d left, want the daemon", left)
		}
		if g.task("daemon") == nil || g.task("run") != nil {
			t.Error("the wrong tasks are known")
		}
	})
}
