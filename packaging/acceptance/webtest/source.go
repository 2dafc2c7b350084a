package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// invented is a fleet in memory that answers as a collector would.
type invented struct {
	hosts   []api.HostDetail
	tasks   []api.TaskView
	runs    []api.RunView // newest first
	coming  []api.Upcoming
	cluster api.Cluster
	outputs map[fleet.RunID]map[string]string

	changes  []api.ChangeView // newest first
	findings []fleet.Finding  // the most severe first
	pins     []api.PinView
	people   map[fleet.JobID]api.JobView // what people and the collectors say of some jobs
	down     bool

	standings []api.StandingView
	calendars []fleet.CalendarRecord
}

func (f *invented) fault() error {
	if !f.down {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "no leader (2 of 3 collectors unreachable)").WithCode("no_leader").WithHint("fleetctl collectors")
}

// cut returns one page of the items that are kept; its cursor is how many of
// them come before.
func cut[T any](f *invented, items []T, page api.Page, keep func(*T) bool) (api.List[T], error) {
	list := api.List[T]{Index: 4711}
	if err := f.fault(); err != nil {
		return list, err
	}
	start, limit := 0, cmp.Or(page.Limit, api.DefaultPage)
	if page.After != "" {
		n, err := strconv.Atoi(page.After)
		if err != nil {
			return list, fleet.Invalidf("after", page.After, "is no cursor of this list")
		}
		start = n
	}
	for i := range items {
		if !keep(&items[i]) {
			continue
		}
		if list.Total >= start && len(list.Items) < limit {
			list.Items = append(list.Items, items[i])
		}
		list.Total++
	}
	if end := start + len(list.Items); end < list.Total {
		list.Next = strconv.Itoa(end)
	}
	return list, nil
}

