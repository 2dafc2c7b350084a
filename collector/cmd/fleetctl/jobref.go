package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// jobRef names one found job as every command takes and prints it.
func jobRef(host string, id fleet.JobID) string { return host + ":" + string(id) }

// cutJobRef splits HOST:JOB. No host name holds a colon.
func cutJobRef(ref string) (host, job string, err error) {
	host, job, found := strings.Cut(ref, ":")
	switch {
	case !found:
		return "", "", fleet.Errorf(fleet.Usage, "%q: want HOST:JOB", ref).WithHint("fleetctl jobs --host %s -o wide lists the jobs of a host with their ids", orHOST(host))
	case host == "" || job == "":
		return "", "", fleet.Errorf(fleet.Usage, "%q: want HOST:JOB, with the id of the job or where it stands", ref).WithHint("fleetctl jobs --host %s -o wide lists the jobs of a host with their ids", orHOST(host))
	}
	return host, job, nil
}

func orHOST(name string) string {
	if name == "" {
		return "HOST"
	}
	return name
}

// findJob returns the job that HOST:JOB names: JOB is its id, the beginning of
// it, or where it stands, as /etc/cron.d/backup:7.
func findJob(ctx context.Context, client *api.Client, ref string) (api.JobView, error) {
	host, job, err := cutJobRef(ref)
	if err != nil {
		return api.JobView{}, err
	}
	jobs, err := jobsOf(ctx, client, host)
	if err != nil {
		return api.JobView{}, err
	}
	var found []api.JobView
	for _, candidate := range jobs {
		if string(candidate.ID) == job {
			return candidate, nil
		}
		if strings.HasPrefix(string(candidate.ID), job) || candidate.Source == job || placeText(candidate.Source, candidate.Line) == job {
			found = append(found, candidate)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return api.JobView{}, fleet.Errorf(fleet.NotFound, "there is no job %q on %s", job, host).WithHint("fleetctl jobs --host %s -o wide; fleetctl history %s if it was there once", host, host)
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = string(found[i].ID) + " (" + cut(visible.Line(found[i].Command), 40) + ")"
	}
	return api.JobView{}, fleet.Errorf(fleet.Usage, "%q names %d jobs of %s: %s", job, len(found), host, some(names)).WithHint("write more of the id")
}

// jobsOf lists every job of one host; the host is there, or it is an error.
func jobsOf(ctx context.Context, client *api.Client, host string) ([]api.JobView, error) {
	jobs, err := collectAll(func(page api.Page) (api.List[api.JobView], error) {
		return client.Jobs(ctx, api.JobQuery{Page: page, Host: host})
	})
	if err == nil && len(jobs) == 0 {
		err = knownHost(ctx, client, host)
	}
	return jobs, err
}

// foundIn says where a job stands, and in which container if in one.
func foundIn(job *fleet.Job) string {
	if job.Container == "" {
		return placeText(job.Source, job.Line)
	}
	return placeText(job.Source, job.Line) + " in container " + cut(job.Container, 24)
}

// placeText says where something stands: a file, and its line where it has lines.
func placeText(source string, line int) string {
	if line > 0 {
		return source + ":" + strconv.Itoa(line)
	}
	return source
}

// jobArgument proposes HOST: and then the jobs of that host.
func (p *program) jobArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	host, _, chosen := strings.Cut(typed, ":")
	if !chosen {
		names, _ := p.hostNames(c, nil, typed)
		for i := range names {
			names[i] += ":"
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		list, err := client.Jobs(ctx, api.JobQuery{Page: api.Page{Limit: 200}, Host: host})
		if err != nil {
			return nil
		}
		refs := make([]string, len(list.Items))
		for i, job := range list.Items {
			refs[i] = jobRef(visible.Line(host), job.ID) + "\t" + visible.Line(job.Schedule+" "+job.Command)
		}
		return refs
	})
}
