package httpd_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestEveryStepIsNews follows a task from its creation to the error of its last
// attempt as somebody does who asks with an index: each step is an answer of its
// own, in the order in which it happened, with who did it or why.
func TestEveryStepIsNews(t *testing.T) {
	h := newHouse(t)
	server := h.serve(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	follower := follow(t, newClient(t, server.URL))

	h.addTask(t)
	follower.next("given by admin, generation 1")
	reply := h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/applied", asJSON(t, fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/backup": 1}, At: time.Now()}), "Content-Type", api.MediaJSON)
	decoded[map[string]uint64](t, reply, http.StatusOK)
	follower.next("assigned to host-1")
	order := h.order(t, ordered(fleet.OrderRun, "data/backup", hostID(1))).Orders[0]
	follower.next("pending, attempt 0")
	run := newRun(1, fleet.RunBegun)
	run.ID, run.Order, run.Due, run.Attempt = order.Run, order.ID, order.Due, 1
	h.record(t, 1, run)
	follower.next("begun, attempt 1")
	run.State = fleet.RunRunning
	h.record(t, 1, run)
	follower.next("running, attempt 1")
	again, exit := time.Now().Add(time.Second), 75
	run.State, run.Exit, run.Again = fleet.RunRan, &exit, &again
	h.record(t, 1, run)
	follower.next("ran, attempt 1, exit 75, again")
	next := run.NextAttempt()
	h.record(t, 1, next)
	follower.next("pending, attempt 2")
	next.State, next.Again, next.Exit, next.Reason, next.Tail = fleet.RunRan, nil, &exit, fleet.RanExhausted, "no space left\n"
	h.record(t, 1, next)
	follower.next("ran, attempt 2, exit 75, retries_exhausted: no space left\n")
}

// follower hears of steps.
type follower struct {
	t     *testing.T
	steps chan string
}

func (f follower) next(want string) {
	f.t.Helper()
	select {
	case got := <-f.steps:
		if got != want {
			f.t.Errorf("the step is %q, want %q", got, want)
		}
	case <-f.t.Context().Done():
		f.t.Fatal("no news")
	}
}

// follow asks for what is newer than the last answer: for the task until a host
// has it, then for its newest run.
func follow(t *testing.T, client *api.Client) follower {
	f := follower{t, make(chan string)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		tell := func(step string) {
			select {
			case f.steps <- step:
			case <-ctx.Done():
			}
		}
		tasks := waitFor(ctx, func(page api.Page) (api.List[api.TaskView], error) {
			return client.Tasks(ctx, api.TaskQuery{Page: page})
		})
		if len(tasks.Items) == 1 {
			tell(fmt.Sprintf("given by %s, generation %d", tasks.Items[0].ChangedBy, tasks.Items[0].Generation))
		}
		for ctx.Err() == nil {
			if hosts, err := client.TaskHosts(ctx, "data/backup"); err == nil && len(hosts) == 1 && hosts[0].Applied == 1 {
				tell("assigned to " + hosts[0].Name)
				break
			}
		}
		var index uint64
		for ctx.Err() == nil {
			runs, err := client.Runs(ctx, api.RunQuery{Task: "data/backup", Page: api.Page{Index: index, Wait: fleet.Duration(time.Minute)}})
			if err != nil || runs.Index == index {
				continue
			}
			if index = runs.Index; len(runs.Items) > 0 {
				last := slices.MaxFunc(runs.Items, func(a, b api.RunView) int { return cmp.Compare(a.Attempt, b.Attempt) })
				tell(stepOf(&last))
			}
		}
	}()
	return f
}

// waitFor asks until there is something.
func waitFor[T any](ctx context.Context, ask func(api.Page) (api.List[T], error)) (list api.List[T]) {
	for ctx.Err() == nil && len(list.Items) == 0 {
		list, _ = ask(api.Page{Index: list.Index, Wait: fleet.Duration(time.Minute)})
	}
	return list
}

// stepOf says where a run stands.
func stepOf(run *api.RunView) string {
	step := fmt.Sprintf("%s, attempt %d", run.State, run.Attempt)
	if run.Exit != nil {
		step += fmt.Sprintf(", exit %d", *run.Exit)
	}
	if run.Attempted() {
		return step + ", again"
	}
	if run.Reason != "" {
		step += ", " + string(run.Reason) + ": " + run.Tail
	}
	return step
}
