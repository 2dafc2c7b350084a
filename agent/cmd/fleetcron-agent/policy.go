package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newPolicy() *cobra.Command {
	command := &cobra.Command{
		Use:   "policy",
		Short: "what may run on this host: its own rules, which no collector can change",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPolicyInit(), newPolicyCheck(), newPolicyExplain(), newPolicyTrust(), newPolicyConfirm(), newPolicyDrop(), newPolicyAudit())
	return command
}

func newPolicyInit() *cobra.Command {
	command := &cobra.Command{
		Use:   "init",
		Short: "write a policy with comments; nothing runs before it trusts a key",
		Example: `  fleetcron-agent policy init
  fleetcron-agent policy init --trust operator.pub --allow-user backup --allow-command /usr/local/bin/backup`,
		Args: cobra.NoArgs,
	}
	var draft policy.Draft
	flags := command.Flags()
	keys := flags.StringArray("trust", nil, "public key, or file with one, whose tasks may run here; may be repeated")
	namespaces := flags.StringSlice("namespace", nil, "namespaces that those keys may speak for; none: all")
	flags.StringSliceVar(&draft.Users, "allow-user", nil, "user as whom commands may run; may be repeated")
	flags.StringSliceVar(&draft.Commands, "allow-command", nil, `absolute path of a program that may run, "*" for every one; may be repeated`)
	flags.BoolVar(&draft.Shell, "allow-shell", false, "let commands be texts for a shell")
	flags.BoolVar(&draft.Adoption, "allow-adoption", false, "let tasks take the place of this host's own jobs")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		for _, text := range *keys {
			key, err := policy.ParseTrusted(text, *namespaces)
			if err != nil {
				return err
			}
			draft.Keys = append(draft.Keys, key)
		}
		if err := policy.Init(cfg.Policy, &draft); err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "fleetcron-agent: wrote %s\n", cfg.Policy)
		return checkPolicy(cfg.Policy, command.OutOrStdout())
	}
	return command
}

func newPolicyCheck() *cobra.Command {
	command := &cobra.Command{
		Use:   "check [FILE]",
		Short: "say everything that is wrong with the policy, or what it lets run",
		Args:  cobra.MaximumNArgs(1),
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if len(args) > 0 {
			cfg.Policy = args[0]
		}
		return checkPolicy(cfg.Policy, command.OutOrStdout())
	}
	return command
}

func checkPolicy(path string, out io.Writer) error {
	p, err := policy.Load(path)
	if wrong, is := errors.AsType[*fleet.Error](err); is && len(wrong.Fields) > 0 {
		for _, field := range wrong.Fields {
			fmt.Fprintf(out, "%s: %s\n", path, field)
		}
		return fleet.Errorf(fleet.Invalid, "%d mistakes: the agent ignores this policy and only reports", len(wrong.Fields))
	}
	if err != nil {
		return fmt.Errorf("the agent ignores this policy and only reports: %w", err)
	}
	fmt.Fprintf(out, "%s: good, ", path)
	if !p.Execute {
		fmt.Fprintln(out, "and lets nothing run (execute: off)")
		return nil
	}
	fmt.Fprintf(out, "%d keys of which %d must sign, users %s, %d commands\n", len(p.Keys), p.Threshold, strings.Join(p.Users.Allow, ", "), len(p.Commands))
	for _, doubt := range p.Doubts() {
		fmt.Fprintf(out, "%s: note: %s\n", path, doubt)
	}
	return nil
}

func newPolicyExplain() *cobra.Command {
	command := &cobra.Command{
		Use:     "explain TASK",
		Short:   "say rule by rule what a task of this host's plan meets",
		Example: "  fleetcron-agent policy explain data/nightly-backup",
		Args:    cobra.ExactArgs(1),
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		id, err := fleet.ParseTaskID(args[0])
		if err != nil {
			return err
		}
		steps, err := agent.ExplainPolicy(cfg, id)
		if err != nil {
			return err
		}
		return writeSteps(command.OutOrStdout(), id, steps)
	}
	return command
}

