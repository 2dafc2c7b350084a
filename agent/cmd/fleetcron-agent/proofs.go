package main

import (
	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/agent"
)

func newProofs() *cobra.Command {
	command := &cobra.Command{
		Use:   "proofs",
		Short: "say how far this host has signed what became of its runs, and with which key",
		Long: `Says how far this host has signed what became of its runs, and with which key.
Compare it with what fleetctl proofs hosts tells of the collectors, or give it to
whoever verifies: fleetctl proofs verify FILE --key HOST=KEY --head HOST=HEAD.`,
		Args: cobra.NoArgs,
	}
	output := outputFlag(command)
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := output.check(); err != nil {
			return err
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		status, err := agent.ReadProofs(cfg)
		if err != nil {
			return err
		}
		if output.text == "json" {
			return writeJSON(command.OutOrStdout(), status)
		}
		return status.Write(command.OutOrStdout())
	}
	command.AddCommand(newProofsExport())
	return command
}

func newProofsExport() *cobra.Command {
	command := &cobra.Command{
		Use:     "export",
		Short:   "write what this host still has of it, for fleetctl proofs verify",
		Example: "  fleetcron-agent proofs export | fleetctl proofs verify -",
		Args:    cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return agent.ExportProofs(cfg, command.OutOrStdout())
	}
	return command
}
