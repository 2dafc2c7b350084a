package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type statusOptions struct {
	paging
	namespace, host, label, phase string
	bad                           bool
}

func (o *statusOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.namespace, "namespace", "", "only tasks of this `namespace`")
	c.Flags().StringVar(&o.host, "host", "", "only on this `host`")
	c.Flags().StringVar(&o.label, "label", "", "only on hosts that this label `selector` matches")
	c.Flags().StringVar(&o.phase, "phase", "", "only in this `phase`: waiting, running, stopping, backoff, crash_loop, stopped or done")
	c.Flags().BoolVar(&o.bad, "bad", false, "only what wants a person: in a crash loop, unhealthy, with an open breaker")
	p.completeHosts(c, "host")
	p.completeWords(c, "phase", "waiting", "running", "stopping", "backoff", "crash_loop", "stopped", "done")
}

func newStatusCommand(p *program) *cobra.Command {
	var options statusOptions
	c := &cobra.Command{
		Use: "status [TASK|HOST]", GroupID: groupRuns, Args: arguments(0, 1),
		Short:   "Show how tasks stand on hosts, and what goes on there",
		Long:    "Show how tasks stand on their hosts beyond their runs: whether what is kept up is up, healthy or in\na crash loop, and which breakers are open. Of a host, its agent also tells what runs and waits there at\nthis moment, with the processors and the memory that it uses.",
		Example: "  fleetctl status --bad\n  fleetctl status web/api\n  fleetctl status db-1",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runStatus(ctx, p, client, options, args)
		}),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			tasks, directive := p.taskArgument(c, args, typed)
			hosts, _ := p.hostArgument(c, args, typed)
			return append(tasks, hosts...), directive
		},
	}
	options.addFlags(p, c)
	return c
}

func (o *statusOptions) query() api.StandingQuery {
	return api.StandingQuery{Namespace: o.namespace, Host: o.host, Label: o.label, Phase: fleet.Phase(o.phase), Bad: o.bad}
}

func runStatus(ctx context.Context, p *program, client *api.Client, options statusOptions, args []string) error {
	query := options.query()
	if len(args) == 0 {
		return showStatus(ctx, p, client, options, query)
	}
	if !strings.Contains(args[0], "/") {
		host, err := client.Host(ctx, args[0])
		if err == nil {
			return runHostStatus(ctx, p, client, &host)
		}
		if fleet.KindOf(err) != fleet.NotFound || !fleet.ValidName(args[0]) {
			return err
		}
	}
	id, err := fleet.ParseTaskID(args[0])
	if err != nil {
		return err
	}
	if _, err := client.Task(ctx, id); err != nil {
		if fleet.KindOf(err) == fleet.NotFound && !strings.Contains(args[0], "/") {
			return fleet.Errorf(fleet.NotFound, "there is no host and no task %q", args[0]).WithHint("fleetctl hosts; fleetctl tasks")
		}
		return err
	}
	query.Task = id
	return showStatus(ctx, p, client, options, query)
}

func showStatus(ctx context.Context, p *program, client *api.Client, options statusOptions, query api.StandingQuery) error {
	list, err := showList(p, options.paging, func(page api.Page) (api.List[api.StandingView], error) {
		query.Page = page
		return client.Standings(ctx, query)
	}, nil, func(views []api.StandingView) error { return drawStandings(p, views) })
	if err == nil && len(list.Items) == 0 && p.settings.Output.people() {
		p.note("nothing that is kept up and no breaker there; fleetctl runs shows the rest")
	}
	return err
}

func drawStandings(p *program, views []api.StandingView) error {
	t := p.table(
		column{title: "TASK"}, column{title: "HOST"}, column{title: "STANDS", paint: paintStanding}, column{title: "SINCE"}, column{title: "RESTARTS", right: true},
		column{title: "DETAIL", shrinks: true}, column{title: "RUN", wide: true}, column{title: "HOST IS", wide: true, paint: paintState}, column{title: "TOLD", wide: true},
	)
	for i := range views {
		view := &views[i]
		restarts := "-"
		if view.Phase != "" {
			restarts = strconv.Itoa(view.Restarts)
		}
		t.row(string(view.Task), orWord(view.HostName, string(view.Host)), stands(&view.Standing), p.instant(view.Since), restarts,
			standingDetail(p, view), orDash(string(view.Run)), string(view.Presence), p.instant(view.Told))
	}
	return t.write(p.stdout)
}

func orWord(word, otherwise string) string {
	if word == "" {
		return otherwise
	}
	return word
}

