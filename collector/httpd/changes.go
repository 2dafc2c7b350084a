package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Changes lists what changed about found jobs, the newest first.
func (s *Server) Changes(ctx context.Context, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	var list api.List[api.ChangeView]
	if err := checkChanges(q); err != nil {
		return list, err
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Jobs)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	if list, err = s.Ledger.Changes(scopeOf(ctx), q); err != nil {
		return list, err
	}
	list.Next, list.Index = sealCursor(list.Next), index
	return list, nil
}

func checkChanges(q api.ChangeQuery) error {
	if q.Job != "" && q.Host == "" {
		return fleet.Invalidf("job", clip(string(q.Job)), "a job is of a host; name the host too")
	}
	if !q.Until.IsZero() && !q.Until.After(q.Since) {
		return fleet.Invalidf("until", q.Until.Format(time.RFC3339), "must be after since")
	}
	return oneOf("what", q.What, fleet.ChangeAppeared, fleet.ChangeVanished, fleet.ChangeMoved, fleet.ChangeSchedule, fleet.ChangeTimezone,
		fleet.ChangeCommand, fleet.ChangeUser, fleet.ChangeEnvironment, fleet.ChangeEnabled, fleet.ChangeVerdict)
}

// ofNow reports whether the query asks for jobs as they are: the index has
// those, the ledger the past.
func ofNow(q api.JobQuery) bool { return q.At.IsZero() && q.Changed.IsZero() }

// pastJobs lists jobs as they were, or those that changed since.
func (s *Server) pastJobs(scope fleet.Scope, q api.JobQuery) (api.List[api.JobView], error) {
	keep, err := s.Search.Matcher(scope, q)
	if err != nil {
		return api.List[api.JobView]{}, err
	}
	return s.Ledger.PastJobs(scope, q, keep)
}

// checkPast refuses what nobody knows of the past, and instants that are to
// come.
func checkPast(q api.JobQuery, now time.Time) error {
	if ofNow(q) {
		return nil
	}
	if q.Overdue {
		return fleet.Invalidf("overdue", "true", "is known of now only; leave out at and changed_since")
	}
	for field, instant := range map[string]time.Time{"at": q.At, "changed_since": q.Changed} {
		if instant.After(now.Add(time.Minute)) {
			return fleet.Invalidf(field, instant.Format(time.RFC3339), "is yet to come")
		}
	}
	return nil
}
