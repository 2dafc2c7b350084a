package ledger

import (
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Task returns a task that is not retired.
func (l *Ledger) Task(scope fleet.Scope, id fleet.TaskID) (fleet.TaskRecord, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	task := l.memory.tasks[id]
	if task == nil || !task.given() || !scope.Holds(id.Namespace()) {
		return fleet.TaskRecord{}, noTask(id)
	}
	return task.TaskRecord, nil
}

// Statement returns a task within the scope, also one that is retired, for the
// statement that stands about it.
func (l *Ledger) Statement(scope fleet.Scope, id fleet.TaskID) (fleet.TaskRecord, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	task := l.memory.tasks[id]
	if task == nil || !scope.Holds(id.Namespace()) {
		return fleet.TaskRecord{}, noTask(id)
	}
	return task.TaskRecord, nil
}

// AllTasks returns every task within the scope by id, retired ones too. The list
// is shared: do not change it.
func (l *Ledger) AllTasks(scope fleet.Scope) []*HeldTask {
	l.mu.RLock()
	all := l.memory.listed
	l.mu.RUnlock()
	if scope.All() {
		return all
	}
	return filter(all, func(task *HeldTask) bool { return scope.Holds(task.Task.ID().Namespace()) })
}

// Tasks returns a page of the tasks that the query asks for, by id. Retired
// ones are listed only when they are asked for by state.
func (l *Ledger) Tasks(scope fleet.Scope, q api.TaskQuery) (api.List[fleet.TaskRecord], error) {
	var host *Host
	if q.Host != "" {
		var err error
		if host, err = l.FindHost(scope, q.Host); err != nil {
			return api.List[fleet.TaskRecord]{}, err
		}
	}
	var labelled []*Host
	if q.Label != "" {
		var err error
		if labelled, err = l.labelled(scope, q.Label); err != nil {
			return api.List[fleet.TaskRecord]{}, err
		}
	}
	index, _ := l.Applied()
	matching := filter(l.AllTasks(scope), func(task *HeldTask) bool {
		return task.asked(&q, host) && (q.Label == "" || slices.ContainsFunc(labelled, task.RunsOn))
	})
	list := api.List[fleet.TaskRecord]{Items: []fleet.TaskRecord{}, Total: len(matching), Index: index}
	rows, next := cut(matching, q.Page, func(t *HeldTask) string { return string(t.Task.ID()) })
	for _, row := range rows {
		list.Items = append(list.Items, row.TaskRecord)
	}
	list.Next = next
	return list, nil
}

// labelled returns the hosts within the scope that a selector matches.
func (l *Ledger) labelled(scope fleet.Scope, labels string) ([]*Host, error) {
	selector, err := fleet.ParseSelector(labels)
	if err != nil {
		return nil, err
	}
	return filter(l.AllHosts(scope), func(h *Host) bool { return selector.Matches(h.Labels) }), nil
}

// asked reports whether the query asks for the task. Labels are not looked at.
func (t *HeldTask) asked(q *api.TaskQuery, host *Host) bool {
	if q.State == "" && !t.given() || q.State != "" && q.State != t.State {
		return false
	}
	if q.Namespace != "" && q.Namespace != t.Task.ID().Namespace() {
		return false
	}
	if host != nil && !t.RunsOn(host) || q.User != "" && q.User != t.Task.Run.User {
		return false
	}
	if q.Text == "" {
		return true
	}
	text := strings.ToLower(q.Text)
	for _, field := range []string{string(t.Task.ID()), t.Task.Owner, t.Task.Description, t.Task.Run.Command.String()} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// Assigned returns how many tasks within the scope the host's plan has. For who
// sees everything it counts them once, so that a page of hosts does not match
// each of them with every task.
func (l *Ledger) Assigned(scope fleet.Scope, id fleet.HostID) int {
	if !scope.All() {
		host, found := l.Host(scope, id)
		if !found {
			return 0
		}
		return len(filter(l.AllTasks(scope), func(task *HeldTask) bool { return task.matches(host) }))
	}
	l.mu.RLock()
	n, counted := l.memory.assigned[id]
	l.mu.RUnlock()
	if counted {
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	host := l.memory.hosts[id]
	if host == nil {
		return 0
	}
	n = 0
	for _, task := range l.memory.listed {
		if task.matches(host) {
			n++
		}
	}
	l.memory.assigned[id] = n
	return n
}

// reassign follows a task that came into the host's plan or went out of it.
func (m *memory) reassign(host fleet.HostID, was, is bool) {
	n, counted := m.assigned[host]
	switch {
	case counted && is && !was:
		m.assigned[host] = n + 1
	case counted && was && !is:
		m.assigned[host] = n - 1
	}
}
