package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Overview sums up the fleet.
func (s *Server) Overview(ctx context.Context) (api.Overview, error) {
	totals := s.Ledger.Totals(scopeOf(ctx))
	runs, failed, err := s.Ledger.Activity(scopeOf(ctx), time.Now().Add(-24*time.Hour))
	if err != nil {
		return api.Overview{}, err
	}
	overview := api.Overview{
		Hosts: totals.Hosts, Jobs: totals.Jobs, Broken: totals.Broken, Problems: totals.Problems,
		Tasks: totals.Tasks, Paused: totals.Paused, Running: totals.Open, Runs: runs, Failed: failed,
	}
	present := s.countPresence(scopeOf(ctx))
	overview.Alive, overview.Silent = present[fleet.Alive], present[fleet.Silent]+present[fleet.Left]
	return overview, nil
}

func (s *Server) overview(ctx context.Context, _ struct{}) (api.Overview, error) {
	return s.Overview(ctx)
}

func (s *Server) countPresence(scope fleet.Scope) map[fleet.Presence]int {
	present := map[fleet.Presence]int{fleet.Alive: 0, fleet.Silent: 0, fleet.Left: 0}
	for _, host := range s.Ledger.AllHosts(scope) {
		present[s.presence(host.ID)]++
	}
	return present
}

// Hosts lists hosts by name.
func (s *Server) Hosts(ctx context.Context, q api.HostQuery) (api.List[api.HostView], error) {
	var list api.List[api.HostView]
	if err := oneOf("presence", q.Presence, fleet.Alive, fleet.Silent, fleet.Left); err != nil {
		return list, err
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Hosts, ledger.Jobs)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	var keep func(*ledger.Host) bool
	if q.Presence != "" {
		keep = func(h *ledger.Host) bool { return s.presence(h.ID) == q.Presence }
	}
	page, err := s.Ledger.Hosts(scopeOf(ctx), q, keep)
	if err != nil {
		return list, err
	}
	list = api.List[api.HostView]{Items: make([]api.HostView, len(page.Hosts)), Next: sealCursor(page.Next), Total: page.Total, Index: index}
	for i, host := range page.Hosts {
		list.Items[i] = s.hostView(scopeOf(ctx), host)
	}
	return list, nil
}

func (s *Server) hostView(scope fleet.Scope, host *ledger.Host) api.HostView {
	return api.HostView{
		Host: host.Host, Presence: s.presence(host.ID), FirstSeen: host.FirstSeen, Reported: host.Reported,
		Jobs: host.Jobs, Problems: host.Problems, Tasks: s.Ledger.Assigned(scope, host.ID), Namespaces: host.NamespacesWithin(scope), Skew: s.calls.skew(host.ID),
	}
}

// Host returns everything about one host, by its name or id.
func (s *Server) Host(ctx context.Context, nameOrID string) (api.HostDetail, error) {
	return s.host(ctx, oneHost{nameOrID: nameOrID})
}

type oneHost struct {
	nameOrID string
	waiting
}

func parseHost(r *request) (oneHost, error) {
	var in oneHost
	var err error
	if in.nameOrID, err = r.path("host", hostParameter); err != nil {
		return in, err
	}
	return in, r.query(&in.waiting)
}

func (s *Server) host(ctx context.Context, in oneHost) (api.HostDetail, error) {
	found, err := s.Ledger.FindHost(scopeOf(ctx), in.nameOrID)
	if err != nil {
		return api.HostDetail{}, err
	}
	if _, err := s.newer(ctx, in.waiting, ledger.Hosts, ledger.Jobs, ledger.PlanOf(found.ID), ledger.Generations, ledger.Standings); err != nil {
		return api.HostDetail{}, err
	}
	if found, err = s.Ledger.FindHost(scopeOf(ctx), in.nameOrID); err != nil {
		return api.HostDetail{}, err
	}
	detail := api.HostDetail{HostView: s.hostView(scopeOf(ctx), found)}
	told, _ := s.Ledger.Stands(scopeOf(ctx), found.ID)
	detail.Standings = append([]fleet.Standing{}, told...)
	if detail.Inventory, err = s.Ledger.Report(scopeOf(ctx), found.ID); err != nil {
		return api.HostDetail{}, err
	}
	plan, err := s.Ledger.Plan(scopeOf(ctx), found.ID)
	if err != nil {
		return api.HostDetail{}, err
	}
	detail.Assignments = plan.Assignments
	detail.Applied, err = s.Ledger.AppliedBy(scopeOf(ctx), found.ID)
	return detail, err
}

// Jobs lists found jobs, as they are or as they were.
func (s *Server) Jobs(ctx context.Context, q api.JobQuery) (api.List[api.JobView], error) {
	if !ofNow(q) {
		return searched(ctx, s, scopeOf(ctx), q, s.pastJobs)
	}
	list, err := searched(ctx, s, scopeOf(ctx), q, s.Search.Query)
	s.late(list.Items)
	return list, err
}

// JobGroups lists found jobs by command, the most frequent first.
func (s *Server) JobGroups(ctx context.Context, q api.JobQuery) (api.List[api.JobGroup], error) {
	if !ofNow(q) {
		return api.List[api.JobGroup]{}, fleet.Invalidf("at", "", "groups are of now; leave out at and changed_since").WithHint("fleetctl jobs --at lists the jobs")
	}
	return searched(ctx, s, scopeOf(ctx), q, s.Search.Groups)
}

func searched[T any](ctx context.Context, s *Server, scope fleet.Scope, q api.JobQuery, find func(fleet.Scope, api.JobQuery) (api.List[T], error)) (api.List[T], error) {
	var list api.List[T]
	if err := checkJobs(q); err != nil {
		return list, err
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Jobs, ledger.Hosts)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	if list, err = find(scope, q); err != nil {
		return list, err
	}
	list.Next, list.Index = sealCursor(list.Next), index
	if list.Items == nil {
		list.Items = []T{}
	}
	return list, nil
}

func checkJobs(q api.JobQuery) error {
	if err := oneOf("kind", q.Kind, fleet.KindCron, fleet.KindRunParts, fleet.KindAnacron, fleet.KindTimer, fleet.KindAt); err != nil {
		return err
	}
	if err := checkPast(q, time.Now()); err != nil {
		return err
	}
	return oneOf("verdict", q.Verdict, "runs", "broken")
}
