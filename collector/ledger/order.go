package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutOrders records orders, all or none. It returns []fleet.Order. An order
// that is known already stays as it is. The run that an order promises is
// pending from then on. An order ends when the agent reports its run (of a
// cancel: the end of the run; of the others: that it is carried out), by
// DropOrder, with its task, or after its expiry by Prune.
//
// Orders that a person signed come with their statement, which is kept once for
// all of them. Brought again, it makes no new orders.
type PutOrders struct {
	Orders   []fleet.Order `json:"orders"` // their Envelope is empty
	At       time.Time     `json:"at"`
	Envelope []byte        `json:"envelope,omitempty"`
	Digest   string        `json:"digest,omitempty"` // of the statement's payload
	Expires  time.Time     `json:"expires,omitzero"` // of the statement
}

func (cmd *PutOrders) apply(c *change) any {
	if len(cmd.Envelope) > 0 {
		if known, stand, refusal := cmd.hold(c); refusal != nil {
			return refusal
		} else if known {
			return stand
		}
	}
	for _, order := range cmd.Orders {
		if refusal := orderable(c, order); refusal != nil {
			return refusal
		}
	}
	written := make([]fleet.Order, 0, len(cmd.Orders))
	tally, open := newTally(), 0
	for _, order := range cmd.Orders {
		k := key(string(order.Host), string(order.ID))
		if old, found := stored[fleet.Order](c, inOrders, k); found {
			old.Envelope = nil
			written = append(written, old)
			continue
		}
		order.Envelope = nil
		written = append(written, order)
		if len(cmd.Envelope) > 0 {
			order.Envelope = key(cmd.Digest)
			open++
		}
		c.put(inOrders, k, encode(order))
		promise(c, &order, tally)
		c.notify(Orders, PlanOf(order.Host))
		if order.Kind.Stands() {
			c.notify(Standings)
		}
	}
	if len(cmd.Envelope) > 0 {
		c.put(inEnvelopes, key(cmd.Digest), encode(envelopeRow{cmd.Envelope, cmd.Expires, open}))
	}
	tally.write(c)
	return written
}

// promise writes the run that the order becomes, so that it is seen before the
// host tells of it, and has an outcome should the host never do so.
func promise(c *change, order *fleet.Order, tally *tally) {
	if order.Kind != fleet.OrderRun || !keyable(string(order.Run)) || !compact.Plausible(&order.Due) {
		return
	}
	if _, found := storedRun(c, order.Run); found {
		return
	}
	task, _ := stored[taskRow](c, inTasks, key(string(order.Task)))
	writeRun(c, new(fleet.Run), &fleet.Run{
		ID: order.Run, Task: order.Task, Generation: task.Generation, Host: order.Host, Due: order.Due,
		Order: order.ID, Params: order.Params, State: fleet.RunPending,
	}, false, tally)
}

// withdrawn is what becomes of a promised run when its order goes.
type withdrawn struct {
	state  fleet.RunState
	reason fleet.Reason
	detail string
}

var (
	byPerson = withdrawn{fleet.RunSkipped, fleet.SkippedCancelled, "withdrawn before its host told of it"}
	byDelete = withdrawn{fleet.RunSkipped, fleet.SkippedCancelled, "the task was deleted before its host told of it"}
	byExpiry = withdrawn{fleet.RunMissed, fleet.MissedDeadline, "its host did not tell of it before the order expired"}
)

// settle ends the promised run of an order that goes. Its host has not spoken
// and may have begun it all the same, so its word still counts.
func (w withdrawn) settle(c *change, order *fleet.Order, tally *tally) {
	run, found := storedRun(c, order.Run)
	if !found || order.Kind != fleet.OrderRun || run.Order != order.ID || run.State != fleet.RunPending {
		return
	}
	ended := run
	ended.State, ended.Reason, ended.Detail = w.state, w.reason, w.detail
	writeRun(c, &run, &ended, true, tally)
	c.put(inPresumed, key(string(run.ID)), []byte{1})
}