// stands says in a few words how a task stands.
func stands(one *fleet.Standing) string {
	var words []string
	if one.Phase != "" {
		words = append(words, strings.ReplaceAll(string(one.Phase), "_", " "))
	}
	if one.Health != "" {
		words = append(words, string(one.Health))
	}
	if one.Breaker != "" {
		words = append(words, "breaker "+strings.ReplaceAll(string(one.Breaker), "_", "-"))
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

// standingDetail says what there is to know beside that.
func standingDetail(p *program, view *api.StandingView) string {
	var parts []string
	for _, order := range view.Orders {
		parts = append(parts, "told to "+string(order.Kind))
	}
	switch {
	case view.At == nil:
	case view.Phase == fleet.PhaseBackoff:
		parts = append(parts, "again "+p.exact(*view.At))
	case view.Breaker == fleet.BreakerOpen && view.Detail == "":
		parts = append(parts, "until "+p.exact(*view.At))
	}
	if view.Breaker != "" && view.Failures > 0 && view.Detail == "" { // which says so
		parts = append(parts, count(view.Failures, "failure"))
	}
	for _, text := range []string{view.Detail, view.HealthDetail} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "; ")
}

func paintStanding(text string) color {
	switch {
	case strings.Contains(text, "crash loop"), strings.Contains(text, "unhealthy"), strings.Contains(text, "breaker open"):
		return red
	case text == "running" || text == "running, healthy":
		return green
	}
	return yellow
}

// hostStatus is what status answers about a host.
type hostStatus struct {
	Host      string             `json:"host"`
	Presence  fleet.Presence     `json:"presence"`
	Standings []api.StandingView `json:"standings"`
	Live      *api.Live          `json:"live,omitempty"` // missing: the host does not answer
}

func runHostStatus(ctx context.Context, p *program, client *api.Client, host *api.HostDetail) error {
	status := hostStatus{Host: host.Name, Presence: host.Presence}
	var err error
	if status.Standings, _, err = standings(ctx, client, api.StandingQuery{Host: string(host.ID)}); err != nil {
		return err
	}
	live, refusal := client.Live(ctx, string(host.ID))
	switch {
	case refusal == nil:
		status.Live = &live
	case fleet.KindOf(refusal) != fleet.Unavailable:
		return refusal
	}
	return p.show(status, func() error {
		if len(status.Standings) > 0 {
			if err := drawStandings(p, status.Standings); err != nil {
				return err
			}
		}
		if status.Live == nil {
			p.note("host %s does not answer now; what it told is shown", host.Name)
			return nil
		}
		return drawLive(p, &live)
	})
}

func drawLive(p *program, live *api.Live) error {
	p.say("%s of %s taken at %s", strconv.Itoa(live.Taken), count(live.Slots, "slot"), p.exact(live.At))
	if len(live.Runs) > 0 {
		if err := drawGoing(p, live); err != nil {
			return err
		}
	}
	if live.Total > len(live.Runs) {
		p.note("%d of %d runs shown", len(live.Runs), live.Total)
	}
	if len(live.Waiting) == 0 {
		return nil
	}
	t := p.table(column{title: "WAITS"}, column{title: "DUE"}, column{title: "WHY", shrinks: true}, column{title: "RUN"})
	for i := range live.Waiting {
		one := &live.Waiting[i]
		t.row(string(one.Task), p.exact(one.Due), one.Why, string(one.Run))
	}
	return t.write(p.stdout)
}

func drawGoing(p *program, live *api.Live) error {
	t := p.table(
		column{title: "RUNS"}, column{title: "SINCE"}, column{title: "PID", right: true}, column{title: "PROCESSES", right: true}, column{title: "CPU", right: true},
		column{title: "MEMORY", right: true}, column{title: "FILES", right: true}, column{title: "SAYS", shrinks: true}, column{title: "RUN"},
	)
	for i := range live.Runs {
		run := &live.Runs[i]
		processes, cpu, memory, files := "-", "-", "-", "-"
		if run.Processes > 0 { // zero: nobody has looked yet
			processes = strconv.Itoa(run.Processes)
		}
		if s := run.Sample; s != nil {
			cpu, memory, files = strconv.FormatFloat(s.CPU, 'f', 2, 64), size(int64(s.Memory)), strconv.Itoa(s.Files)
		}
		t.row(string(run.Task), p.exact(run.Started), strconv.Itoa(run.PID), processes, cpu, memory, files, says(p, run), string(run.Run))
	}
	return t.write(p.stdout)
}

// says is what a run reports of itself.
func says(p *program, run *api.LiveRun) string {
	var parts []string
	if run.Attempt > 1 {
		parts = append(parts, "attempt "+strconv.Itoa(run.Attempt))
	}
	if run.Progress != nil {
		parts = append(parts, strconv.FormatFloat(*run.Progress, 'f', -1, 64)+" %")
	}
	for _, text := range []string{run.Message, string(run.Health), run.HealthDetail} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	if run.Beat != nil && run.Progress == nil {
		parts = append(parts, "heard "+p.exact(*run.Beat))
	}
	if run.Unread > 0 {
		parts = append(parts, count(run.Unread, "unreadable note")+", the last: "+run.UnreadBecause)
	}
	return strings.Join(parts, "; ")
}
