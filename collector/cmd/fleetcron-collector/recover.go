package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newRecover() *cobra.Command {
	command := &cobra.Command{
		Use:   "recover",
		Short: "go on alone after a majority of the collectors was lost for good",
		Long: `Says what this stopped collector has and what may be lost, and with --yes makes
it the only member of a new group with all that it has. Run it without --yes on
every collector that is left, and let the one with the highest term, and among
those with the highest last entry, go on. From the data directories of the others
ledger.db and raft are then deleted, and their identity stays: they join again.

Identities, keys and what was signed go on to count. A member of the old group
that comes back with its old ledger meets nobody. Do this only when the others
will not come back: two groups would answer.`,
		Args: cobra.NoArgs,
	}
	yes := command.Flags().Bool("yes", false, "do it")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		remains, err := collector.Survey(cfg)
		if err != nil {
			return err
		}
		tell(command.OutOrStdout(), &cfg, &remains)
		if remains.Cluster == "" {
			return fleet.Errorf(fleet.NotFound, "there is nothing in %s that could go on", cfg.DataDir).WithHint("fleetcron-collector restore FILE begins with a backup")
		}
		if !*yes {
			return fleet.Errorf(fleet.Usage, "nothing was changed").WithHint("fleetcron-collector recover --yes does it")
		}
		if _, err := collector.Recover(cfg); err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "%s is the only member of the group; start it, then delete ledger.db and raft on the others: they join again\n", cfg.ID)
		return nil
	}
	return command
}

// tell says what is there and what may be lost.
func tell(w io.Writer, cfg *collector.Config, remains *collector.Remains) {
	fmt.Fprintf(w, "collector   %s in %s\ncluster     %s\n", cfg.ID, cfg.DataDir, remains.Cluster)
	for _, member := range remains.Members {
		fmt.Fprintf(w, "member      %s at %s\n", member.ID, member.Address)
	}
	fmt.Fprintf(w, "last entry  %d of term %d\n", remains.Last, remains.Term)
	if open := remains.Last - remains.Applied; open > 0 {
		fmt.Fprintf(w, "            the last %d of them may never have been acknowledged; they would be taken for committed\n", open)
	}
	fmt.Fprintln(w, "lost is     what only other members had: every entry after the last one, if they got that far.")
	fmt.Fprintln(w, "            Agents tell their inventory anew; what they were acknowledged before is not sent again.")
}

func newRestore() *cobra.Command {
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "begin a new group with a backup",
		Long: `Reads a backup that fleetctl backup made, and makes a new group of this collector
alone that begins with it. The data directory must hold an identity of the same
cluster, and no state: a restore never overwrites. What changed after the backup was taken is not in it:
tasks that were given since run on until an agent asks again, and then end.
Tokens and machines that were revoked since, and join tokens that were used,
count again: revoke them anew.`,
		Example: "  fleetcron-collector restore /backup/fleetcron-2026-11-21.backup",
		Args:    cobra.ExactArgs(1),
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		file, err := os.Open(args[0])
		if err != nil {
			return &fleet.Error{Kind: fleet.NotFound, Message: "backup", Err: err}
		}
		defer file.Close()
		header, err := collector.Restore(cfg, file)
		if err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "made a new group in %s of the backup of cluster %s at entry %d, taken %s\n",
			cfg.DataDir, header.Cluster, header.Index, header.Taken.Format("2006-01-02 15:04:05 MST"))
		fmt.Fprintln(command.OutOrStdout(), "what was revoked since then counts again: fleetctl token list, fleetctl nodes, fleetctl enroll-token list")
		return nil
	}
	return command
}