func orderable(c *change, order fleet.Order) *fleet.Error {
	if !keyable(string(order.ID)) {
		return fleet.Invalidf("order", string(order.ID), "want an id of 1–%d bytes", maxKeyPart)
	}
	if c.get(inHosts, key(string(order.Host))) == nil {
		return unknownHost(order.Host)
	}
	if order.Kind == fleet.OrderCancel {
		return cancellable(c, order)
	}
	task, found := stored[taskRow](c, inTasks, key(string(order.Task)))
	switch {
	case order.Kind != fleet.OrderRun && !order.Kind.Stands():
		return fleet.Invalidf("kind", string(order.Kind), "want run, cancel, start, stop, restart or reset")
	case !found || !task.given():
		return noTask(order.Task)
	case order.Kind == fleet.OrderReset && task.Task.Breaker.Failures == 0:
		return fleet.Invalidf("task", string(order.Task), "has no breaker to reset").WithHint("fleetctl status %s", order.Task)
	case order.Kind.Stands() && order.Kind != fleet.OrderReset && !task.Task.Supervised():
		return fleet.Invalidf("task", string(order.Task), "is not kept up, so there is nothing to %s", order.Kind).
			WithHint("fleetctl run %s runs it once; fleetctl cancel stops a run", order.Task)
	}
	return nil
}

// cancellable refuses to cancel what has ended, or is another host's. A run
// that was not heard of yet may be cancelled.
func cancellable(c *change, order fleet.Order) *fleet.Error {
	if !keyable(string(order.Run)) {
		return fleet.Invalidf("run", string(order.Run), "a cancel names the run")
	}
	run, found := storedRun(c, order.Run)
	switch {
	case found && run.Task != order.Task: // who names another task may not see this one
		return noRun(order.Run)
	case found && run.Host != order.Host:
		return fleet.Errorf(fleet.Conflict, "run %s is on host %s", run.ID, run.Host)
	case found && run.State.Terminal():
		return fleet.Errorf(fleet.Conflict, "run %s has ended: %s", run.ID, run.State).WithCode("illegal_move")
	}
	return nil
}

// DropOrder withdraws an order.
type DropOrder struct {
	Host fleet.HostID  `json:"host"`
	ID   fleet.OrderID `json:"id"`
}

func (cmd *DropOrder) apply(c *change) any {
	k := key(string(cmd.Host), string(cmd.ID))
	order, found := stored[fleet.Order](c, inOrders, k)
	if !found {
		return noOrder(cmd.Host, cmd.ID)
	}
	tally := newTally()
	byPerson.settle(c, &order, tally)
	dropOrder(c, cmd.Host, k)
	if order.Kind.Stands() {
		c.notify(Standings)
	}
	tally.write(c)
	return nil
}

func dropOrder(c *change, host fleet.HostID, k []byte) {
	if order, found := stored[fleet.Order](c, inOrders, k); found {
		releaseEnvelope(c, &order)
	}
	c.delete(inOrders, k)
	c.notify(Orders, PlanOf(host))
}

// dropOrders drops the orders that fn picks, of all hosts, and settles their
// runs. Orders are few: they live until their run is reported.
func dropOrders(c *change, why withdrawn, fn func(fleet.Order) bool) (dropped int) {
	tally := newTally()
	for _, k := range c.keys(inOrders, nil) {
		if order, found := stored[fleet.Order](c, inOrders, k); found && fn(order) {
			why.settle(c, &order, tally)
			dropOrder(c, order.Host, k)
			if order.Kind.Stands() {
				c.notify(Standings)
			}
			dropped++
		}
	}
	tally.write(c)
	return dropped
}

// settleOrders drops what the run fulfils: the order it was started by, and
// orders to cancel it once it has ended.
func settleOrders(c *change, run *fleet.Run) {
	if run.Order != "" {
		if k := key(string(run.Host), string(run.Order)); c.get(inOrders, k) != nil {
			dropOrder(c, run.Host, k)
		}
	}
	if !run.State.Terminal() {
		return
	}
	for _, k := range c.keys(inOrders, prefix(string(run.Host))) {
		order, found := stored[fleet.Order](c, inOrders, k)
		if found && order.Kind == fleet.OrderCancel && order.Run == run.ID {
			dropOrder(c, run.Host, k)
		}
	}
}

func noOrder(host fleet.HostID, id fleet.OrderID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no order %s for host %s", id, host)
}
