package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// hookIn tells that a task's address was called.
type hookIn struct {
	change
	task    fleet.TaskID
	payload string
}

func parseHook(r *request) (in hookIn, err error) {
	if in.task, err = r.taskID(); err != nil {
		return in, err
	}
	return in, in.read(r)
}

func (in *hookIn) read(r *request) (err error) {
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

// waiting returns the enabled tasks within a scope that wait for the event.
func (s *Server) waiting(scope fleet.Scope, event string) ([]*ledger.HeldTask, error) {
	var waiting []*ledger.HeldTask
	for _, task := range s.Ledger.AllTasks(scope) {
		if task.Task.On.Event == event && task.State == fleet.TaskEnabled {
			waiting = append(waiting, task)
		}
	}
	if len(waiting) == 0 {
		return nil, fleet.Errorf(fleet.NotFound, "no enabled task waits for the event %q", event).
			WithHint("fleetctl tasks; a task waits with on: {event: %s}", event)
	}
	return waiting, nil
}

// hooked returns the task whose address was called.
func (s *Server) hooked(scope fleet.Scope, id fleet.TaskID) (*fleet.Task, error) {
	record, err := s.Ledger.Task(scope, id)
	switch {
	case err != nil:
		return nil, err
	case !record.Task.On.Webhook:
		return nil, fleet.Errorf(fleet.Conflict, "task %s is not triggered by a webhook", id).WithHint("fleetctl run %s orders it by hand", id)
	case record.State != fleet.TaskEnabled:
		return nil, fleet.Errorf(fleet.Conflict, "task %s is %s", id, record.State).WithHint("fleetctl resume %s", id)
	}
	return &record.Task, nil
}

// noTask answers for a task that is not there, and for one that is not the
// caller's to see.
func noTask(id fleet.TaskID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no task %s", id).WithHint("fleetctl tasks")
}

// maxCarried bounds the bytes of payload that one raft entry carries: each host
// gets a copy with its order.
const maxCarried = 4 << 20

// carriable refuses orders that reach nobody, and more payload than one entry
// takes.
func carriable(orders []fleet.Order, payload string) error {
	if len(orders) == 0 {
		return &fleet.Error{Kind: fleet.Invalid, Code: api.CodeUnmatched, Message: "the tasks that wait for it match no host", Hint: "fleetctl hosts"}
	}
	if most := maxCarried / len(orders); len(payload) > most {
		return fleet.Errorf(fleet.TooLarge, "the payload of %d bytes goes to %d hosts; with so many it may have %d", len(payload), len(orders), most).
			WithHint("put the data where the hosts can fetch it, and say where in the payload")
	}
	return nil
}

// hook orders a run of the task whose address was called. Nobody has signed
// this: a host runs it only where its policy lets webhooks do so.
func (s *Server) hook(ctx context.Context, in hookIn) (api.Ordered, error) {
	task, err := s.hooked(scopeOf(ctx), in.task)
	if err != nil {
		return api.Ordered{}, err
	}
	if result, found, err := s.remembered(in.change); found || err != nil {
		return s.ordered(result, err)
	}
	now := time.Now().UTC()
	var orders []fleet.Order
	for _, host := range s.Ledger.Matching(everywhere, task) {
		id := fleet.OrderID(newID())
		orders = append(orders, fleet.Order{
			ID: id, Kind: fleet.OrderRun, Host: host.ID, Task: in.task, Run: seal.HookRunID(id, host.ID, in.task),
			Due: now, Expires: now.Add(defaultExpiry), By: in.Actor, Reason: in.Reason, Cause: "webhook", Payload: in.payload,
		})
	}
	if err := carriable(orders, in.payload); err != nil {
		return api.Ordered{}, err
	}
	return s.ordered(s.propose(ctx, in.change, act{"hook", "task " + string(in.task), ""}, &ledger.PutOrders{Orders: orders, At: now}))
}
