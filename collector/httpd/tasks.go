package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instantsShown is how many coming instants a resolved host has.
const instantsShown = 3

// Tasks lists tasks by namespace and name.
func (s *Server) Tasks(ctx context.Context, q api.TaskQuery) (api.List[api.TaskView], error) {
	var list api.List[api.TaskView]
	if err := oneOf("state", q.State, fleet.TaskEnabled, fleet.TaskPaused, fleet.TaskRetired); err != nil {
		return list, err
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Tasks, ledger.Hosts, ledger.Standings)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	page, err := s.Ledger.Tasks(scopeOf(ctx), q)
	if err != nil {
		return list, err
	}
	list = api.List[api.TaskView]{Items: make([]api.TaskView, len(page.Items)), Next: sealCursor(page.Next), Total: page.Total, Index: index}
	for i, record := range page.Items {
		if list.Items[i], err = s.taskView(scopeOf(ctx), record); err != nil {
			return list, err
		}
	}
	return list, nil
}

func (s *Server) taskView(scope fleet.Scope, record fleet.TaskRecord) (api.TaskView, error) {
	hosts := s.Ledger.Matching(scope, &record.Task)
	stands := s.Ledger.StandingCounts(scope, record.Task.ID())
	view := api.TaskView{TaskRecord: record, Hosts: len(hosts), Phases: stands.Phases, Unhealthy: stands.Unhealthy, Breakers: stands.Breakers}
	last, found, err := s.Ledger.LastRun(scope, record.Task.ID())
	if found {
		view.Last = &last
	}
	if next, due := s.earliest(&record.Task, hosts, time.Now()); due && record.State == fleet.TaskEnabled {
		view.Next = &next
	}
	return view, err
}

// earliest returns the first instant after now on any of the hosts.
func (s *Server) earliest(task *fleet.Task, hosts []*ledger.Host, now time.Time) (first time.Time, due bool) {
	clocks, err := task.Clocks()
	if err != nil {
		return first, false
	}
	for _, host := range hosts {
		at, ok := s.open(task, clocks(host.ID).Next)(now)
		if ok && (!due || at.Before(first)) {
			first, due = at, true
		}
		if task.On.Spread == 0 {
			break // the same on every host
		}
	}
	return first, due
}

// Task returns one task.
func (s *Server) Task(ctx context.Context, id fleet.TaskID) (api.TaskView, error) {
	return s.task(ctx, oneTask{id: id})
}

type oneTask struct {
	id fleet.TaskID
	waiting
}

func parseTask(r *request) (oneTask, error) {
	var in oneTask
	var err error
	if in.id, err = r.taskID(); err != nil {
		return in, err
	}
	return in, r.query(&in.waiting)
}

func (s *Server) task(ctx context.Context, in oneTask) (api.TaskView, error) {
	if _, err := s.Ledger.Task(scopeOf(ctx), in.id); err != nil {
		return api.TaskView{}, err
	}
	if _, err := s.newer(ctx, in.waiting, ledger.Tasks, ledger.Hosts, ledger.RunsOf(in.id), ledger.Standings); err != nil {
		return api.TaskView{}, err
	}
	record, err := s.Ledger.Task(scopeOf(ctx), in.id)
	if err != nil {
		return api.TaskView{}, err
	}
	return s.taskView(scopeOf(ctx), record)
}

// TaskHosts lists the hosts that a task resolves to, by name.
func (s *Server) TaskHosts(ctx context.Context, id fleet.TaskID) ([]api.Resolved, error) {
	list, err := s.taskHosts(ctx, oneTask{id: id})
	return list.Items, err
}

func (s *Server) taskHosts(ctx context.Context, in oneTask) (api.List[api.Resolved], error) {
	var list api.List[api.Resolved]
	index, err := s.newer(ctx, in.waiting, ledger.Tasks, ledger.Hosts, ledger.Generations)
	if err != nil {
		return list, err
	}
	record, err := s.Ledger.Task(scopeOf(ctx), in.id)
	if err != nil {
		return list, err
	}
	hosts, err := s.resolved(scopeOf(ctx), &record.Task)
	return api.List[api.Resolved]{Items: hosts, Total: len(hosts), Index: index}, err
}

// resolved lists the hosts that the task runs on and its coming instants there.
func (s *Server) resolved(scope fleet.Scope, task *fleet.Task) ([]api.Resolved, error) {
	clocks, err := task.Clocks()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	hosts := []api.Resolved{}
	for _, host := range s.Ledger.Matching(scope, task) {
		one := api.Resolved{Host: host.ID, Name: host.Name, Presence: s.presence(host.ID), Next: []time.Time{}}
		next := s.open(task, clocks(host.ID).Next)
		for at, due := next(now); due && len(one.Next) < instantsShown; at, due = next(at) {
			one.Next = append(one.Next, at)
		}
		applied, err := s.Ledger.AppliedBy(scope, host.ID)
		if err != nil {
			return nil, err
		}
		one.Applied = applied.Generations[task.ID()]
		if since, known := applied.Since[task.ID()]; known {
			one.Since = &since
		}
		hosts = append(hosts, one)
	}
	return hosts, nil
}
