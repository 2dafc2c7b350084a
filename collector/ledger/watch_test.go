package ledger

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// woken reports which of the topics change when the commands are applied.
func (b *bench) woken(topics []Topic, commands ...Command) []Topic {
	b.t.Helper()
	channels := make([]<-chan struct{}, len(topics))
	for i, topic := range topics {
		_, channels[i] = b.Watch(topic)
	}
	b.must(commands...)
	var woken []Topic
	for i, topic := range topics {
		index, _ := b.Watch(topic)
		select {
		case <-channels[i]:
			woken = append(woken, topic)
			if index != b.next {
				b.t.Errorf("%v changed at %d, Watch says %d", topic, b.next, index)
			}
		default:
			if index == b.next {
				b.t.Errorf("%v did not change, Watch says %d", topic, index)
			}
		}
	}
	return woken
}

func TestWatch(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1, "role", "db"), At: noon}, &RegisterHost{Host: testHost(2, "role", "web"), At: noon},
		testTask("first", "role=db"), testTask("second", "role=web"))
	db, web := PlanOf(hostID(1)), PlanOf(hostID(2))
	topics := []Topic{Hosts, Jobs, Tasks, Runs, Orders, Collectors, Generations, db, web, RunsOf("default/a"), RunsOf("default/a2")}
	moved := testTask("a", "role=web")
	for _, step := range []struct {
		name    string
		command Command
		want    []Topic
	}{
		{"a task of one host", testTask("a", "role=db"), []Topic{Tasks, db}},
		{"the same task again", testTask("a", "role=db"), nil},
		{"the task moves to the other", moved, []Topic{Tasks, db, web}},
		{"it is paused", &SetTaskState{ID: "default/a", State: fleet.TaskPaused, At: noon}, []Topic{Tasks, web}},
		{"an order", &PutOrders{Orders: []fleet.Order{testOrder("o1", 1, "default/a")}, At: noon}, []Topic{Orders, db}},
		{"the same order again", &PutOrders{Orders: []fleet.Order{testOrder("o1", 1, "default/a")}, At: noon}, nil},
		{"a run", recordRun1(1, testRun(1, "default/a", fleet.RunRan)), []Topic{Runs, RunsOf("default/a")}},
		{"the run again", recordRun1(1, testRun(1, "default/a", fleet.RunRan)), nil},
		{"a report", testReport(1, testJob(1)), []Topic{Jobs}},
		{"the report again", testReport(1, testJob(1)), nil},
		{"a host without another plan", &RegisterHost{Host: testHost(1, "role", "db", "x", "y"), At: noon}, []Topic{Hosts}},
		{"a host with another plan", &RegisterHost{Host: testHost(1, "role", "none"), At: noon}, []Topic{Hosts, db}},
		{"generations", &RecordApplied{Applied: fleet.Applied{Host: hostID(1), At: noon, Generations: map[fleet.TaskID]uint64{"default/a": 1}}}, []Topic{Generations}},
		{"a collector", &PutCollector{ID: "a", At: noon}, []Topic{Collectors}},
		{"nothing pruned", &Prune{At: noon, RunsBefore: noon}, nil},
		{"the task retires", &SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon}, []Topic{Tasks, Orders, db, web}},
	} {
		if got := l.woken(topics, step.command); !slices.Equal(got, step.want) {
			t.Errorf("%s wakes %v, want %v", step.name, got, step.want)
		}
	}
}

func TestWatchAfterAStart(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"))
	l.reopen()
	if index, _ := l.Watch(PlanOf(hostID(1))); index != 2 {
		t.Errorf("after a start a plan counts from %d, want 2", index)
	}
}

// TestWatchWakesTheWaiting is the blocking query: read, wait, read again.
func TestWatchWakesTheWaiting(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	put, err := Encode(testTask("a", "*"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan fleet.Plan, 1)
		_, changed := l.Watch(PlanOf(hostID(1)))
		go func() {
			<-changed
			plan, err := l.Plan(everywhere, hostID(1))
			if err != nil {
				t.Error(err)
			}
			seen <- plan
		}()
		synctest.Wait()
		l.Apply([]Entry{{Index: 2, Term: 1, Data: put}})
		if plan := <-seen; plan.Index != 2 || len(plan.Assignments) != 1 {
			t.Errorf("who was woken saw %+v", plan)
		}
	})
}
