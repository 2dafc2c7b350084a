package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// noon is when the fake's fleet lives.
var noon = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

// collectorFake is a collector in memory that speaks the HTTP contract: enough
// of one that fleetctl cannot tell.
type collectorFake struct {
	mu      sync.Mutex
	index   uint64
	hosts   []api.HostDetail
	tasks   map[fleet.TaskID]*fleet.TaskRecord
	runs    []api.RunView
	applied bool // agents take over what they are given

	mind      string // of hosts that are asked to adopt: obstinate refuses
	adoptions map[fleet.TaskID]fleet.Adoption
	noLeader  bool
	dropped   fleet.CollectorID // out of the group
	ends      fleet.Run         // how an ordered run ends
	writes    int

	findings    []fleet.Finding
	pins        map[string]fleet.Pin
	annotations map[string]fleet.Annotation
	jobQuery    api.JobQuery // the last one

	standings []api.StandingView
	calendars map[string]fleet.CalendarRecord

	trustFake
}

func hostID(n int) fleet.HostID { return fleet.HostID(fmt.Sprintf("%032x", n)) }

// newFake returns a fleet of three hosts, one of them hostile in all its words.
func newFake() *collectorFake {
	f := &collectorFake{
		tasks: map[fleet.TaskID]*fleet.TaskRecord{}, index: 10, applied: true,
		findings: someFindings(), pins: map[string]fleet.Pin{}, annotations: map[string]fleet.Annotation{}, calendars: map[string]fleet.CalendarRecord{},
		trustFake: trustFake{nodes: someNodes()},
	}
	f.addHost("db-1", fleet.Alive, map[string]string{"role": "db", "zone": "a"}, "10.0.0.1", "Debian GNU/Linux 13 (trixie)",
		fleet.Job{ID: "1111111111111111", Fingerprint: "aaaaaaaaaaaaaaaa", Kind: fleet.KindCron, Source: "/etc/cron.d/backup", Line: 7, User: "postgres", Schedule: "30 2 * * *", Timezone: "Europe/Berlin", Env: map[string]string{"MAILTO": "dba"}, Risks: []fleet.Risk{{Kind: fleet.FindExposed, Why: "others can read the file"}}, Command: "pg_dumpall | gzip > /var/backups/all.gz", Enabled: true, Verdict: fleet.Verdict{Runs: true}, Next: []time.Time{noon.Add(-time.Hour), noon.Add(14 * time.Hour)}, Package: "postgresql-common", ManagedBy: "Ansible (nightly dump)", Evidence: &fleet.Evidence{Last: noon.Add(-10 * time.Hour), Grade: "started", From: "journal", Result: "exit 3"}},
		fleet.Job{ID: "2222222222222222", Fingerprint: "bbbbbbbbbbbbbbbb", Kind: fleet.KindRunParts, Source: "/etc/cron.daily/dot.name", User: "root", Schedule: "25 6 * * *", Command: "/etc/cron.daily/dot.name", Verdict: fleet.Verdict{Code: fleet.BadName, Why: "run-parts skips names with a dot"}})
	f.addHost("web-東京", fleet.Silent, map[string]string{"role": "web", "zone": "b"}, "10.0.1.1", "Rocky Linux 9.5",
		fleet.Job{ID: "3333333333333333", Fingerprint: "aaaaaaaaaaaaaaaa", Kind: fleet.KindTimer, Source: "/usr/lib/systemd/system/日報.timer", User: "www", Schedule: "*-*-* 06:00:00", Timezone: "Asia/Tokyo", Command: "/usr/bin/日報を作成する --毎日", Enabled: true, Verdict: fleet.Verdict{Runs: true}, Next: []time.Time{noon.Add(18 * time.Hour)}})
	f.addHost("evil\x1b]0;pwn\x07", fleet.Alive, map[string]string{"role": "old"}, "10.0.2.1", "OS\u202egnp.exe",
		fleet.Job{ID: "4444444444444444", Fingerprint: "dddddddddddddddd", Kind: fleet.KindCron, Source: "/etc/cron.d/\x1b[2J", Line: 1, User: "root", Schedule: "* * * * *", Timezone: "UTC", Command: "echo \u009b31m \x1b[31m\r\x00\x7f \u202e", Enabled: true, Verdict: fleet.Verdict{Runs: true}, Next: []time.Time{noon.Add(time.Minute)}})
	f.hosts[0].Inventory.Problems = []fleet.Problem{{Source: "/etc/cron.d/sync", Line: 3, Text: "61 * * * * root /opt/sync/push", Reason: "minute 61 is out of range"}}
	f.hosts[0].Problems = 1
	return f
}

