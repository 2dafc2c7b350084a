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

type runsOptions struct {
	paging
	task, namespace, host, label, state, since, until string
	failed                                            bool
}

func (o *runsOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.task, "task", "", "only of this `task`")
	c.Flags().StringVar(&o.namespace, "namespace", "", "only of tasks of this `namespace`")
	c.Flags().StringVar(&o.host, "host", "", "only on this `host`")
	c.Flags().StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	c.Flags().StringVar(&o.state, "state", "", "only in this `state`: pending, begun, running, ran, skipped, missed or unknown")
	c.Flags().BoolVar(&o.failed, "failed", false, "only what failed: a bad exit, missed, or an unknown end")
	c.Flags().StringVar(&o.since, "since", "", "only due since this `instant`, or this long ago, such as 24h or 7d")
	c.Flags().StringVar(&o.until, "until", "", "only due before this `instant`, or this long ago")
	p.completeTasks(c, "task")
	p.completeHosts(c, "host")
	p.completeWords(c, "state", "pending", "begun", "running", "ran", "skipped", "missed", "unknown")
}

func newRunsCommand(p *program) *cobra.Command {
	var options runsOptions
	c := &cobra.Command{
		Use: "runs [RUN]", GroupID: groupRuns, Args: arguments(0, 1),
		Short:   "List runs, the newest first, or everything about one",
		Example: "  fleetctl runs --task data/nightly-backup --failed --since 24h\n  fleetctl runs --host db-1 -o wide",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				return runOneRun(ctx, p, client, fleet.RunID(args[0]))
			}
			return runRuns(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func (o *runsOptions) query(p *program) (query api.RunQuery, err error) {
	query = api.RunQuery{Host: o.host, State: fleet.RunState(o.state), Failed: o.failed}
	if _, known := fleet.RunMoves[query.State]; o.state != "" && !known {
		return query, fleet.Errorf(fleet.Usage, "--state %q: want pending, begun, running, ran, skipped, missed or unknown", o.state)
	}
	if o.task != "" {
		if query.Task, err = fleet.ParseTaskID(o.task); err != nil {
			return query, err
		}
	}
	if query.Since, err = p.parseSince("since", o.since); err != nil {
		return query, err
	}
	query.Until, err = p.parseSince("until", o.until)
	return query, err
}

func runRuns(ctx context.Context, p *program, client *api.Client, options runsOptions) error {
	query, err := options.query(p)
	if err != nil {
		return err
	}
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	keep, err := options.keep(ctx, client)
	if err != nil {
		return err
	}
	_, err = showList(p, options.paging, func(page api.Page) (api.List[api.RunView], error) {
		query.Page = page
		list, err := client.Runs(ctx, query)
		if err == nil && query.Task != "" && len(list.Items) == 0 { // a deleted task has runs; an unknown one is no empty answer
			_, err = client.Task(ctx, query.Task)
		}
		return list, err
	}, keep, func(runs []api.RunView) error { return drawRuns(p, runs) })
	return err
}

func (o *runsOptions) keep(ctx context.Context, client *api.Client) (func(api.RunView) bool, error) {
	if o.label == "" && o.namespace == "" {
		return nil, nil
	}
	labelled, err := idsWith(ctx, client, o.label)
	if err != nil {
		return nil, err
	}
	return func(run api.RunView) bool {
		return (labelled == nil || labelled[run.Host]) && (o.namespace == "" || run.Task.Namespace() == o.namespace)
	}, nil
}

func drawRuns(p *program, runs []api.RunView) error {
	t := p.table(
		column{title: "DUE"}, column{title: "TASK"}, column{title: "HOST"}, column{title: "OUTCOME", paint: paintState},
		column{title: "TOOK", right: true}, column{title: "RUN"},
		column{title: "ATTEMPT", wide: true, right: true}, column{title: "LATE", wide: true, right: true}, column{title: "STARTED", wide: true}, column{title: "OUTPUT", wide: true, right: true}, column{title: "WITH", wide: true}, column{title: "DETAIL", wide: true},
	)
	for i := range runs {
		run := &runs[i]
		took, late, started := "-", "-", "-"
		if run.Started != nil {
			started = p.exact(*run.Started)
			if run.Attempt <= 1 { // a later attempt is not late: it waited for its turn
				late = short(run.LateBy())
			}
			if run.Ended != nil {
				took = short(run.Ended.Sub(*run.Started))
			}
		}
		attempt := "-"
		if run.Attempt > 0 {
			attempt = strconv.Itoa(run.Attempt)
		}
		t.row(p.exact(run.Due), string(run.Task), hostName(run), outcome(&run.Run), took, string(run.ID),
			attempt, late, started, size(run.Stdout+run.Stderr), orDash(run.Params.String()), run.Detail)
	}
	return t.write(p.stdout)
}

func hostName(run *api.RunView) string {
	if run.HostName != "" {
		return run.HostName
	}
	return string(run.Host)
}

// outcome says in a word or two what became of a run.
func outcome(run *fleet.Run) string {
	text := string(run.State)
	switch {
	case run.State != fleet.RunRan:
		if run.Reason != "" {
			text += ": " + string(run.Reason)
		}
	case run.TimedOut:
		text = "timed out"
	case run.Cancelled:
		text = "cancelled"
	case run.Signal != "":
		text = run.Signal
	case run.Exit != nil:
		text = "exit " + strconv.Itoa(*run.Exit)
	}
	if run.State == fleet.RunRan && run.Reason != "" {
		text += ": " + string(run.Reason)
	}
	switch {
	case run.Attempted():
		text += ", again"
	case run.Attempt > 1:
		text += ", attempt " + strconv.Itoa(run.Attempt)
	}
	if run.Instants() > 1 {
		text += " ×" + strconv.Itoa(run.Instants())
	}
	return text
}

func runOneRun(ctx context.Context, p *program, client *api.Client, id fleet.RunID) error {
	run, err := client.Run(ctx, id)
	if err != nil {
		return err
	}
	var attempts []api.RunView
	if run.Attempt > 1 || run.Again != nil {
		list, err := client.Runs(ctx, api.RunQuery{Occurrence: id, Page: api.Page{Limit: api.MaxPage}})
		if err != nil {
			return err
		}
		attempts = list.Items
	}
	return p.show(run, func() error {
		p.say("%s on %s, due %s: %s", run.Task, hostName(&run), p.exact(run.Due), outcome(&run.Run))
		if run.Detail != "" {
			p.say("%s", run.Detail)
		}
		if len(run.Params) > 0 {
			p.say("with    %s", run.Params)
		}
		if run.Started != nil {
			late := ", " + short(run.LateBy()) + " late"
			if run.Attempt > 1 { // it waited for its turn
				late = ""
			}
			p.say("started %s%s", p.exact(*run.Started), late)
		}
		if run.Ended != nil {
			p.say("ended   %s", p.exact(*run.Ended))
		}
		if run.Again != nil {
			p.say("again   %s", p.exact(*run.Again))
		}
		if text := used(&run.Used); text != "" {
			p.say("used    %s", text)
		}
		p.say("output  %s on stdout, %s on stderr, %s dropped", size(run.Stdout), size(run.Stderr), size(run.Dropped))
		if run.Tail != "" {
			p.say("its last lines:")
			for line := range strings.Lines(run.Tail) {
				p.say("  %s", strings.TrimRight(line, "\n"))
			}
		}
		return drawAttempts(p, attempts)
	})
}

// used says what a run used, as far as it is known.
func used(u *fleet.Used) string {
	var parts []string
	if u.CPU > 0 {
		parts = append(parts, short(time.Duration(u.CPU))+" of a processor")
	}
	for _, one := range []struct {
		n    fleet.Bytes
		what string
	}{{u.Memory, "of memory"}, {u.Read, "read"}, {u.Written, "written"}} {
		if one.n > 0 {
			parts = append(parts, size(int64(one.n))+" "+one.what)
		}
	}
	return strings.Join(parts, ", ")
}

// drawAttempts lists the attempts of an occurrence, where there are several.
func drawAttempts(p *program, attempts []api.RunView) error {
	if len(attempts) < 2 {
		return nil
	}
	t := p.table(column{title: "ATTEMPT", right: true}, column{title: "OUTCOME", paint: paintState}, column{title: "STARTED"}, column{title: "ENDED"}, column{title: "DETAIL", shrinks: true}, column{title: "RUN"})
	for i := range attempts {
		one := &attempts[i]
		started, ended := "-", "-"
		switch {
		case one.Started != nil:
			started = p.exact(*one.Started)
		case one.Again != nil:
			started = "at " + p.exact(*one.Again)
		}
		if one.Ended != nil {
			ended = p.exact(*one.Ended)
		}
		t.row(strconv.Itoa(max(1, one.Attempt)), outcome(&one.Run), started, ended, one.Detail, string(one.ID))
	}
	return t.write(p.stdout)
}
