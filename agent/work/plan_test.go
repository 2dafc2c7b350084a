package work

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhatAPlanMustNotCarryIsTakenOut(t *testing.T) {
	const host fleet.HostID = "0123456789abcdef0123456789abcdef"
	const id = "01937f3c-0000-7000-8000-000000000001"
	assignment := func(change func(*fleet.Assignment)) fleet.Assignment {
		a := fleet.Assignment{
			Task: fleet.Task{
				Name: "good", On: fleet.Trigger{Manual: true},
				Run: fleet.Execute{Command: fleet.Command{Shell: "true"}}, Where: fleet.Where{Labels: "*"},
			},
			State: fleet.TaskEnabled, Generation: 1,
		}
		change(&a)
		return a
	}
	order := func(change func(*fleet.Order)) fleet.Order {
		o := fleet.Order{ID: id, Kind: fleet.OrderRun, Host: host, Task: "default/good", Run: id}
		change(&o)
		return o
	}
	good, wish := assignment(func(*fleet.Assignment) {}), order(func(*fleet.Order) {})
	stop := order(func(o *fleet.Order) { o.Kind, o.Run = fleet.OrderStop, "" })
	plan := &fleet.Plan{
		Host: host,
		Assignments: []fleet.Assignment{
			assignment(func(a *fleet.Assignment) { a.Task.Name = ".." }),
			assignment(func(a *fleet.Assignment) { a.Task.Name = strings.Repeat("x", 1<<20) }),
			assignment(func(a *fleet.Assignment) { a.Task.Run.Command = fleet.Command{} }),
			good,
			assignment(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Every: 1} }),
			assignment(func(a *fleet.Assignment) { a.Task.Run.Env = map[string]string{"FLEETCRON_RUN": "other"} }),
			assignment(func(a *fleet.Assignment) { a.State = "strange" }),
		},
		Orders: []fleet.Order{
			order(func(o *fleet.Order) { o.Run = "../../../../etc/cron.d/x" }),
			order(func(o *fleet.Order) { o.Run = "" }),
			order(func(o *fleet.Order) { o.ID = fleet.OrderID(strings.Repeat("x", 2<<20)) }),
			wish,
			order(func(o *fleet.Order) { o.Host = "fedcba9876543210fedcba9876543210" }),
			order(func(o *fleet.Order) { o.Task = "../x" }),
			order(func(o *fleet.Order) { o.Kind = "strange" }),
			order(func(o *fleet.Order) { o.Kind = fleet.OrderStop }),
			stop,
		},
	}
	want := &fleet.Plan{Host: host, Assignments: []fleet.Assignment{good}, Orders: []fleet.Order{wish, stop}}
	checkPlan(plan, host, slog.New(slog.DiscardHandler))
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	if err := (&keeper{id: host}).Take(&fleet.Plan{Host: "fedcba9876543210fedcba9876543210"}); err == nil {
		t.Error("the plan of another host was taken")
	}
}
