// Command fleetcron-agent finds the scheduled jobs of its host, tells the
// collectors about them, and runs the tasks that this host is given.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// Set at build time by -ldflags.
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

const configFile = "/etc/fleetcron/agent.yaml"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "fleetcron-agent: %v\n", err)
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
		Use:           "fleetcron-agent",
		Short:         "find the scheduled jobs of this host, and run the tasks it was given",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fleet.Errorf(fleet.Usage, "%v", err).WithHint("fleetcron-agent --help")
	})
	root.AddCommand(newRun(), newScan(), newStatus(), newVersion(), newMan(root))
	for _, command := range root.Commands() {
		command.Args = usage(command.Args)
	}
	return root
}

// usage makes wrong arguments a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return fleet.Errorf(fleet.Usage, "%v", err).WithHint("%s --help", command.CommandPath())
		}
		return nil
	}
}

// configure adds the configuration's flags to a command and returns the
// function that loads it, as often as it is wanted.
func configure(command *cobra.Command) func() (agent.Config, error) {
	defaults := agent.DefaultConfig()
	file := command.Flags().String("config", configFile, "configuration file")
	settings.Register(command.Flags(), &defaults)
	return func() (agent.Config, error) {
		cfg := agent.DefaultConfig()
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
		Short: "run the agent until it is told to stop",
		Long: `Runs the agent until SIGTERM or SIGINT. Commands that run then go on
running, and the next agent takes them up again. SIGHUP reads the configuration
anew: collectors, name and labels change at once, everything else needs a
restart.`,
		Args: cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		log, err := logging.New(os.Stderr, cfg.Log, "fleetcron-agent")
		if err != nil {
			return err
		}
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		reloads := make(chan agent.Config)
		cfg.Reloads = reloads
		go func() {
			for range hangups {
				next, err := load()
				if err != nil {
					log.Error("configuration not taken in, the old one stays", "error", err)
					continue
				}
				select {
				case reloads <- next:
				case <-command.Context().Done():
					return
				}
			}
		}()
		return agent.Run(command.Context(), cfg, log)
	}
	return command
}

func newScan() *cobra.Command {
	command := &cobra.Command{
		Use:   "scan",
		Short: "list the scheduled jobs of this host, or of a tree that looks like one",
		Example: `  fleetcron-agent scan
  fleetcron-agent scan --root /mnt/backup-of-db-1 -o json`,
		Args: cobra.NoArgs,
	}
	root := command.Flags().String("root", "/", "tree to scan as if it were /")
	output := outputFlag(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := output.check(); err != nil {
			return err
		}
		report, err := discover.Scan(command.Context(), *root, discover.Options{})
		if err != nil {
			return err
		}
		if output.text == "json" {
			return writeJSON(command.OutOrStdout(), report)
		}
		return discover.WriteTable(command.OutOrStdout(), report)
	}
	return command
}

func newStatus() *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "say whether the agent runs, and what it has on disk",
		Args:  cobra.NoArgs,
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
		status, err := agent.ReadStatus(cfg)
		if err != nil {
			return err
		}
		if output.text == "json" {
			return writeJSON(command.OutOrStdout(), status)
		}
		return status.Write(command.OutOrStdout())
	}
	return command
}

// format is the value of -o.
type format struct{ text string }

func outputFlag(command *cobra.Command) *format {
	var f format
	command.Flags().StringVarP(&f.text, "output", "o", "table", "json or table")
	return &f
}

func (f *format) check() error {
	if f.text != "json" && f.text != "table" {
		return &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "--output", Value: f.text, Reason: "want json or table"}}}
	}
	return nil
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			fmt.Fprintf(command.OutOrStdout(), "fleetcron-agent %s (%s, %s)\n", version, commit, runtime.Version())
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
