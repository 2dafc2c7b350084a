package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
	"github.com/fleetcron/fleetcron/shared/visible"
)

type tasksOptions struct {
	paging
	text, namespace, host, label, state, user string
}

func (o *tasksOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.text, "task", "", "only tasks whose name, owner or command holds this `text`")
	c.Flags().StringVar(&o.namespace, "namespace", "", "only tasks of this `namespace`")
	c.Flags().StringVar(&o.host, "host", "", "only tasks that run on this `host`")
	c.Flags().StringVar(&o.label, "label", "", "only tasks that run on a host that this label `selector` matches")
	c.Flags().StringVar(&o.user, "user", "", "only tasks that run as this `user`")
	c.Flags().StringVar(&o.state, "state", "", "only tasks that are enabled or paused")
	p.completeHosts(c, "host")
	p.completeWords(c, "state", string(fleet.TaskEnabled), string(fleet.TaskPaused))
}

func newTasksCommand(p *program) *cobra.Command {
	var options tasksOptions
	c := &cobra.Command{
		Use: "tasks [TASK]", GroupID: groupGiven, Args: arguments(0, 1),
		Short:             "List tasks, or everything about one",
		Example:           "  fleetctl tasks --namespace data\n  fleetctl tasks data/nightly-backup",
		ValidArgsFunction: p.taskArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				return runTask(ctx, p, client, args[0])
			}
			return runTasks(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runTasks(ctx context.Context, p *program, client *api.Client, options tasksOptions) error {
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	keep, err := options.keep(ctx, client)
	if err != nil {
		return err
	}
	_, err = showList(p, options.paging, func(page api.Page) (api.List[api.TaskView], error) {
		return client.Tasks(ctx, api.TaskQuery{
			Page: page, Text: options.text, Namespace: options.namespace,
			Host: options.host, State: fleet.TaskState(options.state),
		})
	}, keep, func(tasks []api.TaskView) error { return drawTasks(p, tasks) })
	return err
}

func drawTasks(p *program, tasks []api.TaskView) error {
	t := p.table(
		column{title: "TASK"}, column{title: "STATE", paint: paintState}, column{title: "WHEN", shrinks: true}, column{title: "HOSTS", right: true},
		column{title: "NEXT"}, column{title: "LAST", paint: paintState}, column{title: "USER"}, column{title: "COMMAND", shrinks: true},
		column{title: "WHERE", wide: true}, column{title: "OWNER", wide: true}, column{title: "GENERATION", wide: true, right: true}, column{title: "CHANGED", wide: true}, column{title: "BY", wide: true},
	)
	for _, task := range tasks {
		last := "-"
		if task.Last != nil {
			last = outcome(task.Last)
		}
		t.row(string(task.Task.ID()), string(task.State), triggerText(p, &task.Task.On), strconv.Itoa(task.Hosts),
			p.maybe(task.Next), last, orDash(task.Task.Run.User), task.Task.Run.Command.String(),
			whereText(&task.Task.Where), task.Task.Owner, strconv.FormatUint(task.Generation, 10), p.instant(task.Changed), task.ChangedBy)
	}
	return t.write(p.stdout)
}

// keep filters by what the API does not filter by; nil where nothing does.
func (o *tasksOptions) keep(ctx context.Context, client *api.Client) (func(api.TaskView) bool, error) {
	if o.label == "" && o.user == "" {
		return nil, nil
	}
	var labelled []api.HostView
	if o.label != "" {
		var err error
		if labelled, err = hostsWith(ctx, client, o.label); err != nil {
			return nil, err
		}
	}
	return func(task api.TaskView) bool {
		runsThere := func(host api.HostView) bool { return task.Task.Where.Matches(&host.Host) }
		return (o.user == "" || task.Task.Run.User == o.user) && (o.label == "" || slices.ContainsFunc(labelled, runsThere))
	}, nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// triggerText says in a few words when a task is due.
func triggerText(p *program, on *fleet.Trigger) string {
	switch {
	case on.Cron != "":
		text := on.Cron
		if schedule, err := cron.Parse(on.Cron); err == nil {
			text = schedule.Describe()
		}
		if on.Timezone != "" {
			return text + " " + on.Timezone
		}
		return text + " UTC"
	case on.Every != 0:
		return "every " + on.Every.String()
	case on.At != nil:
		return "once at " + p.instant(*on.At)
	case on.Daemon:
		return "always"
	case on.Event != "":
		return "at the event " + on.Event
	case on.File != "":
		return "when " + on.File + " changes"
	case on.Webhook:
		return "when its address is called"
	}
	return "when ordered"
}

// whereText says in a few words where a task runs, as --to takes it.
func whereText(where *fleet.Where) string {
	text := where.Labels
	switch {
	case where.Pick == fleet.PickNone:
		text = "nowhere yet"
	case text == "*":
		text = "all"
	}
	for _, host := range where.Hosts {
		text += " host=" + host
	}
	for _, network := range where.Networks {
		text += " net=" + network.String()
	}
	return visible.Line(strings.TrimSpace(text))
}

// taskDetail is everything about one task.
type taskDetail struct {
	api.TaskView
	On []api.Resolved `json:"on"`
}

func runTask(ctx context.Context, p *program, client *api.Client, name string) error {
	id, err := fleet.ParseTaskID(name)
	if err != nil {
		return err
	}
	task, err := client.Task(ctx, id)
	if err != nil {
		return err
	}
	hosts, err := client.TaskHosts(ctx, id)
	if err != nil {
		return err
	}
	return p.show(taskDetail{task, hosts}, func() error {
		text, err := taskfile.Format(task.Task)
		if err != nil {
			return err
		}
		p.say("%s is %s, generation %d, changed %s by %s", id, task.State, task.Generation, p.instant(task.Changed), orDash(task.ChangedBy))
		if task.Reason != "" {
			p.say("reason: %s", task.Reason)
		}
		fmt.Fprintf(p.stdout, "\n%s\n", visible.Text(string(text)))
		return drawResolved(p, hosts)
	})
}

// drawResolved lists hosts that a task resolves to, each with its next instants.
func drawResolved(p *program, hosts []api.Resolved) error {
	t := p.table(column{title: "HOST"}, column{title: "STATE", paint: paintState}, column{title: "GENERATION", right: true}, column{title: "NEXT"}, column{title: "TAKEN OVER", wide: true})
	const most = 50
	for i, host := range hosts {
		if i == most && p.settings.Output != asWide {
			break
		}
		applied, since := "not yet", "-"
		if host.Applied > 0 {
			applied = strconv.FormatUint(host.Applied, 10)
		}
		if host.Since != nil {
			since = p.exact(*host.Since)
		}
		t.row(host.Name, string(host.Presence), applied, p.instants(host.Next), since)
	}
	if err := t.write(p.stdout); err != nil {
		return err
	}
	if hidden := len(hosts) - len(t.rows); hidden > 0 {
		p.note("%d of %d hosts shown; -o wide shows the rest", len(t.rows), len(hosts))
	}
	return nil
}

func newPauseCommand(p *program) *cobra.Command {
	return newStateCommand(p, "pause", "Pause tasks: their instants are recorded as skipped", fleet.TaskPaused)
}

func newResumeCommand(p *program) *cobra.Command {
	return newStateCommand(p, "resume", "Let paused tasks run again", fleet.TaskEnabled)
}

func newStateCommand(p *program, verb, short string, state fleet.TaskState) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " TASK…", GroupID: groupGiven, Args: arguments(1, -1), Short: short,
		ValidArgsFunction: p.taskArgument,
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			return runState(ctx, p, client, by, args, state, reason)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the change")
	return c
}

func runState(ctx context.Context, p *program, client *api.Client, by *author.Author, names []string, state fleet.TaskState, reason string) error {
	ids := make([]fleet.TaskID, len(names))
	for i, name := range names {
		id, err := fleet.ParseTaskID(name)
		if err != nil {
			return err
		}
		if _, err := client.Task(ctx, id); err != nil { // all of them are there before the first one changes
			return err
		}
		ids[i] = id
	}
	records := make([]fleet.TaskRecord, 0, len(ids))
	var waits waiting
	for _, id := range ids {
		answer, err := done(by.State(ctx, id, state, author.Options{Reason: reason}))
		switch {
		case waits.take(err):
		case err != nil:
			return err
		case answer.Task != nil:
			records = append(records, *answer.Task)
		}
	}
	if len(records) == 0 && len(waits.requests) > 0 {
		return waits
	}
	return p.show(records, func() error {
		for _, record := range records {
			p.say("%s is %s", record.Task.ID(), record.State)
		}
		waits.note(p)
		return nil
	})
}
