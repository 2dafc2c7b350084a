package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type upcomingOptions struct {
	paging
	from, to                           string
	host, label, user, task, namespace string
}

func (o *upcomingOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.from, "from", "", "from this `instant`, or this time of day as 02:00")
	c.Flags().StringVar(&o.to, "to", "", "until this `instant`, or this time of day")
	c.Flags().StringVar(&o.host, "host", "", "only on this `host`")
	c.Flags().StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	c.Flags().StringVar(&o.user, "user", "", "only what runs as this `user`")
	c.Flags().StringVar(&o.task, "task", "", "only this `task`")
	c.Flags().StringVar(&o.namespace, "namespace", "", "only tasks of this `namespace`")
	p.completeHosts(c, "host")
	p.completeTasks(c, "task")
}

func newUpcomingCommand(p *program) *cobra.Command {
	var options upcomingOptions
	c := &cobra.Command{
		Use: "upcoming", GroupID: groupRuns, Args: arguments(0, 0),
		Short:   "List what runs next, found and given; the coming hour by default",
		Example: "  fleetctl upcoming --label role=db\n  fleetctl upcoming --to 18:00",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runUpcoming(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func newWhenCommand(p *program) *cobra.Command {
	var options upcomingOptions
	c := &cobra.Command{
		Use: "when --from TIME --to TIME", GroupID: groupFound, Args: arguments(0, 0),
		Short:   "List what runs within a window, found and given",
		Long:    "List what runs within a window of at most 24 hours. Two times of day mean the window\nthat goes on now or comes next, in your time zone.",
		Example: "  fleetctl when --from 02:00 --to 04:00\n  fleetctl when --from 2026-12-01T00:00:00Z --to 2026-12-01T06:00:00Z --host db-1",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			if options.from == "" || options.to == "" {
				return fleet.Errorf(fleet.Usage, "when wants both --from and --to").WithHint("fleetctl when --from 02:00 --to 04:00; fleetctl upcoming for the next hour")
			}
			return runUpcoming(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runUpcoming(ctx context.Context, p *program, client *api.Client, options upcomingOptions) error {
	from, to, err := p.window(options.from, options.to)
	if err != nil {
		return err
	}
	if to.Sub(from) > 24*time.Hour {
		return fleet.Errorf(fleet.Usage, "the window has %s; at most 24h can be asked for at once", short(to.Sub(from)))
	}
	query := api.UpcomingQuery{From: from, Until: to, Host: options.host}
	if options.task != "" {
		if query.Task, err = fleet.ParseTaskID(options.task); err != nil {
			return err
		}
	}
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	keep, err := options.keep(ctx, client)
	if err != nil {
		return err
	}
	list, err := collect(options.paging, func(page api.Page) (api.List[api.Upcoming], error) {
		query.Page = page
		return client.Upcoming(ctx, query)
	}, keep)
	if err != nil {
		return err
	}
	return p.show(list, func() error {
		t := p.table(
			column{title: "AT"}, column{title: "HOST"}, column{title: "WHAT"}, column{title: "USER"}, column{title: "COMMAND", shrinks: true},
		)
		for _, item := range list.Items {
			what := "job"
			if item.Task != "" {
				what = string(item.Task)
			}
			t.row(p.instant(item.At), item.HostName, what, orDash(item.User), item.Command)
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		noteRest(p, options.paging, list)
		if len(list.Items) == 0 {
			p.note("nothing runs between %s and %s", p.instant(from), p.instant(to))
		}
		return nil
	})
}

// keep filters by what the API does not filter by; nil where nothing does.
func (o *upcomingOptions) keep(ctx context.Context, client *api.Client) (func(api.Upcoming) bool, error) {
	if o.label == "" && o.user == "" && o.namespace == "" {
		return nil, nil
	}
	labelled, err := idsWith(ctx, client, o.label)
	if err != nil {
		return nil, err
	}
	return func(item api.Upcoming) bool {
		return (labelled == nil || labelled[item.Host]) &&
			(o.user == "" || item.User == o.user) &&
			(o.namespace == "" || item.Task.Namespace() == o.namespace)
	}, nil
}

// idsWith returns the hosts that a label selector matches; nil for no selector.
func idsWith(ctx context.Context, client *api.Client, label string) (map[fleet.HostID]bool, error) {
	if label == "" {
		return nil, nil
	}
	hosts, err := hostsWith(ctx, client, label)
	if err != nil {
		return nil, err
	}
	ids := make(map[fleet.HostID]bool, len(hosts))
	for _, host := range hosts {
		ids[host.ID] = true
	}
	return ids, nil
}

// hostsWith returns the hosts that a label selector matches.
func hostsWith(ctx context.Context, client *api.Client, label string) ([]api.HostView, error) {
	hosts, err := collect(paging{limit: 1, all: true}, func(page api.Page) (api.List[api.HostView], error) {
		return client.Hosts(ctx, api.HostQuery{Page: page, Label: label})
	}, nil)
	return hosts.Items, err
}
