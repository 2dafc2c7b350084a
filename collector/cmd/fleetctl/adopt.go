package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

const adoptHelp = `Make a task of a found job, and silence the job on its host. The task has the job's
schedule and zone, user, environment, shell and input, and runs on that host alone. The
host hands over between two due instants: at none of them do both run it, or neither.

The line becomes a comment that says so and still holds it; release puts it back to the
byte. A script of run-parts moves aside, a timer is masked. A run of the job that goes on
while it is handed over goes on; the task does not know of it.

The host must allow it, with adoption: allowed in its policy.yaml.`

type adoptOptions struct {
	task, schedule, reason string
	force, dryRun          bool
	wait                   durationFlag
	waits                  bool
}

func newAdoptCommand(p *program) *cobra.Command {
	var options adoptOptions
	c := &cobra.Command{
		Use: "adopt HOST:JOB", GroupID: groupFound, Args: arguments(1, 1),
		Short: "Make a task of a found job and silence the job",
		Long:  adoptHelp,
		Example: `  fleetctl adopt db-1:1a2b3c4d --dry-run
  fleetctl adopt db-1:/etc/cron.d/backup:7 --task data/nightly-backup --wait
  fleetctl release data/nightly-backup`,
		ValidArgsFunction: p.jobArgument,
	}
	f := c.Flags()
	f.StringVar(&options.task, "task", "", "`name` of the task, or namespace/name; else it is named after the command")
	f.StringVar(&options.schedule, "schedule", "", "another `schedule` for the task than the job's, as a cron expression")
	f.BoolVar(&options.force, "force", false, "even where a package or configuration management owns the file")
	f.BoolVar(&options.dryRun, "dry-run", false, "ask the host what it would change, and change nothing")
	f.StringVar(&options.reason, "reason", "", "why, in your words; kept with the adoption")
	f.Var(&options.wait, "wait", "wait until the host has handed over, at most this `duration`")
	f.Lookup("wait").NoOptDefVal = "3m"
	c.RunE = p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
		options.waits = f.Changed("wait")
		return runAdopt(ctx, p, client, by, args[0], options)
	})
	return c
}

func runAdopt(ctx context.Context, p *program, client *api.Client, by *author.Author, ref string, options adoptOptions) error {
	wish := author.Adoption{Schedule: options.schedule, Force: options.force}
	if options.task != "" {
		id, err := fleet.ParseTaskID(options.task)
		if err != nil {
			return err
		}
		wish.Task = id
	}
	job, err := findJob(ctx, client, ref)
	if err != nil {
		return err
	}
	host, err := client.Host(ctx, string(job.Host))
	if err != nil {
		return err
	}
	wish.Job, wish.Host = job.Job, host.Host
	answer, err := adopt(ctx, client, by, &wish, options)
	if err != nil {
		return err
	}
	var waited error
	if options.waits && !options.dryRun {
		answer.Adoption, waited = waitAdoption(ctx, client, answer.Adoption, fleet.AdoptionAdopted, time.Duration(options.wait))
	}
	return errors.Join(p.show(answer, func() error { return drawAdopt(p, job.HostName, &answer, options) }), waited)
}

// adopt makes the wish known, or with --dry-run asks the host what it would do.
func adopt(ctx context.Context, client *api.Client, by *author.Author, wish *author.Adoption, options adoptOptions) (api.AdoptAnswer, error) {
	task, document, err := by.Plan(ctx, wish)
	if err != nil {
		return api.AdoptAnswer{}, err
	}
	wish.Task = task.ID()
	answer := api.AdoptAnswer{
		Adoption: fleet.Adoption{Task: wish.Task, Host: wish.Host.ID, Job: wish.Job, State: fleet.AdoptionWanted, Force: wish.Force, Reason: options.reason},
		Document: string(document),
	}
	if !options.dryRun {
		sealed, err := done(by.Adopt(ctx, wish, author.Options{Reason: options.reason}))
		if err == nil && sealed.Adoption != nil {
			answer.Adoption, answer.Index = *sealed.Adoption, sealed.Index
		}
		return answer, err
	}
	current, err := currentTask(ctx, client, wish.Task)
	switch {
	case err != nil:
		return answer, err
	case current != nil:
		return answer, fleet.Errorf(fleet.Conflict, "task %s exists", wish.Task).WithCode(api.CodeExists).WithHint("name another one with --task")
	}
	change, err := client.JobDiff(ctx, string(wish.Host.ID), wish.Job.ID, wish.Task, wish.Force)
	if err == nil && change.Why != "" {
		err = fleet.Errorf(fleet.Refused, "the host would refuse: %s", change.Why).WithCode("not_adoptable")
	}
	answer.Diff = change.Diff
	return answer, err
}

