// Command fleetcron-collector keeps the inventory of a fleet: it joins a raft
// group of one, three or five, and serves the API and the read-only web page.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// Set at build time by -ldflags.
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

const configFile = "/etc/fleetcron/collector.yaml"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "fleetcron-collector: %v\n", err)
	code := 1
	if e, is := errors.AsType[*fleet.Error](err); is {
		code = e.Kind.ExitCode()
		if e.Hint != "" {
			fmt.Fprintf(os.Stderr, "hint: %s\n", e.Hint)
		}
	}
	stop()
	os.Exit(code)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "fleetcron-collector",
		Short:         "keep the inventory of a fleet",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fleet.Errorf(fleet.Usage, "%v", err).WithHint("fleetcron-collector --help")
	})
	root.AddCommand(newRun(), newInit(), newVersion(), newMan(root))
	return root
}

// configure adds the configuration's flags to a command and returns the
// function that loads it.
func configure(command *cobra.Command) func() (collector.Config, error) {
	cfg := collector.DefaultConfig()
	file := command.Flags().String("config", configFile, "configuration file")
	settings.Register(command.Flags(), &cfg)
	return func() (collector.Config, error) {
		err := settings.Load(&cfg, settings.Source{
			File: *file, Optional: !command.Flags().Changed("config"),
			Env: os.LookupEnv, Flags: command.Flags(),
		})
		if err != nil {
			return cfg, err
		}
		cfg.Version = version
		return cfg, cfg.Validate()
	}
}

func newRun() *cobra.Command {
	command := &cobra.Command{
		Use:   "run",
		Short: "run the collector until it is told to stop",
		Args:  cobra.NoArgs,
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
		return collector.Run(command.Context(), cfg, log)
	}
	return command
}

func newInit() *cobra.Command {
	command := &cobra.Command{
		Use:   "init",
		Short: "make a new cluster, once, on its first collector",
		Long: `Makes a new cluster with this collector in it. The other members named in
--members need no init: they are started empty and are found by their address.
A collector that is added later is started with join: in its configuration.`,
		Example: "  fleetcron-collector init --members c1=127.0.0.1:7771,c2=127.0.0.2:7771,c3=127.0.0.3:7771",
		Args:    cobra.NoArgs,
	}
	members := command.Flags().String("members", "", "every member as ID=IP:port of its raft listener, joined by commas (default: this one alone)")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if *members == "" {
			*members = cfg.ID + "=" + cfg.Listen.Raft
		}
		list, err := collector.ParseMembers(*members)
		if err != nil {
			return err
		}
		if err := collector.Init(cfg, list); err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "made a new cluster of %d in %s\n", len(list), cfg.DataDir)
		return nil
	}
	return command
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			fmt.Fprintf(command.OutOrStdout(), "fleetcron-collector %s (%s, %s)\n", version, commit, runtime.Version())
		},
	}
}

func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "fleetcron " + version, Manual: "fleetcron"}, args[0])
		},
	}
}
