package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newCollectorsCommand(p *program) *cobra.Command {
	c := &cobra.Command{
		Use: "collectors", GroupID: groupFound, Args: subcommandOnly,
		Short:   "List the collectors, and which of them leads",
		Example: "  fleetctl collectors\n  fleetctl collectors drop c3",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runCollectors(ctx, p, client)
		}),
	}
	c.AddCommand(newCollectorDrop(p))
	return c
}

func newCollectorDrop(p *program) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "drop COLLECTOR", Args: arguments(1, 1), ValidArgsFunction: p.collectorArgument,
		Short: "Take a collector out of the group: it is dead, or another takes its place",
		Long: "Take a collector out of the group: it is dead, or another takes its place. The others decide\n" +
			"without it from then on. Where too few of them would answer to decide anything, it is refused.",
		Example: "  fleetctl collectors drop c3\n  fleetctl node revoke c3 --reason \"its disk was stolen\"\n  fleetctl enroll-token --collector c4",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runCollectorDrop(ctx, p, client, fleet.CollectorID(args[0]), yes)
		}),
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func runCollectorDrop(ctx context.Context, p *program, client *api.Client, id fleet.CollectorID, yes bool) error {
	before, err := client.Cluster(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(before.Collectors, func(c api.Collector) bool { return c.ID == id })
	if at < 0 {
		return fleet.Errorf(fleet.NotFound, "there is no collector %q in the group", string(id)).WithHint("fleetctl collectors")
	}
	if !yes {
		p.note("collector %s is %s; %s", id, role(before.Collectors[at]), staying(before.Collectors, id))
	}
	if err := p.confirm(yes, "take "+string(id)+" out of the group", "nothing was changed"); err != nil {
		return err
	}
	after, err := client.RemoveCollector(ctx, id)
	if err != nil {
		return err
	}
	return p.show(after, func() error {
		p.say("collector %s is out of the group; %s", id, staying(after.Collectors, id))
		p.note("its identity still counts, and with it a collector may join again: fleetctl node revoke %s", id)
		return nil
	})
}

// staying says how many voters stay without one of them, and how many answer.
func staying(all []api.Collector, without fleet.CollectorID) string {
	voters, answer := 0, 0
	for _, c := range all {
		if c.ID == without || !c.Voter {
			continue
		}
		voters++
		if c.Reachable {
			answer++
		}
	}
	return fmt.Sprintf("of the voters that stay, %d of %d answer", answer, voters)
}

func runCollectors(ctx context.Context, p *program, client *api.Client) error {
	cluster, err := client.Cluster(ctx)
	if err != nil {
		return err
	}
	return p.show(cluster, func() error {
		t := p.table(
			column{title: "COLLECTOR"}, column{title: "ROLE", paint: paintState}, column{title: "API"}, column{title: "RAFT"},
			column{title: "APPLIED", right: true}, column{title: "HEARD", right: true}, column{title: "VERSION"},
		)
		for _, c := range cluster.Collectors {
			applied, heard := "-", "-"
			if c.Applied > 0 {
				applied = strconv.FormatUint(c.Applied, 10)
			}
			if c.LastContact != nil && !c.Leader {
				heard = short(time.Duration(*c.LastContact)) + " ago"
			}
			t.row(string(c.ID), role(c), orDash(c.API), c.Raft, applied, heard, orDash(c.Version))
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		if cluster.Leader == "" {
			p.note("nobody leads: changes are refused until a majority of the voters can reach each other")
		}
		return nil
	})
}

func role(c api.Collector) string {
	switch {
	case !c.Reachable:
		return "unreachable"
	case c.Leader:
		return "leader"
	case c.Voter:
		return "follower"
	}
	return "learner"
}
