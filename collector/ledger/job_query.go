package ledger

import (
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Jobs returns all jobs found on the host, by id. None, where the host is not
// known.
func (l *Ledger) Jobs(id fleet.HostID) (jobs []api.JobView, err error) {
	host, found := l.Host(id)
	if !found {
		return nil, nil
	}
	err = l.view(func(r *reader) error {
		return eachRow(r, inJobs, prefix(string(id)), func(_ []byte, job jobRow) bool {
			jobs = append(jobs, job.view(host))
			return true
		})
	})
	return jobs, err
}

// Job returns one job, and false when it is no longer there.
func (l *Ledger) Job(host fleet.HostID, id fleet.JobID) (view api.JobView, found bool, err error) {
	known, found := l.Host(host)
	if !found {
		return view, false, nil
	}
	err = l.view(func(r *reader) error {
		var job jobRow
		if job, found, err = row[jobRow](r, inJobs, key(string(host), string(id))); found {
			view = job.view(known)
		}
		return err
	})
	return view, found, err
}

func (j *jobRow) view(host *Host) api.JobView {
	return api.JobView{Job: j.Job, Host: host.ID, HostName: host.Name, FirstSeen: j.FirstSeen, Changed: j.Changed}
}

// EachJob calls fn with every job of every host, host by host, until it
// returns an error. It holds no transaction while fn runs, so a host that
// changes meanwhile is seen as it was or as it is.
func (l *Ledger) EachJob(fn func(*Host, api.JobView) error) error {
	for _, host := range l.AllHosts() {
		jobs, err := l.Jobs(host.ID)
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
