package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The client that speaks to a collector from elsewhere can stand in for it.
var _ Source = (*api.Client)(nil)

// fake is a Source of n things of each kind, all of whose texts are text.
// Lists have one page more after each: their cursors count up.
type fake struct {
	n    int
	text string // stands in every field that a stranger may write
	err  error  // every answer is this error

	state  fleet.RunState // of its runs; zero: ran
	output func(w io.Writer, stream string) error
	lead   fleet.CollectorID // of its cluster; zero: no leader

	mu    sync.Mutex
	asked []any // the queries, in order
}

func (f *fake) note(query any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, query)
}

// last returns the newest query of one type.
func last[Q any](t *testing.T, f *fake) Q {
	t.Helper()
	for i := len(f.asked) - 1; i >= 0; i-- {
		if q, is := f.asked[i].(Q); is {
			return q
		}
	}
	t.Fatalf("nobody asked for %T", *new(Q))
	panic("unreachable")
}

const (
	hostID = fleet.HostID("0123456789abcdef0123456789abcdef")
	aRun   = fleet.RunID("01975f1e-3c00-7a10-8000-000000000001")
	aJob   = fleet.JobID("0123456789abcdef")
	aTask  = fleet.TaskID("data/nightly-backup")
)

func fakeList[T any](f *fake, page api.Page, item T) (api.List[T], error) {
	f.note(page)
	list := api.List[T]{Total: f.n * 3, Index: 7}
	for range min(f.n, max(page.Limit, 1)) {
		list.Items = append(list.Items, item)
	}
	at, _ := strconv.Atoi(strings.TrimPrefix(page.After, "c"))
	if f.n > 0 && at < 5 {
		list.Next = fmt.Sprint("c", at+1)
	}
	return list, f.err
}

