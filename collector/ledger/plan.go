package ledger

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordApplied records which generations a host runs, and what it holds beside.
// An older word than the one on record is a Conflict; the same writes nothing.
type RecordApplied struct {
	Applied fleet.Applied `json:"applied"`
}

// appliedRow is what a host said, on disk.
type appliedRow struct {
	fleet.Applied
	// Beyond are tasks of other namespaces than it serves. It is told when they
	// are retired, and nothing else of them.
	Beyond []fleet.TaskID `json:"beyond,omitempty"`
}

// says lists every task that the host named.
func (a *appliedRow) says() []fleet.TaskID {
	all := slices.Concat(slices.Collect(maps.Keys(a.Generations)), a.Held, a.Beyond)
	slices.Sort(all)
	return slices.Compact(all)
}

func (cmd *RecordApplied) apply(c *change) any {
	host := key(string(cmd.Applied.Host))
	if c.get(inHosts, host) == nil {
		return unknownHost(cmd.Applied.Host)
	}
	next := cmd.row(c.serves(cmd.Applied.Host))
	old, found := stored[appliedRow](c, inApplied, host)
	if found && cmd.Applied.At.Before(old.At) {
		return fleet.Errorf(fleet.Conflict, "host %s said something newer at %s", cmd.Applied.Host, old.At.UTC().Format(time.RFC3339Nano)).WithCode("stale")
	}
	if found && maps.Equal(old.Generations, next.Generations) && slices.Equal(old.Held, next.Held) && slices.Equal(old.Beyond, next.Beyond) {
		return nil
	}
	next.Since = make(map[fleet.TaskID]time.Time, len(next.Generations))
	for task, generation := range next.Generations {
		since, known := old.Since[task]
		if !known || old.Generations[task] != generation {
			since = next.At
		}
		next.Since[task] = since
	}
	c.put(inApplied, host, encode(next))
	c.notify(Generations)
	fresh := slices.DeleteFunc(next.says(), func(task fleet.TaskID) bool { return slices.Contains(old.says(), task) })
	index := c.index
	says := next.says()
	c.after(func(l *Ledger) {
		l.memory.said(next.Host, says)
		l.endsFor(next.Host, fresh, index)
	})
	return nil
}

// row sorts what the host may speak of from what it may not.
func (cmd *RecordApplied) row(serves func(fleet.TaskID) bool) appliedRow {
	next := appliedRow{Applied: cmd.Applied}
	next.Generations, next.Held = make(map[fleet.TaskID]uint64, len(cmd.Applied.Generations)), nil
	for task, generation := range sorted(cmd.Applied.Generations) {
		if serves(task) {
			next.Generations[task] = generation
		} else {
			next.Beyond = append(next.Beyond, task)
		}
	}
	for _, task := range cmd.Applied.Held {
		if serves(task) {
			next.Held = append(next.Held, task)
		} else {
			next.Beyond = append(next.Beyond, task)
		}
	}
	for _, list := range []*[]fleet.TaskID{&next.Held, &next.Beyond} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return next
}

// endsFor wakes the host when its plan now says how something ends that it has
// just named: that was taken back before it could say that it has it. It needs mu.
func (l *Ledger) endsFor(id fleet.HostID, named []fleet.TaskID, index uint64) {
	host := l.memory.hosts[id]
	for _, task := range named {
		if row := l.memory.tasks[task]; row != nil && len(row.Envelope) > 0 && host != nil && !row.matches(host) {
			l.notify(PlanOf(id), index)
			return
		}
	}
}

// AppliedBy returns which generations of tasks within the scope the host said it
// runs. The zero value says that it said nothing yet.
func (l *Ledger) AppliedBy(scope fleet.Scope, host fleet.HostID) (applied fleet.Applied, err error) {
	if _, found := l.Host(scope, host); !found {
		return applied, nil
	}
	said, err := l.saidBy(scope, host)
	return said.Applied, err
}

// saidBy returns what the host said of tasks within the scope.
func (l *Ledger) saidBy(scope fleet.Scope, host fleet.HostID) (said appliedRow, err error) {
	err = l.view(func(r *reader) error {
		said, _, err = row[appliedRow](r, inApplied, key(string(host)))
		return err
	})
	foreign := func(task fleet.TaskID) bool { return !scope.Holds(task.Namespace()) }
	maps.DeleteFunc(said.Generations, func(task fleet.TaskID, _ uint64) bool { return foreign(task) })
	maps.DeleteFunc(said.Since, func(task fleet.TaskID, _ time.Time) bool { return foreign(task) })
	said.Held, said.Beyond = slices.DeleteFunc(said.Held, foreign), slices.DeleteFunc(said.Beyond, foreign)
	return said, err
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
	said, err := l.saidBy(scope, id)
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
		plan.Revoked = l.memory.revoked()
		plan.Tombstones = l.memory.gone(&said, host, plan.Assignments)
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
