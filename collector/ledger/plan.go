package ledger

import (
	"errors"
	"maps"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordApplied records which generations a host runs. An older word than the
// one on record is a Conflict; the same generations write nothing.
type RecordApplied struct {
	Applied fleet.Applied `json:"applied"`
}

func (cmd *RecordApplied) apply(c *change) any {
	host := key(string(cmd.Applied.Host))
	if c.get(inHosts, host) == nil {
		return unknownHost(cmd.Applied.Host)
	}
	serves := c.serves(cmd.Applied.Host)
	maps.DeleteFunc(cmd.Applied.Generations, func(task fleet.TaskID, _ uint64) bool { return !serves(task) })
	old, found := stored[fleet.Applied](c, inApplied, host)
	if found && cmd.Applied.At.Before(old.At) {
		return fleet.Errorf(fleet.Conflict, "host %s said something newer at %s", cmd.Applied.Host, old.At.UTC().Format(time.RFC3339Nano)).WithCode("stale")
	}
	if found && maps.Equal(old.Generations, cmd.Applied.Generations) {
		return nil
	}
	applied := cmd.Applied
	applied.Since = make(map[fleet.TaskID]time.Time, len(applied.Generations))
	for task, generation := range applied.Generations {
		since, known := old.Since[task]
		if !known || old.Generations[task] != generation {
			since = applied.At
		}
		applied.Since[task] = since
	}
	c.put(inApplied, host, encode(applied))
	c.notify(Generations)
	return nil
}

// AppliedBy returns which generations of tasks within the scope the host said it
// runs. The zero value says that it said nothing yet.
func (l *Ledger) AppliedBy(scope fleet.Scope, host fleet.HostID) (applied fleet.Applied, err error) {
	if _, found := l.Host(scope, host); !found {
		return applied, nil
	}
	err = l.view(func(r *reader) error {
		applied, _, err = row[fleet.Applied](r, inApplied, key(string(host)))
		return err
	})
	foreign := func(task fleet.TaskID) bool { return !scope.Holds(task.Namespace()) }
	maps.DeleteFunc(applied.Generations, func(task fleet.TaskID, _ uint64) bool { return foreign(task) })
	maps.DeleteFunc(applied.Since, func(task fleet.TaskID, _ time.Time) bool { return foreign(task) })
	return applied, err
}

// Orders returns the host's open orders about tasks within the scope, the oldest
// first.
func (l *Ledger) Orders(scope fleet.Scope, host fleet.HostID) (orders []fleet.Order, err error) {
	err = l.view(func(r *reader) error {
		var failed error
		err := eachRow(r, inOrders, prefix(string(host)), func(_ []byte, order fleet.Order) bool {
			if scope.Holds(order.Task.Namespace()) {
				failed = r.unfold(&order)
				orders = append(orders, order)
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return orders, err
}

// OrderOf returns the open order that becomes the run, and false when there is
// none. It looks at all orders: they are few, for they live until their run is
// reported.
func (l *Ledger) OrderOf(scope fleet.Scope, run fleet.RunID) (order fleet.Order, found bool, err error) {
	err = l.view(func(r *reader) error {
		return eachRow(r, inOrders, nil, func(_ []byte, open fleet.Order) bool {
			if found = open.Kind == fleet.OrderRun && open.Run == run && scope.Holds(open.Task.Namespace()); found {
				order, order.Envelope = open, nil
			}
			return !found
		})
	})
	return order, found, err
}

// Plan returns all that the host has to do, within the scope: every task whose Where matches it
// that is enabled or paused, by id, and its open orders. It is derived; no row
// per host exists. A host that is not known is NotFound.
func (l *Ledger) Plan(scope fleet.Scope, id fleet.HostID) (fleet.Plan, error) {
	applied, err := l.AppliedBy(scope, id)
	if err != nil {
		return fleet.Plan{}, err
	}
	l.mu.RLock()
	host := l.memory.hosts[id]
	plan := fleet.Plan{Host: id, Index: l.memory.index, Assignments: []fleet.Assignment{}}
	if host != nil && !host.visible(scope) {
		host = nil
	}
	if host != nil {
		for _, task := range l.memory.listed {
			if task.matches(host) && scope.Holds(task.Task.ID().Namespace()) {
				plan.Assignments = append(plan.Assignments, task.assignment(host))
			}
		}
		plan.Adoptions = l.memory.asked(scope, id)
		plan.Calendars, plan.Sealed = l.memory.named(plan.Assignments)
		plan.Tombstones = l.memory.gone(&applied, plan.Assignments)
	}
	l.mu.RUnlock()
	if host == nil {
		return fleet.Plan{}, unknownHost(id)
	}
	orders, err := l.Orders(scope, id)
	plan.Orders = append([]fleet.Order{}, orders...)
	return plan, err
}

// assignment returns the task as the host's plan has it. What was due before
// the fleet knew the host is not due on it.
func (t *taskRow) assignment(host *Host) fleet.Assignment {
	since := t.Since
	if host.FirstSeen.After(since) {
		since = host.FirstSeen
	}
	return fleet.Assignment{
		Task: t.Task, State: t.State, Generation: t.Generation,
		Document: t.Document, MediaType: t.MediaType, Since: since, Envelope: t.Envelope,
	}
}
