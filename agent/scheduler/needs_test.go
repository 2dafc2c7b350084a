package scheduler

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// needing is a daemon that needs others.
func needing(name string, needs ...string) fleet.Assignment {
	return daemon(func(t *fleet.Task) { t.Name, t.Needs = name, needs })
}

// up brings app and db up, which it needs.
func (s *story) up(app, db fleet.Assignment) {
	s.t.Helper()
	s.sees("12:00:00", plan(app, db), "begin 12:00:00 db",
		"app stands waiting since 12:00:00: for db, which begins now", "db stands running since 12:00:00", "wake 12:00:00")
	s.sees("12:00:00", Tick{}, "begin 12:00:00 app", "app stands running since 12:00:00")
}

// crashed is the event that the n-th run begun, one of the task, exited with 1.
func (s *story) crashed(n int, name string) RunEnded {
	e := s.exits(n, 1)
	e.Run.Task = fleet.NewTaskID("", name)
	return e
}

func TestNeeds(t *testing.T) {
	t.Run("start in order, stop in reverse", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		s := tell(t, "12:00:00")
		s.up(app, db)
		s.sees("12:01:00", plan(), "app cancel: the task is no longer assigned to this host",
			"app stands stopping since 12:01:00: the task is no longer assigned to this host",
			"db stands stopping since 12:01:00: the task is no longer assigned to this host; app stops first")
		s.sees("12:01:05", s.crashed(1, "app"), "db cancel: the task is no longer assigned to this host", "unstand",
			"db stands stopping since 12:01:00: the task is no longer assigned to this host")
		s.sees("12:01:06", s.crashed(0, "db"), "unstand")
		if len(s.state.tasks) != 0 {
			t.Errorf("still known: %v", s.state.tasks)
		}
	})
	t.Run("one that is stopped alone does not wait, nor pull others along", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		s := tell(t, "12:00:00")
		s.up(app, db)
		stop := fleet.Order{ID: "o1", Kind: fleet.OrderStop, Task: "default/db", Expires: noon.AddDate(0, 0, 1), By: "bob"}
		s.sees("12:01:00", PlanChanged{Assignments: []fleet.Assignment{app, db}, Orders: []fleet.Order{stop}},
			"did o1", "db cancel: stopped by bob", "db stands stopping since 12:01:00: stopped by bob")
		s.sees("12:01:01", s.crashed(0, "db"), "db stands stopped since 12:01:01: stopped by bob")
		s.sees("12:01:02", s.crashed(1, "app"), "app stands backoff since 12:01:02, at 12:01:03: exit 1; restart 1 follows", "wake 12:01:03")
		s.sees("12:01:03", Tick{}, "app stands waiting since 12:01:03: for db, which is in phase stopped")
		start := stop
		start.ID, start.Kind = "o2", fleet.OrderStart
		s.sees("12:01:10", PlanChanged{Assignments: []fleet.Assignment{app, db}, Orders: []fleet.Order{start}},
			"did o2", "begin 12:01:10 db: started again 9s after it was stopped by bob, as bob asked",
			"app stands waiting since 12:01:03: for db, which begins now",
			"db stands running since 12:01:10: started again 9s after it was stopped by bob, as bob asked", "wake 12:01:10")
		s.sees("12:01:10", Tick{},
			"begin 12:01:10 app: started again 8s after exit 1, it waited: for db, which is in phase stopped; restart 1",
			"app stands running since 12:01:10, 1 restarts: started again 8s after exit 1, it waited: for db, which is in phase stopped; restart 1", "wake 12:11:10")
	})
	t.Run("health of what is needed, and what it waits for", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		db.Task.Health.TCP = "127.0.0.1:5432"
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(app, db), "begin 12:00:00 db",
			"app stands waiting since 12:00:00: for db, which is not healthy yet", "db stands running since 12:00:00")
		s.sees("12:00:00.1", RunWaits{"default/db", s.begun[0], "for /run/disk"},
			"app stands waiting since 12:00:00: for db, which is in phase waiting", "db stands waiting since 12:00:00.1: for /run/disk")
		s.sees("12:00:01", Probed{"default/db", s.begun[0], fleet.Healthy, ""}, "db stands waiting since 12:00:00.1, healthy: for /run/disk")
		s.sees("12:00:02", RunWaits{"default/db", s.begun[0], ""},
			"begin 12:00:02 app: started, it waited: for db, which is in phase waiting",
			"app stands running since 12:00:02: started, it waited: for db, which is in phase waiting", "db stands running since 12:00:02, healthy")
		s.sees("12:00:03", Probed{"default/db", "another", fleet.Unhealthy, "refused"})
		s.sees("12:00:04", Probed{"default/db", s.begun[0], fleet.Unhealthy, "refused"}, "db stands running since 12:00:02, unhealthy")
		s.sees("12:00:05", s.crashed(1, "app"), "app stands backoff since 12:00:05, at 12:00:06: exit 1; restart 1 follows", "wake 12:00:06")
		s.sees("12:00:06", Tick{}, "app stands waiting since 12:00:06: for db, which is not healthy yet")
	})
	t.Run("missing, foreign, and of the wrong kind", func(t *testing.T) {
		job := given(func(a *fleet.Assignment) { a.Task.Name = "job"; a.Task.On = fleet.Trigger{Manual: true} })
		other := needing("db")
		other.Task.Namespace = "elsewhere"
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(needing("app", "db", "job"), job, other), "begin 12:00:00 db",
			"app stands waiting since 12:00:00: for db, which is not given to this host, and for job, which is neither a daemon nor kept up",
			"db stands running since 12:00:00")
		job.Generation, job.Task.On = 2, fleet.Trigger{Daemon: true}
		s.sees("12:00:10", plan(needing("app", "db", "job"), needing("db"), job, other),
			"begin 12:00:10 db", "begin 12:00:10 job",
			"app stands waiting since 12:00:00: for db, which begins now, and for job, which begins now",
			"db stands running since 12:00:10", "job stands running since 12:00:10", "wake 12:00:10")
		s.sees("12:00:10", Tick{},
			"begin 12:00:10 app: started, it waited: for db, which is not given to this host, and for job, which is neither a daemon nor kept up",
			"app stands running since 12:00:10: started, it waited: for db, which is not given to this host, and for job, which is neither a daemon nor kept up")
	})
	t.Run("around in a circle", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(needing("a", "b"), needing("b", "c"), needing("c", "a"), needing("d", "a")),
			"a stands waiting since 12:00:00: for itself: a needs b needs c needs a",
			"b stands waiting since 12:00:00: for itself: b needs c needs a needs b",
			"c stands waiting since 12:00:00: for itself: c needs a needs b needs c",
			"d stands waiting since 12:00:00: for a, which is in phase waiting")
	})
	t.Run("those that run and need each other by now are stopped all the same", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.sees("12:00:00", plan(needing("a"), needing("b")), "begin 12:00:00 a", "begin 12:00:00 b",
			"a stands running since 12:00:00", "b stands running since 12:00:00")
		a, b := needing("a", "b"), needing("b", "a")
		a.Generation, b.Generation = 2, 2
		s.sees("12:00:10", plan(a, b))
		a.State, b.State = fleet.TaskPaused, fleet.TaskPaused
		s.sees("12:00:20", plan(a, b), "a cancel: the task is paused", "b cancel: the task is paused",
			"a stands stopping since 12:00:20: the task is paused", "b stands stopping since 12:00:20: the task is paused")
	})
	t.Run("a restart of both goes down in reverse and up in order", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		s := tell(t, "12:00:00")
		s.up(app, db)
		app.Generation, app.Task.Run.User = 2, "web"
		db.Generation, db.Task.Run.User = 2, "web"
		s.sees("12:01:00", plan(app, db), "app cancel: the task was changed",
			"app stands stopping since 12:01:00: the task was changed", "db stands stopping since 12:01:00: the task was changed; app stops first")
		s.sees("12:01:01", s.crashed(1, "app"), "db cancel: the task was changed",
			"app stands waiting since 12:01:01: for db, which is in phase stopping", "db stands stopping since 12:01:00: the task was changed")
		s.sees("12:01:02", s.crashed(0, "db"), "begin 12:01:02 db: started again 0s after it was stopped: the task was changed",
			"app stands waiting since 12:01:01: for db, which begins now",
			"db stands running since 12:01:02: started again 0s after it was stopped: the task was changed", "wake 12:01:02")
		s.sees("12:01:02", Tick{},
			"begin 12:01:02 app: started again 1s after it was stopped: the task was changed, it waited: for db, which is in phase stopping",
			"app stands running since 12:01:02: started again 1s after it was stopped: the task was changed, it waited: for db, which is in phase stopping")
	})
	t.Run("wished back before it was its turn to stop, it stays", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		s := tell(t, "12:00:00")
		s.up(app, db)
		s.sees("12:01:00", plan(), "app cancel: the task is no longer assigned to this host",
			"app stands stopping since 12:01:00: the task is no longer assigned to this host",
			"db stands stopping since 12:01:00: the task is no longer assigned to this host; app stops first")
		s.sees("12:01:01", plan(db), "db stands running since 12:01:01")
		s.sees("12:01:02", s.crashed(1, "app"), "unstand")
	})
	t.Run("a run that was ordered waits for what it needs", func(t *testing.T) {
		app, db := needing("app", "db"), needing("db")
		db.Task.Health.TCP = "127.0.0.1:5432"
		order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Task: "default/app", Run: "r1", Due: noon, Expires: noon.AddDate(0, 0, 1)}
		s := tell(t, "12:00:00")
		s.sees("12:00:00", PlanChanged{Assignments: []fleet.Assignment{app, db}, Orders: []fleet.Order{order}}, "begin 12:00:00 db",
			"app stands waiting since 12:00:00: for db, which is not healthy yet", "db stands running since 12:00:00", "wake 03-03T12:00:00")
		s.sees("12:00:02", Probed{"default/db", s.begun[0], fleet.Healthy, ""},
			"begin 12:00:00 for o1 app: started, it waited: for db, which is not healthy yet, as somebody asked",
			"app stands running since 12:00:02: started, it waited: for db, which is not healthy yet, as somebody asked",
			"db stands running since 12:00:00, healthy")
	})
}