func has(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

func (f *invented) Overview(context.Context) (api.Overview, error) {
	sum := api.Overview{Hosts: len(f.hosts), Tasks: len(f.tasks)}
	for i := range f.hosts {
		host := &f.hosts[i]
		switch host.Presence {
		case fleet.Alive:
			sum.Alive++
		case fleet.Silent:
			sum.Silent++
		}
		sum.Jobs += host.Jobs
		sum.Problems += host.Problems
		for _, job := range host.Inventory.Jobs {
			if !job.Verdict.Runs {
				sum.Broken++
			}
		}
	}
	for _, task := range f.tasks {
		if task.State == fleet.TaskPaused {
			sum.Paused++
		}
	}
	for i := range f.runs {
		run := &f.runs[i]
		if time.Since(run.Due) > 24*time.Hour {
			continue
		}
		sum.Runs++
		if run.Failed() {
			sum.Failed++
		}
		if run.State == fleet.RunRunning {
			sum.Running++
		}
	}
	return sum, f.fault()
}

func (f *invented) Hosts(_ context.Context, q api.HostQuery) (api.List[api.HostView], error) {
	views := make([]api.HostView, len(f.hosts))
	for i := range f.hosts {
		views[i] = f.hosts[i].HostView
	}
	selector := fleet.Selector{}
	if q.Label != "" {
		var err error
		if selector, err = fleet.ParseSelector(q.Label); err != nil {
			return api.List[api.HostView]{}, err
		}
	}
	return cut(f, views, q.Page, func(h *api.HostView) bool {
		return has(h.Name+" "+h.OS, q.Text) && (q.Presence == "" || h.Presence == q.Presence) && (!q.Problems || h.Problems > 0) && (q.Label == "" || selector.Matches(h.Labels))
	})
}

func (f *invented) Host(_ context.Context, name string) (api.HostDetail, error) {
	if err := f.fault(); err != nil {
		return api.HostDetail{}, err
	}
	for _, host := range f.hosts {
		if host.Name == name || string(host.ID) == name {
			return host, nil
		}
	}
	return api.HostDetail{}, fleet.Errorf(fleet.NotFound, "there is no host %q", name).WithHint("fleetctl hosts")
}

func (f *invented) jobs(q api.JobQuery) []api.JobView {
	var out []api.JobView
	for i := range f.hosts {
		host := &f.hosts[i]
		if q.Host != "" && host.Name != q.Host && string(host.ID) != q.Host {
			continue
		}
		for _, job := range host.Inventory.Jobs {
			if has(job.Command+" "+host.Name+" "+job.User, q.Text) && (q.User == "" || job.User == q.User) && has(job.Source, q.Source) &&
				(q.Kind == "" || job.Kind == q.Kind) && (q.Fingerprint == "" || job.Fingerprint == q.Fingerprint) &&
				(q.Verdict == "" || job.Verdict.Runs == (q.Verdict == "runs")) {
				view := f.people[job.ID]
				view.Job, view.Host, view.HostName, view.FirstSeen, view.Changed, view.Dialect = job, host.ID, host.Name, host.FirstSeen, host.Reported, host.Cron
				if host.Name != "db-3" && host.Name != "legacy-1" {
					view.Overdue = nil
				}
				if q.Overdue && view.Overdue == nil || q.Owner != "" && view.Owner != q.Owner && (q.Owner != "none" || view.Owner != "") || view.FirstSeen.After(orEver(q.At)) {
					continue
				}
				out = append(out, view)
			}
		}
	}
	return out
}

// orEver returns the instant, or one that never comes where there is none.
func orEver(at time.Time) time.Time {
	if at.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return at
}

func (f *invented) Jobs(_ context.Context, q api.JobQuery) (api.List[api.JobView], error) {
	return cut(f, f.jobs(q), q.Page, func(*api.JobView) bool { return true })
}

func (f *invented) JobGroups(_ context.Context, q api.JobQuery) (api.List[api.JobGroup], error) {
	groups := map[string]*api.JobGroup{}
	add := func(list *[]string, word string, most int) {
		if !slices.Contains(*list, word) && len(*list) < most {
			*list = append(*list, word)
		}
	}
	for _, job := range f.jobs(q) {
		g := groups[job.Fingerprint]
		if g == nil {
			g = &api.JobGroup{Fingerprint: job.Fingerprint, Command: job.Command}
			groups[job.Fingerprint] = g
		}
		before := len(g.HostNames)
		add(&g.HostNames, job.HostName, 1<<20)
		g.Hosts += len(g.HostNames) - before
		g.Jobs++
		add(&g.Schedules, job.Schedule, 5)
		add(&g.Users, job.User, 5)
	}
	var all []api.JobGroup
	for _, g := range groups {
		g.HostNames = g.HostNames[:min(20, len(g.HostNames))]
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b api.JobGroup) int {
		return cmp.Or(cmp.Compare(b.Hosts, a.Hosts), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return cut(f, all, q.Page, func(*api.JobGroup) bool { return true })
}

func (f *invented) Tasks(_ context.Context, q api.TaskQuery) (api.List[api.TaskView], error) {
	return cut(f, f.tasks, q.Page, func(t *api.TaskView) bool {
		id := t.Task.ID()
		return has(string(id)+" "+t.Task.Run.Command.String(), q.Text) && (q.Namespace == "" || id.Namespace() == q.Namespace) &&
			(q.State == "" || t.State == q.State) && (q.Host == "" || f.given(id, q.Host))
	})
}

func (f *invented) given(id fleet.TaskID, host string) bool {
	return slices.ContainsFunc(f.hosts, func(h api.HostDetail) bool {
		return (h.Name == host || string(h.ID) == host) &&
			slices.ContainsFunc(h.Assignments, func(a fleet.Assignment) bool { return a.Task.ID() == id })
	})
}

func (f *invented) Task(_ context.Context, id fleet.TaskID) (api.TaskView, error) {
	if err := f.fault(); err != nil {
		return api.TaskView{}, err
	}
	for _, task := range f.tasks {
		if task.Task.ID() == id {
			return task, nil
		}
	}
	return api.TaskView{}, fleet.Errorf(fleet.NotFound, "there is no task %s", id).WithHint("fleetctl tasks")
}

func (f *invented) TaskHosts(_ context.Context, id fleet.TaskID) ([]api.Resolved, error) {
	var out []api.Resolved
	for i := range f.hosts {
		host := &f.hosts[i]
		for _, a := range host.Assignments {
			if a.Task.ID() == id {
				out = append(out, api.Resolved{Host: host.ID, Name: host.Name, Presence: host.Presence,
					Next: instants(&a.Task.On, time.Now().UTC(), 3), Applied: host.Applied.Generations[id]})
			}
		}
	}
	return out, f.fault()
}

func (f *invented) Runs(_ context.Context, q api.RunQuery) (api.List[api.RunView], error) {
	return cut(f, f.runs, q.Page, func(r *api.RunView) bool {
		return (q.Task == "" || r.Task == q.Task) && (q.Host == "" || r.HostName == q.Host || string(r.Host) == q.Host) &&
			(q.State == "" || r.State == q.State) && (!q.Failed || r.Failed()) && (q.Order == "" || r.Order == q.Order) &&
			!r.Due.Before(q.Since) && (q.Until.IsZero() || r.Due.Before(q.Until))
	})
}

func (f *invented) Run(_ context.Context, id fleet.RunID) (api.RunView, error) {
	if err := f.fault(); err != nil {
		return api.RunView{}, err
	}
	for _, run := range f.runs {
		if run.ID == id {
			return run, nil
		}
	}
	return api.RunView{}, fleet.Errorf(fleet.NotFound, "there is no run %q", id).WithHint("fleetctl runs")
}

func (f *invented) Logs(ctx context.Context, id fleet.RunID, query api.OutputQuery, w io.Writer) (api.OutputInfo, error) {
	output, known := f.outputs[id]
	if !known {
		return api.OutputInfo{}, fleet.Errorf(fleet.Unavailable, "the host is silent").WithCode("host_silent")
	}
	text := output[query.Stream]
	if query.Stream == "both" {
		text = output["stdout"] + output["stderr"]
	}
	_, err := io.WriteString(w, text)
	if query.Follow && err == nil { // the run goes on for as long as somebody looks
		<-ctx.Done()
		err = ctx.Err()
	}
	return api.OutputInfo{}, err
}

func (f *invented) Upcoming(_ context.Context, q api.UpcomingQuery) (api.List[api.Upcoming], error) {
	return cut(f, f.coming, q.Page, func(u *api.Upcoming) bool {
		return !u.At.Before(q.From) && u.At.Before(q.Until) && (q.Host == "" || u.HostName == q.Host || string(u.Host) == q.Host) &&
			(q.Task == "" || u.Task == q.Task) && has(u.Command+" "+string(u.Task), q.Text)
	})
}

func (f *invented) Cluster(context.Context) (api.Cluster, error) { return f.cluster, f.fault() }

// id makes an id of n hex digits out of a name, the same every time.
func id(name string, n int) string {
	sum := fleet.CommandFingerprint(name) + fleet.CommandFingerprint(name+"'")
	return sum[:n]
}

func runID(at time.Time, n int) fleet.RunID {
	tail := id(fmt.Sprint(n), 16)
	ms := fmt.Sprintf("%012x", at.UnixMilli())
	return fleet.RunID(ms[:8] + "-" + ms[8:] + "-7" + tail[:3] + "-8" + tail[3:6] + "-" + tail[4:16])
}
