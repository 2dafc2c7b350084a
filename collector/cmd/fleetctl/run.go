package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type runOptions struct {
	hosts  []string
	label  string
	all    bool
	wait   bool
	queue  bool
	expiry durationFlag
	reason string
	set    []string
}

func (o *runOptions) addFlags(p *program, c *cobra.Command) {
	c.Flags().StringSliceVar(&o.hosts, "host", nil, "run on this `host` of the task only; may be repeated")
	c.Flags().StringVar(&o.label, "label", "", "run on those of the task's hosts that this label `selector` matches")
	c.Flags().BoolVar(&o.all, "all", false, "run on all hosts of the task")
	c.Flags().BoolVar(&o.wait, "wait", false, "wait for the end, and end with the exit code of the task")
	c.Flags().BoolVar(&o.queue, "queue", false, "accept hosts that are silent now: they run it when they are back, until it expires")
	c.Flags().Var(&o.expiry, "expiry", "not begun within this `duration` is missed (default 1h)")
	c.Flags().StringVar(&o.reason, "reason", "", "why, in your words; kept with the order")
	c.Flags().StringArrayVar(&o.set, "set", nil, "run with this value of a parameter, `name=value`; may be repeated")
	p.completeHosts(c, "host")
	_ = c.RegisterFlagCompletionFunc("set", p.paramNames)
}

