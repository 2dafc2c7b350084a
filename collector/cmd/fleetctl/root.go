package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const rootHelp = `fleetctl asks the collectors of a fleet which host runs what, and gives them
tasks to run. Jobs are found on hosts; tasks are given to hosts.

Settings come from flags, then from the environment (FLEETCRON_ADDRESS,
FLEETCRON_CA_FILE and so on), then from the file
$XDG_CONFIG_HOME/fleetcron/config.yaml (or FLEETCRON_CONFIG), then the defaults:

  address       URLs of collectors, https://…
  ca_file       the certificate of the fleet's root, by which collectors are known
  token_file    the file of your token, mode 0600; FLEETCRON_TOKEN holds it instead
  key_file      the file of the key that signs what you give, mode 0600; or
  key           ssh-agent, or ssh-agent: and the id of one of its Ed25519 keys
  trusted_keys  keys of other people, whose tasks you may pause and assign
  web           address of the web page
  output, timeout, tasks_dir

Paths in the file are relative to it; the directory that fleetcron-collector init
makes is such a file with all that it names. What tasks_dir names is read by apply,
diff and validate where no -f is given. Tokens and keys never stand in a command.

Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 not found, 4 refused,
5 conflict, 6 unavailable. run --wait ends with the task's own exit code, 124
where what the task waits for was not there in time; diff ends with 1 when
something differs; start, stop, restart and reset end with 1 when a host is not
as it was asked.`

// globalFlags are the flags of every command that are no settings.
type globalFlags struct{ config, color string }

// The groups of the help.
const (
	groupFound = "found"
	groupGiven = "given"
	groupRuns  = "runs"
	groupTrust = "trust"
)

// newRoot returns the whole command tree.
func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:           "fleetctl",
		Short:         "Find, assign, run and watch the scheduled jobs and tasks of a fleet",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if parent := c.Parent(); parent != nil && parent.Name() == "completion" {
				return nil // a shell that starts has no use for a broken config file
			}
			return p.configure(c.Root())
		},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if refusal := secretInCommand(err); refusal != nil {
			return refusal
		}
		return fleet.Errorf(fleet.Usage, "%s", err).WithHint("%s --help", c.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&p.flags.config, "config", "", "read settings from this `file`")
	flags.String("address", "", "`URL` of a collector; several joined by commas, any of them will do (default https://127.0.0.1:7770)")
	flags.StringP("output", "o", "", "`format` of the answer: table, wide, json or yaml (default table)")
	flags.String("timeout", "", "give up on one attempt to ask a collector after this `duration` (default 10s)")
	flags.StringVar(&p.flags.color, "color", "auto", "colour: auto, always or never; NO_COLOR is respected")
	p.completeWords(root, "output", formatNames()...)
	p.completeWords(root, "color", "auto", "always", "never")

	root.AddGroup(
		&cobra.Group{ID: groupFound, Title: "What is there:"},
		&cobra.Group{ID: groupGiven, Title: "What is given:"},
		&cobra.Group{ID: groupRuns, Title: "What happens:"},
		&cobra.Group{ID: groupTrust, Title: "Who may:"},
	)
	root.AddCommand(
		newHostsCommand(p), newJobsCommand(p), newFindCommand(p), newWhenCommand(p), newHistoryCommand(p), newFindingsCommand(p),
		newPinCommand(p), newPinsCommand(p), newUnpinCommand(p), newAnnotateCommand(p), newAnnotationsCommand(p), newLossCommand(p), newAdoptCommand(p), newCollectorsCommand(p), newBackupCommand(p),
		newTasksCommand(p), newAssignCommand(p), newUnassignCommand(p), newReleaseCommand(p), newApplyCommand(p), newDiffCommand(p),
		newExportCommand(p), newValidateCommand(p), newPauseCommand(p), newResumeCommand(p), newCalendarsCommand(p), newCalendarCommand(p),
		newRunCommand(p), newRaiseCommand(p), newCancelCommand(p), newRunsCommand(p), newLogsCommand(p), newAccountCommand(p), newStatusCommand(p),
		newNextCommand(p), newVersionCommand(p), newManCommand(p),
	)
	root.AddCommand(newControlCommands(p)...)
	root.AddCommand(newTrustCommands(p)...)
	root.InitDefaultHelpCmd()
	return root
}

// secretInCommand says where a secret belongs that somebody wrote as a flag.
func secretInCommand(err error) error {
	for flag, hint := range map[string]string{
		"--token": "token_file in the configuration, or FLEETCRON_TOKEN or FLEETCRON_TOKEN_FILE in the environment",
		"--key":   "key_file or key: ssh-agent in the configuration, or FLEETCRON_KEY_FILE in the environment",
	} {
		if err.Error() == "unknown flag: "+flag {
			return fleet.Errorf(fleet.Usage, "%s is no flag: everybody on this machine can read a command line", flag).WithCode("secret_in_command").WithHint("%s", hint)
		}
	}
	return nil
}

// knownCommand refuses a command that is not there.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	err := fleet.Errorf(fleet.Usage, "there is no command %q", args[0]).WithHint("fleetctl --help")
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		err.Hint = "did you mean fleetctl " + strings.Join(near, " or fleetctl ") + "?"
	}
	return err
}

// arguments wants between least and most arguments, which the usage line
// names; most below zero is any number.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		var err *fleet.Error
		switch {
		case len(args) < least:
			err = fleet.Errorf(fleet.Usage, "%s wants more: %s", c.Name(), c.UseLine())
		case most >= 0 && len(args) > most:
			err = fleet.Errorf(fleet.Usage, "%s does not take %q: %s", c.Name(), args[most], c.UseLine())
		default:
			return nil
		}
		return err.WithHint("%s --help", c.CommandPath())
	}
}

// exitStatus ends fleetctl with a code and without a message: what there was
// to say is said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run executes one command line and returns its exit code.
func (p *program) run(ctx context.Context, args []string) int {
	out := &sink{to: p.stdout}
	p.stdout = out
	root := newRoot(p)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("write the answer: %w", out.err)
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if waits, ok := errors.AsType[waiting](err); ok {
		err = waits.tell(p)
	}
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		fmt.Fprintln(p.stderr, "fleetctl: interrupted")
		return 130
	}
	p.report(err)
	return fleet.KindOf(err).ExitCode()
}
