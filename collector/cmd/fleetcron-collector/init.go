package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newInit() *cobra.Command {
	command := &cobra.Command{
		Use:   "init",
		Short: "make a new cluster, once, on its first collector",
		Long: `Makes a new cluster with this collector in it: the cluster's id and root key,
this collector's certificate, the gossip key, the first admin token and the first
key to sign with. Everything a person needs is in the directory admin below
data_dir, which only its owner reads; nothing secret is printed.

Other collectors, and agents, are enrolled: see fleetctl enroll-token.`,
		Args: cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.Store == collector.StoreMemory {
			return &fleet.Error{Kind: fleet.Usage, Message: "store: memory needs no init: each start makes a new cluster", Hint: "fleetcron-collector run --store memory"}
		}
		kit, err := collector.Init(command.Context(), cfg)
		if err != nil {
			return err
		}
		next(command.OutOrStdout(), &cfg, &kit)
		return nil
	}
	return command
}

// next says what was made and what to do with it.
func next(w io.Writer, cfg *collector.Config, kit *collector.Kit) {
	fmt.Fprintf(w, `made cluster %s in %s
CA pin       %s

Next:
  systemctl start fleetcron-collector
  cp -r %s ~/.config/fleetcron       # for the person who administers it: token and key are in it
  fleetctl key trust                 # prints what a host's policy needs to believe that key
  fleetctl enroll-token > join-token # for each host: fleetcron-agent enroll --token-file join-token --address ADDRESS
  fleetctl enroll-token --collector c2 > c2-token

Keep a copy of %s where only you can read it, and
take it off this machine if you like: it is needed to let collectors in, and for nothing else.
`, kit.Cluster, cfg.DataDir, kit.Pin, kit.Dir, kit.RootKey)
}
