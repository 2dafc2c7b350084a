package main

import (
	"fmt"
	"io"
	"net/url"

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
		next(command.OutOrStdout(), &kit)
		return nil
	}
	return command
}

// next says what was made and what to do with it: the commands of README, which a
// test compares with it.
func next(w io.Writer, kit *collector.Kit) {
	machine := kit.Address
	if at, err := url.Parse(kit.Address); err == nil {
		machine = at.Hostname()
	}
	fmt.Fprintf(w, `made cluster %[1]s
CA pin       %[2]s

Next, here:
  systemctl start fleetcron-collector

On your own machine, which keeps the key that signs:
  scp -r root@%[6]s:%[3]s ~/.config/fleetcron
  ssh root@%[6]s rm -r %[3]s
  fleetctl enroll-token --out web-1.join
  scp web-1.join ~/.config/fleetcron/operator.pub root@web-1:

On web-1, the first host, as root:
  fleetcron-agent enroll --token-file web-1.join --address %[5]s
  fleetcron-agent policy init --trust operator.pub --allow-user www-data --allow-command /usr/bin/df
  systemctl start fleetcron-agent

Keep a copy of %[4]s where only you can read it, and
take it off this machine if you like: it is needed to let collectors in, and for nothing else.
`, kit.Cluster, kit.Pin, kit.Dir, kit.RootKey, kit.Address, machine)
}
