package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

const assignHelp = `Give a task to hosts: a new one from flags and the command after --, or an
existing one to further hosts with --to alone.

--to takes role=db,env!=dev (labels), host=db-3 (names or patterns), net=10.0.0.0/8
(address ranges) or all; it may be repeated. Hosts add up with hosts and ranges
with ranges; labels, hosts and ranges together must all match.

The hosts that the task resolves to and their next three instants are printed.
Here --timeout limits the task; FLEETCRON_TIMEOUT limits the request.`

const assignExample = `  fleetctl assign nightly-backup --cron "30 2 * * *" --tz Europe/Berlin --user backup --to role=db -- /usr/local/bin/backup --all
  fleetctl assign nightly-backup --to host=db-3
  fleetctl assign data/reindex --in 10m --to host=db-1 --wait -- /usr/local/bin/reindex`

type assignOptions struct {
	namespace, owner, description, reason string
	cron, at, zone                        string
	every, in, spread, deadline           durationFlag
	manual                                bool
	missed                                string
	missedWithin                          durationFlag
	shell, user, dir                      string
	env, to                               []string
	pick                                  string
	timeout, grace                        durationFlag
	overlap, output                       string
	perHost, nice                         int
	replace, dryRun, unmatched            bool
	wait                                  durationFlag
}

// ofExisting are the flags that an existing task takes; all others belong to a
// new one, with its command.
var ofExisting = map[string]bool{
	"to": true, "replace": true, "reason": true, "dry-run": true, "wait": true, "namespace": true, "allow-unmatched": true,
}

func (o *assignOptions) addFlags(p *program, c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.to, "to", nil, "the `hosts`: labels, host=NAME, net=RANGE or all; may be repeated")
	f.StringVar(&o.cron, "cron", "", "due when this `expression` says: five fields, or six with the seconds first")
	f.StringVar(&o.zone, "tz", "", "the `zone` that --cron is read in (default UTC)")
	f.Var(&o.every, "every", "due every `duration`, such as 10m")
	f.StringVar(&o.at, "at", "", "due once, at this `instant`")
	f.Var(&o.in, "in", "due once, this `duration` from now")
	f.BoolVar(&o.manual, "manual", false, "due only when fleetctl run says so")
	f.Var(&o.spread, "spread", "each host is late by at most this `duration`, always by the same amount")
	f.Var(&o.deadline, "deadline", "not begun within this `duration` is missed")
	f.StringVar(&o.missed, "missed", "", "what to do about missed instants: skip, once or all (default skip)")
	f.Var(&o.missedWithin, "missed-within", "how far back to catch up (default 1h)")
	f.StringVar(&o.shell, "shell", "", "the command as one `text` for /bin/sh -c, instead of words after --")
	f.StringVar(&o.user, "user", "", "run as this `user`")
	f.StringVar(&o.dir, "dir", "", "run in this `directory`")
	f.StringArrayVar(&o.env, "env", nil, "set this `NAME=VALUE` for the command; may be repeated")
	f.Var(&o.timeout, "timeout", "stop a run after this `duration` (default: never)")
	f.Var(&o.grace, "grace", "between TERM and KILL when stopping (default 10s)")
	f.StringVar(&o.overlap, "overlap", "", "when due while it still runs: skip, queue, replace or allow (default skip)")
	f.IntVar(&o.perHost, "per-host", 0, "run at most this `many` at once on a host (default 1)")
	f.IntVar(&o.nice, "nice", 0, "run with this niceness, -20..19")
	f.StringVar(&o.output, "keep-output", "", "keep this `size` of each run's output (default 10MiB)")
	f.StringVar(&o.pick, "pick", "", "how many of the hosts: all")
	f.StringVar(&o.namespace, "namespace", "", "the `namespace` of TASK, where TASK does not name it")
	f.StringVar(&o.owner, "owner", "", "who answers for the task")
	f.StringVar(&o.description, "description", "", "what the task is for")
	f.StringVar(&o.description, "note", "", "the same as --description")
	f.StringVar(&o.reason, "reason", "", "why, in your words; kept with the change")
	f.BoolVar(&o.replace, "replace", false, "replace an existing task, or its hosts where only --to is given")
	f.BoolVar(&o.unmatched, "allow-unmatched", false, "accept a task that matches no host yet")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would happen, and change nothing")
	f.Var(&o.wait, "wait", "wait until every host that is alive has the task, at most this `duration`")
	f.Lookup("wait").NoOptDefVal = "1m"
	p.completeWords(c, "missed", "skip", "once", "all")
	p.completeWords(c, "overlap", "skip", "queue", "replace", "allow")
	p.completeWords(c, "pick", "all")
}

