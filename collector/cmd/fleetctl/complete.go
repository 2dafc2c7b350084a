package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// completionBudget is how long a person who pressed Tab waits at most.
const completionBudget = time.Second

// completeWords proposes fixed words for a flag. The flag exists: the command
// that calls this has just made it.
func (p *program) completeWords(c *cobra.Command, flag string, words ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (p *program) completeHosts(c *cobra.Command, flag string) {
	_ = c.RegisterFlagCompletionFunc(flag, p.hostNames)
}

func (p *program) completeTasks(c *cobra.Command, flag string) {
	_ = c.RegisterFlagCompletionFunc(flag, p.taskNames)
}

// hostArgument proposes a host as the only argument.
func (p *program) hostArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.hostNames(c, args, typed)
}

// taskArgument proposes a task as the first argument.
func (p *program) taskArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.taskNames(c, args, typed)
}

func (p *program) hostNames(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		hosts, err := client.Hosts(ctx, api.HostQuery{Page: api.Page{Limit: 100}, Text: typed})
		if err != nil {
			return nil
		}
		names := make([]string, len(hosts.Items))
		for i, host := range hosts.Items {
			names[i] = visible.Line(host.Name)
		}
		return names
	})
}

func (p *program) taskNames(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		tasks, err := client.Tasks(ctx, api.TaskQuery{Page: api.Page{Limit: 100}, Text: typed})
		if err != nil {
			return nil
		}
		names := make([]string, len(tasks.Items))
		for i, task := range tasks.Items {
			names[i] = string(task.Task.ID())
		}
		return names
	})
}

// nodeArgument proposes a machine as the only argument.
func (p *program) nodeArgument(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		nodes, err := allNodes(ctx, client)
		if err != nil {
			return nil
		}
		names := make([]string, len(nodes))
		for i := range nodes {
			names[i] = nodes[i].ID + "\t" + visible.Line(orWord(nodes[i].Name, string(nodes[i].State)))
		}
		return names
	})
}

// collectorArgument proposes a collector as the only argument.
func (p *program) collectorArgument(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		cluster, err := client.Cluster(ctx)
		if err != nil {
			return nil
		}
		names := make([]string, len(cluster.Collectors))
		for i, one := range cluster.Collectors {
			names[i] = string(one.ID) + "\t" + role(one)
		}
		return names
	})
}

// requestArgument proposes a change that waits as the only argument.
func (p *program) requestArgument(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.ask(c, func(ctx context.Context, client *api.Client) []string {
		requests, err := client.Requests(ctx)
		if err != nil {
			return nil
		}
		ids := make([]string, len(requests.Items))
		for i := range requests.Items {
			ids[i] = requests.Items[i].ID + "\t" + visible.Line(requests.Items[i].Object)
		}
		return ids
	})
}

// ask gets proposals from a collector within the budget; none is no error.
func (p *program) ask(c *cobra.Command, propose func(context.Context, *api.Client) []string) ([]string, cobra.ShellCompDirective) {
	if p.configure(c.Root()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := p.clientWith(completionBudget, 1)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.Context(), completionBudget)
	defer cancel()
	return propose(ctx, client), cobra.ShellCompDirectiveNoFileComp
}
