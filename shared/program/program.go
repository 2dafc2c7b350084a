// Package program provides how the daemons' programs begin and end: the context
// that a signal ends, settings from file, environment and flags, errors with
// hint and exit code, version and manual pages.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// Build says which program this is; the linker fills it in.
type Build struct{ Version, Commit string }

// Complete makes a tree of commands whole: wrong flags and arguments become
// usage errors with a hint, and version and (hidden) man are added.
func Complete(root *cobra.Command, build Build) *cobra.Command {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return wrongUsage(command, err) })
	root.AddCommand(newVersion(root.Name(), build), newMan(root, build))
	for _, command := range root.Commands() {
		check := command.Args
		command.Args = func(command *cobra.Command, args []string) error {
			if err := check(command, args); err != nil {
				return wrongUsage(command, err)
			}
			return nil
		}
	}
	return root
}

func wrongUsage(command *cobra.Command, err error) error {
	return fleet.Errorf(fleet.Usage, "%v", err).WithHint("%s --help", command.CommandPath())
}

// Main runs the command that the arguments name until it ends, or SIGTERM or
// SIGINT ends its context, and returns the exit code. An error goes to stderr
// as one sentence and, where there is one, a hint.
func Main(root *cobra.Command, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	e, is := errors.AsType[*fleet.Error](err)
	if !is {
		return 1
	}
	if e.Hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", e.Hint)
	}
	return e.Kind.ExitCode()
}

// Config is a daemon's configuration, as a pointer to a struct that settings
// can fill.
type Config[C any] interface {
	*C
	Validate() error
}

// Configure gives the command a flag for every setting and one for the file,
// and returns what loads them all, as often as it is wanted.
func Configure[C any, P Config[C]](command *cobra.Command, file string, defaults func() C) func() (C, error) {
	path := command.Flags().String("config", file, "configuration file")
	shown := defaults()
	settings.Register(command.Flags(), &shown)
	return func() (C, error) {
		config := defaults()
		err := settings.Load(&config, settings.Source{
			File: *path, Optional: !command.Flags().Changed("config"),
			Env: os.LookupEnv, Flags: command.Flags(),
		})
		if err != nil {
			return config, err
		}
		return config, P(&config).Validate()
	}
}

func newVersion(name string, build Build) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			fmt.Fprintf(command.OutOrStdout(), "%s %s (%s, %s)\n", name, build.Version, build.Commit, runtime.Version())
		},
	}
}

func newMan(root *cobra.Command, build Build) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "fleetcron " + build.Version, Manual: "fleetcron"}, args[0])
		},
	}
}
