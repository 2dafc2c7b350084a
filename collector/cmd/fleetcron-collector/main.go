// Command fleetcron-collector keeps the inventory of a fleet: it joins a raft
// group of one, three or five, and serves the API and the read-only web page.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/program"
)

// Set at build time by -ldflags.
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

const configFile = "/etc/fleetcron/collector.yaml"

func main() { os.Exit(program.Main(newRoot(), os.Stderr)) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetcron-collector",
		Short: "keep the inventory of a fleet",
	}
	root.AddCommand(newRun(), newInit(), newEnroll(), newIssue(), newToken(), newRecover(), newRestore())
	return program.Complete(root, program.Build{Version: version, Commit: commit})
}

// configure adds the configuration's flags to a command and returns the
// function that loads it.
func configure(command *cobra.Command) func() (collector.Config, error) {
	return program.Configure(command, configFile, func() collector.Config {
		cfg := collector.DefaultConfig()
		cfg.Version = version
		return cfg
	})
}

func newRun() *cobra.Command {
	command := &cobra.Command{
		Use:   "run",
		Short: "run the collector until it is told to stop",
		Long: `Runs the collector until SIGTERM or SIGINT. Every setting needs a restart, which
loses nothing: agents and fleetctl turn to the other collectors meanwhile. When
the file changes, or at SIGHUP, it is checked and what is wrong with it is logged.`,
		Args: cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		log, err := logging.New(os.Stderr, cfg.Log, "fleetcron-collector")
		if err != nil {
			return err
		}
		go func() {
			for range program.Reloads(command, load, log) {
				log.Warn("configuration changed and is valid; restart the collector to take it in")
			}
		}()
		return collector.Run(command.Context(), cfg, log)
	}
	return command
}
