package web

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What the overview shows of each list; the rest is a link away.
const (
	shownSoon     = 8
	shownFailures = 6
	shownSilent   = 5
	shownOverdue  = 5
	shownFindings = 6
	shownChanges  = 6

	overviewAge = 20 // seconds between two looks of a page with a script
)

// overview is the first page: how the fleet is and what comes next.
type overview struct {
	Sum      api.Overview
	Cluster  api.Cluster
	Concerns []concern
	Strip    strip
	Soon     []soon
	Failures []api.RunView
	Silent   []api.HostView
	Findings api.FindingList
	Overdue  api.List[api.JobView]
	Changes  []change
	Changed  int // jobs that changed in the last 24 hours; -1: not counted
	Jobs     bar // found against given
}

// concern is one thing a person should look at, and where.
type concern struct {
	Status status
	URL    string
}

func (s *site) overview(v *visit) (view, error) {
	if _, err := v.listing("/"); err != nil {
		return view{}, err
	}
	body := &overview{}
	for _, part := range []func(*visit, *overview) error{s.overviewFindings, s.overviewSums, s.overviewSoon, s.overviewTrouble, s.overviewChanges} {
		if err := part(v, body); err != nil {
			return view{}, err
		}
	}
	return view{Title: "Overview", Live: overviewAge, Body: body}, nil
}

func (s *site) overviewSums(v *visit, o *overview) (err error) {
	if o.Sum, err = s.src.Overview(v.Context()); err != nil {
		return err
	}
	if o.Cluster, err = s.src.Cluster(v.Context()); err != nil {
		return err
	}
	o.Concerns = concerns(o)
	o.Jobs = newBar(o.Sum.Jobs, o.Sum.Tasks)
	return nil
}

func (s *site) overviewSoon(v *visit, o *overview) error {
	items, complete, err := s.instants(v, stripEnd(v.now))
	if err != nil {
		return err
	}
	o.Strip = newStrip(items, complete, v.now)
	o.Soon = soonest(items, shownSoon)
	return nil
}

func (s *site) overviewTrouble(v *visit, o *overview) error {
	failures, err := s.src.Runs(v.Context(), api.RunQuery{Failed: true, Since: v.now.Add(-24 * time.Hour), Page: api.Page{Limit: shownFailures}})
	if err != nil {
		return err
	}
	silent, err := s.src.Hosts(v.Context(), api.HostQuery{Presence: fleet.Silent, Page: api.Page{Limit: shownSilent}})
	if err != nil {
		return err
	}
	o.Failures, o.Silent = failures.Items, silent.Items
	return nil
}

// overviewFindings reads what is wrong with what was found.
func (s *site) overviewFindings(v *visit, o *overview) (err error) {
	if o.Findings, err = s.src.Findings(v.Context(), api.FindingQuery{Page: api.Page{Limit: shownFindings}}); err != nil {
		return err
	}
	o.Overdue, err = s.src.Jobs(v.Context(), api.JobQuery{Overdue: true, Page: api.Page{Limit: shownOverdue}})
	return err
}

func (s *site) overviewChanges(v *visit, o *overview) error {
	list, err := s.src.Changes(v.Context(), api.ChangeQuery{Since: v.now.Add(-24 * time.Hour), Page: api.Page{Limit: shownChanges}})
	o.Changes, o.Changed = changesOf(list.Items), list.Total
	return err
}

// Counts lists the open findings by severity.
func (o *overview) Counts() []severityCount {
	return countsOf(o.Findings.Counts, func(severity fleet.Severity) string { return "/findings?severity=" + string(severity) })
}

// instants reads what comes until then, up to as many as a strip can tell
// apart; complete is false where there is more.
func (s *site) instants(v *visit, until time.Time) (items []api.Upcoming, complete bool, err error) {
	return s.read(v, api.UpcomingQuery{From: v.now, Until: until, Page: api.Page{Limit: api.MaxPage}}, maxStripPages)
}

// read reads at most so many pages of what starts; complete is false where
// there are more.
func (s *site) read(v *visit, query api.UpcomingQuery, pages int) (items []api.Upcoming, complete bool, err error) {
	for range pages {
		list, err := s.src.Upcoming(v.Context(), query)
		if err != nil {
			return nil, false, err
		}
		items = append(items, list.Items...)
		if list.Next == "" {
			return items, true, nil
		}
		query.After = list.Next
	}
	return items, false, nil
}

// concerns lists what should be looked at, the worst first.
func concerns(o *overview) []concern {
	sum, cluster := &o.Sum, &o.Cluster
	var out []concern
	add := func(n int, icon, tone, word, url string) {
		if n > 0 {
			out = append(out, concern{status{icon, word, tone}, url})
		}
	}
	if cluster.Leader == "" {
		add(1, "bad", "bad", "no leader: agents go on alone, changes wait", "/collectors")
	}
	lost := 0
	for _, c := range cluster.Collectors {
		if !c.Reachable {
			lost++
		}
	}
	add(lost, "warn", "warn", count(lost, "collector")+" unreachable", "/collectors")
	add(sum.Failed, "bad", "bad", number(sum.Failed)+" of "+count(sum.Runs, "run")+" failed in 24 hours", "/runs?failed=1&since=24h")
	urgent := o.Findings.Counts[fleet.Critical]
	add(urgent, "bad", "bad", count(urgent, "critical finding"), "/findings?severity=critical")
	overdue := max(o.Overdue.Total, len(o.Overdue.Items))
	add(overdue, "overdue", "warn", count(overdue, "found job")+" overdue", "/jobs?overdue=true")
	add(sum.Silent, "silent", "warn", count(sum.Silent, "host")+" silent", "/hosts?presence=silent")
	add(sum.Broken, "bad", "bad", count(sum.Broken, "found job")+" will not run", "/jobs?verdict=broken")
	add(sum.Problems, "warn", "warn", count(sum.Problems, "line")+" that cron cannot read", "/hosts?problems=true")
	add(sum.Paused, "paused", "idle", count(sum.Paused, "task")+" paused", "/tasks?state=paused")
	return out
}

// Empty reports whether no agent has ever reported.
func (o *overview) Empty() bool { return o.Sum.Hosts == 0 }

// soon is one command at one instant, on however many hosts.
type soon struct {
	At      time.Time
	Task    fleet.TaskID // empty: a found job
	Command string
	Users   []string
	Hosts   []api.Upcoming // one for each host
}

// First lists at most three of the hosts.
func (s soon) First() []api.Upcoming { return s.Hosts[:min(3, len(s.Hosts))] }

// More counts the hosts that First leaves out.
func (s soon) More() int { return len(s.Hosts) - len(s.First()) }

// soonest folds instants that differ only in their host, and returns the
// first n. The items are in the order of their time.
func soonest(items []api.Upcoming, n int) []soon {
	type key struct {
		at      int64
		task    fleet.TaskID
		command string
	}
	var out []soon
	place := make(map[key]int)
	for _, item := range items {
		k := key{item.At.Unix(), item.Task, item.Command}
		i, seen := place[k]
		if !seen {
			if len(out) == n {
				continue
			}
			i = len(out)
			place[k] = i
			out = append(out, soon{At: item.At, Task: item.Task, Command: item.Command})
		}
		out[i].Hosts = append(out[i].Hosts, item)
		if !slices.Contains(out[i].Users, item.User) {
			out[i].Users = append(out[i].Users, item.User)
		}
	}
	return out
}