func newAssignCommand(p *program) *cobra.Command {
	var options assignOptions
	c := &cobra.Command{
		Use: "assign TASK [flags] [-- COMMAND [ARGUMENT…]]", GroupID: groupGiven, DisableFlagsInUseLine: true,
		Args:  arguments(1, -1),
		Short: "Give a task to hosts", Long: assignHelp, Example: assignExample,
		ValidArgsFunction: p.taskArgument,
	}
	options.addFlags(p, c)
	c.RunE = func(c *cobra.Command, args []string) error {
		dash := c.ArgsLenAtDash()
		if dash < 0 && len(args) > 1 || dash > 1 || dash == 0 {
			return fleet.Errorf(fleet.Usage, "assign wants one task, and the command after --").WithHint("fleetctl assign %s … -- %s", args[0], strings.Join(args[1:], " "))
		}
		return p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runAssign(ctx, p, client, c, args, options)
		})(c, args)
	}
	return c
}

func runAssign(ctx context.Context, p *program, client *api.Client, c *cobra.Command, args []string, options assignOptions) error {
	id, err := options.id(args[0])
	if err != nil {
		return err
	}
	change := taskChange{id: id, reason: options.reason, dryRun: options.dryRun, unmatched: options.unmatched, wait: time.Duration(options.wait), waits: c.Flags().Changed("wait")}
	change.current, err = currentTask(ctx, client, id)
	if err != nil {
		return err
	}
	isNew := len(args) > 1 || options.shell != ""
	if !isNew {
		if flag := strangeFlag(c, ofExisting); flag != "" {
			return fleet.Errorf(fleet.Usage, "--%s belongs to a new task, which needs its command after --", flag).
				WithHint("fleetctl assign %s … -- /path/to/command; or edit the task's file and fleetctl apply it", args[0])
		}
		change.task, err = options.widened(change.current, id)
	} else {
		change.task, err = options.task(p, id, args[1:])
	}
	if err != nil {
		return err
	}
	if taken := change.current; taken != nil && isNew && !options.replace && !sameTask(taken.Task, change.task) {
		return fleet.Errorf(fleet.Conflict, "task %s exists and differs", id).WithCode(api.CodeExists).WithHint("--replace replaces it; fleetctl tasks %s shows it", id)
	}
	return change.make(ctx, p, client, "assigned")
}

// strangeFlag returns a flag that was given and is not among those allowed.
func strangeFlag(c *cobra.Command, allowed map[string]bool) (strange string) {
	for _, name := range changedFlags(c) {
		if !allowed[name] && c.InheritedFlags().Lookup(name) == nil {
			return name
		}
	}
	return ""
}

func (o *assignOptions) id(name string) (fleet.TaskID, error) {
	if o.namespace != "" {
		if strings.Contains(name, "/") && !strings.HasPrefix(name, o.namespace+"/") {
			return "", fleet.Errorf(fleet.Usage, "task %s is not in the namespace %s", name, o.namespace)
		}
		name = o.namespace + "/" + strings.TrimPrefix(name, o.namespace+"/")
	}
	return fleet.ParseTaskID(name)
}

// task makes a new task of the flags. It goes through the same door as a file.
func (o *assignOptions) task(p *program, id fleet.TaskID, command []string) (fleet.Task, error) {
	task := fleet.Task{
		Name: id.Name(), Owner: o.owner, Description: o.description,
		Run:    fleet.Execute{Command: fleet.Command{Argv: command, Shell: o.shell}, User: o.user, Dir: o.dir},
		Limits: fleet.Limits{Timeout: fleet.Duration(o.timeout), Grace: fleet.Duration(o.grace), Overlap: fleet.Overlap(o.overlap), PerHost: o.perHost, Nice: o.nice},
	}
	if id.Namespace() != fleet.DefaultNamespace {
		task.Namespace = id.Namespace()
	}
	if o.shell != "" && len(command) > 0 {
		return task, fleet.Errorf(fleet.Usage, "--shell and a command after -- exclude each other")
	}
	var err error
	if task.On, err = o.trigger(p); err != nil {
		return task, err
	}
	if task.Run.Env, err = o.environment(); err != nil {
		return task, err
	}
	if task.Where, err = parseTargets("to", o.to); err != nil {
		return task, err
	}
	task.Where.Pick = fleet.Pick(o.pick)
	if o.output != "" {
		if task.Limits.Output, err = fleet.ParseBytes(o.output); err != nil {
			return task, fleet.Errorf(fleet.Usage, "--keep-output %q: want a size such as 512KiB or 10MB", o.output)
		}
	}
	return task, validated(task)
}

