package main

import (
	"context"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

type logsOptions struct {
	follow, stdout, stderr, times, raw bool
	tail, host                         string
}

func (o *logsOptions) addFlags(p *program, c *cobra.Command) {
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the run ends")
	c.Flags().BoolVar(&o.stdout, "stdout", false, "standard output only")
	c.Flags().BoolVar(&o.stderr, "stderr", false, "standard error only")
	c.Flags().BoolVarP(&o.times, "timestamps", "t", false, "begin each line with its time, and of both streams with the name of its own")
	c.Flags().StringVar(&o.tail, "tail", "", "the last `size` of each stream only, such as 64KiB")
	c.Flags().BoolVar(&o.raw, "raw", false, "every byte as it came; not to a terminal")
	c.Flags().StringVar(&o.host, "host", "", "of a task: its newest run on this `host`")
	p.completeHosts(c, "host")
}

// query says what is wanted of the run.
func (o *logsOptions) query() (api.OutputQuery, error) {
	query := api.OutputQuery{Stream: "both", Follow: o.follow, Times: o.times}
	switch {
	case o.stdout && !o.stderr:
		query.Stream = "stdout"
	case o.stderr && !o.stdout:
		query.Stream = "stderr"
	}
	if o.tail == "" {
		return query, nil
	}
	size, err := fleet.ParseBytes(o.tail)
	if err != nil || size <= 0 || size > 1<<30 {
		return query, fleet.Errorf(fleet.Usage, "--tail %q: want a size up to 1GiB, such as 64KiB", o.tail)
	}
	query.Tail = int(size)
	return query, nil
}

const aboutLogs = `Print what a run wrote, as its host kept it, or of the newest run of a task. Secrets
are masked on the host. Characters that could steer a terminal are made visible; --raw
into a file or pipe keeps them.

Standard output and standard error are two files; how they belong together is seen by
looks at them, 10 ms to 1 s apart, about as often as output comes. What each of them got
between two looks stands together, and has the time of the last write of it.`

func newLogsCommand(p *program) *cobra.Command {
	var options logsOptions
	c := &cobra.Command{
		Use: "logs RUN|TASK", GroupID: groupRuns, Args: arguments(1, 1),
		Short:             "Print what a run wrote",
		Long:              aboutLogs,
		Example:           "  fleetctl logs 01890000-0000-7000-8000-000000000000\n  fleetctl logs data/nightly-backup --host db-1 -f\n  fleetctl logs data/nightly-backup -t --tail 64KiB",
		ValidArgsFunction: p.taskArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runLogs(ctx, p, client, args[0], options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runLogs(ctx context.Context, p *program, client *api.Client, name string, options logsOptions) error {
	if options.raw && p.terminal {
		return fleet.Errorf(fleet.Usage, "--raw does not write to a terminal: the output could steer it").WithHint("send it to a file, or leave --raw out")
	}
	query, err := options.query()
	if err != nil {
		return err
	}
	id, err := newestRun(ctx, client, name, options.host)
	if err != nil {
		return err
	}
	var out io.Writer = p.stdout
	if !options.raw {
		filter := visible.NewWriter(p.stdout)
		defer filter.Close()
		out = filter
	}
	info, err := client.Logs(ctx, id, query, out)
	if info.Dropped > 0 {
		p.note("%s in the middle were dropped by the task's output limit", size(info.Dropped))
	}
	if info.Source == api.SourceRecord {
		p.note("the host is silent; these are the last bytes that travelled with the run's record")
	}
	return err
}

// newestRun returns the run that is named, or the newest one of the task that is.
func newestRun(ctx context.Context, client *api.Client, name, host string) (fleet.RunID, error) {
	if uuid.Validate(name) == nil {
		if host != "" {
			return "", fleet.Errorf(fleet.Usage, "--host belongs to a task; a run has its host")
		}
		return fleet.RunID(name), nil
	}
	task, err := fleet.ParseTaskID(name)
	if err != nil {
		return "", fleet.Errorf(fleet.Usage, "%q is neither a run nor a task", name).WithHint("fleetctl runs lists runs, fleetctl tasks lists tasks")
	}
	runs, err := client.Runs(ctx, api.RunQuery{Page: api.Page{Limit: api.DefaultPage}, Task: task, Host: host})
	if err != nil {
		return "", err
	}
	for _, run := range runs.Items {
		if run.Started != nil {
			return run.ID, nil
		}
	}
	if _, err := client.Task(ctx, task); err != nil {
		return "", err
	}
	return "", fleet.Errorf(fleet.NotFound, "task %s has not run yet", task).WithHint("fleetctl runs --task %s", task)
}