func writeSteps(out io.Writer, id fleet.TaskID, steps []policy.Step) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	last := policy.Step{}
	for _, last = range steps {
		verdict, line := "ok", ""
		if !last.OK {
			verdict = last.Code
		}
		if last.Line > 0 {
			line = fmt.Sprintf(" (line %d)", last.Line)
		}
		fmt.Fprintf(table, "%s\t%s\t%s%s\n", last.Rule, verdict, last.Says, line)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !last.OK {
		return fleet.Errorf(fleet.Refused, "%s does not run here", id).WithCode(last.Code)
	}
	fmt.Fprintf(out, "%s runs here\n", id)
	return nil
}

func newPolicyTrust() *cobra.Command {
	command := &cobra.Command{
		Use:     "trust KEY",
		Short:   "let what a key signs run here: a public key, or a file that holds one",
		Example: "  fleetcron-agent policy trust operator.pub --namespace data\n  fleetcron-agent policy trust helpdesk.pub --namespace web --may run,cancel",
		Args:    cobra.ExactArgs(1),
	}
	namespaces := command.Flags().StringSlice("namespace", nil, "namespaces that the key may speak for; none: all")
	may := command.Flags().StringSlice("may", nil, "what it is for: run, cancel, start, stop, restart, reset, task, event, calendar, adopt, release, node; none: everything")
	name := command.Flags().String("as", "", "whose key it is, for people; none: as the file says")
	load := configure(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		key, err := policy.ParseTrusted(args[0], *namespaces)
		if err != nil {
			return err
		}
		if *name != "" {
			key.Name = *name
		}
		key.May = *may
		if err := policy.Trust(cfg.Policy, key); err != nil {
			return err
		}
		return checkPolicy(cfg.Policy, command.OutOrStdout())
	}
	return command
}

func newPolicyConfirm() *cobra.Command {
	command := &cobra.Command{
		Use:   "confirm",
		Short: "let what is ordered once be done again, after this host lost what it had done",
		Long: `Where the state of the policy is lost or damaged, the agent cannot tell an order
that was carried out from a new one, and refuses them all. This says that a
person has looked: what is ordered from now on is done, what was ordered before
is not. It says as well that the clock is right, where it once showed a later
time than now and is not believed since.`,
		Args: cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if err := policy.Confirm(cfg.PolicyDir()); err != nil {
			return err
		}
		fmt.Fprintln(command.OutOrStdout(), "fleetcron-agent: the agent takes it in within seconds, or when it starts")
		return nil
	}
	return command
}

func newPolicyDrop() *cobra.Command {
	command := &cobra.Command{
		Use:   "drop TASK",
		Short: "end a task on this host, whatever the collectors say",
		Long: `What was given to this host goes on until a signed word ends it, also where the
collectors do not give it any more. This ends it here: its daemon is stopped,
nothing of it begins, and commands that run end by themselves. Who signs a newer
statement about it gives it to this host again.`,
		Args: cobra.ExactArgs(1),
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		task, err := fleet.ParseTaskID(args[0])
		if err != nil {
			return err
		}
		if err := policy.Drop(cfg.PolicyDir(), task); err != nil {
			return err
		}
		fmt.Fprintln(command.OutOrStdout(), "fleetcron-agent: the agent takes it in within seconds, or when it starts")
		return nil
	}
	return command
}

func newPolicyAudit() *cobra.Command {
	command := &cobra.Command{
		Use:   "audit",
		Short: "verify this host's own audit chain and print its head",
		Args:  cobra.NoArgs,
	}
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		seq, head, err := policy.VerifyChain(cfg.PolicyDir())
		if err != nil {
			return err
		}
		if head == "" {
			head = hex.EncodeToString(make([]byte, 32))
		}
		fmt.Fprintf(command.OutOrStdout(), "%d entries, head %s\n", seq, head)
		return nil
	}
	return command
}
