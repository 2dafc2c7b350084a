package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type jobsOptions struct {
	paging
	text                                            string
	host, label, user, source, kind, verdict, owner string
	at, changed, fingerprint                        string
	broken, overdue, group, problems                bool
}

// jobKinds are the kinds of jobs that can be asked for.
func jobKinds() []string {
	return []string{string(fleet.KindCron), string(fleet.KindRunParts), string(fleet.KindAnacron), string(fleet.KindTimer), string(fleet.KindAt)}
}

func (o *jobsOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.host, "host", "", "only on this `host`, by name or id")
	f.StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	f.StringVar(&o.user, "user", "", "only jobs that run as this `user`")
	f.StringVar(&o.source, "source", "", "only jobs whose source `path` holds this text")
	f.StringVar(&o.kind, "kind", "", "only jobs of this `kind`: cron, run-parts, anacron, timer or at")
	f.StringVar(&o.owner, "owner", "", "only jobs of this `owner`, as annotated; none: those that nobody owns")
	f.StringVar(&o.verdict, "verdict", "", "only jobs with this `verdict`: runs, broken, or why it does not run, such as file_mode or missing_command")
	f.BoolVar(&o.broken, "broken", false, "only jobs that the host's scheduler will not run: --verdict broken")
	f.BoolVar(&o.overdue, "overdue", false, "only jobs that should have started and were not seen to")
	f.StringVar(&o.at, "at", "", "the jobs as they were at this `instant`, or this long ago")
	f.StringVar(&o.changed, "changed-since", "", "only jobs that changed since this `instant`, or this long ago, such as 24h or 7d")
	f.StringVar(&o.fingerprint, "fingerprint", "", "only jobs with the same command as those of this `fingerprint`")
	f.BoolVar(&o.group, "group", false, "group jobs with the same command, wherever they stand")
	p.completeHosts(c, "host")
	p.completeWords(c, "kind", jobKinds()...)
	p.completeWords(c, "verdict", verdictWords()...)
}

// verdictWords are the verdicts that can be asked for.
func verdictWords() []string {
	words := []string{"runs", "broken"}
	for _, code := range []fleet.VerdictCode{
		fleet.BadMode, fleet.BadOwner, fleet.BadLinks, fleet.BadName, fleet.FileRefused, fleet.NoNewline, fleet.Denied, fleet.UnknownUser, fleet.LockedUser,
		fleet.NoCommand, fleet.NotExecutable, fleet.Masked, fleet.Disabled, fleet.Inactive, fleet.NoScheduler, fleet.SchedulerDown, fleet.NeverDue, fleet.Unreadable, fleet.OtherwiseWrong,
	} {
		words = append(words, string(code))
	}
	return words
}

// query reads the flags; the page is for the caller to add.
func (o *jobsOptions) query(p *program) (query api.JobQuery, err error) {
	query = api.JobQuery{
		Text: o.text, Host: o.host, Label: o.label, User: o.user, Source: o.source,
		Kind: fleet.JobKind(o.kind), Owner: o.owner, Verdict: o.verdict, Overdue: o.overdue, Fingerprint: o.fingerprint,
	}
	if query.At, err = p.parsePast("at", o.at); err != nil {
		return query, err
	}
	if query.Changed, err = p.parsePast("changed-since", o.changed); err != nil {
		return query, err
	}
	switch {
	case o.broken && o.verdict == "runs":
		return query, fleet.Errorf(fleet.Usage, "--broken and --verdict runs leave nothing")
	case o.verdict != "" && !slices.Contains(verdictWords(), o.verdict):
		return query, fleet.Errorf(fleet.Usage, "--verdict %q: want %s", o.verdict, strings.Join(verdictWords(), ", "))
	case o.overdue && (o.at != "" || o.changed != ""):
		return query, fleet.Errorf(fleet.Usage, "--overdue is about now; it goes neither with --at nor with --changed-since")
	case o.broken:
		query.Verdict = "broken"
	}
	if query.Verdict != "" && query.Verdict != "runs" && query.Verdict != "broken" { // a reason is a term of its own
		query.Text, query.Verdict = strings.TrimSpace(query.Text+" verdict:"+query.Verdict), ""
	}
	return query, nil
}

