package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
)

func newCollectorsCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "collectors", GroupID: groupFound, Args: arguments(0, 0),
		Short: "List the collectors, and which of them leads",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runCollectors(ctx, p, client)
		}),
	}
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
