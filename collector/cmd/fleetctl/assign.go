package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	event, file                           string
	webhook, manual, daemon               bool
	missed                                string
	missedWithin                          durationFlag
	shell, user, dir                      string
	env, to                               []string
	pick                                  string
	timeout, grace                        durationFlag
	overlap, output                       string
	perHost, fleet, nice                  int
	leaseWait                             durationFlag
	startup, restart, memory              string
	blackout                              []string
	retry                                 int
	cpu                                   float64
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
	f.StringVar(&o.event, "event", "", "due when fleetctl raise tells of this `event`")
	f.StringVar(&o.file, "file", "", "due when a file at this `path` appears or changes; wildcards in its last element")
	f.BoolVar(&o.webhook, "webhook", false, "due when POST /v1/hooks/NAMESPACE/TASK is called")
	f.BoolVar(&o.manual, "manual", false, "due only when fleetctl run says so")
	f.BoolVar(&o.daemon, "daemon", false, "one instance, always; started again when it ends")
	f.StringVar(&o.startup, "startup", "", "due once per boot of the host, or per start of its agent: `boot` or agent")
	f.StringVar(&o.restart, "restart", "", "of --daemon and --startup: start it again always, on-failure or never")
	f.StringSliceVar(&o.blackout, "blackout", nil, "not due in the windows of this `calendar`; may be repeated")
	f.IntVar(&o.retry, "retry", 0, "attempt it this `often` all together, until one succeeds")
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
	f.IntVar(&o.fleet, "at-once", 0, "run at most this `many` at once on all hosts together; needs --timeout")
	f.Var(&o.leaseWait, "wait-for-place", "how long a run waits for its place among those of --at-once (default 1h)")
	f.StringVar(&o.memory, "memory", "", "use at most this `size` of memory, such as 512MiB")
	f.Float64Var(&o.cpu, "cpus", 0, "use at most this `many` processors, such as 1.5")
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
	p.completeWords(c, "startup", "boot", "agent")
	p.completeWords(c, "restart", "always", "on-failure", "never")
	_ = c.RegisterFlagCompletionFunc("blackout", p.calendarNames)
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
		if change.current != nil && !change.dryRun {
			if err := verified(p, client, change.current); err != nil {
				return err
			}
		}
		change.task, err = options.widened(ctx, client, change.current, id)
	} else {
		change.task, err = options.task(p, id, args[1:])
	}
	if err == nil && !options.unmatched {
		err = knownTargets(ctx, client, options.to)
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
		if !allowed[name] {
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
		Run: fleet.Execute{Command: fleet.Command{Argv: command, Shell: o.shell}, User: o.user, Dir: o.dir},
		Limits: fleet.Limits{
			Timeout: fleet.Duration(o.timeout), Grace: fleet.Duration(o.grace), Overlap: fleet.Overlap(o.overlap),
			PerHost: o.perHost, Fleet: o.fleet, Wait: fleet.Duration(o.leaseWait), Nice: o.nice, CPU: o.cpu,
		},
		Retry:   fleet.Retry{Attempts: o.retry},
		Restart: fleet.Restart{Policy: fleet.RestartPolicy(o.restart)},
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
	if o.pick != string(fleet.PickAll) { // which goes without saying
		task.Where.Pick = fleet.Pick(o.pick)
	}
	if o.output != "" {
		if task.Limits.Output, err = fleet.ParseBytes(o.output); err != nil {
			return task, fleet.Errorf(fleet.Usage, "--keep-output %q: want a size such as 512KiB or 10MB", o.output)
		}
	}
	if o.memory != "" {
		if task.Limits.Memory, err = fleet.ParseBytes(o.memory); err != nil {
			return task, fleet.Errorf(fleet.Usage, "--memory %q: want a size such as 512MiB or 2GB", o.memory)
		}
	}
	return task, validated(task)
}

// flagOf names the flag that sets a field, for errors about it.
var flagOf = map[string]string{
	"task": "TASK", "namespace": "--namespace", "owner": "--owner", "description": "--description",
	"on": "--cron, --every, --at, --in, --startup, --manual or --daemon", "on.cron": "--cron", "on.every": "--every", "on.timezone": "--tz", "on.spread": "--spread",
	"on.startup": "--startup", "on.blackout": "--blackout", "retry": "--retry", "retry.attempts": "--retry", "restart": "--restart", "restart.policy": "--restart",
	"limits.memory": "--memory", "limits.cpu": "--cpus", "limits.fleet": "--at-once", "limits.wait": "--wait-for-place",
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
		Cron: o.cron, Every: fleet.Duration(o.every), Timezone: o.zone,
		Event: o.event, File: o.file, Webhook: o.webhook, Manual: o.manual, Daemon: o.daemon,
		Startup: fleet.Startup(o.startup), Blackout: o.blackout,
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
func (o *assignOptions) widened(ctx context.Context, client *api.Client, current *fleet.TaskRecord, id fleet.TaskID) (fleet.Task, error) {
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
		if task.Where.Pick != fleet.PickNone {
			more.Pick = task.Where.Pick
		}
		task.Where = more
		return task, validated(task)
	}
	wider, err := widen(task.Where, more)
	if err != nil {
		return task, elsewhere(ctx, client, task, more, err)
	}
	task.Where = wider
	return task, validated(task)
}

// knownTargets refuses the name of a host that is not there: a slip of the
// pen would leave a host out without a word. Patterns may match nothing.
func knownTargets(ctx context.Context, client *api.Client, to []string) error {
	targets, err := parseTargets("to", to)
	if err != nil {
		return err
	}
	for _, name := range targets.Hosts {
		if strings.ContainsAny(name, `*?[\`) {
			continue
		}
		if err := knownHost(ctx, client, name); err != nil {
			if e, ok := errors.AsType[*fleet.Error](err); ok && e.Kind == fleet.NotFound {
				return e.WithHint("fleetctl hosts --host %s; --allow-unmatched accepts a host that is to come", name)
			}
			return err
		}
	}
	return nil
}

// elsewhere decides about hosts that cannot be added to where a task runs:
// nil where it runs on all of them already, else the error with what to type.
func elsewhere(ctx context.Context, client *api.Client, task fleet.Task, more fleet.Where, refusal error) error {
	now, err := hostsOf(ctx, client, task)
	if err != nil {
		return err
	}
	task.Where = more
	wanted, err := hostsOf(ctx, client, task)
	if err != nil {
		return err
	}
	all := slices.Concat(now, wanted)
	slices.Sort(all)
	all = slices.Compact(all)
	const few = 10
	e, ok := errors.AsType[*fleet.Error](refusal)
	switch {
	case len(wanted) > 0 && len(all) == len(now):
		return nil
	case ok && len(wanted) > 0 && len(all) <= few:
		e.Hint = fmt.Sprintf("to name them one by one: fleetctl assign %s --replace --to host=%s", task.ID(), strings.Join(all, ","))
	}
	return refusal
}

// hostsOf returns the names of the hosts that a task resolves to.
func hostsOf(ctx context.Context, client *api.Client, task fleet.Task) ([]string, error) {
	doc, err := taskfile.Format(task)
	if err != nil {
		return nil, err
	}
	resolution, err := client.ResolveTask(ctx, doc, api.MediaYAML)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(resolution.Hosts))
	for i, host := range resolution.Hosts {
		names[i] = host.Name
	}
	return names, nil
}
