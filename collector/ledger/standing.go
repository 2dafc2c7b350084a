package ledger

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordStandings records how every task stands on a host, and ends the orders
// that the host carried out. What was recorded before and is not in it is gone.
type RecordStandings struct {
	Host      fleet.HostID     `json:"host"`
	At        time.Time        `json:"at"`
	Standings []fleet.Standing `json:"standings"`      // by task, each once
	Done      []fleet.OrderID  `json:"done,omitempty"` // of start, stop, restart and reset
}

// standingRow is what a host said last.
type standingRow struct {
	At        time.Time        `json:"at"`
	Standings []fleet.Standing `json:"standings"`
}

func (cmd *RecordStandings) apply(c *change) any {
	host := key(string(cmd.Host))
	if c.get(inHosts, host) == nil {
		return unknownHost(cmd.Host)
	}
	for i := range cmd.Standings {
		if !keyable(string(cmd.Standings[i].Task)) || i > 0 && cmd.Standings[i-1].Task >= cmd.Standings[i].Task {
			return fleet.Invalidf("standings", string(cmd.Standings[i].Task), "want each task once, in their order")
		}
	}
	for _, id := range cmd.Done {
		k := key(string(cmd.Host), string(id))
		if order, found := stored[fleet.Order](c, inOrders, k); found && order.Kind.Stands() {
			dropOrder(c, cmd.Host, k)
			c.notify(Standings)
		}
	}
	serves := c.serves(cmd.Host)
	cmd.Standings = slices.DeleteFunc(slices.Clone(cmd.Standings), func(s fleet.Standing) bool { return !serves(s.Task) })
	old, _ := stored[standingRow](c, inStandings, host)
	if sameStandings(old.Standings, cmd.Standings) {
		return nil
	}
	row := standingRow{At: cmd.At, Standings: cmd.Standings}
	if row.At.Before(old.At) { // proposers' clocks differ
		row.At = old.At
	}
	if len(row.Standings) == 0 {
		c.delete(inStandings, host)
	} else {
		c.put(inStandings, host, encode(row))
	}
	c.notify(Standings)
	c.after(func(l *Ledger) { l.memory.setStandings(cmd.Host, &row) })
	return nil
}

func sameStandings(a, b []fleet.Standing) bool {
	return len(a) == len(b) && bytes.Equal(encode(a), encode(b)) || len(a)+len(b) == 0
}

// StandingCount is how a task stands on all of its hosts together.
type StandingCount struct {
	Phases    map[fleet.Phase]int
	Restarts  int // that the hosts count now
	Unhealthy int
	Breakers  int // open or half-open
}

// add counts a standing in, or out with sign -1.
func (n *StandingCount) add(s *fleet.Standing, sign int) {
	if s.Phase != "" {
		if n.Phases[s.Phase] += sign; n.Phases[s.Phase] == 0 {
			delete(n.Phases, s.Phase)
		}
	}
	n.Restarts += sign * s.Restarts
	if s.Health == fleet.Unhealthy {
		n.Unhealthy += sign
	}
	if s.Breaker == fleet.BreakerOpen || s.Breaker == fleet.BreakerHalfOpen {
		n.Breakers += sign
	}
}

func (n *StandingCount) zero() bool {
	return len(n.Phases) == 0 && n.Restarts == 0 && n.Unhealthy == 0 && n.Breakers == 0
}

// setStandings replaces what a host said. It needs mu.
func (m *memory) setStandings(host fleet.HostID, row *standingRow) {
	count := func(row *standingRow, sign int) {
		for i := range row.Standings {
			s := &row.Standings[i]
			n := m.stands[s.Task]
			if n.Phases = maps.Clone(n.Phases); n.Phases == nil {
				n.Phases = map[fleet.Phase]int{}
			}
			if n.add(s, sign); n.zero() {
				delete(m.stands, s.Task)
			} else {
				m.stands[s.Task] = n
			}
		}
	}
	if old := m.standings[host]; old != nil {
		count(old, -1)
	}
	delete(m.standings, host)
	if len(row.Standings) > 0 {
		m.standings[host] = row
		count(row, 1)
	}
}

// Stands returns what a host said last of how tasks within the scope stand
// there, by task, and when. The list is shared: do not change it.
func (l *Ledger) Stands(scope fleet.Scope, host fleet.HostID) ([]fleet.Standing, time.Time) {
	l.mu.RLock()
	row := l.memory.standings[host]
	l.mu.RUnlock()
	if row == nil {
		return nil, time.Time{}
	}
	if scope.All() {
		return row.Standings, row.At
	}
	some := filter(row.Standings, func(s fleet.Standing) bool { return scope.Holds(s.Task.Namespace()) })
	if len(some) == 0 {
		return nil, time.Time{}
	}
	return some, row.At
}

// StandsOf returns how a task stands on a host, and when the host said so. It is
// false where it said nothing.
func (l *Ledger) StandsOf(scope fleet.Scope, task fleet.TaskID, host fleet.HostID) (fleet.Standing, time.Time, bool) {
	all, at := l.Stands(scope, host)
	i, found := slices.BinarySearchFunc(all, task, func(s fleet.Standing, id fleet.TaskID) int { return cmp.Compare(s.Task, id) })
	if !found {
		return fleet.Standing{}, at, false
	}
	return all[i], at, true
}

// StandingCounts returns how the task stands on all hosts together. The map in
// it is shared: do not change it.
func (l *Ledger) StandingCounts(scope fleet.Scope, task fleet.TaskID) StandingCount {
	if !scope.Holds(task.Namespace()) {
		return StandingCount{}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.memory.stands[task]
}

// AllStandingCounts returns the tasks within the scope that stand somehow, with
// how.
func (l *Ledger) AllStandingCounts(scope fleet.Scope) map[fleet.TaskID]StandingCount {
	l.mu.RLock()
	defer l.mu.RUnlock()
	counts := maps.Clone(l.memory.stands)
	maps.DeleteFunc(counts, func(task fleet.TaskID, _ StandingCount) bool { return !scope.Holds(task.Namespace()) })
	return counts
}

// Settled reports whether recording the standings of a host would change
// nothing.
func (l *Ledger) Settled(host fleet.HostID, standings []fleet.Standing, done []fleet.OrderID) (bool, error) {
	told, _ := l.Stands(everywhere, host)
	if known, found := l.Host(everywhere, host); found { // as RecordStandings leaves them out
		standings = filter(standings, func(s fleet.Standing) bool { return known.Serves(s.Task.Namespace()) })
	}
	if !sameStandings(told, standings) {
		return false, nil
	}
	settled := true
	err := l.view(func(r *reader) error {
		for _, id := range done {
			order, found, err := row[fleet.Order](r, inOrders, key(string(host), string(id)))
			if err != nil {
				return err
			}
			settled = settled && !(found && order.Kind.Stands())
		}
		return nil
	})
	return settled, err
}

// StandingOrders walks the open orders to start, stop, restart or reset
// something, by host and age.
func (l *Ledger) StandingOrders(scope fleet.Scope) (orders []fleet.Order, err error) {
	err = l.view(func(r *reader) error {
		return eachRow(r, inOrders, nil, func(_ []byte, order fleet.Order) bool {
			if order.Kind.Stands() && scope.Holds(order.Task.Namespace()) {
				order.Envelope = nil // the digest that its statement is kept under
				orders = append(orders, order)
			}
			return true
		})
	})
	return orders, err
}