func drawAdopt(p *program, host string, answer *api.AdoptAnswer, options adoptOptions) error {
	adoption := &answer.Adoption
	place := host + ":" + placeText(adoption.Job.Source, adoption.Job.Line)
	if options.dryRun {
		fmt.Fprintf(p.stdout, "%s\n%s\n", visible.Text(answer.Document), visible.Text(strings.TrimSuffix(answer.Diff, "\n")))
		p.say("nothing was changed; this is what task %s would be, and what would change on %s", adoption.Task, host)
		return nil
	}
	switch adoption.State {
	case fleet.AdoptionWanted:
		p.say("task %s is given; it takes over from %s between two of its due instants", adoption.Task, place)
		p.note("fleetctl tasks %s tells when it has; --wait waits for that", adoption.Task)
	case fleet.AdoptionAdopted:
		p.say("task %s has taken over from %s at %s", adoption.Task, place, adoption.Handed.In(p.zone).Format("2006-01-02 15:04:05"))
	}
	return nil
}

const releaseHelp = `Put an adopted job back where it was, to the byte, and take its task away. The task runs
until the host has the job back, between two due instants. A host that is silent does it
when it is there again. What the task ran stays in its history.`

func newReleaseCommand(p *program) *cobra.Command {
	var reason string
	var most durationFlag
	c := &cobra.Command{
		Use: "release TASK", GroupID: groupGiven, Args: arguments(1, 1),
		Short:             "Put an adopted job back and take its task away",
		Long:              releaseHelp,
		Example:           "  fleetctl release data/nightly-backup --wait\n  fleetctl release nightly-backup --reason \"moved to Ansible\"",
		ValidArgsFunction: p.taskArgument,
	}
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why, in your words; kept with the adoption")
	f.Var(&most, "wait", "wait until the job is back, at most this `duration`")
	f.Lookup("wait").NoOptDefVal = "3m"
	c.RunE = p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
		id, err := fleet.ParseTaskID(args[0])
		if err != nil {
			return err
		}
		return runRelease(ctx, p, client, by, id, reason, f.Changed("wait"), time.Duration(most))
	})
	return c
}

func runRelease(ctx context.Context, p *program, client *api.Client, by *author.Author, id fleet.TaskID, reason string, waits bool, most time.Duration) error {
	sealed, err := done(by.Release(ctx, id, author.Options{Reason: reason}))
	if err != nil {
		return err
	}
	answer := api.AdoptAnswer{Index: sealed.Index}
	if sealed.Adoption != nil {
		answer.Adoption = *sealed.Adoption
	}
	var waited error
	if waits {
		answer.Adoption, waited = waitAdoption(ctx, client, answer.Adoption, fleet.AdoptionReleased, most)
	}
	return errors.Join(p.show(answer, func() error {
		place := placeText(answer.Adoption.Job.Source, answer.Adoption.Job.Line)
		switch answer.Adoption.State {
		case fleet.AdoptionReleasing:
			p.say("task %s gives back %s between two of its due instants, and runs until then", id, place)
		case fleet.AdoptionReleased:
			p.say("%s is back, and task %s is gone", place, id)
		}
		return nil
	}), waited)
}

// waitAdoption waits until an adoption has the state, or has found another end.
func waitAdoption(ctx context.Context, client *api.Client, adoption fleet.Adoption, state fleet.AdoptionState, most time.Duration) (fleet.Adoption, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for pause := 100 * time.Millisecond; adoption.State != state; pause = min(2*pause, time.Second) {
		switch adoption.State {
		case fleet.AdoptionRefused:
			return adoption, fleet.Errorf(fleet.Refused, "the host refused: %s", adoption.Why)
		case fleet.AdoptionStuck:
			return adoption, fleet.Errorf(fleet.Conflict, "the job could not be put back: %s; task %s runs on", adoption.Why, adoption.Task)
		case fleet.AdoptionReleased:
			return adoption, fleet.Errorf(fleet.Conflict, "the job was given back meanwhile")
		}
		next := adoption
		err := wait(ctx, pause)
		if err == nil {
			next, err = client.Adoption(ctx, adoption.Task)
		}
		if err != nil && ctx.Err() != nil {
			return adoption, fleet.Errorf(fleet.Unavailable, "the host has not handed over within %s", short(most)).
				WithHint("it is wanted all the same: a host that is silent, or a job that is due all the time, takes longer")
		}
		if err != nil {
			return adoption, err
		}
		adoption = next
	}
	return adoption, nil
}
