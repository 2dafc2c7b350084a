package search

import (
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Matcher returns what decides whether the query asks for a job, for jobs that
// the index does not hold: those of the past. At, Changed and the page are not
// looked at.
func (x *Index) Matcher(scope fleet.Scope, q api.JobQuery) (func(*ledger.Host, *api.JobView) bool, error) {
	f, err := newFilter(scope, q)
	if err != nil {
		return nil, err
	}
	return func(host *ledger.Host, job *api.JobView) bool { return f.asksHost(host) && f.asksJob(host, job) }, nil
}

func (f *filter) asksHost(host *ledger.Host) bool {
	if !f.scope.Meets(host.Namespaces) || f.exactHost != "" && f.exactHost != host.Name && f.exactHost != string(host.ID) {
		return false
	}
	return !f.labelled || f.label.Matches(host.Labels)
}

func (f *filter) asksJob(host *ledger.Host, job *api.JobView) bool {
	if f.fingerprint != "" && f.fingerprint != job.Fingerprint {
		return false
	}
	for _, asked := range f.terms {
		if asked.holds(asked.value, host, job) == asked.not {
			return false
		}
	}
	return true
}
