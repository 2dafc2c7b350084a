package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

type historyOptions struct {
	paging
	host, label, what, text, since, until string
}

// changeKinds are the kinds of changes, in the order in which they are told.
func changeKinds() []string {
	var words []string
	for _, kind := range []fleet.ChangeKind{
		fleet.ChangeAppeared, fleet.ChangeVanished, fleet.ChangeMoved, fleet.ChangeSchedule, fleet.ChangeTimezone, fleet.ChangeCommand,
		fleet.ChangeUser, fleet.ChangeEnvironment, fleet.ChangeEnabled, fleet.ChangeVerdict,
	} {
		words = append(words, string(kind))
	}
	return words
}

func (o *historyOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.host, "host", "", "only on this `host`; the same as naming it alone")
	f.StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	f.StringVar(&o.what, "what", "", "only this `kind` of change: "+strings.Join(changeKinds(), ", "))
	f.StringVar(&o.text, "command", "", "only of commands that hold this `text`, before or after")
	f.StringVar(&o.since, "since", "", "only seen since this `instant`, or this long ago, such as 24h or 7d")
	f.StringVar(&o.until, "until", "", "only seen before this `instant`, or this long ago")
	p.completeHosts(c, "host")
	p.completeWords(c, "what", changeKinds()...)
}

func newHistoryCommand(p *program) *cobra.Command {
	var options historyOptions
	c := &cobra.Command{
		Use: "history [HOST|HOST:JOB]", GroupID: groupFound, Args: arguments(0, 1),
		Short:             "List what changed about found jobs, the newest first",
		Long:              "List what changed about found jobs, the newest first: of the fleet, of a host, or of one\njob, which is followed through edits of its command. The instant is when the change was\nseen; a host that was silent may have made it earlier.",
		Example:           "  fleetctl history --since 24h\n  fleetctl history db-1 --what schedule\n  fleetctl history db-1:/etc/cron.d/backup:7",
		ValidArgsFunction: p.jobArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			query, err := options.query(ctx, p, client, args)
			if err != nil {
				return err
			}
			return runHistory(ctx, p, client, options.paging, query)
		}),
	}
	options.addFlags(p, c)
	return c
}

func (o *historyOptions) query(ctx context.Context, p *program, client *api.Client, args []string) (query api.ChangeQuery, err error) {
	query = api.ChangeQuery{Host: o.host, Label: o.label, What: fleet.ChangeKind(o.what), Text: o.text}
	if o.what != "" && !slices.Contains(changeKinds(), o.what) {
		return query, fleet.Errorf(fleet.Usage, "--what %q: want %s", o.what, strings.Join(changeKinds(), ", "))
	}
	if query.Since, err = p.parsePast("since", o.since); err != nil {
		return query, err
	}
	if query.Until, err = p.parseSince("until", o.until); err != nil {
		return query, err
	}
	if !query.Since.IsZero() && !query.Until.IsZero() && !query.Until.After(query.Since) {
		return query, fleet.Errorf(fleet.Usage, "--until %q is not after --since", o.until)
	}
	if len(args) == 0 {
		return query, knownHost(ctx, client, o.host)
	}
	if o.host != "" {
		return query, fleet.Errorf(fleet.Usage, "--host %s and %s both name where", o.host, args[0])
	}
	if !strings.Contains(args[0], ":") {
		query.Host = args[0]
		return query, knownHost(ctx, client, query.Host)
	}
	query.Host, query.Job, err = pastJob(ctx, client, args[0])
	return query, err
}

// pastJob is findJob for a job that may be gone: of that only the whole id
// tells.
func pastJob(ctx context.Context, client *api.Client, ref string) (string, fleet.JobID, error) {
	job, err := findJob(ctx, client, ref)
	if err == nil {
		return string(job.Host), job.ID, nil
	}
	host, id, _ := strings.Cut(ref, ":")
	if fleet.KindOf(err) != fleet.NotFound || len(id) != 16 {
		return "", "", err
	}
	if gone, asked := client.Changes(ctx, api.ChangeQuery{Page: api.Page{Limit: 1}, Host: host, Job: fleet.JobID(id)}); asked != nil || len(gone.Items) == 0 {
		return "", "", err
	}
	return host, fleet.JobID(id), nil
}

