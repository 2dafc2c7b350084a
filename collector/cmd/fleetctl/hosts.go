package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type hostsOptions struct {
	paging
	text, label, state, task string
}

func (o *hostsOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	c.Flags().StringVar(&o.text, "host", "", "only hosts whose name, address or OS holds this `text`")
	c.Flags().StringVar(&o.label, "label", "", "only hosts that this label `selector` matches, such as role=db,env!=dev")
	c.Flags().StringVar(&o.task, "task", "", "only hosts that this `task` runs on")
	c.Flags().StringVar(&o.state, "state", "", "only hosts that are alive, silent or left")
	p.completeHosts(c, "host")
	p.completeTasks(c, "task")
	p.completeWords(c, "state", string(fleet.Alive), string(fleet.Silent), string(fleet.Left))
}

func newHostsCommand(p *program) *cobra.Command {
	var options hostsOptions
	c := &cobra.Command{
		Use: "hosts [HOST]", GroupID: groupFound, Args: arguments(0, 1),
		Short:             "List hosts, or everything that runs on one",
		Example:           "  fleetctl hosts --label role=db\n  fleetctl hosts db-1",
		ValidArgsFunction: p.hostArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				return runHost(ctx, p, client, args[0])
			}
			return runHosts(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	return c
}

func runHosts(ctx context.Context, p *program, client *api.Client, options hostsOptions) error {
	keep, err := options.keep(ctx, client)
	if err != nil {
		return err
	}
	_, err = showList(p, options.paging, func(page api.Page) (api.List[api.HostView], error) {
		return client.Hosts(ctx, api.HostQuery{Page: page, Text: options.text, Label: options.label, Presence: fleet.Presence(options.state)})
	}, keep, func(hosts []api.HostView) error { return drawHosts(p, hosts) })
	return err
}

func drawHosts(p *program, hosts []api.HostView) error {
	t := p.table(
		column{title: "HOST"}, column{title: "STATE", paint: paintState}, column{title: "ADDRESS"},
		column{title: "OS", shrinks: true}, column{title: "JOBS", right: true}, column{title: "PROBLEMS", right: true}, column{title: "TASKS", right: true},
		column{title: "LABELS", shrinks: true}, column{title: "CHANGED", wide: true}, column{title: "CLOCK", wide: true}, column{title: "AGENT", wide: true}, column{title: "ID", wide: true},
	)
	for _, host := range hosts {
		t.row(host.Name, string(host.Presence), firstAddress(host), host.OS,
			strconv.Itoa(host.Jobs), strconv.Itoa(host.Problems), strconv.Itoa(host.Tasks),
			labelText(host.Labels), p.instant(host.Reported), skewText(host.Skew), host.AgentVersion, string(host.ID))
	}
	return t.write(p.stdout)
}

// skewText says how far a host's clock is off.
func skewText(skew *fleet.Offset) string {
	if skew == nil {
		return ""
	}
	switch off := time.Duration(*skew); {
	case off >= time.Second:
		return short(off) + " ahead"
	case off <= -time.Second:
		return short(-off) + " behind"
	}
	return "right"
}

// keep filters by what the API does not filter by; nil where nothing does.
func (o *hostsOptions) keep(ctx context.Context, client *api.Client) (func(api.HostView) bool, error) {
	if o.task == "" {
		return nil, nil
	}
	id, err := fleet.ParseTaskID(o.task)
	if err != nil {
		return nil, err
	}
	hosts, err := client.TaskHosts(ctx, id)
	if err != nil {
		return nil, err
	}
	given := make(map[fleet.HostID]bool, len(hosts))
	for _, host := range hosts {
		given[host.Host] = true
	}
	return func(host api.HostView) bool { return given[host.ID] }, nil
}

// knownHost refuses the name of a host that is not there: it is a mistake, and
// no reason for an empty answer.
func knownHost(ctx context.Context, client *api.Client, name string) error {
	if name == "" {
		return nil
	}
	_, err := client.Host(ctx, name)
	return err
}

func firstAddress(host api.HostView) string {
	if len(host.Addresses) == 0 {
		return "-"
	}
	return host.Addresses[0].String()
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

// runHost shows one host: what was found there and what is given.
func runHost(ctx context.Context, p *program, client *api.Client, name string) error {
	host, err := client.Host(ctx, name)
	if err != nil {
		return err
	}
	return p.show(host, func() error {
		p.say("%s is %s: %s, %s found, %s given", host.Name, host.Presence, host.OS, count(len(host.Inventory.Jobs), "job"), count(len(host.Assignments), "task"))
		if len(host.Labels) > 0 {
			p.say("labels: %s", labelText(host.Labels))
		}
		if len(host.Inventory.Jobs) > 0 {
			fmt.Fprintln(p.stdout)
			if err := drawJobs(p, hostJobs(host), p.now()); err != nil {
				return err
			}
		}
		if len(host.Assignments) > 0 {
			fmt.Fprintln(p.stdout)
			if err := drawAssignments(p, host); err != nil {
				return err
			}
		}
		if len(host.Inventory.Problems) > 0 {
			p.note("the scan found %s; fleetctl jobs --problems --host %s", count(len(host.Inventory.Problems), "problem"), shellWord(host.Name))
		}
		return nil
	})
}

func hostJobs(host api.HostDetail) []api.JobView {
	jobs := make([]api.JobView, len(host.Inventory.Jobs))
	for i, job := range host.Inventory.Jobs {
		jobs[i] = api.JobView{Job: job, Host: host.ID, HostName: host.Name}
	}
	return jobs
}

func drawAssignments(p *program, host api.HostDetail) error {
	t := p.table(
		column{title: "TASK"}, column{title: "STATE", paint: paintState}, column{title: "WHEN", shrinks: true},
		column{title: "COMMAND", shrinks: true}, column{title: "GENERATION", right: true}, column{title: "RUNS THERE", right: true},
	)
	for _, a := range host.Assignments {
		applied := "not yet"
		if generation, known := host.Applied.Generations[a.Task.ID()]; known {
			applied = strconv.FormatUint(generation, 10)
		}
		t.row(string(a.Task.ID()), string(a.State), triggerText(p, &a.Task.On), a.Task.Run.Command.String(), strconv.FormatUint(a.Generation, 10), applied)
	}
	return t.write(p.stdout)
}
