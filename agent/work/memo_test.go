package work

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// blank is a memory of nothing.
type blank struct{}

func (blank) LastDecided(fleet.TaskID) (time.Time, bool) { return time.Time{}, false }
func (blank) Counted(fleet.TaskID) uint64                { return 0 }
func (blank) Counting() []fleet.TaskID                   { return nil }
func (blank) OrderDecided(fleet.OrderID) bool            { return false }
func (blank) Recall(fleet.TaskID) []byte                 { return nil }

// TestTheJournalTakesEveryMemo fills the memos of a daemon that crashes without
// end, and of a breaker that counts as many failures as it may, to the brim.
func TestTheJournalTakesEveryMemo(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 123456789, time.UTC)
	host := fleet.HostID(strings.Repeat("0", 32))
	long := strings.Repeat("<", 1024) // which takes six bytes each
	largest := map[fleet.TaskID]int{}
	state := scheduler.NewState(host, blank{}, scheduler.Life{Started: now})
	step := func(event scheduler.Event) (begun []scheduler.Due) {
		for _, action := range state.Step(now, event) {
			switch a := action.(type) {
			case scheduler.Remember:
				largest[a.Task] = max(largest[a.Task], len(a.Memo))
			case scheduler.Begin:
				begun = append(begun, a.Due)
			}
		}
		return begun
	}
	daemon := fleet.Task{Namespace: "a", Name: "daemon", On: fleet.Trigger{Daemon: true}}
	daemon.Restart.GiveUp = fleet.Frequency{Times: 65535, Per: fleet.Duration(1000 * time.Hour)}
	job := fleet.Task{Namespace: "a", Name: "job", On: fleet.Trigger{Every: fleet.Duration(time.Minute)}}
	job.Breaker = fleet.Breaker{Failures: 1000, Rate: 0.99, Window: fleet.Duration(10000 * time.Hour)}
	plan := scheduler.PlanChanged{Assignments: []fleet.Assignment{
		{Task: daemon, State: fleet.TaskEnabled, Generation: 1, Since: now}, {Task: job, State: fleet.TaskEnabled, Generation: 1, Since: now},
	}}
	begun := step(plan)
	for i := range 1100 {
		exit := 1
		for _, due := range begun {
			run := due.Record(host)
			run.State, run.Exit, run.Ended, run.Detail = fleet.RunRan, &exit, &now, long
			if due.Whole && i%3 == 0 {
				step(scheduler.Condemned{Task: daemon.ID(), Run: due.Run, Reason: fleet.RanUnhealthy, Detail: long})
			}
			step(scheduler.RunEnded{Run: run})
		}
		kind := []fleet.OrderKind{fleet.OrderStop, fleet.OrderStart}[i%2]
		if i > 1000 {
			plan.Orders = []fleet.Order{{ID: fleet.OrderID(fmt.Sprint(i)), Kind: kind, Task: daemon.ID(), By: long[:200], Reason: long, Expires: now.Add(time.Hour)}}
			step(plan)
		}
		now = now.Add(6 * time.Minute)
		begun = step(scheduler.Tick{})
	}
	for task, bytes := range largest {
		t.Logf("%s: %d bytes", task, bytes)
		if bytes > journal.MaxMemo {
			t.Errorf("the memo of %s takes %d bytes, and the journal takes %d at most", task, bytes, journal.MaxMemo)
		}
	}
}
