package main

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// control gives the order to start, stop, restart or reset. Hosts that are alive
// carry it out once they were asked how they stand.
func (f *collectorFake) control(s *seal.Statement, queue bool) (api.Sealed, error) {
	kind := s.Order.Kind
	view, err := f.task(fleet.NewTaskID(s.Namespace, s.Name))
	if err != nil {
		return api.Sealed{}, err
	}
	if kind != fleet.OrderReset && !view.Task.Supervised() {
		return api.Sealed{}, fleet.Invalidf("task", string(view.Task.ID()), "is not kept up, so there is nothing to %s", kind).WithHint("fleetctl run %s", view.Task.ID())
	}
	ordered := api.Sealed{Orders: []fleet.Order{}, Index: f.index}
	for _, host := range f.resolved(&view.Task) {
		if !slices.Contains(s.Hosts, host.Host) {
			continue
		}
		if host.Presence != fleet.Alive && !queue {
			return api.Sealed{}, fleet.Errorf(fleet.Conflict, "host %s is silent", host.Name).WithCode(api.CodeSilent).WithHint("fleetctl %s --queue waits for it", kind)
		}
		order := fleet.Order{ID: fleet.OrderID("o-" + host.Name), Kind: kind, Host: host.Host, Task: view.Task.ID(), Due: noon, Expires: time.Now().Add(time.Hour)}
		ordered.Orders = append(ordered.Orders, order)
		stands := f.standsOn(view.Task.ID(), host.Host)
		if stands == nil {
			f.standings = append(f.standings, api.StandingView{Standing: fleet.Standing{Task: view.Task.ID()}, Host: host.Host, HostName: host.Name, Presence: host.Presence})
			stands = &f.standings[len(f.standings)-1]
		}
		stands.Orders = append(stands.Orders, order)
	}
	return ordered, nil
}

func (f *collectorFake) standsOn(task fleet.TaskID, host fleet.HostID) *api.StandingView {
	for i := range f.standings {
		if f.standings[i].Task == task && f.standings[i].Host == host {
			return &f.standings[i]
		}
	}
	return nil
}

func (f *collectorFake) listStandings(r *http.Request) (any, error) {
	q, err := query[api.StandingQuery](r)
	var views []api.StandingView
	for i := range f.standings {
		view := &f.standings[i]
		if host, err := f.host(string(view.Host)); err == nil {
			view.Presence = host.Presence
		}
	}
	for _, view := range f.standings {
		bad := view.Phase == fleet.PhaseCrashLoop || view.Health == fleet.Unhealthy || view.Breaker == fleet.BreakerOpen
		if (q.Task == "" || q.Task == view.Task) && (q.Host == "" || q.Host == view.HostName || q.Host == string(view.Host)) && (!q.Bad || bad) && (q.Phase == "" || q.Phase == view.Phase) {
			views = append(views, view)
		}
	}
	f.carryOut()
	f.standings = slices.DeleteFunc(f.standings, func(v api.StandingView) bool { return v.Phase == "" && v.Breaker == fleet.BreakerClosed })
	return pageOf(views, q.Page, func(v api.StandingView) string { return string(v.Task) + v.HostName }), err
}

// carryOut does what hosts that are alive were told.
func (f *collectorFake) carryOut() {
	for i := range f.standings {
		view := &f.standings[i]
		if view.Presence != fleet.Alive || len(view.Orders) == 0 {
			continue
		}
		switch view.Orders[len(view.Orders)-1].Kind {
		case fleet.OrderStop:
			view.Phase, view.Run = fleet.PhaseStopped, ""
		case fleet.OrderReset:
			view.Breaker, view.Failures = fleet.BreakerClosed, 0
		default:
			view.Phase, view.Run, view.Restarts = fleet.PhaseRunning, view.Run+"1", 0
		}
		view.Orders, view.Detail, view.At, view.Since = nil, "", nil, noon
	}
}

