package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// control is one of the orders about a task that are carried out without a run.
type control struct {
	kind    fleet.OrderKind
	short   string
	long    string
	example string
}

// controls is every such order.
var controls = []control{
	{
		fleet.OrderStart, "Want a command that is kept up up again",
		"Want the command of a daemon, or of a startup task with a restart policy, up again, whatever\nit was: stopped, in a crash loop, or done.",
		"  fleetctl start web/api --host web-1",
	},
	{
		fleet.OrderStop, "Stop a command that is kept up, until it is started again",
		"Stop the command of a daemon, or of a startup task with a restart policy. It stays down, over\nrestarts of the agent and of the host, until somebody starts it.",
		"  fleetctl stop web/api --reason \"repair\"",
	},
	{
		fleet.OrderRestart, "Stop a command that is kept up and start it anew",
		"Stop the command of a daemon, or of a startup task with a restart policy, and start it anew.\nThe new instance starts when everything that the old one started is gone.",
		"  fleetctl restart web/api --host web-1",
	},
	{
		fleet.OrderReset, "Close the breaker of a task, and forget its failures",
		"Close the breaker of a task that kept failing, and forget its failures: it is due again at its\nnext instant.",
		"  fleetctl reset data/nightly-backup --host db-1",
	},
}

type controlOptions struct {
	hosts               []string
	queue, wait, noWait bool
	expiry              durationFlag
	reason              string
}

func (o *controlOptions) addFlags(p *program, c *cobra.Command) {
	c.Flags().StringSliceVar(&o.hosts, "host", nil, "on this `host` of the task only; may be repeated")
	c.Flags().BoolVar(&o.queue, "queue", false, "accept hosts that are silent now: they do it when they are back, until it expires")
	c.Flags().BoolVar(&o.wait, "wait", true, "wait until the hosts that are alive have done it")
	c.Flags().BoolVar(&o.noWait, "no-wait", false, "do not wait until it is done")
	c.Flags().Var(&o.expiry, "expiry", "not done within this `duration` is dropped (default 1h)")
	c.Flags().StringVar(&o.reason, "reason", "", "why, in your words; kept with the order")
	p.completeHosts(c, "host")
}

func newControlCommands(p *program) []*cobra.Command {
	commands := make([]*cobra.Command, len(controls))
	for i, control := range controls {
		var options controlOptions
		c := &cobra.Command{
			Use: string(control.kind) + " TASK", GroupID: groupRuns, Args: arguments(1, 1),
			Short: control.short, Example: control.example, ValidArgsFunction: p.taskArgument,
			Long: control.long + " Without --no-wait, fleetctl\nends when every host that is alive did it: with 0 where all is as it was asked, else with 1.",
			RunE: p.signing(func(ctx context.Context, client *api.Client, by *author.Author, args []string) error {
				return runControl(ctx, p, client, by, control.kind, args[0], options)
			}),
		}
		options.addFlags(p, c)
		commands[i] = c
	}
	return commands
}

func runControl(ctx context.Context, p *program, client *api.Client, by *author.Author, kind fleet.OrderKind, name string, options controlOptions) error {
	id, err := fleet.ParseTaskID(name)
	if err != nil {
		return err
	}
	query := api.StandingQuery{Task: id}
	before, _, err := standings(ctx, client, query)
	if err != nil {
		return err
	}
	hosts, err := by.Hosts(ctx, id, options.hosts)
	if err != nil {
		return err
	}
	answer, err := done(by.Order(ctx, author.Order{Kind: kind, Task: id, Hosts: hosts},
		author.Options{Life: time.Duration(options.expiry), Queue: options.queue, Reason: options.reason}))
	if err != nil {
		return err
	}
	ordered := api.Ordered{Orders: answer.Orders, Index: answer.Index}
	if options.noWait || !options.wait {
		return p.show(ordered, func() error { return drawOrders(ctx, p, client, id, ordered.Orders) })
	}
	views, err := waitControl(ctx, client, query, carrying{kind, ordered.Orders, before, p.now})
	if err != nil {
		return err
	}
	views = slices.DeleteFunc(views, func(v api.StandingView) bool {
		return !slices.ContainsFunc(ordered.Orders, func(o fleet.Order) bool { return o.Host == v.Host })
	})
	if err := p.show(views, func() error { return drawControlled(p, kind, id, ordered.Orders, views) }); err != nil {
		return err
	}
	if slices.ContainsFunc(views, func(v api.StandingView) bool { return !asOrdered(kind, &v) }) {
		return exitStatus(1)
	}
	return nil
}