// flagOf names the flag that sets a field, for errors about it.
var flagOf = map[string]string{
	"task": "TASK", "namespace": "--namespace", "owner": "--owner", "description": "--description",
	"on": "--cron, --every, --at, --in or --manual", "on.cron": "--cron", "on.every": "--every", "on.timezone": "--tz", "on.spread": "--spread",
	"on.deadline": "--deadline", "on.missed": "--missed", "on.missed.policy": "--missed",
	"run.command": "the command after --", "run.user": "--user", "run.dir": "--dir", "run.env": "--env",
	"where": "--to", "where.labels": "--to", "where.hosts": "--to", "where.networks": "--to", "where.pick": "--pick",
	"limits.overlap": "--overlap", "limits.per_host": "--per-host", "limits.nice": "--nice", "limits.output": "--keep-output",
}

// validated reports what is wrong with a task in the words of the flags.
func validated(task fleet.Task) error {
	e, ok := errors.AsType[*fleet.Error](task.Validate())
	if !ok {
		return nil
	}
	for i, field := range e.Fields {
		if flag, known := flagOf[field.Field]; known {
			e.Fields[i].Field = flag
		}
	}
	if len(e.Fields) == 1 && e.Fields[0].Field == "--to" {
		e.Fields[0].Reason = "names no host; want labels, host=NAME, net=RANGE or all"
		if e.Fields[0].Value != "" {
			e.Fields[0].Reason = "want labels such as role=db,env!=dev, host=NAME, net=RANGE or all"
		}
	}
	return e.WithHint("fleetctl assign --help")
}

func (o *assignOptions) trigger(p *program) (fleet.Trigger, error) {
	trigger := fleet.Trigger{
		Cron: o.cron, Every: fleet.Duration(o.every), Manual: o.manual, Timezone: o.zone,
		Spread: fleet.Duration(o.spread), Deadline: fleet.Duration(o.deadline),
		Missed: fleet.Missed{Policy: fleet.MissedPolicy(o.missed), Within: fleet.Duration(o.missedWithin)},
	}
	switch {
	case o.at != "" && o.in != 0:
		return trigger, fleet.Errorf(fleet.Usage, "--at and --in exclude each other")
	case o.in != 0:
		at := p.now().Add(time.Duration(o.in)).UTC().Truncate(time.Second)
		trigger.At = &at
	case o.at != "":
		at, err := p.parseInstant("at", o.at)
		if err != nil {
			return trigger, err
		}
		at = at.UTC()
		trigger.At = &at
	}
	return trigger, nil
}

func (o *assignOptions) environment() (map[string]string, error) {
	if len(o.env) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(o.env))
	for _, pair := range o.env {
		name, value, found := strings.Cut(pair, "=")
		if !found {
			return nil, fleet.Errorf(fleet.Usage, "--env %q: want NAME=VALUE", pair)
		}
		env[name] = value
	}
	return env, nil
}

// widened returns the existing task on further hosts, or on others with
// --replace.
func (o *assignOptions) widened(current *fleet.TaskRecord, id fleet.TaskID) (fleet.Task, error) {
	if current == nil {
		return fleet.Task{}, fleet.Errorf(fleet.NotFound, "there is no task %s", id).
			WithHint("a new task needs its command: fleetctl assign %s --cron … --to … -- /path/to/command", id)
	}
	if len(o.to) == 0 {
		return fleet.Task{}, fleet.Errorf(fleet.Usage, "--to is missing: where shall %s run?", id).WithHint("--to role=db, --to host=db-3, --to net=10.0.0.0/8 or --to all")
	}
	task := current.Task
	more, err := parseTargets("to", o.to)
	if err != nil {
		return task, err
	}
	if o.replace {
		more.Pick = task.Where.Pick
		task.Where = more
		return task, validated(task)
	}
	task.Where, err = widen(task.Where, more)
	if err != nil {
		return task, err
	}
	return task, validated(task)
}

// currentTask returns the task as it is given now, or nil.
func currentTask(ctx context.Context, client *api.Client, id fleet.TaskID) (*fleet.TaskRecord, error) {
	view, err := client.Task(ctx, id)
	switch {
	case err == nil && view.State != fleet.TaskRetired:
		return &view.TaskRecord, nil
	case err == nil || fleet.KindOf(err) == fleet.NotFound:
		return nil, nil
	}
	return nil, err
}

// canonical returns the text that two tasks share when they are the same.
func canonical(task fleet.Task) (string, error) {
	if task.Namespace == fleet.DefaultNamespace {
		task.Namespace = ""
	}
	text, err := taskfile.Format(task)
	return string(text), err
}

func sameTask(a, b fleet.Task) bool {
	first, err := canonical(a)
	second, also := canonical(b)
	return err == nil && also == nil && first == second
}