func (f *fake) host() fleet.Host {
	return fleet.Host{ID: hostID, Name: f.text, OS: f.text, Arch: f.text, Cron: f.text, AgentVersion: f.text, Timezone: f.text,
		Labels: map[string]string{f.text: f.text}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
}

func (f *fake) hostView() api.HostView {
	return api.HostView{Host: f.host(), Presence: fleet.Alive, Reported: time.Now().Add(-time.Hour), FirstSeen: time.Now(), Jobs: f.n, Problems: f.n, Tasks: f.n}
}

func (f *fake) job() fleet.Job {
	stale := time.Now().Add(-time.Minute)
	return fleet.Job{ID: "0123456789abcdef", Kind: fleet.KindCron, Source: f.text, Line: 3, User: f.text, Schedule: "30 2 * * 1-5", Timezone: "Europe/Berlin",
		Command: f.text, Env: map[string]string{f.text: f.text}, Enabled: true, Verdict: fleet.Verdict{Code: fleet.VerdictCode(f.text), Why: f.text},
		Risks: []fleet.Risk{{Kind: fleet.FindWritable, Why: f.text}}, Package: f.text, ManagedBy: f.text, Container: f.text, Stale: &stale,
		Evidence: &fleet.Evidence{Last: stale, Grade: f.text, From: f.text, Ended: &stale, Result: f.text}, Fingerprint: "fingerprint"}
}

func (f *fake) task() fleet.TaskRecord {
	return fleet.TaskRecord{
		Task: fleet.Task{Name: "nightly-backup", Namespace: "data", Owner: f.text, Description: f.text,
			Params: map[string]fleet.Param{f.text: {Type: fleet.ParamText, Description: f.text, Default: &f.text, Pattern: f.text, Values: []string{f.text}}},
			On:     fleet.Trigger{Cron: "30 2 * * 1-5", Timezone: "Europe/Berlin", Spread: fleet.Duration(time.Minute), Blackout: []string{"year-end"}},
			Retry:  fleet.Retry{Attempts: 3, On: []string{f.text}}, Breaker: fleet.Breaker{Failures: 5, Key: f.text}, Needs: []string{f.text},
			Health: fleet.Health{HTTP: f.text}, WaitFor: fleet.WaitFor{TCP: []string{f.text}}, Limits: fleet.Limits{Memory: 1 << 30, CPU: 1.5, Stall: 5},
			Run:   fleet.Execute{Command: fleet.Command{Argv: []string{f.text}}, User: f.text, Dir: f.text, Env: map[string]string{f.text: f.text}},
			Where: fleet.Where{Labels: f.text, Hosts: []string{f.text}}},
		State: fleet.TaskEnabled, Generation: 3, Document: []byte(f.text), MediaType: f.text, Changed: time.Now(), ChangedBy: f.text, Reason: f.text,
	}
}

func (f *fake) run() api.RunView {
	started, exit := time.Now().Add(-time.Minute), 1
	ended := started.Add(12 * time.Second)
	run := fleet.Run{ID: aRun, Task: aTask, Generation: 3, Host: hostID, Due: started.Add(-2 * time.Second), State: fleet.RunRan,
		Started: &started, Ended: &ended, Exit: &exit, PID: 42, Detail: f.text, Tail: f.text, Order: "order", Count: 2, Until: &ended, Dropped: 5000,
		Params: fleet.Params{f.text: f.text}, Parent: aRun, Attempt: 2, Again: &ended, Used: fleet.Used{CPU: fleet.Duration(time.Second), Memory: 5 << 20, Read: 12, Written: 1 << 30}}
	switch f.state {
	case "", fleet.RunRan:
	case fleet.RunRunning:
		run.State, run.Ended, run.Exit = f.state, nil, nil
	default:
		run.State, run.Started, run.Ended, run.Exit = f.state, nil, nil, nil
	}
	return api.RunView{Run: run, HostName: f.text}
}

func (f *fake) Overview(context.Context) (api.Overview, error) {
	return api.Overview{Hosts: f.n, Alive: f.n, Silent: f.n, Jobs: 12345 * f.n, Broken: f.n, Problems: f.n, Tasks: f.n, Paused: f.n, Failed: f.n, Runs: f.n, Running: f.n}, f.err
}

func (f *fake) Hosts(_ context.Context, q api.HostQuery) (api.List[api.HostView], error) {
	f.note(q)
	return fakeList(f, q.Page, f.hostView())
}

func (f *fake) Host(_ context.Context, name string) (api.HostDetail, error) {
	f.note(name)
	detail := api.HostDetail{HostView: f.hostView(), Inventory: fleet.Report{Scanned: time.Now()}}
	for range f.n {
		detail.Inventory.Jobs = append(detail.Inventory.Jobs, f.job())
		detail.Inventory.Problems = append(detail.Inventory.Problems, fleet.Problem{Source: f.text, Line: 1, Text: f.text, Reason: f.text})
		task := f.task()
		detail.Assignments = append(detail.Assignments, fleet.Assignment{Task: task.Task, State: task.State, Generation: 3})
	}
	return detail, f.err
}

func (f *fake) Jobs(_ context.Context, q api.JobQuery) (api.List[api.JobView], error) {
	f.note(q)
	return fakeList(f, q.Page, f.jobView())
}

func (f *fake) jobView() api.JobView {
	past := time.Now().Add(-26 * time.Hour)
	return api.JobView{Job: f.job(), Host: hostID, HostName: f.text, FirstSeen: past, Changed: past, Owner: f.text, Note: f.text, Overdue: &past,
		Dialect: "cronie", Adopted: aTask}
}

func (f *fake) JobGroups(_ context.Context, q api.JobQuery) (api.List[api.JobGroup], error) {
	f.note(q)
	return fakeList(f, q.Page, api.JobGroup{Fingerprint: f.text, Command: f.text, Jobs: 9, Hosts: 8, HostNames: []string{f.text}, Schedules: []string{f.text, "30 2 * * 1-5"}, Users: []string{f.text}})
}

func (f *fake) Tasks(ctx context.Context, q api.TaskQuery) (api.List[api.TaskView], error) {
	f.note(q)
	view, _ := f.Task(ctx, aTask)
	return fakeList(f, q.Page, view)
}

func (f *fake) Task(context.Context, fleet.TaskID) (api.TaskView, error) {
	next, run := time.Now().Add(time.Hour), f.run()
	return api.TaskView{TaskRecord: f.task(), Hosts: f.n, Last: &run.Run, Next: &next}, f.err
}

func (f *fake) TaskHosts(context.Context, fleet.TaskID) (out []api.Resolved, err error) {
	for range f.n {
		now := time.Now()
		out = append(out, api.Resolved{Host: hostID, Name: f.text, Presence: fleet.Silent, Next: []time.Time{now, now.Add(time.Hour), now.Add(2 * time.Hour)}, Applied: 2})
	}
	return out, f.err
}

func (f *fake) Runs(_ context.Context, q api.RunQuery) (api.List[api.RunView], error) {
	f.note(q)
	return fakeList(f, q.Page, f.run())
}

func (f *fake) Run(context.Context, fleet.RunID) (api.RunView, error) { return f.run(), f.err }

func (f *fake) Logs(_ context.Context, _ fleet.RunID, query api.OutputQuery, w io.Writer) (api.OutputInfo, error) {
	f.note(query)
	if f.output != nil {
		return api.OutputInfo{}, f.output(w, query.Stream)
	}
	_, err := io.WriteString(w, f.text)
	return api.OutputInfo{}, err
}

func (f *fake) Upcoming(_ context.Context, q api.UpcomingQuery) (api.List[api.Upcoming], error) {
	f.note(q)
	return fakeList(f, q.Page, api.Upcoming{At: time.Now().Add(10 * time.Minute), Host: hostID, HostName: f.text, Job: "0123456789abcdef", Command: f.text, User: f.text})
}

func (f *fake) Cluster(context.Context) (api.Cluster, error) {
	contact := fleet.Duration(23_453_746 * time.Nanosecond)
	return api.Cluster{ID: f.text, Answered: "c1", Leader: f.lead, Term: 2, Applied: 9, Committed: 9, Collectors: []api.Collector{
		{ID: "c1", Raft: f.text, API: f.text, Voter: true, Leader: f.lead == "c1", Reachable: true, Applied: 9, Version: f.text},
		{ID: "c2", Raft: f.text, API: f.text, Voter: true, Reachable: false, Applied: 4, LastContact: &contact},
	}}, f.err
}

func (f *fake) Changes(_ context.Context, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	f.note(q)
	before, after := f.job(), f.job()
	before.Command, before.Env, after.Schedule, after.Verdict = "older "+f.text, nil, f.text, fleet.Verdict{Runs: true}
	return fakeList(f, q.Page, api.ChangeView{HostName: f.text, Change: fleet.Change{Host: hostID, Job: aJob, Seen: time.Now(),
		What: []fleet.ChangeKind{fleet.ChangeSchedule, fleet.ChangeCommand, fleet.ChangeKind(f.text)}, Before: &before, After: &after}})
}

func (f *fake) Findings(_ context.Context, q api.FindingQuery) (api.FindingList, error) {
	f.note(q)
	now := time.Now()
	finding := fleet.Finding{ID: "f0f0f0f0f0f0f0f0", Kind: fleet.FindingKind(f.text), Severity: fleet.Critical, Host: hostID, HostName: f.text, Job: aJob,
		Source: f.text, Line: 3, User: f.text, Command: f.text, Fingerprint: f.text, Owner: f.text, Summary: f.text, Explain: f.text, Fix: f.text,
		Hosts: slices.Repeat([]string{f.text}, 20), Since: now, Ack: &fleet.Ack{By: f.text, Reason: f.text, At: now, Expires: now.Add(time.Hour)}}
	list, err := fakeList(f, q.Page, finding)
	return api.FindingList{List: list, Counts: map[fleet.Severity]int{fleet.Critical: f.n}, Evaluated: now}, err
}

func (f *fake) Density(_ context.Context, q api.DensityQuery) (api.Density, error) {
	f.note(q)
	d := api.Density{From: q.From, Zone: q.Zone, Hours: make([]int, 168), Max: 167 * f.n}
	for i := range d.Hours {
		d.Hours[i] = i * f.n
	}
	return d, f.err
}

func (f *fake) Collisions(_ context.Context, q api.CollisionQuery) (api.List[api.Collision], error) {
	f.note(q)
	return fakeList(f, q.Page, api.Collision{At: time.Now(), Starts: 40, Hosts: 12, Sample: []api.Upcoming{{Command: f.text}, {Task: aTask}}})
}

func (f *fake) Spread(_ context.Context, q api.SpreadQuery) (api.Spread, error) {
	f.note(q)
	out := api.Spread{Before: 9, After: 3}
	for range f.n {
		out.Shifts = append(out.Shifts, api.Shift{Job: f.jobView(), Schedule: f.text, By: fleet.Offset(time.Minute), Fix: f.text})
	}
	return out, f.err
}

func (f *fake) Loss(_ context.Context, host string) (api.Loss, error) {
	f.note(host)
	loss := api.Loss{Host: f.hostView()}
	for i := range f.n {
		job := api.LossJob{Job: f.jobView(), Move: []string{f.text}, Fix: f.text}
		if i%2 == 1 {
			job.Elsewhere = []string{f.text}
		}
		loss.Jobs = append(loss.Jobs, job)
		loss.Tasks = append(loss.Tasks, api.LossTask{Task: aTask, Hosts: i})
	}
	return loss, f.err
}

func (f *fake) Account(_ context.Context, q api.AccountQuery) (api.List[api.AccountLine], error) {
	f.note(q)
	line := api.AccountLine{Task: aTask, Due: 30, Ran: 20, OK: 15, Failed: 5, Skipped: 4, Missed: 3, Unknown: 1, Pending: 2}
	if f.text == "lost" {
		line.Ran, line.OK, line.Difference = 18, 13, 2
	}
	return fakeList(f, q.Page, line)
}

func (f *fake) Standings(_ context.Context, q api.StandingQuery) (api.List[api.StandingView], error) {
	f.note(q)
	at := time.Now().Add(time.Minute)
	return fakeList(f, q.Page, api.StandingView{Host: hostID, HostName: f.text, Presence: fleet.Silent, Told: at, Standing: fleet.Standing{
		Task: aTask, Since: at.Add(-time.Hour), Phase: fleet.Phase(f.text), Run: aRun, Restarts: 3, At: &at, Detail: f.text,
		Breaker: fleet.BreakerState(f.text), Failures: 2, Health: fleet.HealthState(f.text), HealthDetail: f.text,
	}})
}

func (f *fake) Calendars(context.Context) (api.List[fleet.CalendarRecord], error) {
	at := time.Now()
	return fakeList(f, api.Page{Limit: 3}, fleet.CalendarRecord{Changed: at, ChangedBy: f.text, Calendar: fleet.Calendar{
		Name: f.text, Description: f.text, Timezone: f.text, Windows: []fleet.Window{
			{From: &at, To: &at, Summary: f.text}, {Cron: f.text, For: fleet.Duration(time.Hour)}, {From: &at, For: fleet.Duration(time.Hour), Rule: f.text},
		},
	}})
}

func (f *fake) Live(_ context.Context, host string) (api.Live, error) {
	f.note(host)
	at, progress := time.Now(), 42.5
	return api.Live{At: at, Runs: []api.LiveRun{{
		Run: aRun, Task: aTask, PID: 42, Started: at, Processes: 3, Sample: &api.Sample{At: at, CPU: 0.5, Memory: 5 << 20, Files: 12},
		Beat: &at, Progress: &progress, Message: f.text, Health: fleet.HealthState(f.text), HealthDetail: f.text,
	}}}, f.err
}

func (f *fake) Pins(context.Context) (api.List[api.PinView], error) {
	return fakeList(f, api.Page{}, api.PinView{Pin: fleet.Pin{Name: f.text, Labels: "*"}, Unexpected: f.n})
}

func (f *fake) Adoption(context.Context, fleet.TaskID) (fleet.Adoption, error) {
	return fleet.Adoption{Task: aTask, Host: hostID, Job: f.job(), State: fleet.AdoptionState(f.text), Why: f.text, By: f.text, Reason: f.text, Handed: time.Now()}, f.err
}

// get asks a handler for one address on loopback.
func get(handler http.Handler, target string) *httptest.ResponseRecorder {
	return do(handler, http.MethodGet, "127.0.0.1:7780", target)
}

func do(handler http.Handler, method, host, target string) *httptest.ResponseRecorder {
	address, _, _ := strings.Cut(target, "#") // no browser sends it
	request := httptest.NewRequest(method, address, nil)
	request.Host = host
	return serve(handler, request)
}

// everyPage is an address of each page there is; TestEveryPageIsListed holds
// it to the table.
var everyPage = []string{
	"/", "/hosts", "/hosts/" + string(hostID), "/jobs", "/jobs?group=command", "/tasks", "/tasks/data/nightly-backup",
	"/runs", "/runs/" + string(aRun), "/standings", "/standings?bad=true&phase=crash_loop", "/calendars", "/upcoming", "/collectors", "/findings", "/history", "/when", "/jobs?at=7d",
	"/hosts/" + string(hostID) + "/timeline", "/hosts/" + string(hostID) + "/loss?show=all", "/hosts/" + string(hostID) + "/jobs/" + string(aJob),
	"/hosts/" + string(hostID) + "/jobs/other", "/upcoming?from=2026-11-20&until=2026-11-21",
}

func serve(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// slow is a Source whose host never answers.
type slow struct{ fake }

func (s *slow) Logs(ctx context.Context, _ fleet.RunID, _ api.OutputQuery, _ io.Writer) (api.OutputInfo, error) {
	<-ctx.Done()
	return api.OutputInfo{}, ctx.Err()
}

// rows is a Source that answers with all it has, whatever the limit.
type rows struct{ fake }

func (r *rows) Jobs(_ context.Context, q api.JobQuery) (api.List[api.JobView], error) {
	q.Limit = r.n
	return fakeList(&r.fake, q.Page, r.jobView())
}

func (r *rows) Changes(ctx context.Context, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	q.Limit = r.n
	return r.fake.Changes(ctx, q)
}

func (r *rows) Findings(ctx context.Context, q api.FindingQuery) (api.FindingList, error) {
	q.Limit = r.n
	return r.fake.Findings(ctx, q)
}

// days is a Source of a host that has nothing but what starts on it.
type days struct {
	fake
	items []api.Upcoming
}

func (d *days) Upcoming(context.Context, api.UpcomingQuery) (api.List[api.Upcoming], error) {
	return api.List[api.Upcoming]{Items: d.items, Total: -1}, nil
}

// once is a Source of one run.
type once struct {
	*fake
	run api.RunView
}

func (o *once) Run(context.Context, fleet.RunID) (api.RunView, error) { return o.run, nil }

func (o *once) Runs(_ context.Context, q api.RunQuery) (api.List[api.RunView], error) {
	o.note(q)
	return fakeList(o.fake, q.Page, o.run)
}