func (f *collectorFake) addHost(name string, presence fleet.Presence, labels map[string]string, address, os string, jobs ...fleet.Job) {
	host := api.HostDetail{HostView: api.HostView{
		Host:     fleet.Host{ID: hostID(len(f.hosts) + 1), Name: name, Labels: labels, Addresses: []netip.Addr{netip.MustParseAddr(address)}, OS: os, AgentVersion: "0.1.0", Cron: "debian"},
		Presence: presence, FirstSeen: noon.Add(-240 * time.Hour), Reported: noon.Add(-time.Hour), Jobs: len(jobs),
	}}
	host.Inventory = fleet.Report{Host: name, Scanned: noon, Jobs: jobs}
	f.hosts = append(f.hosts, host)
}

// ServeHTTP answers one request at a time.
func (f *collectorFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := r.URL.Query(); q.Has("consistent") {
		if f.noLeader {
			reply(w, f.index)(nil, fleet.Errorf(fleet.Unavailable, "no leader").WithCode(api.CodeNoLeader))
			return
		}
		q.Del("consistent")
		r.URL.RawQuery = q.Encode()
	}
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(*http.Request) (any, error){
		"GET " + api.PathHosts:        f.listHosts,
		"GET " + api.PathHost:         func(r *http.Request) (any, error) { return f.host(r.PathValue("host")) },
		"GET " + api.PathJobs:         f.listJobs,
		"GET " + api.PathJobGroups:    f.listGroups,
		"GET " + api.PathTasks:        f.listTasks,
		"GET " + api.PathTask:         func(r *http.Request) (any, error) { return f.task(taskOf(r)) },
		"GET " + api.PathTaskHosts:    f.taskHosts,
		"GET " + api.PathRuns:         f.listRuns,
		"GET " + api.PathRun:          func(r *http.Request) (any, error) { return f.run(r.PathValue("run")) },
		"GET " + api.PathUpcoming:     f.upcoming,
		"GET " + api.PathAccount:      f.account,
		"GET " + api.PathProof:        f.proof,
		"GET " + api.PathCollectors:   f.cluster,
		"DELETE " + api.PathCollector: f.change(f.dropCollector),
		"POST " + api.PathResolve:     f.resolve,
		"POST " + api.PathSealed:      f.change(f.sealed),
		"GET " + api.PathAdoption:     func(r *http.Request) (any, error) { return f.adoption(taskOf(r)) },
		"GET " + api.PathJobDiff:      f.jobDiff,

		"GET " + api.PathStandings:     f.listStandings,
		"GET " + api.PathHostLive:      f.live,
		"GET " + api.PathCalendars:     f.listCalendars,
		"GET " + api.PathCalendar:      func(r *http.Request) (any, error) { return f.calendar(r.PathValue("calendar")) },
		"GET " + api.PathChanges:       f.listChanges,
		"GET " + api.PathFindings:      f.listFindings,
		"GET " + api.PathFinding:       func(r *http.Request) (any, error) { return f.finding(r.PathValue("finding")) },
		"PUT " + api.PathFindingAck:    f.change(f.ack),
		"DELETE " + api.PathFindingAck: f.change(f.unack),
		"GET " + api.PathDensity:       f.density,
		"GET " + api.PathCollisions:    f.collisions,
		"GET " + api.PathSpread:        f.spread,
		"GET " + api.PathHostLoss:      f.loss,
		"GET " + api.PathPins:          f.listPins,
		"GET " + api.PathPin:           func(r *http.Request) (any, error) { return f.pin(r.PathValue("pin")) },
		"PUT " + api.PathPin:           f.change(f.putPin),
		"DELETE " + api.PathPin:        f.change(f.dropPin),
		"GET " + api.PathAnnotations:   f.listAnnotations,
		"PUT " + api.PathAnnotation:    f.change(f.annotate),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			value, err := answer(r)
			reply(w, f.index)(value, err)
		})
	}
	for pattern, answer := range f.trustRoutes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			value, err := answer(r)
			reply(w, f.index)(value, err)
		})
	}
	mux.HandleFunc("GET "+api.PathRunOutput, f.output)
	mux.ServeHTTP(w, r)
}

