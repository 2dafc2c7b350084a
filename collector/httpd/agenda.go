package httpd

import (
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// agenda knows when found jobs are due, and given tasks. A fleet has many jobs and few
// schedules, so jobs are kept by schedule, and one computation of an instant
// serves all that share it. It follows the ledger when it is asked, reading
// again only the hosts whose inventory is another one.
type agenda struct {
	ledger *ledger.Ledger

	mu        sync.Mutex
	hosts     map[fleet.HostID]*agendaHost
	schedules map[scheduleKey]*jobClock
	given     []*ledger.HeldTask // what was read of the tasks
	tasks     map[*ledger.HeldTask]*taskClock
}

// taskClock is when a task is due: on the earliest host there could be, and on
// each.
type taskClock struct {
	early fleet.Clock
	on    func(fleet.HostID) fleet.Clock
}

// agendaHost is what the agenda has read of a host.
type agendaHost struct {
	read string // what would be read again if it changed
	keys []scheduleKey
}

// scheduleKey is everything that decides when a job is due.
type scheduleKey struct {
	schedule, zone, dialect string
	wall                    bool
}

// jobClock is one schedule and the jobs that have it.
type jobClock struct {
	schedule interface {
		Next(after time.Time) (time.Time, bool)
	}
	location *time.Location
	jobs     map[fleet.HostID][]fleet.JobID
}

func newAgenda(l *ledger.Ledger) *agenda {
	return &agenda{ledger: l, hosts: map[fleet.HostID]*agendaHost{}, schedules: map[scheduleKey]*jobClock{}}
}

// read calls fn with the agenda as it is now, which stays so until fn returns.
func (a *agenda) read(fn func(*agenda) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, host := range a.ledger.AllHosts() {
		if err := a.follow(host); err != nil {
			return err
		}
	}
	a.followTasks()
	return fn(a)
}

// followTasks reads the tasks that are not known. It needs mu.
func (a *agenda) followTasks() {
	given := a.ledger.AllTasks()
	if len(given) == len(a.given) && (len(given) == 0 || &given[0] == &a.given[0]) {
		return // the same list
	}
	known := a.tasks
	a.given, a.tasks = given, make(map[*ledger.HeldTask]*taskClock, len(given))
	for _, task := range given {
		clock := known[task]
		if clock == nil && task.State == fleet.TaskEnabled {
			clock = newTaskClock(task.Task)
		}
		if clock != nil {
			a.tasks[task] = clock
		}
	}
}

// newTaskClock returns nil for a task that is not due by the clock.
func newTaskClock(task fleet.Task) *taskClock {
	on, err := task.Clocks()
	if err != nil {
		return nil // it was valid when it was given
	}
	task.On.Spread = 0
	early, err := task.Clock("")
	if err != nil {
		return nil
	}
	return &taskClock{early, on}
}

// follow reads the host's jobs unless they are known. It needs mu.
func (a *agenda) follow(host *ledger.Host) error {
	known := a.hosts[host.ID]
	read := host.Hash + host.Cron + host.Timezone
	if known != nil && known.read == read {
		return nil
	}
	jobs, err := a.ledger.Jobs(host.ID)
	if err != nil {
		return err
	}
	if known != nil {
		a.forget(host.ID, known)
	}
	next := &agendaHost{read: read}
	for i := range jobs {
		key, due := keyOf(&jobs[i].Job, host)
		if !due {
			continue
		}
		clock := a.schedules[key]
		if clock == nil {
			if clock, due = key.clock(); !due {
				continue
			}
			a.schedules[key] = clock
		}
		clock.jobs[host.ID] = append(clock.jobs[host.ID], jobs[i].ID)
		next.keys = append(next.keys, key)
	}
	a.hosts[host.ID] = next
	return nil
}

func (a *agenda) forget(id fleet.HostID, host *agendaHost) {
	for _, key := range host.keys {
		if clock := a.schedules[key]; clock != nil {
			delete(clock.jobs, id)
			if len(clock.jobs) == 0 {
				delete(a.schedules, key)
			}
		}
	}
}

// dialects maps what a host says of its cron to the reading of it.
var dialects = map[string]cron.Dialect{"debian": cron.Debian, "cronie": cron.Cronie, "busybox": cron.Busybox}

// systemd stands where a dialect does for the schedules of timers.
const systemd = "systemd"

// keyOf returns what decides when the job is due, and false for one that the
// host's scheduler will not run.
func keyOf(job *fleet.Job, host *ledger.Host) (scheduleKey, bool) {
	key := scheduleKey{schedule: job.Schedule, zone: job.Timezone, dialect: host.Cron}
	if key.zone == "" {
		key.zone = host.Timezone
	}
	if key.zone == "" {
		key.zone = "UTC"
	}
	if job.Kind == fleet.KindTimer {
		key.dialect = systemd
	}
	key.wall = host.Cron == cron.Cronie.String() && job.Env["CRON_TZ"] != ""
	return key, job.Enabled && job.Verdict.Runs && job.Schedule != ""
}

// clock returns nothing for a schedule without instants of the clock.
func (k scheduleKey) clock() (*jobClock, bool) {
	location, err := cron.Load(k.zone)
	if err != nil {
		return nil, false
	}
	clock := &jobClock{location: location, jobs: map[fleet.HostID][]fleet.JobID{}}
	if k.dialect == systemd {
		events := calendar.ParseEvents(k.schedule)
		clock.schedule = events
		return clock, len(events) > 0
	}
	dialect, known := dialects[k.dialect]
	if !known {
		dialect = cron.Debian
	}
	schedule, err := dialect.Parse(k.schedule)
	if err != nil || schedule.Reboot() || schedule.Random() {
		return nil, false
	}
	if k.wall {
		schedule = schedule.Wall()
	}
	clock.schedule = schedule
	return clock, true
}

// next returns the first instant after the given one.
func (c *jobClock) next(after time.Time) (time.Time, bool) {
	return c.schedule.Next(after.In(c.location))
}
