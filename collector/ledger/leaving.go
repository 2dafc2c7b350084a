package ledger

import "github.com/fleetcron/fleetcron/shared/fleet"

// leaving are tasks of each host that it may have and that its plan does not give:
// it has said that it has them, or they left its plan since it spoke. Whatever
// people sign of them next it has to hear, for nothing else ends them there.
type leaving map[fleet.HostID]map[fleet.TaskID]bool

// add notes that a task has left the plan of a host.
func (l leaving) add(host fleet.HostID, task fleet.TaskID) {
	if l[host] == nil {
		l[host] = map[fleet.TaskID]bool{}
	}
	l[host][task] = true
}

// said takes in which tasks a host says that it has.
func (m *memory) said(id fleet.HostID, names []fleet.TaskID) {
	delete(m.leaving, id)
	host := m.hosts[id]
	for _, name := range names {
		if task := m.tasks[name]; host != nil && task != nil && !task.matches(host) {
			m.leaving.add(id, name)
		}
	}
}

// moved takes in that a host is another, and reports whether its plan is.
func (m *memory) moved(old, host *Host) (other bool) {
	for id, task := range m.tasks {
		was, is := old != nil && task.matches(old), task.matches(host)
		other = other || was != is
		if was && !is {
			m.leaving.add(host.ID, id)
		}
	}
	return other
}

// loadLeaving reads what hosts said. It needs the hosts and the tasks.
func (m *memory) loadLeaving(r *reader) error {
	return eachRow(r, inApplied, nil, func(_ []byte, row appliedRow) bool {
		m.said(row.Host, row.says())
		return true
	})
}