func newJobsCommand(p *program) *cobra.Command {
	var options jobsOptions
	c := &cobra.Command{
		Use: "jobs [HOST:JOB]", GroupID: groupFound, Args: arguments(0, 1),
		Short:             "List the jobs found on hosts, or everything about one",
		Long:              "List the jobs found on hosts, or everything about one: whether it runs and why not, what\nis wrong with it, what the host says about its last run, whose it is, what changed about\nit, and where else the same command stands. JOB is its id, the beginning of it, or where\nit stands, as in db-1:/etc/cron.d/backup:7.\n\nAmong them are timers of users and what cron runs inside containers, which is said where\nthey stand. RUNS is yes, no, overdue, adopted (its task runs instead) or stale: its file\ncan no longer be read, and it is shown as it was. LAST is the evidence of the host itself:\nits start seen, its end too, or only a stamp.",
		Example:           "  fleetctl jobs --host db-1\n  fleetctl jobs --verdict broken -o wide\n  fleetctl jobs --overdue\n  fleetctl jobs --changed-since 24h --label role=db\n  fleetctl jobs --at \"2026-11-01 12:00\" --host db-1\n  fleetctl jobs db-1:/etc/cron.d/backup:7\n  fleetctl jobs --group\n  fleetctl jobs --problems --host db-1",
		ValidArgsFunction: p.jobArgument,
	}
	c.RunE = p.asking(func(ctx context.Context, client *api.Client, args []string) error {
		switch given := changedFlags(c); {
		case len(args) == 1 && len(given) > 0:
			return fleet.Errorf(fleet.Usage, "--%s chooses among many jobs; %s is one", given[0], args[0])
		case len(args) == 1:
			return runJob(ctx, p, client, args[0])
		case options.problems:
			return runProblems(ctx, p, client, options)
		}
		return runJobs(ctx, p, client, options)
	})
	options.addFlags(p, c)
	c.Flags().BoolVar(&options.problems, "problems", false, "list the lines and files that a scan could not take, instead of jobs")
	return c
}

const findHelp = `Find jobs that hold the text in their command, source, user or host, on all hosts.

A term asks about one field: user:root, host:db-, schedule:"30 2 *", source:cron.d,
kind:timer, owner:anna (none: nobody), package:cron, verdict:broken (or a reason, such as
file_mode), is:overdue. Text in quotes is searched by itself, and a - before a term or
such text takes away what it matches. Mind that the shell takes quotes for itself; what
begins with - follows --, or stands in quotes with the rest.`

func newFindCommand(p *program) *cobra.Command {
	var options jobsOptions
	c := &cobra.Command{
		Use: "find TEXT…", GroupID: groupFound, Args: arguments(1, -1),
		Short:   "Find jobs by their command",
		Long:    findHelp,
		Example: "  fleetctl find backup\n  fleetctl find pg_dump user:postgres\n  fleetctl find host:web- kind:timer\n  fleetctl find 'backup -user:root'\n  fleetctl find is:overdue owner:team-data",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			options.text = strings.Join(args, " ")
			return runJobs(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fleet.Errorf(fleet.Usage, "%s", err).WithHint("what begins with - follows --, or stands in quotes with the rest: fleetctl find 'backup -user:root'")
	})
	return c
}

func runJobs(ctx context.Context, p *program, client *api.Client, options jobsOptions) error {
	query, err := options.query(p)
	if err != nil {
		return err
	}
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	if options.group {
		return runGroups(ctx, p, client, options.paging, query)
	}
	list, err := showList(p, options.paging, func(page api.Page) (api.List[api.JobView], error) {
		query.Page = page
		return client.Jobs(ctx, query)
	}, nil, func(jobs []api.JobView) error { return drawJobs(p, jobs, cmp.Or(query.At, p.now())) })
	if err == nil && len(list.Items) == 0 && options.text != "" && p.settings.Output.people() {
		p.note("no job was found; fleetctl tasks lists what is given")
	}
	return err
}

