package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// daemon is a task that is kept up.
func daemon(name string) *PutTask {
	put := testTask(name, "*")
	put.Task.On = fleet.Trigger{Daemon: true}
	return put
}

func saidBy(host int, standings ...fleet.Standing) *RecordStandings {
	return &RecordStandings{Host: hostID(host), Standings: standings, At: noon}
}

func TestStandingsAreWhatEachHostSaidLast(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RegisterHost{Host: testHost(2), At: noon}, daemon("a"), daemon("b"))
	up := fleet.Standing{Task: "default/a", Since: noon, Phase: fleet.PhaseRunning, Restarts: 2, Health: fleet.Unhealthy}
	looping := fleet.Standing{Task: "default/a", Since: noon, Phase: fleet.PhaseCrashLoop, Restarts: 10, Breaker: fleet.BreakerHalfOpen}
	other := fleet.Standing{Task: "default/b", Since: noon, Phase: fleet.PhaseRunning}
	if woken := l.woken([]Topic{Standings}, saidBy(1, up, other), saidBy(2, looping)); len(woken) != 1 {
		t.Error("who waits was not woken")
	}
	want := StandingCount{Phases: map[fleet.Phase]int{fleet.PhaseRunning: 1, fleet.PhaseCrashLoop: 1}, Restarts: 12, Unhealthy: 1, Breakers: 1}
	if diff := cmp.Diff(want, l.StandingCounts(everywhere, "default/a")); diff != "" {
		t.Error(diff)
	}
	if got, at, found := l.StandsOf(everywhere, "default/b", hostID(1)); !found || got.Phase != fleet.PhaseRunning || !at.Equal(noon) {
		t.Errorf("%+v, %s, %v", got, at, found)
	}
	if _, _, found := l.StandsOf(everywhere, "default/b", hostID(2)); found {
		t.Error("host 2 never spoke of b")
	}
	if settled, err := l.Settled(hostID(1), []fleet.Standing{up, other}, nil); err != nil || !settled {
		t.Errorf("the same is said to change something: %v", err)
	}
	if settled, err := l.Settled(hostID(1), []fleet.Standing{up}, nil); err != nil || settled {
		t.Errorf("less is said to change nothing: %v", err)
	}
	if woken := l.woken([]Topic{Standings}, saidBy(1, up, other)); len(woken) != 0 {
		t.Error("the same standings woke who waits")
	}
	l.must(saidBy(2)) // host 2 has none any more
	if diff := cmp.Diff(StandingCount{Phases: map[fleet.Phase]int{fleet.PhaseRunning: 1}, Restarts: 2, Unhealthy: 1}, l.StandingCounts(everywhere, "default/a")); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []*RecordStandings{saidBy(1, other, up), saidBy(1, up, up), saidBy(1, fleet.Standing{})} {
		l.refused("invalid", bad)
	}
	l.refused("unknown_host", saidBy(9))
}

// TestOrdersAboutWhatIsKeptUp gives the orders that are carried out without a
// run, and ends them by the word of their host alone.
func TestOrdersAboutWhatIsKeptUp(t *testing.T) {
	l := newLedger(t)
	broken := testTask("broken", "*")
	broken.Task.Breaker.Failures = 5
	startup := testTask("startup", "*")
	startup.Task.On, startup.Task.Restart.Policy = fleet.Trigger{Startup: fleet.StartupBoot}, fleet.RestartAlways
	l.must(&RegisterHost{Host: testHost(1), At: noon}, daemon("a"), broken, startup, testTask("plain", "*"))
	for _, c := range []struct {
		kind fleet.OrderKind
		task fleet.TaskID
		ok   bool
	}{
		{fleet.OrderStart, "default/a", true}, {fleet.OrderStop, "default/a", true}, {fleet.OrderRestart, "default/a", true}, {fleet.OrderReset, "default/a", false},
		{fleet.OrderStop, "default/startup", true}, {fleet.OrderStop, "default/plain", false}, {fleet.OrderReset, "default/plain", false},
		{fleet.OrderReset, "default/broken", true}, {fleet.OrderRestart, "default/broken", false}, {"dance", "default/a", false},
	} {
		order := testOrder(fleet.OrderID(string(c.kind)+string(c.task)), 1, c.task)
		order.Kind, order.Run = c.kind, ""
		put := &PutOrders{Orders: []fleet.Order{order}, At: noon}
		if c.ok {
			l.must(put)
		} else {
			l.refused("invalid", put)
		}
	}
	unknown := testOrder("x", 1, "default/none")
	unknown.Kind = fleet.OrderStop
	l.refused("not_found", &PutOrders{Orders: []fleet.Order{unknown}, At: noon})
	run := testOrder("run", 1, "default/plain")
	l.must(&PutOrders{Orders: []fleet.Order{run}, At: noon})
	done := &RecordStandings{Host: hostID(1), At: noon, Done: []fleet.OrderID{"startdefault/a", "run", "stranger"}}
	if settled, err := l.Settled(done.Host, nil, done.Done); err != nil || settled {
		t.Errorf("that an order is carried out is news: %v", err)
	}
	if woken := l.woken([]Topic{PlanOf(hostID(1)), Standings}, done); len(woken) != 2 {
		t.Errorf("an order that is carried out wakes %v", woken)
	}
	if settled, err := l.Settled(done.Host, nil, done.Done); err != nil || !settled {
		t.Errorf("said again it is no news: %v", err)
	}
	orders, err := l.Orders(everywhere, hostID(1))
	if err != nil || len(orders) != 5 {
		t.Errorf("%d orders stay, want the three others, the reset and the run: %+v, %v", len(orders), orders, err)
	}
	open, err := l.StandingOrders(everywhere)
	if err != nil || len(open) != 4 {
		t.Errorf("%+v, %v", open, err)
	}
	l.must(&Prune{At: noon.Add(48 * time.Hour)})
	if orders, _ := l.Orders(everywhere, hostID(1)); len(orders) != 0 {
		t.Errorf("expired orders stay: %+v", orders)
	}
}
