package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newReload() *cobra.Command {
	command := &cobra.Command{
		Use:   "reload",
		Short: "let the running agent read its configuration anew",
		Long: `Checks the configuration and, where it has no mistake, lets the agent that
runs with its state_dir read it, as SIGHUP does. No command and no other task's
phase is touched.`,
		Args: cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		return reload(load, command.OutOrStdout())
	}
	return command
}

func reload(load func() (agent.Config, error), out io.Writer) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	pid, err := agent.Reload(cfg)
	if err == nil {
		fmt.Fprintf(out, "fleetcron-agent: reloading, pid %d\n", pid)
	}
	return err
}

func newStop() *cobra.Command {
	command := &cobra.Command{
		Use:   "stop",
		Short: "end the running agent; its commands go on unless --kill is given",
		Long: `Ends the agent that runs with the configuration's state_dir, and returns when
it is gone. Nothing begins any more, runs that end within --drain are waited for,
and all others go on running: the next agent takes them up again.

With --kill what still runs then is stopped, daemons as well: TERM to everything
that it started, its grace, KILL, until nothing of it is left.`,
		Example: `  fleetcron-agent stop
  fleetcron-agent stop --drain 5m          # let most of them end
  fleetcron-agent stop --kill              # before the machine is switched off`,
		Args: cobra.NoArgs,
	}
	kill := command.Flags().Bool("kill", false, "then stop everything that still runs")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		return stop(command, load, *kill)
	}
	return command
}

func stop(command *cobra.Command, load func() (agent.Config, error), kill bool) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	if by := agent.Restarts(cfg); by != "" {
		fmt.Fprintf(command.ErrOrStderr(), "fleetcron-agent: %s watches over this agent; systemctl stop %s keeps it stopped after a reboot, too\n", by, by)
	}
	pid, err := agent.Stop(command.Context(), cfg, agent.Leave{Drain: time.Duration(cfg.Drain), Kill: kill})
	if err == nil {
		fmt.Fprintf(command.OutOrStdout(), "fleetcron-agent: stopped, pid %d was it\n", pid)
	}
	return err
}

func newStatus() *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "say whether the agent runs, and what it has on disk",
		Long:  "Says whether the agent runs, and what it has on disk. It ends with 3 where none runs.",
		Args:  cobra.NoArgs,
	}
	output := outputFlag(command)
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := output.check(); err != nil {
			return err
		}
		return status(command, load, output.text)
	}
	return command
}

func status(command *cobra.Command, load func() (agent.Config, error), output string) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	status, err := agent.ReadStatus(cfg)
	if err != nil {
		return err
	}
	if output == "json" {
		err = writeJSON(command.OutOrStdout(), status)
	} else {
		err = status.Write(command.OutOrStdout())
	}
	if err == nil && status.PID == 0 {
		return fleet.Errorf(fleet.NotFound, "no agent runs with state_dir %s", status.StateDir).WithHint("start it with fleetcron-agent run")
	}
	return err
}

// addSignal lets the program be spoken to as other servers are: by -s and a word.
func addSignal(root *cobra.Command) {
	word := root.Flags().StringP("signal", "s", "", "reload, stop or status, as the commands of these names")
	load := configure(root)
	root.Flags().VisitAll(func(flag *pflag.Flag) {
		flag.Hidden = !slices.Contains([]string{"signal", "config", "state-dir"}, flag.Name)
	})
	root.RunE = func(command *cobra.Command, _ []string) error {
		switch *word {
		case "":
			return command.Help()
		case "reload":
			return reload(load, command.OutOrStdout())
		case "stop":
			return stop(command, load, false)
		case "status":
			return status(command, load, "table")
		}
		return &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "-s", Value: *word, Reason: "want reload, stop or status"}}}
	}
}