func reply(w http.ResponseWriter, index uint64) func(any, error) {
	return func(value any, err error) {
		status := http.StatusOK
		w.Header().Set("Content-Type", api.MediaJSON)
		w.Header().Set(api.HeaderIndex, strconv.FormatUint(index, 10))
		if err != nil {
			problem := api.ProblemOf(err)
			value, status = problem, problem.Status
			w.Header().Set("Content-Type", api.MediaProblem)
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(value)
	}
}

// change guards what changes something.
func (f *collectorFake) change(do func(*http.Request) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if f.noLeader {
			return nil, fleet.Errorf(fleet.Unavailable, "no collector leads").WithCode(api.CodeNoLeader)
		}
		if r.Header.Get(api.HeaderIdempotency) == "" {
			return nil, fleet.Errorf(fleet.Invalid, "a change without key or actor")
		}
		f.index++
		value, err := do(r)
		if err == nil {
			f.writes++
		}
		return value, err
	}
}

// pageOf cuts one page out of items in the order of their keys.
func pageOf[T any](items []T, page api.Page, key func(T) string) api.List[T] {
	list := api.List[T]{Items: []T{}, Total: len(items), Index: 10}
	limit := page.Limit
	if limit == 0 {
		limit = api.DefaultPage
	}
	for _, item := range items {
		if key(item) <= page.After {
			continue
		}
		if len(list.Items) == limit {
			list.Next = key(list.Items[limit-1])
			break
		}
		list.Items = append(list.Items, item)
	}
	return list
}

func query[T any](r *http.Request) (T, error) {
	var q T
	return q, api.ParseValues(r.URL.Query(), &q)
}

