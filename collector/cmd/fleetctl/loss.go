package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
)

func newLossCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "loss HOST", GroupID: groupFound, Args: arguments(1, 1),
		Short:             "Say what would stop if a host were gone, and where it could go on",
		Long:              "Say what would stop if a host were gone: the jobs found there, with the hosts that run the\nsame command and those most like it, and the tasks that would lose it.",
		Example:           "  fleetctl loss db-1\n  fleetctl loss db-1 -o wide",
		ValidArgsFunction: p.hostArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			loss, err := client.Loss(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(loss, func() error { return drawLoss(p, &loss) })
		}),
	}
}

func drawLoss(p *program, loss *api.Loss) error {
	alone := 0
	for i := range loss.Jobs {
		if len(loss.Jobs[i].Elsewhere) == 0 {
			alone++
		}
	}
	p.say("without %s, %s would stop, %d of them running nowhere else, and %s would lose a host", loss.Host.Name, count(len(loss.Jobs), "job"), alone, count(len(loss.Tasks), "task"))
	if len(loss.Jobs) > 0 {
		p.heading("jobs")
		t := p.table(
			column{title: "COMMAND", shrinks: true}, column{title: "USER"}, column{title: "SCHEDULE"}, column{title: "ALSO RUNS ON", shrinks: true, paint: redIf("nowhere")}, column{title: "COULD MOVE TO", shrinks: true},
			column{title: "JOB", wide: true}, column{title: "HOW", wide: true},
		)
		for i := range loss.Jobs {
			job := &loss.Jobs[i]
			elsewhere := "nowhere"
			if len(job.Elsewhere) > 0 {
				elsewhere = some(job.Elsewhere)
			}
			t.row(job.Job.Command, job.Job.User, job.Job.Schedule, elsewhere, orDash(strings.Join(job.Move, ",")), jobRef(loss.Host.Name, job.Job.ID), job.Fix)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		if alone > 0 {
			p.note("fleetctl export --found --host %s --dir DIR writes them as task files, for another host to run", shellWord(loss.Host.Name))
		}
	}
	if len(loss.Tasks) == 0 {
		return nil
	}
	p.heading("tasks")
	t := p.table(column{title: "TASK"}, column{title: "HOSTS LEFT", right: true, paint: redIf("0")})
	for _, task := range loss.Tasks {
		t.row(string(task.Task), strconv.Itoa(task.Hosts))
	}
	return t.write(p.stdout)
}
