package httpd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// maxElsewhere is how many hosts that run the same are named.
	maxElsewhere = 20
	// maxMove is how many hosts are proposed instead.
	maxMove = 3
)

func parseLoss(r *request) (string, error) {
	host, err := r.path("host", hostParameter)
	if err != nil {
		return "", err
	}
	return host, r.query(&struct{}{})
}

// Loss says what would stop if a host, by name or id, were gone.
func (s *Server) Loss(ctx context.Context, nameOrID string) (api.Loss, error) {
	host, err := s.Ledger.FindHost(scopeOf(ctx), nameOrID)
	if err != nil {
		return api.Loss{}, err
	}
	loss := api.Loss{Host: s.hostView(scopeOf(ctx), host), Jobs: []api.LossJob{}, Tasks: s.lostTasks(scopeOf(ctx), host)}
	jobs, err := s.Ledger.Jobs(scopeOf(ctx), host.ID)
	if err != nil {
		return loss, err
	}
	s.late(jobs)
	var with company
	if err := s.agenda.read(func(a *agenda) error {
		with = a.company(scopeOf(ctx), host.ID, func(other *ledger.Host) bool { return s.presence(other.ID) == fleet.Alive })
		return nil
	}); err != nil {
		return loss, err
	}
	for _, job := range jobs {
		if job.Enabled && job.Verdict.Runs {
			loss.Jobs = append(loss.Jobs, with.lost(job))
		}
	}
	slices.SortFunc(loss.Jobs, func(a, b api.LossJob) int {
		return cmp.Or(cmp.Compare(min(len(a.Elsewhere), 1), min(len(b.Elsewhere), 1)), // what stops altogether comes first
			cmp.Compare(a.Job.Source, b.Job.Source), cmp.Compare(a.Job.Line, b.Job.Line), cmp.Compare(a.Job.ID, b.Job.ID))
	})
	return loss, nil
}

// lostTasks returns the tasks of a host with how many hosts would remain.
func (s *Server) lostTasks(scope fleet.Scope, host *ledger.Host) []api.LossTask {
	tasks := []api.LossTask{}
	for _, task := range s.Ledger.AllTasks(scope) {
		if task.State == fleet.TaskEnabled && task.RunsOn(host) {
			tasks = append(tasks, api.LossTask{Task: task.Task.ID(), Hosts: len(s.Ledger.Matching(scope, &task.Task)) - 1})
		}
	}
	slices.SortFunc(tasks, func(a, b api.LossTask) int {
		return cmp.Or(cmp.Compare(min(a.Hosts, 1), min(b.Hosts, 1)), strings.Compare(string(a.Task), string(b.Task)))
	})
	return tasks
}

// company is the other hosts as they matter to one that is lost.
type company struct {
	with map[unique.Handle[string]][]string // hosts that run a command, by fingerprint
	like []string                           // the hosts most like it, the best first
}

// company compares the hosts that a scope sees with one. Those most like it share the most
// labels, then its dialect of cron, then the most commands.
func (a *agenda) company(scope fleet.Scope, lost fleet.HostID, alive func(*ledger.Host) bool) company {
	c := company{with: map[unique.Handle[string]][]string{}}
	host := a.hosts[lost]
	if host == nil {
		return c
	}
	for i := range host.jobs {
		c.with[host.jobs[i].print] = nil
	}
	type likeness struct {
		name                     string
		labels, dialect, commons int
	}
	var others []likeness
	for id, other := range a.hosts {
		if id == lost || !scope.Meets(other.Namespaces) {
			continue
		}
		one := likeness{name: other.Name}
		told := map[unique.Handle[string]]bool{}
		for i := range other.jobs {
			print := other.jobs[i].print
			if names, has := c.with[print]; has && !told[print] {
				told[print] = true
				c.with[print] = append(names, other.Name)
				one.commons++
			}
		}
		for key, value := range host.Labels {
			if other.Labels[key] == value && value != "" {
				one.labels++
			}
		}
		if other.Cron == host.Cron {
			one.dialect = 1
		}
		if alive(other.Host) {
			others = append(others, one)
		}
	}
	slices.SortFunc(others, func(a, b likeness) int {
		return cmp.Or(cmp.Compare(b.labels, a.labels), cmp.Compare(b.dialect, a.dialect), cmp.Compare(b.commons, a.commons), cmp.Compare(a.name, b.name))
	})
	for _, one := range others[:min(len(others), maxMove)] {
		c.like = append(c.like, one.name)
	}
	return c
}

// lost says where a job goes on, or could.
func (c *company) lost(job api.JobView) api.LossJob {
	elsewhere := c.with[unique.Make(job.Fingerprint)]
	slices.Sort(elsewhere)
	one := api.LossJob{Job: job, Elsewhere: append([]string{}, elsewhere[:min(len(elsewhere), maxElsewhere)]...), Move: []string{}}
	if len(elsewhere) == 0 {
		one.Move = append(one.Move, c.like...)
		one.Fix = fmt.Sprintf("fleetctl adopt %s:%s", job.HostName, job.ID)
	}
	return one
}