// drawJobs lists jobs as they were at an instant.
func drawJobs(p *program, jobs []api.JobView, at time.Time) error {
	t := p.table(
		column{title: "HOST"}, column{title: "USER"}, column{title: "SCHEDULE", shrinks: true}, column{title: "NEXT"},
		column{title: "RUNS", paint: paintState}, column{title: "COMMAND", shrinks: true}, column{title: "SOURCE", shrinks: true},
		column{title: "KIND", wide: true}, column{title: "WHY", wide: true}, column{title: "LAST", wide: true}, column{title: "OVERDUE", wide: true, paint: redUnless("")},
		column{title: "OWNER", wide: true}, column{title: "PACKAGE", wide: true}, column{title: "MANAGED BY", wide: true}, column{title: "ID", wide: true},
	)
	for i := range jobs {
		job := &jobs[i]
		next := "-"
		if len(job.Next) > 0 && job.Verdict.Runs {
			next = p.instant(firstAfter(job.Next, at))
		}
		t.row(job.HostName, job.User, job.Schedule, next, runsText(job), job.Command, foundIn(&job.Job),
			string(job.Kind), whyText(p, job), lastSeen(p, job.Evidence), overdueText(p, job),
			job.Owner, job.Package, job.ManagedBy, string(job.ID))
	}
	return t.write(p.stdout)
}

// runsText says in a word whether a job runs.
func runsText(job *api.JobView) string {
	switch {
	case job.Adopted != "":
		return "adopted" // its task does
	case !job.Verdict.Runs:
		return "no"
	case job.Stale != nil:
		return "stale"
	case job.Overdue != nil:
		return "overdue"
	}
	return "yes"
}

// whyText says why a job does not run, or what else is to be known of that.
func whyText(p *program, job *api.JobView) string {
	switch {
	case job.Adopted != "":
		return "the task " + string(job.Adopted) + " runs in its place"
	case job.Stale != nil:
		return "its source cannot be read since " + p.instant(*job.Stale)
	}
	return job.Verdict.Why
}

// lastSeen tells when a job last ran, as far as the host itself can say. A
// stamp is of a day, without its hour.
func lastSeen(p *program, evidence *fleet.Evidence) string {
	if evidence == nil {
		return ""
	}
	text := p.instant(evidence.Last) + " (" + evidence.Grade
	if evidence.Result != "" {
		text += ", " + evidence.Result
	}
	return text + ")"
}

func overdueText(p *program, job *api.JobView) string {
	if job.Overdue == nil {
		return ""
	}
	return "since " + p.instant(*job.Overdue)
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

func runGroups(ctx context.Context, p *program, client *api.Client, g paging, query api.JobQuery) error {
	_, err := showList(p, g, func(page api.Page) (api.List[api.JobGroup], error) {
		query.Page = page
		return client.JobGroups(ctx, query)
	}, nil, func(groups []api.JobGroup) error {
		t := p.table(
			column{title: "JOBS", right: true}, column{title: "HOSTS", right: true}, column{title: "COMMAND", shrinks: true},
			column{title: "SCHEDULES", shrinks: true}, column{title: "USERS", shrinks: true}, column{title: "ON", shrinks: true}, column{title: "FINGERPRINT", wide: true},
		)
		for _, group := range groups {
			t.row(strconv.Itoa(group.Jobs), strconv.Itoa(group.Hosts), group.Command, strings.Join(group.Schedules, "; "),
				strings.Join(group.Users, ","), strings.Join(group.HostNames, ","), group.Fingerprint)
		}
		return t.write(p.stdout)
	})
	return err
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
		hosts, err := hostsWith(ctx, client, options.label)
		if err != nil {
			return err
		}
		names = nil
		for _, host := range hosts {
			if host.Problems > 0 {
				names = append(names, string(host.ID))
			}
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
			t.row(problem.Host, placeText(problem.Source, problem.Line), problem.Reason, problem.Text)
		}
		return t.write(p.stdout)
	})
}
