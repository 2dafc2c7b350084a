package findings

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// List returns a page of the findings within a scope, the most severe first, and what there
// is of each severity among all that the query asks for. Its cursor is the id
// of the last finding of a page, good while that finding stands.
func (e *Engine) List(ctx context.Context, scope fleet.Scope, q api.FindingQuery) (api.FindingList, error) {
	list := api.FindingList{List: api.List[fleet.Finding]{Items: []fleet.Finding{}}, Counts: map[fleet.Severity]int{}}
	if err := checkQuery(q); err != nil {
		return list, err
	}
	seen, err := e.view(ctx, scope)
	if err != nil {
		return list, err
	}
	acks, err := e.source.Acks()
	if err != nil {
		return list, err
	}
	hosts, err := e.hosts(scope, q)
	if err != nil {
		return list, err
	}
	jobs, err := e.concerns(q, hosts)
	if err != nil {
		return list, err
	}
	after := -1
	if q.After != "" {
		known := false
		if after, known = seen.byID[q.After]; !known {
			return list, fleet.Invalidf("after", q.After, "that finding is no longer there: begin again")
		}
	}
	list.Evaluated = seen.evaluated
	limit := q.Limit
	if limit <= 0 {
		limit = api.DefaultPage
	}
	now := time.Now()
	for i := range seen.list {
		one := &seen.list[i]
		if !asked(one, &q, hosts) || q.Job != "" && !slices.ContainsFunc(jobs, one.concerns) {
			continue
		}
		finding := one.acked(acks, now)
		if q.Acked == "" && finding.Ack != nil || q.Acked == "only" && finding.Ack == nil {
			continue
		}
		list.Total++
		list.Counts[finding.Severity]++
		switch {
		case i <= after:
		case len(list.Items) < limit:
			list.Items = append(list.Items, finding)
		case list.Next == "":
			list.Next = list.Items[limit-1].ID
		}
	}
	return list, nil
}

// Finding returns one finding within a scope, acknowledged or not.
func (e *Engine) Finding(ctx context.Context, scope fleet.Scope, id string) (fleet.Finding, error) {
	seen, err := e.view(ctx, scope)
	if err != nil {
		return fleet.Finding{}, err
	}
	acks, err := e.source.Acks()
	if err != nil {
		return fleet.Finding{}, err
	}
	at, known := seen.byID[id]
	if !known {
		return fleet.Finding{}, fleet.Errorf(fleet.NotFound, "no finding %q", id).WithCode("unknown_finding").WithHint("fleetctl findings")
	}
	return seen.list[at].acked(acks, time.Now()), nil
}

// first looks, unless the engine has done so already.
func (e *Engine) first(ctx context.Context) error {
	if e.looked() {
		return nil
	}
	e.waiting.Add(1)
	defer e.waiting.Add(-1)
	e.looking.Lock()
	defer e.looking.Unlock()
	if e.looked() { // while this waited
		return nil
	}
	return e.lookAt(ctx, time.Now(), nil)
}

func (e *Engine) looked() bool {
	return e.known(everywhere) != nil
}

func checkQuery(q api.FindingQuery) error {
	if _, known := table[q.Kind]; q.Kind != "" && !known {
		var words []string
		for _, kind := range slices.Sorted(maps.Keys(table)) {
			words = append(words, string(kind))
		}
		return fleet.Invalidf("kind", string(q.Kind), "want one of %s", strings.Join(words, ", "))
	}
	if _, known := rank[q.Severity]; q.Severity != "" && !known {
		return fleet.Invalidf("severity", string(q.Severity), "want notice, warning or critical")
	}
	if q.Job != "" && q.Host == "" {
		return fleet.Invalidf("job", string(q.Job), "want its host as well: an id names a job of one host")
	}
	if !slices.Contains([]string{"", "only", "all"}, q.Acked) {
		return fleet.Invalidf("acked", q.Acked, "want only or all; without it, acknowledged findings are left out")
	}
	return nil
}

// hosts returns the hosts within the scope that the query asks about, nil for all.
func (e *Engine) hosts(scope fleet.Scope, q api.FindingQuery) (map[fleet.HostID]bool, error) {
	if q.Host == "" && q.Label == "" {
		return nil, nil
	}
	var selector fleet.Selector
	if q.Label != "" {
		var err error
		if selector, err = fleet.ParseSelector(q.Label); err != nil {
			return nil, err
		}
	}
	all, err := e.source.Hosts()
	if err != nil {
		return nil, err
	}
	hosts := map[fleet.HostID]bool{}
	known := q.Host == ""
	for i := range all {
		if !scope.Meets(all[i].Namespaces) {
			continue
		}
		named := q.Host == "" || all[i].Name == q.Host || string(all[i].ID) == q.Host
		known = known || named
		if named && (q.Label == "" || selector.Matches(all[i].Labels)) {
			hosts[all[i].ID] = true
		}
	}
	if !known {
		return nil, fleet.Errorf(fleet.NotFound, "no host %q", q.Host).WithCode("unknown_host").WithHint("fleetctl hosts")
	}
	return hosts, nil
}

// concerns returns the job that a query asks about, as it stands on its host. Of
// a job that is gone only the id is known.
func (e *Engine) concerns(q api.FindingQuery, hosts map[fleet.HostID]bool) ([]fleet.Job, error) {
	if q.Job == "" {
		return nil, nil
	}
	jobs := []fleet.Job{{ID: q.Job}}
	for host := range hosts {
		inventory, err := e.source.Found(host)
		if err != nil {
			return nil, err
		}
		for i := range inventory.Jobs {
			if inventory.Jobs[i].ID == q.Job {
				jobs = append(jobs, inventory.Jobs[i].Job)
			}
		}
	}
	return jobs, nil
}

// concerns reports whether a finding that is about the job's host is about the
// job: alone, with others, for its command wherever it stands, or for its line
// or the whole of its file.
func (f *found) concerns(job fleet.Job) bool {
	switch {
	case f.Job != "":
		return f.Job == job.ID
	case len(f.jobs) > 0:
		return slices.Contains(f.jobs, job.ID)
	case len(f.on) > 0:
		return f.Fingerprint != "" && f.Fingerprint == job.Fingerprint
	}
	return f.Source != "" && f.Source == job.Source && (f.Line == 0 || f.Line == job.Line)
}

// asked reports whether a query asks for the finding.
func asked(one *found, q *api.FindingQuery, hosts map[fleet.HostID]bool) bool {
	switch {
	case q.Kind != "" && one.Kind != q.Kind,
		q.Severity != "" && rank[one.Severity] > rank[q.Severity],
		q.Owner == "none" && one.Owner != "",
		q.Owner != "" && q.Owner != "none" && !strings.EqualFold(one.Owner, q.Owner),
		q.Text != "" && !mentions(&one.Finding, strings.ToLower(q.Text)):
		return false
	case hosts == nil:
		return true
	}
	return hosts[one.Host] || slices.ContainsFunc(one.on, func(host fleet.HostID) bool { return hosts[host] })
}

// mentions reports whether the finding shows the lower-case text.
func mentions(one *fleet.Finding, text string) bool {
	for _, shown := range []string{one.Command, one.Summary, one.Source, one.HostName, one.User} {
		if strings.Contains(strings.ToLower(shown), text) {
			return true
		}
	}
	return slices.ContainsFunc(one.Hosts, func(name string) bool { return strings.Contains(strings.ToLower(name), text) })
}
