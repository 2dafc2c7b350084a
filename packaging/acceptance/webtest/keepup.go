package main

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The invented fleet answers for what is kept up as a collector would.

func (f *invented) Standings(_ context.Context, q api.StandingQuery) (api.List[api.StandingView], error) {
	return cut(f, f.standings, q.Page, func(s *api.StandingView) bool {
		bad := s.Phase == fleet.PhaseCrashLoop || s.Health == fleet.Unhealthy || s.Breaker == fleet.BreakerOpen
		return (q.Task == "" || s.Task == q.Task) && (q.Host == "" || s.HostName == q.Host || string(s.Host) == q.Host) &&
			(q.Phase == "" || s.Phase == q.Phase) && (q.Breaker == "" || s.Breaker == q.Breaker) && (q.Health == "" || s.Health == q.Health) && (!q.Bad || bad)
	})
}

func (f *invented) Calendars(context.Context) (api.List[fleet.CalendarRecord], error) {
	return cut(f, f.calendars, api.Page{}, func(*fleet.CalendarRecord) bool { return true })
}

func (f *invented) Live(_ context.Context, host string) (api.Live, error) {
	for i := range f.hosts {
		if h := &f.hosts[i]; h.Name == host || string(h.ID) == host {
			if h.Presence != fleet.Alive {
				break
			}
			return f.goingOn(h), f.fault()
		}
	}
	return api.Live{}, fleet.Errorf(fleet.Unavailable, "the host is silent").WithCode("host_silent")
}

// goingOn is what a host would say of its runs at this moment.
func (f *invented) goingOn(host *api.HostDetail) api.Live {
	now := time.Now().UTC()
	live := api.Live{At: now, Slots: 64}
	for _, run := range f.runs {
		if run.Host != host.ID || run.State != fleet.RunRunning {
			continue
		}
		progress := 62.5
		live.Taken++
		live.Runs = append(live.Runs, api.LiveRun{
			Run: run.ID, Task: run.Task, PID: run.PID, Started: *run.Started, Attempt: 1, Processes: 2, Beat: &now, Progress: &progress, Message: "table orders, 5 of 8",
			Sample: &api.Sample{At: now, CPU: 0.42, Memory: 48 << 20, Files: 17},
		})
	}
	return live
}

// keepUp gives some hosts a daemon, another an open breaker, and a run of the
// newest instant that needed three attempts.
func (f *invented) keepUp(now time.Time) {
	worker := newTask("queue-worker|shop|team-shop|@hourly|UTC|www-data|role=queue|/srv/shop/bin/worker --queue mail", now)
	worker.Task.On = fleet.Trigger{Daemon: true}
	worker.Task.Restart = fleet.Restart{Policy: fleet.RestartAlways, GiveUp: fleet.Frequency{Times: 10, Per: fleet.Duration(time.Hour)}}
	worker.Task.Health = fleet.Health{HTTP: "http://127.0.0.1:9090/healthz"}
	worker.Next = nil
	f.tasks = append(f.tasks, worker)
	states := []fleet.Standing{
		{Phase: fleet.PhaseRunning, Health: fleet.Healthy},
		{Phase: fleet.PhaseBackoff, Restarts: 3, Detail: "exit 1 after 4 seconds; started again in 8 seconds"},
		{Phase: fleet.PhaseCrashLoop, Restarts: 10, Detail: "started 10 times within an hour; fleetctl start shop/queue-worker --host queue-3 tries again"},
		{Phase: fleet.PhaseRunning, Restarts: 1, Health: fleet.Unhealthy, HealthDetail: "GET http://127.0.0.1:9090/healthz answered 503"},
	}
	queues := 0
	for i := range f.hosts {
		host := &f.hosts[i]
		if host.Labels["role"] != "queue" || queues >= len(states) {
			continue
		}
		s := states[queues]
		queues++
		s.Task, s.Since = worker.Task.ID(), now.Add(-time.Duration(queues)*37*time.Minute)
		if s.Phase == fleet.PhaseBackoff {
			at := now.Add(8 * time.Second)
			s.At = &at
		}
		f.standings = append(f.standings, f.standsOn(host, s, now))
	}
	for i := range f.hosts {
		if host := &f.hosts[i]; host.Name == "batch-1" {
			at := now.Add(21 * time.Minute)
			f.standings = append(f.standings, f.standsOn(host, fleet.Standing{
				Task: "data/export-orders", Since: now.Add(-9 * time.Minute), Breaker: fleet.BreakerOpen, Failures: 5, At: &at,
				Detail: "5 failures within an hour; nothing begins until then",
			}, now))
		}
	}
	f.threeAttempts(now)
	f.atWork(now)
	from, to := now.Add(24*time.Hour).Truncate(24*time.Hour), now.Add(9*24*time.Hour).Truncate(24*time.Hour)
	f.calendars = []fleet.CalendarRecord{{Changed: now.Add(-50 * time.Hour), ChangedBy: "anna", Calendar: fleet.Calendar{
		Name: "year-end", Description: "no changes while the books are closed", Timezone: "Europe/Berlin", Windows: []fleet.Window{
			{From: &from, To: &to, Summary: "books are closed"}, {Cron: "0 22 * * 5", For: fleet.Duration(56 * time.Hour), Summary: "weekend"},
		},
	}}}
	f.tasks[0].Task.On.Blackout = []string{"year-end"}
	f.tasks[0].Task.Retry = fleet.Retry{Attempts: 3, Budget: fleet.Duration(time.Hour)}
	f.tasks[0].Task.Breaker = fleet.Breaker{Failures: 5, Key: "primary-db"}
}