func newRunCommand(p *program) *cobra.Command {
	var options runOptions
	c := &cobra.Command{
		Use: "run TASK", GroupID: groupRuns, Args: arguments(1, 1),
		Short:             "Run a task now",
		Long:              "Run a task now, on those of its hosts that are named, or on all of them with --all. A task\nof one host needs neither. With --wait, fleetctl ends with the\ntask's own exit code: the highest one where several hosts ran it, 128 and the signal's\nnumber where a signal ended it, 124 where what it waits for (wait_for) was not there in time,\n1 where it did not run for another reason. A run that is attempted again is\nfollowed to its last attempt. A task with parameters takes their values with --set; what it\ntakes is shown by fleetctl tasks TASK.",
		Example:           "  fleetctl run data/nightly-backup --host db-1 --wait\n  fleetctl run web/clear-cache --host web-1 --set site=shop --set days=3\n  fleetctl run data/nightly-backup --all --reason \"restored from the copy\"",
		ValidArgsFunction: p.taskArgument,
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			return runRun(ctx, p, client, by, args[0], options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runRun(ctx context.Context, p *program, client *api.Client, by *author.Author, name string, options runOptions) error {
	id, err := fleet.ParseTaskID(name)
	if err != nil {
		return err
	}
	params, err := options.params(ctx, client, id)
	if err != nil {
		return err
	}
	hosts, err := options.targets(ctx, client, by, id)
	if err != nil {
		return err
	}
	answer, err := done(by.Order(ctx, author.Order{
		Kind: fleet.OrderRun, Task: id, Hosts: hosts, Params: params, Parent: fleet.RunID(os.Getenv("FLEETCRON_RUN")), // set where a run's command calls us
	}, author.Options{Life: time.Duration(options.expiry), Queue: options.queue, Reason: options.reason}))
	if err != nil {
		return err
	}
	ordered := api.Ordered{Orders: answer.Orders, Index: answer.Index}
	if !options.wait {
		return p.show(ordered, func() error { return drawOrders(ctx, p, client, id, ordered.Orders) })
	}
	return p.showEnds(ctx, client, ordered.Orders)
}

// targets returns the hosts that are meant. Nobody runs a task on many hosts by
// leaving something out.
func (o *runOptions) targets(ctx context.Context, client *api.Client, by *author.Author, id fleet.TaskID) ([]fleet.HostID, error) {
	if o.all && (len(o.hosts) > 0 || o.label != "") {
		return nil, fleet.Errorf(fleet.Usage, "--all goes with neither --host nor --label")
	}
	hosts, err := by.Hosts(ctx, id, o.hosts)
	if err != nil {
		return nil, err
	}
	if o.label != "" {
		labelled, err := hostsWith(ctx, client, o.label)
		if err != nil {
			return nil, err
		}
		hosts = slices.DeleteFunc(hosts, func(id fleet.HostID) bool {
			return !slices.ContainsFunc(labelled, func(h api.HostView) bool { return h.ID == id })
		})
		if len(hosts) == 0 {
			return nil, fleet.Errorf(fleet.Invalid, "no host of task %s has the labels %s", id, o.label).WithCode(api.CodeUnmatched).WithHint("fleetctl tasks %s", id)
		}
	}
	if len(hosts) > 1 && len(o.hosts) == 0 && o.label == "" && !o.all {
		return nil, fleet.Errorf(fleet.Usage, "no targets: task %s runs on %d hosts; use --host, --label or --all", id, len(hosts)).WithHint("fleetctl tasks %s lists them", id)
	}
	return hosts, nil
}

// showEnds waits for the runs of orders, shows what became of them, and ends
// with their exit code.
func (p *program) showEnds(ctx context.Context, client *api.Client, orders []fleet.Order) error {
	runs, err := waitRuns(ctx, client, orders)
	if err != nil {
		return err
	}
	err = p.show(runs, func() error {
		if err := drawRuns(p, runs); err != nil {
			return err
		}
		tellFailures(p, runs)
		return nil
	})
	if code := exitCode(runs); err == nil && code != 0 {
		return exitStatus(code)
	}
	return err
}

// drawOrders lists orders by the names of their hosts.
func drawOrders(ctx context.Context, p *program, client *api.Client, id fleet.TaskID, orders []fleet.Order) error {
	hosts, err := client.TaskHosts(ctx, id)
	if err != nil {
		return err
	}
	names := make(map[fleet.HostID]string, len(hosts))
	for _, host := range hosts {
		names[host.Host] = host.Name
	}
	t := p.table(column{title: "HOST"}, column{title: "RUN"}, column{title: "EXPIRES"})
	for _, order := range orders {
		t.row(cmp.Or(names[order.Host], string(order.Host)), string(order.Run), p.instant(order.Expires))
	}
	return t.write(p.stdout)
}

// atOnce bounds how many runs are waited for over connections of their own.
const atOnce = 32

func waitRuns(ctx context.Context, client *api.Client, orders []fleet.Order) ([]api.RunView, error) {
	runs := make([]api.RunView, len(orders))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, order := range orders {
		group.Go(func() (err error) {
			runs[i], err = client.WaitOccurrence(ctx, order.Run)
			return err
		})
	}
	return runs, group.Wait()
}

// tellFailures writes the last lines of failed runs beside the answer.
func tellFailures(p *program, runs []api.RunView) {
	for i := range runs {
		run := &runs[i]
		if !run.Failed() {
			continue
		}
		if run.Detail != "" {
			p.note("%s: %s", hostName(run), run.Detail)
		}
		for line := range strings.Lines(run.Tail) {
			p.note("%s: %s", hostName(run), strings.TrimRight(line, "\n"))
		}
	}
}

// signals gives the numbers a shell would show for the signals that end runs.
var signals = map[string]int{
	"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGILL": 4, "SIGABRT": 6, "SIGBUS": 7, "SIGFPE": 8,
	"SIGKILL": 9, "SIGSEGV": 11, "SIGPIPE": 13, "SIGTERM": 15,
}

// notThere is the exit code for a run whose preconditions did not come in time,
// as timeout(1) has it.
const notThere = 124

// exitCode returns the highest exit code of the runs.
func exitCode(runs []api.RunView) int {
	highest := 0
	for i := range runs {
		code := 0
		switch run := &runs[i]; {
		case run.Reason == fleet.MissedPrecondition:
			code = notThere
		case run.State != fleet.RunRan:
			code = 1
		case run.Signal != "":
			code = 128 + signals[run.Signal]
		case run.Exit != nil:
			code = *run.Exit
		}
		if code == 0 && !runs[i].Succeeded() {
			code = 1
		}
		highest = max(highest, code)
	}
	return highest
}

func newCancelCommand(p *program) *cobra.Command {
	var reason string
	var noWait bool
	c := &cobra.Command{
		Use: "cancel RUN", GroupID: groupRuns, Args: arguments(1, 1),
		Short:   "Stop a run, or drop one that has not begun",
		Long:    "Stop a run, or drop one that has not begun. Everything that it started is told to end (TERM), and after\nthe grace that its task allows killed. Without --no-wait, fleetctl ends when the host has said that it\nis over. Of an attempt that another one follows, that one is meant.",
		Example: "  fleetctl cancel 01890000-0000-7000-8000-000000000000 --reason \"wrong host\"",
		RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
			return runCancel(ctx, p, client, by, fleet.RunID(args[0]), reason, !noWait)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept with the order")
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it is over")
	return c
}

func runCancel(ctx context.Context, p *program, client *api.Client, by *author.Author, id fleet.RunID, reason string, waits bool) error {
	answer, err := done(by.Cancel(ctx, id, author.Options{Reason: reason}))
	if err != nil {
		return err
	}
	cancelled := api.Cancelled{Dropped: answer.Dropped, Index: answer.Index}
	if len(answer.Orders) > 0 {
		cancelled.Order = &answer.Orders[0]
		id = cancelled.Order.Run
	}
	if waits && !cancelled.Dropped && cancelled.Order != nil {
		return p.showCancelled(ctx, client, cancelled.Order)
	}
	return p.show(cancelled, func() error {
		if cancelled.Dropped {
			p.say("run %s had not begun and will not", id)
			return nil
		}
		p.say("run %s is told to stop", id)
		p.note("its outcome: fleetctl runs %s", id)
		return nil
	})
}

// showCancelled waits until the run is over, and shows what became of it. A host
// that does not answer is not waited for.
func (p *program) showCancelled(ctx context.Context, client *api.Client, order *fleet.Order) error {
	host, err := client.Host(ctx, string(order.Host))
	if err != nil {
		return err
	}
	if host.Presence != fleet.Alive {
		return fleet.Errorf(fleet.Unavailable, "host %s is %s: it stops the run when it is back, within %s", host.Name, host.Presence, short(order.Expires.Sub(p.now()))).
			WithCode(api.CodeSilent).WithHint("fleetctl runs %s", order.Run)
	}
	run, err := client.WaitRun(ctx, order.Run)
	if err != nil {
		return err
	}
	return p.show(run, func() error {
		p.say("run %s is over: %s", run.ID, outcome(&run.Run))
		return nil
	})
}

// wait sleeps, or returns early when the context ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
