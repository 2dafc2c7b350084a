package httpd

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unique"

	"github.com/fleetcron/fleetcron/collector/findings"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// agenda knows when found jobs are due, and given tasks. A fleet has many jobs
// and few schedules, so jobs are kept by schedule, and one computation of an
// instant serves all that share it. It reads no job itself: what the search reads
// is told to it, too.
type agenda struct {
	ledger  *ledger.Ledger
	catchUp func(context.Context) error // has what changed be taken in

	counting sync.Mutex // guards the weeks of schedules

	mu        sync.RWMutex
	hosts     map[fleet.HostID]*agendaHost
	schedules map[unique.Handle[findings.When]]*jobClock
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
	*ledger.Host
	jobs []agendaJob // that its schedulers run
}

// agendaJob is a job as the agenda needs it.
type agendaJob struct {
	id      fleet.JobID
	command unique.Handle[string]
	print   unique.Handle[string]
	when    unique.Handle[findings.When]
	free    bool // a cron line that no package or configuration management made
}

// jobClock is one schedule and the jobs that have it, by their place on each host.
type jobClock struct {
	findings.Clock
	when findings.When
	jobs map[*agendaHost][]int32
	all  int
	week hourly // the last one asked for; guarded by the agenda's counting
}

func newAgenda(l *ledger.Ledger, search Search) *agenda {
	a := &agenda{ledger: l, catchUp: search.CatchUp, hosts: map[fleet.HostID]*agendaHost{}, schedules: map[unique.Handle[findings.When]]*jobClock{}}
	search.Share(a.take)
	return a
}

// read calls fn with the agenda as it is now, which stays so until fn returns.
func (a *agenda) read(fn func(*agenda) error) error {
	if err := a.catchUp(context.Background()); err != nil { // take is called for what changed
		return err
	}
	a.mu.Lock()
	a.followTasks()
	a.mu.Unlock()
	a.mu.RLock()
	defer a.mu.RUnlock()
	return fn(a)
}

func sameList[T any](a, b []*T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// followTasks reads the tasks that are not known. It needs mu.
func (a *agenda) followTasks() {
	given := a.ledger.AllTasks(everywhere)
	if sameList(given, a.given) {
		return
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

// take takes in a host as it is now, with its jobs; nil: it is gone.
func (a *agenda) take(id fleet.HostID, host *ledger.Host, jobs []api.JobView) {
	a.mu.RLock()
	known := a.hosts[id]
	a.mu.RUnlock()
	var next *agendaHost
	switch {
	case host == nil:
	case known != nil && known.Hash == host.Hash && known.Cron == host.Cron && known.Timezone == host.Timezone:
		a.mu.Lock()
		known.Host = host
		a.mu.Unlock()
		return
	default:
		next = newAgendaHost(host, jobs)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known != nil {
		a.forget(known)
	}
	if next != nil {
		a.insert(next)
	}
}

func newAgendaHost(host *ledger.Host, jobs []api.JobView) *agendaHost {
	next := &agendaHost{Host: host, jobs: make([]agendaJob, 0, len(jobs))}
	for i := range jobs {
		if job := &jobs[i]; job.Enabled && job.Verdict.Runs {
			when, _ := findings.WhenOf(&job.Job, &host.Host)
			next.jobs = append(next.jobs, agendaJob{
				job.ID, unique.Make(job.Command), unique.Make(job.Fingerprint), unique.Make(when),
				job.Kind == fleet.KindCron && job.Package == "" && job.ManagedBy == "" && job.Container == "",
			})
		}
	}
	return next
}

// insert puts a host's jobs under their schedules. It needs mu.
func (a *agenda) insert(host *agendaHost) {
	a.hosts[host.ID] = host
	for i := range host.jobs {
		when := host.jobs[i].when
		clock := a.schedules[when]
		if clock == nil {
			reads, due := when.Value().Clock()
			if !due {
				continue
			}
			clock = &jobClock{Clock: reads, when: when.Value(), jobs: map[*agendaHost][]int32{}}
			a.schedules[when] = clock
		}
		clock.jobs[host] = append(clock.jobs[host], int32(i))
		clock.all++
	}
}

// forget takes a host's jobs away. It needs mu.
func (a *agenda) forget(host *agendaHost) {
	delete(a.hosts, host.ID)
	for i := range host.jobs {
		when := host.jobs[i].when
		clock := a.schedules[when]
		if clock == nil {
			continue
		}
		clock.all -= len(clock.jobs[host])
		if delete(clock.jobs, host); clock.all == 0 {
			delete(a.schedules, when)
		}
	}
}

// choice is which hosts and jobs a question is about, of those that whoever
// asks may see.
type choice struct {
	scope    fleet.Scope
	host     *ledger.Host // nil: every one
	labelled bool
	label    fleet.Selector
	text     string // lower-case, in the command; empty: any

	commands map[unique.Handle[string]]bool // that were looked at
}

// choose reads what a question is about.
func (s *Server) choose(scope fleet.Scope, host, label, text string) (c choice, err error) {
	c = choice{scope: scope, text: strings.ToLower(text), labelled: label != "", commands: map[unique.Handle[string]]bool{}}
	if label != "" {
		if c.label, err = fleet.ParseSelector(label); err != nil {
			return c, err
		}
	}
	if host != "" {
		c.host, err = s.Ledger.FindHost(scope, host)
	}
	return c, err
}

// everything reports whether nothing is left out of what may be seen.
func (c *choice) everything() bool { return c.host == nil && !c.labelled && c.text == "" }

// takes reports whether the host is asked about.
func (c *choice) takes(host *ledger.Host) bool {
	return c.scope.Meets(host.Namespaces) && (c.host == nil || c.host.ID == host.ID) && (!c.labelled || c.label.Matches(host.Labels))
}

// mentions reports whether a command has the text.
func (c *choice) mentions(command unique.Handle[string]) bool {
	if c.text == "" {
		return true
	}
	has, known := c.commands[command]
	if !known {
		has = strings.Contains(strings.ToLower(command.Value()), c.text)
		c.commands[command] = has
	}
	return has
}

// each visits the jobs of a schedule that are asked about.
func (c *choice) each(clock *jobClock, visit func(*agendaHost, *agendaJob)) {
	one := func(host *agendaHost, places []int32) {
		for _, at := range places {
			if job := &host.jobs[at]; c.mentions(job.command) {
				visit(host, job)
			}
		}
	}
	for host, places := range clock.jobs {
		if c.takes(host.Host) {
			one(host, places)
		}
	}
}

// count returns how many jobs of a schedule are asked about.
func (c *choice) count(clock *jobClock) (n int) {
	if c.everything() && c.scope.All() {
		return clock.all
	}
	c.each(clock, func(*agendaHost, *agendaJob) { n++ })
	return n
}

// asks returns the schedules to look at: those of one host, or all.
func (c *choice) asks(a *agenda) []*jobClock {
	var clocks []*jobClock
	if c.host == nil {
		for _, clock := range a.schedules {
			clocks = append(clocks, clock)
		}
		return clocks
	}
	host := a.hosts[c.host.ID]
	if host == nil {
		return nil
	}
	for i := range host.jobs {
		if clock := a.schedules[host.jobs[i].when]; clock != nil && !slices.Contains(clocks, clock) {
			clocks = append(clocks, clock)
		}
	}
	return clocks
}
