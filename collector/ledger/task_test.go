package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func ifIndex(n uint64) *uint64 { return &n }

func TestPutTask(t *testing.T) {
	l := newLedger(t)
	first := l.must(testTask("a", "role=db")).(fleet.TaskRecord)
	want := fleet.TaskRecord{
		Task: testTask("a", "role=db").Task, State: fleet.TaskEnabled, Generation: 1,
		Document: []byte("task: a\n"), MediaType: api.MediaYAML, Created: noon, Changed: noon, ChangedBy: "ann", Index: 1,
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Fatal(diff)
	}
	if again := l.must(testTask("a", "role=db")).(fleet.TaskRecord); again.Index != 1 || again.Generation != 1 {
		t.Errorf("the same task again: index %d, generation %d; want 1, 1", again.Index, again.Generation)
	}

	// The same meaning in other bytes is a change: the bytes are what is signed.
	spaced := testTask("a", "role=db")
	spaced.Document, spaced.At = []byte("task:  a\n"), noon.Add(time.Hour)
	second := l.must(spaced).(fleet.TaskRecord)
	if second.Generation != 2 || second.Index != 3 || !second.Created.Equal(noon) || !second.Changed.Equal(spaced.At) {
		t.Errorf("after a change: %+v", second)
	}
	slow := testTask("c", "*")
	slow.Document, slow.At = []byte("later"), noon.Add(-time.Hour)
	l.must(testTask("c", "*"))
	if got := l.must(slow).(fleet.TaskRecord); !got.Changed.Equal(noon) || got.Generation != 2 {
		t.Errorf("changed by a proposer whose clock is slow: %+v", got)
	}
	l.refused("exists", withIndex(testTask("a", "*"), 0))
	l.refused("stale", withIndex(testTask("a", "*"), 1))
	l.refused("stale", withIndex(testTask("b", "*"), 3))
	l.refused("invalid", testTask("Not A Name", "*"))
	l.must(withIndex(testTask("a", "*"), 3), withIndex(testTask("b", "*"), 0))
}

func withIndex(put *PutTask, index uint64) *PutTask {
	put.IfIndex = ifIndex(index)
	return put
}

// TestSetTaskState tries every move between every two states.
func TestSetTaskState(t *testing.T) {
	for from, moves := range fleet.TaskMoves {
		for to := range fleet.TaskMoves {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				l := newLedger(t)
				l.must(testTask("a", "*"))
				if from != fleet.TaskEnabled {
					l.must(&SetTaskState{ID: "default/a", State: from, At: noon})
				}
				move := &SetTaskState{ID: "default/a", State: to, At: noon.Add(time.Minute), Actor: "bob", Reason: "because"}
				legal := from == to
				for _, state := range moves {
					legal = legal || state == to
				}
				switch {
				case from == fleet.TaskRetired: // it is not there; only PutTask brings it back
					l.refused("not_found", move)
				case !legal:
					l.refused("illegal_move", move)
				default:
					got := l.must(move).(fleet.TaskRecord)
					if got.State != to || got.Generation != 1 || from != to && (got.ChangedBy != "bob" || got.Reason != "because" || got.Index != l.next) {
						t.Errorf("%+v", got)
					}
				}
			})
		}
	}
	l := newLedger(t)
	l.must(testTask("a", "*"))
	l.refused("not_found", &SetTaskState{ID: "default/b", State: fleet.TaskPaused})
	l.refused("not_found", &SetTaskState{State: fleet.TaskPaused})
	l.refused("illegal_move", &SetTaskState{ID: "default/a", State: "asleep"})
	l.refused("stale", &SetTaskState{ID: "default/a", State: fleet.TaskPaused, IfIndex: ifIndex(99)})
	l.must(&SetTaskState{ID: "default/a", State: fleet.TaskPaused, IfIndex: ifIndex(1)})
}

func TestRetiredTask(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("foo", "*"), testTask("foo2", "*"),
		&PutOrders{Orders: []fleet.Order{testOrder("o1", 1, "default/foo"), testOrder("o2", 1, "default/foo2")}, At: noon},
		recordRun1(1, testRun(1, "default/foo", fleet.RunRan), testRun(2, "default/foo2", fleet.RunRan)),
		&SetTaskState{ID: "default/foo", State: fleet.TaskRetired, At: noon},
	)
	if _, err := l.Task(everywhere, "default/foo"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a retired task is still there: %v", err)
	}
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil || len(plan.Assignments) != 1 || plan.Assignments[0].Task.Name != "foo2" || len(plan.Orders) != 1 || plan.Orders[0].ID != "o2" {
		t.Errorf("plan without foo: %+v, %v", plan, err)
	}
	for task, want := range map[fleet.TaskID]int{"default/foo": 1, "default/foo2": 1} {
		if list, err := l.Runs(everywhere, api.RunQuery{Task: task}); err != nil || len(list.Items) != want {
			t.Errorf("%s has %d runs, %v; want %d", task, len(list.Items), err, want)
		}
	}
	list, err := l.Tasks(everywhere, api.TaskQuery{State: fleet.TaskRetired})
	if err != nil || len(list.Items) != 1 || list.Items[0].Task.Name != "foo" {
		t.Errorf("retired tasks: %+v, %v", list, err)
	}
	back := l.must(withIndex(testTask("foo", "*"), 0)).(fleet.TaskRecord)
	if back.Generation != 2 || back.State != fleet.TaskEnabled {
		t.Errorf("the task of that name counts on: %+v", back)
	}
}

