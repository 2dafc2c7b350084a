package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutOrders records orders, all or none. It returns []fleet.Order. An order
// that is known already stays as it is. An order ends when the agent reports
// its run (of a cancel: the end of the run), by DropOrder, or after its expiry
// by Prune.
type PutOrders struct {
	Orders []fleet.Order `json:"orders"`
	At     time.Time     `json:"at"`
}

func (cmd *PutOrders) apply(c *change) any {
	for _, order := range cmd.Orders {
		if refusal := orderable(c, order); refusal != nil {
			return refusal
		}
	}
	written := make([]fleet.Order, 0, len(cmd.Orders))
	for _, order := range cmd.Orders {
		k := key(string(order.Host), string(order.ID))
		if old, found := stored[fleet.Order](c, inOrders, k); found {
			written = append(written, old)
			continue
		}
		c.put(inOrders, k, encode(order))
		written = append(written, order)
		c.notify(Orders, PlanOf(order.Host))
	}
	return written
}

func orderable(c *change, order fleet.Order) *fleet.Error {
	if !keyable(string(order.ID)) {
		return fleet.Invalidf("order", string(order.ID), "want an id of 1–%d bytes", maxKeyPart)
	}
	if c.get(inHosts, key(string(order.Host))) == nil {
		return unknownHost(order.Host)
	}
	switch order.Kind {
	case fleet.OrderRun:
		if task, found := stored[taskRow](c, inTasks, key(string(order.Task))); !found || !task.given() {
			return noTask(order.Task)
		}
	case fleet.OrderCancel:
		return cancellable(c, order)
	default:
		return fleet.Invalidf("kind", string(order.Kind), "want run or cancel")
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
	if c.get(inOrders, k) == nil {
		return fleet.Errorf(fleet.NotFound, "no order %s for host %s", cmd.ID, cmd.Host)
	}
	dropOrder(c, cmd.Host, k)
	return nil
}

func dropOrder(c *change, host fleet.HostID, k []byte) {
	c.delete(inOrders, k)
	c.notify(Orders, PlanOf(host))
}

// dropOrders drops the orders that fn picks, of all hosts. Orders are few:
// they live until their run is reported.
func dropOrders(c *change, fn func(fleet.Order) bool) (dropped int) {
	for _, k := range c.keys(inOrders, nil) {
		if order, found := stored[fleet.Order](c, inOrders, k); found && fn(order) {
			dropOrder(c, order.Host, k)
			dropped++
		}
	}
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