// someStandings gives the fake a daemon on two hosts and an open breaker.
func (f *collectorFake) someStandings() {
	again, until := noon.Add(90*time.Second), noon.Add(20*time.Minute)
	f.standings = []api.StandingView{
		{Standing: fleet.Standing{Task: "data/nightly-backup", Since: noon.Add(-10 * time.Minute), Breaker: fleet.BreakerOpen, Failures: 5, At: &until}, Host: hostID(1), HostName: "db-1", Presence: fleet.Alive, Told: noon},
		{Standing: fleet.Standing{Task: "web/api", Since: noon.Add(-3 * time.Hour), Phase: fleet.PhaseRunning, Run: "r", Restarts: 2, Health: fleet.Unhealthy, HealthDetail: "http 503"}, Host: hostID(1), HostName: "db-1", Presence: fleet.Alive, Told: noon},
		{Standing: fleet.Standing{Task: "web/api", Since: noon.Add(-time.Minute), Phase: fleet.PhaseBackoff, Restarts: 7, At: &again, Detail: "it ended with exit 1\x1b[31m"}, Host: hostID(3), HostName: "evil\x1b]0;pwn\x07", Presence: fleet.Alive, Told: noon},
	}
}

func (f *collectorFake) live(r *http.Request) (any, error) {
	host, err := f.host(r.PathValue("host"))
	if err != nil {
		return nil, err
	}
	if host.Presence != fleet.Alive {
		return nil, fleet.Errorf(fleet.Unavailable, "host %s does not answer", host.Name).WithCode(api.CodeSilent)
	}
	progress, beat := 42.5, noon.Add(-5*time.Second)
	return api.Live{
		At: noon, Slots: 64, Taken: 1, Total: 2,
		Runs: []api.LiveRun{
			{Run: "r", Task: "web/api", PID: 4711, Started: noon.Add(-3 * time.Hour), Processes: 3, Sample: &api.Sample{At: noon, CPU: 1.254, Memory: 300 << 20, Files: 41}, Health: fleet.Unhealthy, HealthDetail: "http 503", Beat: &beat},
			{Run: "s", Task: "data/nightly-backup", PID: 4712, Started: noon.Add(-time.Minute), Attempt: 2, Progress: &progress, Message: "dumping \x1b[2Jorders"},
		},
		Waiting: []api.LiveWaiting{{Run: "w", Task: "default/heartbeat", Due: noon.Add(-2 * time.Second), Why: "for tcp db-1:5432"}},
	}, nil
}

func (f *collectorFake) listCalendars(*http.Request) (any, error) {
	list := api.List[fleet.CalendarRecord]{Items: []fleet.CalendarRecord{}}
	for _, name := range slices.Sorted(maps.Keys(f.calendars)) {
		list.Items = append(list.Items, f.calendars[name])
	}
	list.Total = len(list.Items)
	return list, nil
}

func (f *collectorFake) calendar(name string) (fleet.CalendarRecord, error) {
	if record, found := f.calendars[name]; found {
		return record, nil
	}
	return fleet.CalendarRecord{}, fleet.Errorf(fleet.NotFound, "there is no calendar %q", name).WithHint("fleetctl calendars")
}

func (f *collectorFake) putCalendar(s *seal.Statement) (api.Sealed, error) {
	if s.Calendar.Definition == nil {
		return f.dropCalendar(s.Name)
	}
	record := fleet.CalendarRecord{Calendar: *s.Calendar.Definition, Changed: noon, ChangedBy: "ops@desk", Index: f.index, Serial: s.Serial}
	f.calendars[record.Name] = record
	return api.Sealed{Calendar: &record, Index: f.index}, nil
}

func (f *collectorFake) dropCalendar(name string) (api.Sealed, error) {
	record, err := f.calendar(name)
	for id, task := range f.tasks {
		if err == nil && slices.Contains(task.Task.On.Blackout, record.Name) {
			return api.Sealed{}, fleet.Errorf(fleet.Conflict, "calendar %s is named by %s", record.Name, id).WithHint("take it out of their on.blackout first")
		}
	}
	delete(f.calendars, record.Name)
	return api.Sealed{Index: f.index}, err
}