func TestPausedTaskStaysPaused(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"), &SetTaskState{ID: "default/a", State: fleet.TaskPaused, At: noon})
	changed := testTask("a", "*")
	changed.Document = []byte("another")
	if got := l.must(changed).(fleet.TaskRecord); got.State != fleet.TaskPaused || got.Generation != 2 {
		t.Errorf("%+v", got)
	}
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil || len(plan.Assignments) != 1 || plan.Assignments[0].State != fleet.TaskPaused {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestPlan(t *testing.T) {
	l := newLedger(t)
	early := testTask("early", "role=db")
	early.At = noon.Add(-time.Hour)
	l.must(early, &RegisterHost{Host: testHost(1, "role", "db"), At: noon}, &RegisterHost{Host: testHost(2, "role", "web"), At: noon})
	late := testTask("late", "role=db")
	late.At = noon.Add(time.Hour)
	l.must(late, testTask("other", "role=web"))
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Assignment{
		{Task: early.Task, State: fleet.TaskEnabled, Generation: 1, Document: early.Document, MediaType: early.MediaType, Since: noon},
		{Task: late.Task, State: fleet.TaskEnabled, Generation: 1, Document: late.Document, MediaType: late.MediaType, Since: late.At},
	}
	if diff := cmp.Diff(want, plan.Assignments); diff != "" || plan.Index != 5 || plan.Orders == nil {
		t.Errorf("index %d: %s", plan.Index, diff)
	}
	// What was due is not moved when the host says something new about itself.
	l.must(&RegisterHost{Host: testHost(1, "role", "db", "env", "dev"), At: noon.Add(2 * time.Hour)})
	if plan, _ := l.Plan(everywhere, hostID(1)); !plan.Assignments[0].Since.Equal(noon) {
		t.Errorf("Since moved to %v", plan.Assignments[0].Since)
	}
	if _, err := l.Plan(everywhere, hostID(9)); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("the plan of no host: %v", err)
	}
	if n := l.Assigned(everywhere, hostID(1)); n != 2 {
		t.Errorf("Assigned = %d, want 2", n)
	}
	if hosts := l.Matching(everywhere, &late.Task); len(hosts) != 1 || hosts[0].ID != hostID(1) {
		t.Errorf("Matching = %v", hosts)
	}
}

func testOrder(id fleet.OrderID, host int, task fleet.TaskID) fleet.Order {
	return fleet.Order{ID: id, Kind: fleet.OrderRun, Host: hostID(host), Task: task, Due: noon, Expires: noon.Add(time.Hour), By: "ann"}
}

func TestOrders(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RegisterHost{Host: testHost(2), At: noon}, testTask("a", "*"))
	put := func(orders ...fleet.Order) *PutOrders { return &PutOrders{Orders: orders, At: noon} }
	good := testOrder("o1", 1, "default/a")
	strange := good
	strange.Kind = "dance"
	l.refused("unknown_host", put(good, testOrder("o2", 9, "default/a")))
	l.refused("not_found", put(good, testOrder("o2", 1, "default/b")))
	l.refused("invalid", put(good, testOrder("", 1, "default/a")))
	l.refused("invalid", put(good, strange))
	written := l.must(put(good, testOrder("o2", 2, "default/a"))).([]fleet.Order)
	if len(written) != 2 || !cmp.Equal(written[0], good) {
		t.Errorf("%+v", written)
	}
	other := good
	other.Reason = "again"
	if again := l.must(put(other)).([]fleet.Order); !cmp.Equal(again[0], good) {
		t.Errorf("an order that was known was changed: %+v", again[0])
	}
	l.refused("not_found", &DropOrder{Host: hostID(1), ID: "o2"})
	l.must(&DropOrder{Host: hostID(2), ID: "o2"})

	// The agent reports the run of the order: it has ended.
	begun := testRun(1, "default/a", fleet.RunBegun)
	begun.Order = "o1"
	l.must(recordRun1(1, begun))
	if orders, err := l.Orders(everywhere, hostID(1)); err != nil || len(orders) != 0 {
		t.Errorf("after the run began: %+v, %v", orders, err)
	}
	cancel := fleet.Order{ID: "c1", Kind: fleet.OrderCancel, Host: hostID(1), Task: "default/a", Run: begun.ID, Expires: noon.Add(time.Hour)}
	elsewhere, nothing := cancel, cancel
	elsewhere.Host, nothing.Run = hostID(2), ""
	l.refused("conflict", put(elsewhere))
	l.refused("invalid", put(nothing))
	l.must(put(cancel), recordRun1(2, testRun(1, "default/a", fleet.RunRunning)))
	if orders, err := l.Orders(everywhere, hostID(1)); err != nil || len(orders) != 1 {
		t.Errorf("while the run goes on: %+v, %v", orders, err)
	}
	l.must(recordRun1(3, testRun(1, "default/a", fleet.RunRan)))
	if orders, err := l.Orders(everywhere, hostID(1)); err != nil || len(orders) != 0 {
		t.Errorf("after the run ended: %+v, %v", orders, err)
	}
	l.refused("illegal_move", put(cancel))
	if list, err := l.Runs(everywhere, api.RunQuery{Order: "o1"}); err != nil || len(list.Items) != 1 || list.Items[0].State != fleet.RunRan {
		t.Errorf("the run of the order: %+v, %v", list.Items, err)
	}
}