func (f *collectorFake) matching(label string) []api.HostDetail {
	var hosts []api.HostDetail
	for _, host := range f.hosts {
		selector, err := fleet.ParseSelector(label)
		if label == "" || err == nil && selector.Matches(host.Labels) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func (f *collectorFake) listHosts(r *http.Request) (any, error) {
	q, err := query[api.HostQuery](r)
	var hosts []api.HostView
	for _, host := range f.matching(q.Label) {
		if strings.Contains(host.Name, q.Text) && (q.Presence == "" || q.Presence == host.Presence) {
			hosts = append(hosts, host.HostView)
		}
	}
	return pageOf(hosts, q.Page, func(h api.HostView) string { return string(h.ID) }), err
}

func (f *collectorFake) host(name string) (api.HostDetail, error) {
	for _, host := range f.hosts {
		if host.Name == name || string(host.ID) == name {
			for _, id := range slices.Sorted(maps.Keys(f.tasks)) {
				if task := f.tasks[id]; task.Task.Where.Matches(&host.Host) {
					host.Assignments = append(host.Assignments, fleet.Assignment{Task: task.Task, State: task.State, Generation: task.Generation})
				}
			}
			return host, nil
		}
	}
	return api.HostDetail{}, fleet.Errorf(fleet.NotFound, "there is no host %q", name).WithHint("fleetctl hosts")
}

func (f *collectorFake) listJobs(r *http.Request) (any, error) {
	q, err := query[api.JobQuery](r)
	f.jobQuery = q
	var jobs []api.JobView
	for _, host := range f.matching(q.Label) {
		for _, job := range host.Inventory.Jobs {
			view := f.jobView(host, job)
			if strings.Contains(job.Command, q.Text) && (q.Host == "" || q.Host == host.Name || q.Host == string(host.ID)) && (q.User == "" || q.User == job.User) &&
				(q.Verdict == "" || !job.Verdict.Runs) && (q.Fingerprint == "" || q.Fingerprint == job.Fingerprint) && (!q.Overdue || view.Overdue != nil) &&
				(q.Owner == "" || q.Owner == view.Owner) && (q.At.IsZero() || q.At.After(view.FirstSeen)) && (q.Changed.IsZero() || view.Changed.After(q.Changed)) {
				jobs = append(jobs, view)
			}
		}
	}
	return pageOf(jobs, q.Page, func(j api.JobView) string { return string(j.ID) }), err
}

func (f *collectorFake) jobView(host api.HostDetail, job fleet.Job) api.JobView {
	said := f.annotations[job.Fingerprint]
	view := api.JobView{Job: job, Host: host.ID, HostName: host.Name, FirstSeen: noon.Add(-240 * time.Hour), Changed: noon.Add(-48 * time.Hour), Owner: said.Owner, Note: said.Note, Dialect: "debian"}
	if job.ID == "3333333333333333" {
		since := noon.Add(-30 * time.Hour)
		view.Overdue = &since
	}
	return view
}

func (f *collectorFake) listGroups(r *http.Request) (any, error) {
	group := api.JobGroup{Fingerprint: "aaaaaaaaaaaaaaaa", Command: "backup --all", Jobs: 3, Hosts: 2, HostNames: []string{"db-1", "db-2"}, Schedules: []string{"0 1 * * *", "30 2 * * *"}, Users: []string{"backup"}}
	return api.List[api.JobGroup]{Items: []api.JobGroup{group}, Total: 1}, nil
}

func taskOf(r *http.Request) fleet.TaskID {
	return fleet.NewTaskID(r.PathValue("namespace"), r.PathValue("name"))
}

func (f *collectorFake) view(record *fleet.TaskRecord) api.TaskView {
	view := api.TaskView{TaskRecord: *record, Hosts: len(f.resolved(&record.Task))}
	for _, host := range f.resolved(&record.Task) {
		if len(host.Next) > 0 && view.Next == nil {
			view.Next = &host.Next[0]
		}
	}
	for i := range f.runs {
		if f.runs[i].Task == record.Task.ID() && view.Last == nil {
			view.Last = &f.runs[i].Run
		}
	}
	return view
}

func (f *collectorFake) listTasks(r *http.Request) (any, error) {
	q, err := query[api.TaskQuery](r)
	var views []api.TaskView
	for _, id := range slices.Sorted(maps.Keys(f.tasks)) {
		record := f.tasks[id]
		if (q.Namespace == "" || id.Namespace() == q.Namespace) && strings.Contains(string(id), q.Text) && (q.State == "" || q.State == record.State) {
			views = append(views, f.view(record))
		}
	}
	return pageOf(views, q.Page, func(v api.TaskView) string { return string(v.Task.ID()) }), err
}

func (f *collectorFake) task(id fleet.TaskID) (api.TaskView, error) {
	if record := f.tasks[id]; record != nil {
		return f.view(record), nil
	}
	return api.TaskView{}, fleet.Errorf(fleet.NotFound, "there is no task %s", id).WithHint("fleetctl tasks")
}

func (f *collectorFake) resolved(task *fleet.Task) []api.Resolved {
	hosts := []api.Resolved{}
	for _, host := range f.hosts {
		if !task.Where.Matches(&host.Host) {
			continue
		}
		resolved := api.Resolved{Host: host.ID, Name: host.Name, Presence: host.Presence}
		if record := f.tasks[task.ID()]; record != nil && f.applied && host.Presence == fleet.Alive {
			since := noon
			resolved.Applied, resolved.Since = record.Generation, &since
		}
		schedule, _ := cron.Parse(task.On.Cron)
		zone, _ := time.LoadLocation(task.On.Timezone)
		for at := noon.In(zone); len(resolved.Next) < 3; {
			next, comes := schedule.Next(at)
			if task.On.Every > 0 {
				next, comes = at.Add(time.Duration(task.On.Every)), true
			}
			if once := task.On.At; once != nil {
				next, comes = *once, once.After(at)
			}
			if !comes {
				break
			}
			resolved.Next, at = append(resolved.Next, next), next
		}
		hosts = append(hosts, resolved)
	}
	return hosts
}

func (f *collectorFake) taskHosts(r *http.Request) (any, error) {
	view, err := f.task(taskOf(r))
	if err != nil {
		return nil, err
	}
	hosts := f.resolved(&view.Task)
	return api.List[api.Resolved]{Items: hosts, Total: len(hosts)}, nil
}

func bodyTask(r *http.Request) (fleet.Task, []byte, error) {
	doc, err := io.ReadAll(r.Body)
	if err != nil {
		return fleet.Task{}, nil, err
	}
	task, err := taskfile.ParseOne(doc, r.Header.Get("Content-Type"))
	return task, doc, err
}

func (f *collectorFake) resolve(r *http.Request) (any, error) {
	task, _, err := bodyTask(r)
	return api.Resolution{Task: task, Hosts: f.resolved(&task)}, err
}

func (f *collectorFake) putTask(s *seal.Statement, envelope []byte, r *http.Request) (api.Sealed, error) {
	task := *s.Task.Definition
	record := f.tasks[task.ID()]
	match, absent := r.Header.Get("If-Match"), r.Header.Get("If-None-Match") == "*"
	switch {
	case record == nil && match != "":
		return api.Sealed{}, fleet.Errorf(fleet.Conflict, "there is no task %s to replace", task.ID()).WithCode(api.CodeStale)
	case record != nil && absent:
		return api.Sealed{}, fleet.Errorf(fleet.Conflict, "task %s exists", task.ID()).WithCode(api.CodeExists)
	case record != nil && match != "" && match != api.ETag(record.Index):
		return api.Sealed{}, fleet.Errorf(fleet.Conflict, "task %s has changed since it was read", task.ID()).WithCode(api.CodeStale)
	case record == nil:
		record = &fleet.TaskRecord{Created: noon}
		f.tasks[task.ID()] = record
	}
	reason, err := url.QueryUnescape(r.Header.Get(api.HeaderReason))
	if err != nil {
		return api.Sealed{}, err
	}
	if !sameTask(record.Task, task) {
		record.Generation++
		record.Index, record.Changed, record.ChangedBy, record.Reason = f.index, noon, "ops@desk", reason
	}
	record.Task, record.Document, record.MediaType, record.State = task, []byte(s.Task.Document), s.Task.MediaType, s.Task.State
	record.Envelope, record.Serial = envelope, s.Serial
	return api.Sealed{Task: record, Index: f.index}, nil
}

func (f *collectorFake) deleteTask(id fleet.TaskID) (api.Sealed, error) {
	view, err := f.task(id)
	delete(f.tasks, view.Task.ID())
	return api.Sealed{Index: f.index}, err
}

// order runs a task; of one with retries the first attempt fails.
func (f *collectorFake) order(s *seal.Statement, queue bool) (api.Sealed, error) {
	view, err := f.task(fleet.NewTaskID(s.Namespace, s.Name))
	if err != nil {
		return api.Sealed{}, err
	}
	if _, err := view.Task.Values(s.Order.Params); err != nil {
		return api.Sealed{}, err
	}
	ordered := api.Sealed{Orders: []fleet.Order{}, Index: f.index}
	for _, host := range f.resolved(&view.Task) {
		if !slices.Contains(s.Hosts, host.Host) {
			continue
		}
		if host.Presence != fleet.Alive && !queue {
			return api.Sealed{}, fleet.Errorf(fleet.Conflict, "host %s is silent", host.Name).WithCode(api.CodeSilent).WithHint("--queue lets it run when it is back")
		}
		id := fmt.Sprintf("01890000-0000-7000-8000-%012x", len(f.runs)+1)
		ordered.Orders = append(ordered.Orders, fleet.Order{ID: fleet.OrderID(id), Kind: fleet.OrderRun, Host: host.Host, Task: view.Task.ID(), Run: fleet.RunID(id), Due: noon, Expires: noon.Add(time.Hour), Params: s.Order.Params})
		run := f.ends
		run.ID, run.Task, run.Host, run.Due, run.Params = fleet.RunID(id), view.Task.ID(), host.Host, noon, s.Order.Params
		f.runs = append([]api.RunView{{Run: run, HostName: host.Name}}, f.runs...)
		if view.Task.Retry.Attempts > 1 {
			f.again(host.Name)
		}
	}
	return ordered, nil
}

// again lets the newest run have been a first attempt that failed, and another
// one end as runs end.
func (f *collectorFake) again(host string) {
	first, exit, at := f.runs[0].Run, 75, noon.Add(time.Second)
	first.State, first.Exit, first.Attempt, first.Again = fleet.RunRan, &exit, 1, &at
	second := first.NextAttempt()
	second.State, second.Exit, second.Started, second.Ended, second.Again = f.ends.State, f.ends.Exit, f.ends.Started, f.ends.Ended, nil
	f.runs[0].Run = first
	f.runs = append([]api.RunView{{Run: second, HostName: host}}, f.runs...)
}

// raise runs the tasks that wait for the event.
func (f *collectorFake) raise(s *seal.Statement) (api.Sealed, error) {
	ordered := api.Sealed{Orders: []fleet.Order{}, Index: f.index}
	for _, record := range f.tasks {
		if record.Task.On.Event != s.Name {
			continue
		}
		for _, host := range f.resolved(&record.Task) {
			id := fmt.Sprintf("01890000-0000-7000-8000-%012x", len(f.runs)+1)
			ordered.Orders = append(ordered.Orders, fleet.Order{
				ID: fleet.OrderID(id), Kind: fleet.OrderRun, Host: host.Host, Task: record.Task.ID(), Run: fleet.RunID(id),
				Due: noon, Expires: noon.Add(time.Hour), Payload: s.Event.Payload,
			})
			run := f.ends
			run.ID, run.Task, run.Host, run.Due = fleet.RunID(id), record.Task.ID(), host.Host, noon
			f.runs = append([]api.RunView{{Run: run, HostName: host.Name}}, f.runs...)
		}
	}
	if len(ordered.Orders) == 0 {
		return ordered, fleet.Errorf(fleet.NotFound, "no enabled task waits for the event %q", s.Name)
	}
	return ordered, nil
}

func (f *collectorFake) listRuns(r *http.Request) (any, error) {
	q, err := query[api.RunQuery](r)
	var runs []api.RunView
	for _, run := range f.runs {
		if q.Occurrence != "" && run.Due != noon.Add(-time.Minute) { // of someAttempts
			continue
		}
		if (q.Task == "" || q.Task == run.Task) && (q.Host == "" || q.Host == run.HostName) && (!q.Failed || run.Failed()) && (q.Since.IsZero() || !run.Due.Before(q.Since)) {
			runs = append(runs, run)
		}
	}
	return pageOf(runs, q.Page, func(r api.RunView) string { return string(r.ID) }), err
}

func (f *collectorFake) run(id string) (api.RunView, error) {
	for _, run := range f.runs {
		if string(run.ID) == id {
			return run, nil
		}
	}
	return api.RunView{}, fleet.Errorf(fleet.NotFound, "there is no run %s", id).WithHint("fleetctl runs")
}

func (f *collectorFake) cancel(s *seal.Statement) (api.Sealed, error) {
	run, err := f.run(string(s.Order.Run))
	if err == nil && run.State.Terminal() {
		err = fleet.Errorf(fleet.Conflict, "run %s has ended: %s", run.ID, run.State)
	}
	order := fleet.Order{ID: "c", Kind: fleet.OrderCancel, Host: run.Host, Task: run.Task, Run: run.ID, Due: noon, Expires: noon.Add(time.Hour)}
	for i := range f.runs {
		if f.runs[i].ID == run.ID && f.hosts[0].Presence == fleet.Alive && run.State == fleet.RunRunning {
			f.runs[i].State, f.runs[i].Cancelled, f.runs[i].Signal = fleet.RunRan, true, "SIGTERM"
		}
	}
	return api.Sealed{Orders: []fleet.Order{order}, Dropped: run.State == fleet.RunPending, Index: f.index}, err
}

func (f *collectorFake) output(w http.ResponseWriter, r *http.Request) {
	run, err := f.run(r.PathValue("run"))
	if err != nil {
		reply(w, f.index)(nil, err)
		return
	}
	w.Header().Set("Content-Type", api.MediaOutput)
	w.Header().Set(api.HeaderSource, api.SourceHost)
	if run.Dropped > 0 {
		w.Header().Set(api.HeaderDropped, strconv.FormatInt(run.Dropped, 10))
	}
	asked, err := query[api.OutputQuery](r)
	if err != nil || asked.Times != (asked.Tail > 0) {
		fmt.Fprintf(w, "asked for %+v: %v", asked, err)
		return
	}
	if asked.Times {
		fmt.Fprintf(w, "2026-03-27T12:00:00.000Z the last %d bytes of ", asked.Tail)
	}
	fmt.Fprintf(w, "%s of %s\n\x1b[31mred\x1b[0m\tü\xff\n", asked.Stream, run.Task)
}

func (f *collectorFake) upcoming(r *http.Request) (any, error) {
	q, err := query[api.UpcomingQuery](r)
	var items []api.Upcoming
	for _, host := range f.hosts {
		for _, job := range host.Inventory.Jobs {
			items = append(items, api.Upcoming{At: q.From.Add(time.Minute), Host: host.ID, HostName: host.Name, Job: job.ID, Command: job.Command, User: job.User})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.tasks)) {
		items = append(items, api.Upcoming{At: q.Until.Add(-time.Minute), Host: hostID(1), HostName: "db-1", Task: id, Command: f.tasks[id].Task.Run.Command.String(), User: f.tasks[id].Task.Run.User})
	}
	return pageOf(items, q.Page, func(u api.Upcoming) string { return string(u.Job) + string(u.Task) }), err
}

func (f *collectorFake) cluster(*http.Request) (any, error) {
	heard := fleet.Duration(40 * time.Millisecond)
	cluster := api.Cluster{ID: "cluster", Answered: "c2", Leader: "c1", Term: 3, Collectors: []api.Collector{
		{ID: "c1", Raft: "127.0.0.1:7771", API: "https://127.0.0.1:7770", Voter: true, Leader: true, Reachable: true, Applied: 4711, Version: "0.1.0"},
		{ID: "c2", Raft: "127.0.0.2:7771", API: "https://127.0.0.2:7770", Voter: true, Reachable: true, Applied: 4711, LastContact: &heard, Version: "0.1.0"},
		{ID: "c3", Raft: "127.0.0.3:7771", Voter: true},
	}}
	if f.noLeader {
		cluster.Leader, cluster.Collectors[0].Leader = "", false
	}
	cluster.Collectors = slices.DeleteFunc(cluster.Collectors, func(c api.Collector) bool { return c.ID == f.dropped })
	return cluster, nil
}

// dropCollector refuses what the leader refuses: to lose the majority.
func (f *collectorFake) dropCollector(r *http.Request) (any, error) {
	id := fleet.CollectorID(r.PathValue("collector"))
	if id != "c3" {
		return nil, fleet.Errorf(fleet.Conflict, "without collector %s only 1 of 2 voters would answer, which is no majority", id).
			WithCode("no_majority").WithHint("start or remove the silent collectors first: fleetctl collectors")
	}
	f.dropped = id
	return f.cluster(r)
}
