// Command fleetcron-agent finds the scheduled jobs of its host, tells the
// collectors about them, and runs the tasks that this host is given.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/agent/read"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/program"
)

// Set at build time by -ldflags.
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

const configFile = "/etc/fleetcron/agent.yaml"

func main() {
	if os.Getenv("GOGC") == "" {
		// An agent idles between scans: a small heap is worth more than the
		// processor time that keeping it small takes.
		debug.SetGCPercent(50)
	}
	os.Exit(program.Main(newRoot(), os.Stderr))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetcron-agent",
		Short: "find the scheduled jobs of this host, and run the tasks it was given",
	}
	root.AddCommand(newRun(), newPart(netPart), newPart(workPart), newPart(readPart), newReload(), newStop(), newStatus(), newScan(), newNotify(), newGuardian(), newStep(), newProbe(), newPolicy(), newProofs(), newEnroll())
	addSignal(root)
	return program.Complete(root, program.Build{Version: version, Commit: commit})
}

// configure adds the configuration's flags to a command and returns the
// function that loads it, as often as it is wanted.
func configure(command *cobra.Command) func() (agent.Config, error) {
	return program.Configure(command, configFile, func() agent.Config {
		cfg := agent.DefaultConfig()
		cfg.Version = version
		cfg.Guardian = []string{"/proc/self/exe", "fleetcron-agent", "guardian"}
		cfg.Step = []string{"/proc/self/exe", "fleetcron-agent", "step"}
		cfg.Prober = []string{"/proc/self/exe", "probe"}
		return cfg
	})
}

// newGuardian is for the agent itself, which starts this program once more to
// be the parent of the commands. An upgrade of the program leaves it as it is.
func newGuardian() *cobra.Command {
	return &cobra.Command{
		Use: "guardian", Args: cobra.NoArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error { return agent.Guard() },
	}
}

// newStep is for the guardian, which starts this program once more to set what
// only a process itself can set, before it becomes the command.
func newStep() *cobra.Command {
	return &cobra.Command{
		Use: "step", Args: cobra.ArbitraryArgs, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, words []string) error { return agent.Step(words) },
	}
}

// newProbe is for the agent, which starts this program once more to ask a service
// as the user of a task. What it writes is the answer.
func newProbe() *cobra.Command {
	return &cobra.Command{
		Use: "probe", Args: cobra.NoArgs, Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := agent.Probe(command.Context()); err != nil {
				fmt.Fprintln(command.OutOrStdout(), err)
				os.Exit(1)
			}
			return nil
		},
	}
}

func newScan() *cobra.Command {
	command := &cobra.Command{
		Use:   "scan",
		Short: "list the scheduled jobs of this host, or of a tree that looks like one",
		Example: `  fleetcron-agent scan
  fleetcron-agent scan --root /mnt/backup-of-db-1 -o json
  fleetcron-agent scan --masked -o json      # as the collectors see it`,
		Args: cobra.NoArgs,
	}
	root := command.Flags().String("root", "/", "tree to scan as if it were /")
	masked := command.Flags().Bool("masked", false, "with secrets masked, as the collectors are told")
	stateDir := command.Flags().String("state-dir", agent.DefaultConfig().StateDir, "directory of the agent whose key masks; where there is none, a passing one")
	output := outputFlag(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := output.check(); err != nil {
			return err
		}
		report, err := discover.Scan(command.Context(), *root, discover.Options{})
		if err != nil {
			return err
		}
		if err := read.FillEvidence(command.Context(), *root, &report); err != nil {
			fmt.Fprintf(command.ErrOrStderr(), "fleetcron-agent: when jobs last ran is not known: %v\n", err)
		}
		if *masked {
			masker, err := read.Masker(*stateDir)
			if err != nil {
				return err
			}
			report = *masker.Report(&report)
		}
		if output.text == "json" {
			return writeJSON(command.OutOrStdout(), report)
		}
		return discover.WriteTable(command.OutOrStdout(), report)
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