func runHistory(ctx context.Context, p *program, client *api.Client, g paging, query api.ChangeQuery) error {
	list, err := showList(p, g, func(page api.Page) (api.List[api.ChangeView], error) {
		query.Page = page
		return client.Changes(ctx, query)
	}, nil, func(changes []api.ChangeView) error {
		for i := range changes {
			drawChange(p, &changes[i], true)
		}
		return nil
	})
	if err == nil && len(list.Items) == 0 && p.settings.Output.people() {
		p.note("nothing changed")
	}
	return err
}

// drawChange writes a change as a line that says what, and below it what was
// and what is. The whole of it also says where and of which command.
func drawChange(p *program, change *api.ChangeView, whole bool) {
	what := make([]string, len(change.What))
	for i, kind := range change.What {
		what[i] = string(kind)
	}
	job := change.After
	if job == nil {
		job = change.Before
	}
	line := p.instant(change.Seen) + "  "
	if whole {
		line += jobRef(change.HostName, change.Job) + "  "
	}
	line += strings.Join(what, ", ")
	if whole && job != nil && !slices.Contains(change.What, fleet.ChangeCommand) {
		line += "  " + job.Command
	}
	line = visible.Line(line)
	if p.terminal && p.width > 0 {
		line = cut(line, p.width)
	}
	indent := "    "
	if !whole {
		line, indent = "  "+line, "      "
	}
	fmt.Fprintln(p.stdout, line)
	for _, kind := range change.What {
		name := ""
		if len(change.What) > 1 {
			name = string(kind) + " "
		}
		for _, d := range differences(kind, change.Before, change.After) {
			p.different(indent+"- "+name, d.before, red)
			p.different(indent+"+ "+name, d.after, green)
		}
	}
}

// different writes one side of a difference.
func (p *program) different(lead, text string, hue color) {
	if text == "" {
		return
	}
	text = lead + visible.Line(text)
	if p.settings.color {
		text = hue.paint(text)
	}
	fmt.Fprintln(p.stdout, text)
}

// difference is one thing before and after; one side is empty where it came or
// went.
type difference struct{ before, after string }

// differences tells one kind of change as what was and what is.
func differences(kind fleet.ChangeKind, before, after *fleet.Job) []difference {
	if before == nil && after == nil {
		return nil
	}
	of := func(text func(*fleet.Job) string) []difference {
		var d difference
		if before != nil {
			d.before = text(before)
		}
		if after != nil {
			d.after = text(after)
		}
		return []difference{d}
	}
	switch kind {
	case fleet.ChangeAppeared, fleet.ChangeVanished:
		return of(func(job *fleet.Job) string {
			return job.Schedule + "  " + orDash(job.User) + "  " + placeText(job.Source, job.Line)
		})
	case fleet.ChangeMoved:
		return of(func(job *fleet.Job) string { return placeText(job.Source, job.Line) })
	case fleet.ChangeSchedule:
		return of(func(job *fleet.Job) string { return job.Schedule })
	case fleet.ChangeTimezone:
		return of(func(job *fleet.Job) string { return cmp.Or(job.Timezone, "none") })
	case fleet.ChangeCommand:
		return of(func(job *fleet.Job) string { return job.Command })
	case fleet.ChangeUser:
		return of(func(job *fleet.Job) string { return cmp.Or(job.User, "none") })
	case fleet.ChangeEnabled:
		return of(func(job *fleet.Job) string {
			return map[bool]string{true: "switched on", false: "switched off"}[job.Enabled]
		})
	case fleet.ChangeVerdict:
		return of(verdictText)
	case fleet.ChangeEnvironment:
		return environments(before, after)
	}
	return nil
}

func verdictText(job *fleet.Job) string {
	if job.Verdict.Runs {
		return "runs"
	}
	return "does not run: " + job.Verdict.Why
}

// environments lists the variables that differ.
func environments(before, after *fleet.Job) []difference {
	if before == nil || after == nil {
		return nil
	}
	names := map[string]bool{}
	for _, env := range []map[string]string{before.Env, after.Env} {
		for name := range env {
			names[name] = true
		}
	}
	var all []difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before.Env[name]
		is, has := after.Env[name]
		if had == has && was == is {
			continue
		}
		var d difference
		if had {
			d.before = name + "=" + was
		}
		if has {
			d.after = name + "=" + is
		}
		all = append(all, d)
	}
	return all
}