func (f *invented) standsOn(host *api.HostDetail, s fleet.Standing, now time.Time) api.StandingView {
	return api.StandingView{Standing: s, Host: host.ID, HostName: host.Name, Presence: host.Presence, Told: now}
}

// atWork puts a run in front that has not ended.
func (f *invented) atWork(now time.Time) {
	host, started := &f.hosts[1], now.Add(-4*time.Second)
	run := fleet.Run{ID: runID(started, 901), Task: "ops/check-disks", Generation: 1, Host: host.ID, Due: started, Attempt: 1, State: fleet.RunRunning, Started: &started, PID: 4100}
	f.outputs[run.ID] = map[string]string{"stdout": "looking\n", "stderr": ""}
	f.runs = append([]api.RunView{{Run: run, HostName: host.Name}}, f.runs...)
}

// threeAttempts puts a run in front that failed twice and then went well.
func (f *invented) threeAttempts(now time.Time) {
	host := &f.hosts[0]
	due := now.Add(-90 * time.Second)
	run := fleet.Run{ID: runID(due, 900), Task: "ops/check-disks", Generation: 1, Host: host.ID, Due: due, Attempt: 1, State: fleet.RunRan}
	for attempt := 1; attempt <= 3; attempt++ {
		started := due.Add(time.Duration(attempt) * 10 * time.Second)
		ended, exit, again := started.Add(2*time.Second), 1, started.Add(10*time.Second)
		if attempt == 3 {
			exit = 0
		}
		run.State, run.Started, run.Ended, run.Exit, run.PID = fleet.RunRan, &started, &ended, &exit, 4000+attempt
		run.Used = fleet.Used{CPU: fleet.Duration(1300 * time.Millisecond), Memory: 21 << 20, Read: 4096, Written: 1 << 20}
		run.Again = nil
		if attempt < 3 {
			run.Again = &again
		}
		f.outputs[run.ID] = map[string]string{"stdout": "looking\n", "stderr": ""}
		f.runs = append([]api.RunView{{Run: run, HostName: host.Name}}, f.runs...)
		next := run.NextAttempt()
		run = next
	}
}

// keepUpHostile lets the attacker write what is said of what is kept up.
func (f *invented) keepUpHostile(host *api.HostDetail, script, terminal, long string, now time.Time) {
	f.standings = []api.StandingView{f.standsOn(host, fleet.Standing{
		Task: "default/evil", Since: now, Phase: fleet.Phase(script), Detail: long + terminal, Breaker: fleet.BreakerState(terminal),
		Health: fleet.HealthState(script), HealthDetail: script + long,
	}, now)}
	f.calendars = []fleet.CalendarRecord{{Changed: now, ChangedBy: script, Calendar: fleet.Calendar{
		Name: script, Description: terminal, Timezone: script, Windows: []fleet.Window{{Cron: script, Summary: long}, {From: &now, Rule: script + long}},
	}}}
}
