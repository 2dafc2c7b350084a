package httpd_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestNothingIsUpcomingInABlackout compares with the instants of the clock, and
// leaves the windows out by hand.
func TestNothingIsUpcomingInABlackout(t *testing.T) {
	h := newHouse(t)
	for n := range 3 {
		h.addHost(t, n, nil)
	}
	put := func(name, windows string) {
		t.Helper()
		if reply := h.submit(t, closing(t, name, `{"windows":[`+windows+`]}`, api.MediaJSON), ""); reply.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", name, reply.Status)
		}
	}
	put("morning", `{"from":"2030-01-01T00:10:00Z","to":"2030-01-01T00:25:00Z"}`)
	put("later", `{"from":"2030-01-01T00:20:00Z","to":"2030-01-01T00:31:00Z"}`)
	put("ever", `{"from":"2020-01-01T00:00:00Z","to":"2099-01-01T00:00:00Z"}`)
	tasks := []string{
		`{"cron":"* * * * *","blackout":["morning","later"]}`, `{"cron":"* * * * *","blackout":["later"],"spread":"50s"}`,
		`{"cron":"* * * * *","blackout":["ever"],"ends":"2098-01-01T00:00:00Z"}`, `{"cron":"* * * * *"}`,
	}
	for i, on := range tasks {
		h.giveTask(t, fmt.Sprintf(`{"task":"t%d","on":%s,"run":{"command":["/bin/true"]},"where":{"labels":"*"}}`, i, on))
	}
	clock := func(minute int) time.Time { return time.Date(2030, 1, 1, 0, minute, 0, 0, time.UTC) }
	closed := func(name string, at time.Time) bool {
		within := func(from, to int) bool { return !at.Before(clock(from)) && at.Before(clock(to)) }
		return name == "morning" && within(10, 25) || name == "later" && within(20, 31) || name == "ever"
	}
	var want []string
	for _, task := range h.ledger.AllTasks(everywhere) {
		for _, on := range h.ledger.AllHosts(everywhere) {
			for at, due := task.Task.Next(on.ID, clock(0)); due && at.Before(clock(59)); at, due = task.Task.Next(on.ID, at) {
				if !slices.ContainsFunc(task.Task.On.Blackout, func(name string) bool { return closed(name, at) }) {
					want = append(want, shown(at, on.ID, task.Task.ID()))
				}
			}
		}
	}
	var got []string
	for _, one := range h.all(t, api.UpcomingQuery{From: clock(0).Add(1), Until: clock(59)}) {
		got = append(got, shown(one.At, one.Host, one.Task))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("%d upcoming, want %d", len(got), len(want))
	}

	for i, next := range []bool{true, true, false, true} {
		path := fmt.Sprintf("%s/default/t%d", api.PathTasks, i)
		view := decoded[api.TaskView](t, h.do(t, http.MethodGet, path, ""), http.StatusOK)
		hosts := decoded[api.List[api.Resolved]](t, h.do(t, http.MethodGet, path+"/hosts", ""), http.StatusOK)
		if (view.Next != nil) != next || (len(hosts.Items[0].Next) > 0) != next {
			t.Errorf("t%d is next due at %v, on the first host at %v", i, view.Next, hosts.Items[0].Next)
		}
	}
	put("ever", `{"from":"2020-01-01T00:00:00Z","to":"2021-01-01T00:00:00Z"}`)
	view := decoded[api.TaskView](t, h.do(t, http.MethodGet, api.PathTasks+"/default/t2", ""), http.StatusOK)
	if view.Next == nil {
		t.Error("a window that was taken away still keeps the task from being due")
	}
}