// drawControlled shows how the task stands after the orders; on a host where
// there is nothing to tell any more, they are done.
func drawControlled(p *program, kind fleet.OrderKind, id fleet.TaskID, orders []fleet.Order, views []api.StandingView) error {
	if done := len(orders) - len(views); done > 0 && kind == fleet.OrderReset {
		p.say("the breaker of %s is closed on %s", id, count(done, "host"))
	} else if done > 0 {
		p.say("%s has nothing to tell on %s", id, count(done, "host"))
	}
	if len(views) == 0 {
		return nil
	}
	return drawStandings(p, views)
}

// carrying is what is waited for: that orders are carried out.
type carrying struct {
	kind   fleet.OrderKind
	orders []fleet.Order
	before []api.StandingView // the orders
	now    func() time.Time
}

// waitControl waits until every order is carried out by its host, or its host is
// silent, or it has expired.
func waitControl(ctx context.Context, client *api.Client, query api.StandingQuery, what carrying) ([]api.StandingView, error) {
	for {
		views, index, err := standings(ctx, client, query)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(what.orders, func(order fleet.Order) bool { return what.waits(&order, views) }) {
			return views, nil
		}
		query.Page = api.Page{Index: index, Wait: fleet.Duration(controlWait)}
	}
}

// controlWait is how long one question waits for news: presence is none.
const controlWait = 5 * time.Second

// waits reports whether it is worth waiting for the order's host.
func (w *carrying) waits(order *fleet.Order, views []api.StandingView) bool {
	if w.now().After(order.Expires) {
		return false
	}
	at := slices.IndexFunc(views, func(v api.StandingView) bool { return v.Host == order.Host })
	if at < 0 { // it is carried out, and nothing more to tell
		return false
	}
	view := &views[at]
	if view.Presence != fleet.Alive {
		return false
	}
	if slices.ContainsFunc(view.Orders, func(open fleet.Order) bool { return open.ID == order.ID }) {
		return true
	}
	switch w.kind {
	case fleet.OrderStop:
		return view.Phase == fleet.PhaseStopping || view.Phase == fleet.PhaseRunning
	case fleet.OrderStart:
		return view.Phase == fleet.PhaseStopping || view.Phase == fleet.PhaseStopped
	case fleet.OrderRestart:
		return view.Phase == fleet.PhaseStopping || view.Phase == fleet.PhaseRunning && view.Run == w.ranBefore(order.Host)
	}
	return false
}

// ranBefore returns the instance that ran on the host before; empty: none.
func (w *carrying) ranBefore(host fleet.HostID) fleet.RunID {
	for i := range w.before {
		if view := &w.before[i]; view.Host == host && view.Phase == fleet.PhaseRunning {
			return view.Run
		}
	}
	return ""
}

// asOrdered reports whether a task stands on a host as the order wants it.
func asOrdered(kind fleet.OrderKind, view *api.StandingView) bool {
	if len(view.Orders) > 0 {
		return false
	}
	switch kind {
	case fleet.OrderStop:
		return view.Phase == fleet.PhaseStopped
	case fleet.OrderReset:
		return view.Breaker == "" || view.Breaker == fleet.BreakerClosed
	}
	return view.Phase == fleet.PhaseRunning || view.Phase == fleet.PhaseDone
}

// standings reads how tasks stand, all pages of it; with an index in the query
// the first one waits.
func standings(ctx context.Context, client *api.Client, query api.StandingQuery) (views []api.StandingView, index uint64, err error) {
	query.Limit = api.MaxPage
	for {
		list, err := client.Standings(ctx, query)
		if err != nil {
			return nil, 0, err
		}
		if index == 0 {
			index = list.Index
		}
		if views = append(views, list.Items...); list.Next == "" {
			return views, index, nil
		}
		query.Page = api.Page{Limit: api.MaxPage, After: list.Next}
	}
}
