package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type jobsOptions struct {
	paging
	text                            string
	host, label, user, source, kind string
	broken, group, problems         bool
}

func (o *jobsOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.host, "host", "", "only on this `host`, by name or id")
	c.Flags().StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	c.Flags().StringVar(&o.user, "user", "", "only jobs that run as this `user`")
	c.Flags().StringVar(&o.source, "source", "", "only jobs whose source `path` holds this text")
	c.Flags().StringVar(&o.kind, "kind", "", "only jobs of this `kind`: cron, run-parts, anacron, timer or at")
	c.Flags().BoolVar(&o.broken, "broken", false, "only jobs that the host's scheduler will not run")
	c.Flags().BoolVar(&o.group, "group", false, "group jobs with the same command, wherever they stand")
	p.completeHosts(c, "host")
	p.completeWords(c, "kind", string(fleet.KindCron), string(fleet.KindRunParts), string(fleet.KindAnacron), string(fleet.KindTimer), string(fleet.KindAt))
}

func (o *jobsOptions) query(page api.Page) api.JobQuery {
	query := api.JobQuery{
		Page: page, Text: o.text, Host: o.host, Label: o.label, User: o.user,
		Source: o.source, Kind: fleet.JobKind(o.kind),
	}
	if o.broken {
		query.Verdict = "broken"
	}
	return query
}

func newJobsCommand(p *program) *cobra.Command {
	var options jobsOptions
	c := &cobra.Command{
		Use: "jobs", GroupID: groupFound, Args: arguments(0, 0),
		Short:   "List the jobs found on hosts",
		Example: "  fleetctl jobs --host db-1\n  fleetctl jobs --broken -o wide\n  fleetctl jobs --group\n  fleetctl jobs --problems --host db-1",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			if options.problems {
				return runProblems(ctx, p, client, options)
			}
			return runJobs(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	c.Flags().BoolVar(&options.problems, "problems", false, "list the lines and files that a scan could not take, instead of jobs")
	return c
}

func newFindCommand(p *program) *cobra.Command {
	var options jobsOptions
	c := &cobra.Command{
		Use: "find TEXT…", GroupID: groupFound, Args: arguments(1, -1),
		Short:   "Find jobs by their command",
		Long:    "Find jobs whose command holds the text, on all hosts. The terms user: host: schedule:\nsource: and kind: narrow the search.",
		Example: "  fleetctl find backup\n  fleetctl find pg_dump user:postgres\n  fleetctl find host:web- kind:timer",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			options.text = strings.Join(args, " ")
			return runJobs(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runJobs(ctx context.Context, p *program, client *api.Client, options jobsOptions) error {
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	if options.group {
		return runGroups(ctx, p, client, options)
	}
	list, err := collect(options.paging, func(page api.Page) (api.List[api.JobView], error) {
		return client.Jobs(ctx, options.query(page))
	}, nil)
	if err != nil {
		return err
	}
	return p.show(list, func() error {
		if err := drawJobs(p, list.Items); err != nil {
			return err
		}
		noteRest(p, options.paging, list)
		if len(list.Items) == 0 && options.text != "" {
			p.note("no job was found; fleetctl tasks lists what is given")
		}
		return nil
	})
}

func drawJobs(p *program, jobs []api.JobView) error {
	t := p.table(
		column{title: "HOST"}, column{title: "USER"}, column{title: "SCHEDULE", shrinks: true}, column{title: "NEXT"},
		column{title: "RUNS", paint: paintState}, column{title: "COMMAND", shrinks: true}, column{title: "SOURCE", shrinks: true},
		column{title: "KIND", wide: true}, column{title: "WHY", wide: true}, column{title: "LAST", wide: true}, column{title: "PACKAGE", wide: true},
		column{title: "MANAGED BY", wide: true}, column{title: "ID", wide: true},
	)
	for _, job := range jobs {
		next, runs := "-", "yes"
		if len(job.Next) > 0 && job.Verdict.Runs {
			next = p.instant(firstAfter(job.Next, p.now()))
		}
		if !job.Verdict.Runs {
			runs = "no"
		}
		source := job.Source
		if job.Line > 0 {
			source += ":" + strconv.Itoa(job.Line)
		}
		t.row(job.HostName, job.User, job.Schedule, next, runs, job.Command, source,
			string(job.Kind), job.Verdict.Why, lastSeen(p, job.Evidence), job.Package, job.ManagedBy, string(job.ID))
	}
	return t.write(p.stdout)
}

// lastSeen tells when a job last ran, as far as the host itself can say. A
// stamp is of a day, without its hour.
func lastSeen(p *program, evidence *fleet.Evidence) string {
	if evidence == nil {
		return ""
	}
	return p.instant(evidence.Last) + " (" + evidence.Grade + ")"
}

// firstAfter returns the first instant that has not passed: the scan that
// computed them may be a while ago.
func firstAfter(instants []time.Time, now time.Time) time.Time {
	for _, instant := range instants {
		if instant.After(now) {
			return instant
		}
	}
	return time.Time{}
}

func runGroups(ctx context.Context, p *program, client *api.Client, options jobsOptions) error {
	list, err := collect(options.paging, func(page api.Page) (api.List[api.JobGroup], error) {
		return client.JobGroups(ctx, options.query(page))
	}, nil)
	if err != nil {
		return err
	}
	return p.show(list, func() error {
		t := p.table(
			column{title: "JOBS", right: true}, column{title: "HOSTS", right: true}, column{title: "COMMAND", shrinks: true},
			column{title: "SCHEDULES", shrinks: true}, column{title: "USERS", shrinks: true}, column{title: "ON", shrinks: true}, column{title: "FINGERPRINT", wide: true},
		)
		for _, group := range list.Items {
			t.row(strconv.Itoa(group.Jobs), strconv.Itoa(group.Hosts), group.Command, strings.Join(group.Schedules, "; "),
				strings.Join(group.Users, ","), strings.Join(group.HostNames, ","), group.Fingerprint)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		noteRest(p, options.paging, list)
		return nil
	})
}

// hostProblem is a problem with the host it was found on.
type hostProblem struct {
	Host string `json:"host"`
	fleet.Problem
}

// runProblems lists what scans could not take: of one host, or of all that
// have problems.
func runProblems(ctx context.Context, p *program, client *api.Client, options jobsOptions) error {
	names := []string{options.host}
	if options.host == "" {
		hosts, err := collect(paging{limit: 1, all: true}, func(page api.Page) (api.List[api.HostView], error) {
			return client.Hosts(ctx, api.HostQuery{Page: page, Label: options.label})
		}, func(host api.HostView) bool { return host.Problems > 0 })
		if err != nil {
			return err
		}
		names = nil
		for _, host := range hosts.Items {
			names = append(names, string(host.ID))
		}
	}
	list := api.List[hostProblem]{Items: []hostProblem{}}
	for _, name := range names {
		host, err := client.Host(ctx, name)
		if err != nil {
			return err
		}
		for _, problem := range host.Inventory.Problems {
			list.Items = append(list.Items, hostProblem{Host: host.Name, Problem: problem})
		}
	}
	list.Total = len(list.Items)
	return p.show(list, func() error {
		t := p.table(column{title: "HOST"}, column{title: "SOURCE", shrinks: true}, column{title: "REASON", shrinks: true}, column{title: "TEXT", shrinks: true})
		for _, problem := range list.Items {
			source := problem.Source
			if problem.Line > 0 {
				source += ":" + strconv.Itoa(problem.Line)
			}
			t.row(problem.Host, source, problem.Reason, problem.Text)
		}
		return t.write(p.stdout)
	})
}
