package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const whenHelp = `List what runs when, found and given together: within the coming hour, or within a
window of at most 24 hours. Two times of day mean the window that goes on now or
comes next, in your time zone; --to without --from begins now.

--density counts the starts in each hour of a week. --collisions lists the minutes
that many starts share. --spread advises how to shift found jobs so that they start
less at once; it changes nothing.`

const whenExample = `  fleetctl when --from 02:00 --to 04:00
  fleetctl when --label role=db
  fleetctl when --from 2026-12-01T00:00:00Z --to 2026-12-01T06:00:00Z --host db-1
  fleetctl when --density --label role=web
  fleetctl when --collisions --least 20
  fleetctl when --spread --most 30m -o wide`

type whenOptions struct {
	paging
	from, to, zone                     string
	host, label, user, task, namespace string
	density, collisions, spread        bool
	least                              int
	most                               durationFlag
}

func (o *whenOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "from this `instant`, or this time of day as 02:00")
	f.StringVar(&o.to, "to", "", "until this `instant`, or this time of day")
	f.StringVar(&o.host, "host", "", "only on this `host`")
	f.StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	f.StringVar(&o.user, "user", "", "only what runs as this `user`")
	f.StringVar(&o.task, "task", "", "only this `task`")
	f.StringVar(&o.namespace, "namespace", "", "only tasks of this `namespace`")
	f.BoolVar(&o.density, "density", false, "count the starts in each hour of a week")
	f.BoolVar(&o.collisions, "collisions", false, "list the minutes that many starts share, the fullest first")
	f.BoolVar(&o.spread, "spread", false, "advise how to shift found jobs so that they start less at once")
	f.StringVar(&o.zone, "tz", "", "with --density: the `zone` of its hours and days (default yours)")
	f.IntVar(&o.least, "least", 10, "with --collisions: at least this `many` starts in one minute")
	f.Var(&o.most, "most", "with --spread: shift by this `duration` at most (default 15m)")
	p.completeHosts(c, "host")
	p.completeTasks(c, "task")
}

// views are the other answers that when gives, each with the flags that
// belong to it alone.
func (o *whenOptions) views() []whenView {
	return []whenView{
		{"density", o.density, []string{"tz"}, runDensity},
		{"collisions", o.collisions, []string{"least", "limit", "all"}, runCollisions},
		{"spread", o.spread, []string{"most"}, runSpread},
	}
}

type whenView struct {
	name  string
	asked bool
	flags []string
	run   func(context.Context, *program, *api.Client, whenOptions) error
}

func newWhenCommand(p *program) *cobra.Command {
	var options whenOptions
	c := &cobra.Command{
		Use: "when", Aliases: []string{"upcoming"}, GroupID: groupFound, Args: arguments(0, 0),
		Short: "List what runs when, found and given; the coming hour by default",
		Long:  whenHelp, Example: whenExample,
	}
	c.RunE = p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
		view, err := options.view(changedFlags(c))
		if err != nil {
			return err
		}
		if err := knownHost(ctx, client, options.host); err != nil {
			return err
		}
		return view(ctx, p, client, options)
	})
	options.addFlags(p, c)
	return c
}

// view chooses the answer, and refuses flags that do not belong to it.
func (o *whenOptions) view(given []string) (func(context.Context, *program, *api.Client, whenOptions) error, error) {
	chosen := whenView{name: "when", run: runWhen, flags: []string{"user", "task", "namespace", "limit", "all"}}
	var asked []string
	for _, view := range o.views() {
		if view.asked {
			chosen, asked = view, append(asked, "--"+view.name)
		}
	}
	if len(asked) > 1 {
		return nil, fleet.Errorf(fleet.Usage, "%s do not go together", strings.Join(asked, " and ")).WithHint("fleetctl when %s", asked[0])
	}
	allowed := map[string]bool{"host": true, "label": true, "from": true, "to": chosen.name != "density", chosen.name: true}
	for _, name := range chosen.flags {
		allowed[name] = true
	}
	for _, name := range given {
		if belongs := belongsTo(o, name); belongs != "" && !allowed[name] {
			return nil, fleet.Errorf(fleet.Usage, "--%s belongs to %s", name, belongs).WithHint("fleetctl when --help")
		}
	}
	return chosen.run, nil
}

// belongsTo says which way to call when a flag is for; nothing where it is a
// flag of every command.
func belongsTo(o *whenOptions, flag string) string {
	switch flag {
	case "user", "task", "namespace", "limit", "all":
		return "a plain fleetctl when"
	case "to":
		return "a window, and --density is of a week"
	}
	for _, view := range o.views() {
		for _, name := range view.flags {
			if name == flag {
				return "--" + view.name
			}
		}
	}
	return ""
}

// maxWindow is how much the collectors look over at once.
const maxWindow = 24 * time.Hour

func runWhen(ctx context.Context, p *program, client *api.Client, options whenOptions) error {
	from, to, err := p.window(options.from, options.to)
	if err == nil {
		err = narrowEnough(from, to)
	}
	if err != nil {
		return err
	}
	query := api.UpcomingQuery{From: from, Until: to, Host: options.host, Label: options.label}
	if options.task != "" {
		if query.Task, err = fleet.ParseTaskID(options.task); err != nil {
			return err
		}
	}
	list, err := showList(p, options.paging, func(page api.Page) (api.List[api.Upcoming], error) {
		query.Page = page
		return client.Upcoming(ctx, query)
	}, options.keep(), func(items []api.Upcoming) error { return drawUpcoming(p, items) })
	if err == nil && len(list.Items) == 0 && p.settings.Output.people() {
		p.note("nothing runs between %s and %s", p.instant(from), p.instant(to))
	}
	return err
}

func narrowEnough(from, to time.Time) error {
	if to.Sub(from) > maxWindow {
		return fleet.Errorf(fleet.Usage, "the window has %s; at most 24h can be asked for at once", short(to.Sub(from)))
	}
	return nil
}

func drawUpcoming(p *program, items []api.Upcoming) error {
	t := p.table(
		column{title: "AT"}, column{title: "HOST"}, column{title: "WHAT"}, column{title: "USER"}, column{title: "COMMAND", shrinks: true}, column{title: "ID", wide: true},
	)
	for _, item := range items {
		what := "job"
		if item.Task != "" {
			what = string(item.Task)
		}
		t.row(p.instant(item.At), item.HostName, what, orDash(item.User), item.Command, string(item.Job))
	}
	return t.write(p.stdout)
}

// keep filters by what the API does not filter by; nil where nothing does.
func (o *whenOptions) keep() func(api.Upcoming) bool {
	if o.user == "" && o.namespace == "" {
		return nil
	}
	return func(item api.Upcoming) bool {
		return (o.user == "" || item.User == o.user) && (o.namespace == "" || item.Task.Namespace() == o.namespace)
	}
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
	return collectAll(func(page api.Page) (api.List[api.HostView], error) {
		return client.Hosts(ctx, api.HostQuery{Page: page, Label: label})
	})
}
