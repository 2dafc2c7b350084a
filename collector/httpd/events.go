package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// causeIn tells that something happened which tasks wait for.
type causeIn struct {
	change
	event   string       // either this …
	task    fleet.TaskID // … or the task whose address was called
	payload string
}

func parseEvent(r *request) (in causeIn, err error) {
	if in.event, err = r.path("event", nameParameter); err != nil {
		return in, err
	}
	return in, in.read(r)
}

func parseHook(r *request) (in causeIn, err error) {
	if in.task, err = r.taskID(); err != nil {
		return in, err
	}
	return in, in.read(r)
}

func (in *causeIn) read(r *request) (err error) {
	if err = r.query(&struct{}{}); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Compact(&text, r.body); err != nil {
		return malformed("the body is not JSON: " + err.Error())
	}
	in.payload = text.String()
	in.change, err = r.change()
	return err
}

// raise orders a run of every task that waits for the event on each of its
// hosts. Hosts that are silent have until the order expires.
func (s *Server) raise(ctx context.Context, in causeIn) (api.Ordered, error) {
	return s.caused(ctx, in, "event "+in.event, func() ([]*ledger.HeldTask, error) {
		var waiting []*ledger.HeldTask
		for _, task := range s.Ledger.AllTasks(everywhere) {
			if task.Task.On.Event == in.event && task.State == fleet.TaskEnabled {
				waiting = append(waiting, task)
			}
		}
		if len(waiting) == 0 {
			return nil, fleet.Errorf(fleet.NotFound, "no enabled task waits for the event %q", in.event).
				WithHint("fleetctl tasks; a task waits with on: {event: %s}", in.event)
		}
		return waiting, nil
	})
}

// hook orders a run of the task whose address was called.
func (s *Server) hook(ctx context.Context, in causeIn) (api.Ordered, error) {
	return s.caused(ctx, in, "webhook", func() ([]*ledger.HeldTask, error) {
		for _, task := range s.Ledger.AllTasks(everywhere) {
			switch {
			case task.Task.ID() != in.task:
			case !task.Task.On.Webhook:
				return nil, fleet.Errorf(fleet.Conflict, "task %s is not triggered by a webhook", in.task).
					WithHint("fleetctl run %s orders it by hand", in.task)
			case task.State != fleet.TaskEnabled:
				return nil, fleet.Errorf(fleet.Conflict, "task %s is %s", in.task, task.State).WithHint("fleetctl resume %s", in.task)
			default:
				return []*ledger.HeldTask{task}, nil
			}
		}
		return nil, fleet.Errorf(fleet.NotFound, "no task %s", in.task).WithHint("fleetctl tasks")
	})
}

// maxCarried bounds the bytes of payload that one raft entry carries: each host
// gets a copy with its order.
const maxCarried = 4 << 20

// caused orders the runs that a cause asks for, all or none.
func (s *Server) caused(ctx context.Context, in causeIn, cause string, find func() ([]*ledger.HeldTask, error)) (api.Ordered, error) {
	if result, found, err := s.remembered(in.change); found || err != nil {
		return s.ordered(result, err)
	}
	tasks, err := find()
	if err != nil {
		return api.Ordered{}, err
	}
	now := time.Now().UTC()
	var orders []fleet.Order
	for _, task := range tasks {
		for _, host := range s.Ledger.Matching(everywhere, &task.Task) {
			orders = append(orders, fleet.Order{
				ID: fleet.OrderID(newID()), Kind: fleet.OrderRun, Host: host.ID, Task: task.Task.ID(), Run: fleet.RunID(newID()),
				Due: now, Expires: now.Add(defaultExpiry), By: in.Actor, Reason: in.Reason, Cause: cause, Payload: in.payload,
			})
		}
	}
	if len(orders) == 0 {
		return api.Ordered{}, &fleet.Error{Kind: fleet.Invalid, Code: api.CodeUnmatched, Message: "the tasks that wait for it match no host", Hint: "fleetctl hosts"}
	}
	if most := maxCarried / len(orders); len(in.payload) > most {
		return api.Ordered{}, fleet.Errorf(fleet.TooLarge, "the payload of %d bytes goes to %d hosts; with so many it may have %d", len(in.payload), len(orders), most).
			WithHint("put the data where the hosts can fetch it, and say where in the payload")
	}
	return s.ordered(s.propose(ctx, in.change, &ledger.PutOrders{Orders: orders, At: now}))
}