// taskChange is one task on its way to the collectors.
type taskChange struct {
	id        fleet.TaskID
	task      fleet.Task
	current   *fleet.TaskRecord // nil: new
	reason    string
	dryRun    bool
	unmatched bool // is accepted
	waits     bool
	wait      time.Duration
}

// taskAnswer is what assign and unassign answer.
type taskAnswer struct {
	Task       fleet.Task     `json:"task"`
	Generation uint64         `json:"generation"` // zero: nothing was written
	Changed    bool           `json:"changed"`
	Hosts      []api.Resolved `json:"hosts"`
}

// make resolves the task, writes it where it differs, and prints where it runs.
func (c *taskChange) make(ctx context.Context, p *program, client *api.Client, verb string) error {
	doc, err := taskfile.Format(c.task)
	if err != nil {
		return err
	}
	resolution, err := client.ResolveTask(ctx, doc, api.MediaYAML)
	if err != nil {
		return err
	}
	if len(resolution.Hosts) == 0 && !c.unmatched {
		return unmatchedTask(c.id, &c.task)
	}
	answer := taskAnswer{Task: c.task, Hosts: resolution.Hosts, Changed: c.current == nil || !sameTask(c.current.Task, c.task)}
	if c.current != nil {
		answer.Generation = c.current.Generation
	}
	if answer.Changed && !c.dryRun {
		record, err := putTask(ctx, client, doc, api.MediaYAML, c.current, c.reason, c.unmatched)
		if err != nil {
			return err
		}
		answer.Generation = record.Generation
	}
	var waited error
	if c.waits && !c.dryRun {
		answer.Hosts, waited = waitApplied(ctx, client, c.id, answer.Generation, c.wait)
	}
	return errors.Join(p.show(answer, func() error { return c.draw(p, doc, answer, verb) }), waited)
}

func (c *taskChange) draw(p *program, doc []byte, answer taskAnswer, verb string) error {
	switch {
	case c.dryRun && answer.Changed:
		fmt.Fprintf(p.stdout, "%s\n", cleanText(string(doc)))
		p.say("nothing was changed; this is what would be %s to %d hosts:", verb, len(answer.Hosts))
	case !answer.Changed:
		p.say("task %s stays as it is, generation %d, on %d hosts:", c.id, answer.Generation, len(answer.Hosts))
	default:
		p.say("task %s is %s, generation %d, on %d hosts:", c.id, verb, answer.Generation, len(answer.Hosts))
	}
	return drawResolved(p, answer.Hosts)
}

// putTask writes a document over the version that was read, or where there
// was none.
func putTask(ctx context.Context, client *api.Client, doc []byte, media string, current *fleet.TaskRecord, reason string, unmatched bool) (fleet.TaskRecord, error) {
	index := uint64(0)
	if current != nil {
		index = current.Index
	}
	var options []api.PutOption
	if unmatched {
		options = append(options, api.AllowUnmatched)
	}
	return client.PutTask(ctx, doc, media, &index, reason, options...)
}

func unmatchedTask(id fleet.TaskID, task *fleet.Task) error {
	hint := "fleetctl hosts shows names and labels; --allow-unmatched accepts it"
	if task.Where.Labels != "" && task.Where.Labels != "*" {
		hint = fmt.Sprintf("fleetctl hosts --label %q; --allow-unmatched accepts it", task.Where.Labels)
	}
	return fleet.Errorf(fleet.Invalid, "task %s matches no host: %s", id, whereText(&task.Where)).WithCode(api.CodeUnmatched).WithHint("%s", hint)
}

// waitApplied waits until every host that is alive runs the generation.
func waitApplied(ctx context.Context, client *api.Client, id fleet.TaskID, generation uint64, most time.Duration) ([]api.Resolved, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		hosts, err := client.TaskHosts(ctx, id)
		if err != nil {
			return hosts, err
		}
		var missing, silent []string
		for _, host := range hosts {
			switch {
			case host.Applied >= generation:
			case host.Presence == fleet.Alive:
				missing = append(missing, host.Name)
			default:
				silent = append(silent, host.Name)
			}
		}
		if len(missing) == 0 {
			return hosts, silentHosts(silent)
		}
		if err := wait(ctx, pause); err != nil {
			return hosts, fleet.Errorf(fleet.Unavailable, "not every host has the task within %s: %s", short(most), some(missing)).
				WithHint("it is given all the same; fleetctl tasks %s shows who has it", id)
		}
	}
}

func silentHosts(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "silent hosts have not confirmed the task: %s", some(names)).
		WithHint("they take it over when they are back; fleetctl hosts --state silent")
}

// some lists a few names.
func some(names []string) string {
	const few = 8
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}
