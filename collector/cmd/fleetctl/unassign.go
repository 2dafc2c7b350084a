package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type unassignOptions struct {
	from         []string
	all, stop    bool
	dryRun       bool
	reason       string
	wait         durationFlag
	waitWasGiven bool
}

func (o *unassignOptions) addFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.from, "from", nil, "take it away from these `hosts`: host=NAME, net=RANGE as the task lists them, or a label; may be repeated")
	c.Flags().BoolVar(&o.all, "all", false, "take it away everywhere: the task is deleted")
	c.Flags().BoolVar(&o.stop, "stop", false, "with --all: stop its runs that go on")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would happen, and change nothing")
	c.Flags().StringVar(&o.reason, "reason", "", "why, in your words; kept with the change")
	c.Flags().Var(&o.wait, "wait", "wait until every host that is alive has the change, at most this `duration`")
	c.Flags().Lookup("wait").NoOptDefVal = "1m"
}

func newUnassignCommand(p *program) *cobra.Command {
	var options unassignOptions
	c := &cobra.Command{
		Use: "unassign TASK", GroupID: groupGiven, Args: arguments(1, 1),
		Short:             "Take a task away from hosts, or delete it",
		Example:           "  fleetctl unassign nightly-backup --from host=db-3\n  fleetctl unassign nightly-backup --from zone=b\n  fleetctl unassign nightly-backup --all",
		ValidArgsFunction: p.taskArgument,
	}
	options.addFlags(c)
	c.RunE = p.asking(func(ctx context.Context, client *api.Client, args []string) error {
		options.waitWasGiven = c.Flags().Changed("wait")
		return runUnassign(ctx, p, client, args[0], options)
	})
	return c
}

func runUnassign(ctx context.Context, p *program, client *api.Client, name string, options unassignOptions) error {
	switch {
	case options.all == (len(options.from) > 0):
		return fleet.Errorf(fleet.Usage, "unassign wants --from hosts, or --all").WithHint("fleetctl unassign %s --from host=db-3; --all deletes the task", name)
	case options.stop && !options.all:
		return fleet.Errorf(fleet.Usage, "--stop belongs to --all").WithHint("fleetctl cancel RUN stops one run")
	}
	id, err := fleet.ParseTaskID(name)
	if err != nil {
		return err
	}
	view, err := client.Task(ctx, id)
	if err != nil {
		return err
	}
	if options.all {
		return runDelete(ctx, p, client, view.TaskRecord, options)
	}
	less, err := parseTargets("from", options.from)
	if err == nil && !options.dryRun {
		err = verified(p, client, &view.TaskRecord)
	}
	if err != nil {
		return err
	}
	task := view.Task
	if task.Where, err = narrow(task.Where, less); err != nil {
		return err
	}
	if dimensions(task.Where) == 0 {
		return nothingLeft(id)
	}
	task.Where.Pick = view.Task.Where.Pick
	change := taskChange{
		id: id, task: task, current: &view.TaskRecord, reason: options.reason, dryRun: options.dryRun,
		waits: options.waitWasGiven, wait: time.Duration(options.wait),
	}
	err = change.make(ctx, p, client, "left")
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Code == api.CodeUnmatched {
		return nothingLeft(id)
	}
	return err
}

func nothingLeft(id fleet.TaskID) error {
	return fleet.Errorf(fleet.Conflict, "no host would be left for task %s", id).
		WithHint("fleetctl unassign %s --all deletes it; fleetctl pause %s stops it for a while", id, id)
}

func runDelete(ctx context.Context, p *program, client *api.Client, record fleet.TaskRecord, options unassignOptions) error {
	id := record.Task.ID()
	if options.dryRun {
		return p.show(record, func() error {
			p.say("nothing was changed; task %s would be deleted", id)
			return nil
		})
	}
	by, err := p.access().Author(client)
	if err != nil {
		return err
	}
	deleted, err := retire(ctx, client, by, id, &record.Index, options.stop, options.reason)
	if err != nil {
		return err
	}
	return p.show(deleted, func() error {
		p.say("task %s is deleted", id)
		if options.stop {
			p.say("%s told to stop", count(len(deleted.Orders), "run"))
		}
		return nil
	})
}

// retire takes a task back; with stop its runs that go on are cancelled too.
func retire(ctx context.Context, client *api.Client, by *author.Author, id fleet.TaskID, ifIndex *uint64, stop bool, reason string) (api.Deleted, error) {
	deleted := api.Deleted{Orders: []fleet.Order{}}
	answer, err := done(by.State(ctx, id, fleet.TaskRetired, author.Options{IfIndex: ifIndex, Reason: reason}))
	deleted.Index = answer.Index
	if err != nil || !stop {
		return deleted, err
	}
	for _, state := range []fleet.RunState{fleet.RunPending, fleet.RunBegun, fleet.RunRunning} {
		runs, err := client.Runs(ctx, api.RunQuery{Page: api.Page{Limit: api.MaxPage}, Task: id, State: state})
		if err != nil {
			return deleted, err
		}
		for i := range runs.Items {
			cancelled, err := done(by.Cancel(ctx, runs.Items[i].ID, author.Options{Reason: reason}))
			if err != nil && fleet.KindOf(err) != fleet.Conflict { // it has ended meanwhile
				return deleted, err
			}
			deleted.Orders = append(deleted.Orders, cancelled.Orders...)
		}
	}
	return deleted, nil
}
