package ledger

import (
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Jobs returns all jobs found on the host, by id. None, where the host is not
// known.
func (l *Ledger) Jobs(scope fleet.Scope, id fleet.HostID) (jobs []api.JobView, err error) {
	host, found := l.Host(scope, id)
	if !found {
		return nil, nil
	}
	err = l.view(func(r *reader) error {
		seen, err := r.evidence(id)
		if err != nil {
			return err
		}
		jobs = make([]api.JobView, 0, host.Jobs)
		return eachRow(r, inJobs, prefix(string(id)), func(_ []byte, job jobRow) bool {
			job.Job.Evidence = seen[job.Job.ID]
			jobs = append(jobs, l.jobView(scope, host, &job))
			return true
		})
	})
	return jobs, err
}

// Job returns one job, and false when it is no longer there.
func (l *Ledger) Job(scope fleet.Scope, host fleet.HostID, id fleet.JobID) (view api.JobView, found bool, err error) {
	known, found := l.Host(scope, host)
	if !found {
		return view, false, nil
	}
	err = l.view(func(r *reader) error {
		var job jobRow
		if job, found, err = row[jobRow](r, inJobs, key(string(host), string(id))); !found || err != nil {
			return err
		}
		seen, told, err := row[sightingRow](r, inSightings, key(string(host), string(id)))
		if job.Job.Evidence = nil; told {
			job.Job.Evidence = seen.evidence()
		}
		view = l.jobView(scope, known, &job)
		return err
	})
	return view, found, err
}

// jobView returns the job with what people say about it. That a task of another
// namespace took it over is not told.
func (l *Ledger) jobView(scope fleet.Scope, host *Host, job *jobRow) api.JobView {
	said, _ := l.annotation(job.Job.Fingerprint)
	adopted := l.adoptedBy(host.ID, job.Job.ID)
	if adopted != "" && !scope.Holds(adopted.Namespace()) {
		adopted = ""
	}
	return api.JobView{
		Job: job.Job, Host: host.ID, HostName: host.Name, FirstSeen: job.FirstSeen, Changed: job.Changed,
		Adopted: adopted, Owner: said.Owner, Note: said.Note, Dialect: dialect(host, job.Job.Kind),
	}
}

// dialect returns whose rules a schedule of the kind is read by on the host.
func dialect(host *Host, kind fleet.JobKind) string {
	if host.Cron == "none" || kind != fleet.KindCron && kind != fleet.KindRunParts {
		return ""
	}
	return host.Cron
}

// EachJob calls fn with every job of every host, host by host, until it
// returns an error. It holds no transaction while fn runs, so a host that
// changes meanwhile is seen as it was or as it is.
func (l *Ledger) EachJob(scope fleet.Scope, fn func(*Host, api.JobView) error) error {
	for _, host := range l.AllHosts(scope) {
		jobs, err := l.Jobs(scope, host.ID)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if err := fn(host, job); err != nil {
				return err
			}
		}
	}
	return nil
}