func TestRecordApplied(t *testing.T) {
	l := newLedger(t)
	applied := fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/a": 1}, At: noon}
	l.refused("unknown_host", &RecordApplied{Applied: applied})
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RecordApplied{Applied: applied})
	older := applied
	older.At, older.Generations = noon.Add(-time.Second), map[fleet.TaskID]uint64{"default/a": 0}
	l.refused("stale", &RecordApplied{Applied: older})
	same := applied
	same.At = noon.Add(time.Hour)
	l.must(&RecordApplied{Applied: same})
	want := applied
	want.Since = map[fleet.TaskID]time.Time{"default/a": noon}
	if got, err := l.AppliedBy(everywhere, hostID(1)); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v: the same generations were written again", got, err)
	}
	// A generation keeps the instant at which it was taken over.
	want = fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/a": 1, "default/b": 3}, At: noon.Add(2 * time.Hour)}
	l.must(&RecordApplied{Applied: want})
	want.Since = map[fleet.TaskID]time.Time{"default/a": noon, "default/b": want.At}
	if got, err := l.AppliedBy(everywhere, hostID(1)); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAssignedFollowsThePlan asks after each change, so that what was counted
// before has to follow.
func TestAssignedFollowsThePlan(t *testing.T) {
	l := newLedger(t)
	for _, command := range []Command{
		&RegisterHost{Host: testHost(1, "role", "db"), At: noon}, &RegisterHost{Host: testHost(2, "role", "web"), At: noon},
		testTask("a", "role=db"), testTask("b", "*"), testTask("c", "role=web"),
		testTask("a", "role=web"), testTask("a", "*"),
		&SetTaskState{ID: "default/b", State: fleet.TaskPaused, At: noon},
		&SetTaskState{ID: "default/b", State: fleet.TaskRetired, At: noon},
		&RegisterHost{Host: testHost(2, "role", "db"), At: noon},
		testReport(2, testJob(1)), testTask("b", "role=db"),
	} {
		l.must(command)
		for n := 1; n <= 3; n++ {
			plan, _ := l.Plan(everywhere, hostID(n)) // of the third there is none
			if got := l.Assigned(everywhere, hostID(n)); got != len(plan.Assignments) {
				t.Errorf("after %T host %d has %d tasks, its plan %d", command, n, got, len(plan.Assignments))
			}
		}
	}
	if got := l.Assigned(everywhere, hostID(2)); got != 2 {
		t.Errorf("host 2 has %d tasks in the end", got)
	}
}

func TestTasks(t *testing.T) {
	l := newLedger(t)
	for _, name := range []string{"c", "a", "b"} {
		l.must(testTask(name, "role="+name))
	}
	other := testTask("a", "*")
	other.Task.Namespace, other.Task.Owner = "data", "Team"
	l.must(other, &RegisterHost{Host: testHost(1, "role", "b"), At: noon}, &SetTaskState{ID: "default/c", State: fleet.TaskPaused, At: noon})
	for name, c := range map[string]struct {
		q    api.TaskQuery
		want []fleet.TaskID
	}{
		"all":       {api.TaskQuery{}, []fleet.TaskID{"data/a", "default/a", "default/b", "default/c"}},
		"namespace": {api.TaskQuery{Namespace: "data"}, []fleet.TaskID{"data/a"}},
		"host":      {api.TaskQuery{Host: "host-1"}, []fleet.TaskID{"data/a", "default/b"}},
		"state":     {api.TaskQuery{State: fleet.TaskPaused}, []fleet.TaskID{"default/c"}},
		"text":      {api.TaskQuery{Text: "team"}, []fleet.TaskID{"data/a"}},
		"command":   {api.TaskQuery{Text: "bin/true b"}, []fleet.TaskID{"default/b"}},
	} {
		for limit := 1; limit <= 5; limit++ {
			q, got := c.q, []fleet.TaskID{}
			for q.Limit = limit; ; {
				list, err := l.Tasks(everywhere, q)
				if err != nil || list.Total != len(c.want) || len(list.Items) > limit {
					t.Fatalf("%s: %+v, %v", name, list, err)
				}
				for _, task := range list.Items {
					got = append(got, task.Task.ID())
				}
				if q.After = list.Next; q.After == "" {
					break
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s by %d: %s", name, limit, diff)
			}
		}
	}
	if _, err := l.Tasks(everywhere, api.TaskQuery{Host: "nobody"}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("tasks of no host: %v", err)
	}
}
