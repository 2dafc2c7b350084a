package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// findingIDLength is how many digits the id of a finding has.
const findingIDLength = 16

func newFindingCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Args: arguments(1, 1),
		Short:             "Say why a finding matters and what to do about it",
		Long:              "Say why a finding matters and what to do about it. The beginning of its id is enough.",
		ValidArgsFunction: p.findingArgument(""),
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			finding, err := findFinding(ctx, client, args[0])
			if err != nil {
				return err
			}
			return p.show(finding, func() error { return drawFinding(p, &finding) })
		}),
	}
}

// findFinding returns the finding whose id begins with the text.
func findFinding(ctx context.Context, client *api.Client, text string) (fleet.Finding, error) {
	if len(text) >= findingIDLength {
		return client.Finding(ctx, text)
	}
	all, err := collectAll(func(page api.Page) (api.List[fleet.Finding], error) {
		list, err := client.Findings(ctx, api.FindingQuery{Page: page, Acked: "all"})
		return list.List, err
	})
	if err != nil {
		return fleet.Finding{}, err
	}
	found := slices.DeleteFunc(all, func(finding fleet.Finding) bool { return !strings.HasPrefix(finding.ID, text) })
	switch len(found) {
	case 0:
		return fleet.Finding{}, fleet.Errorf(fleet.NotFound, "there is no finding %q", text).WithHint("fleetctl findings --acked=all")
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].ID
	}
	return fleet.Finding{}, fleet.Errorf(fleet.Usage, "%q names %d findings: %s", text, len(found), some(names)).WithHint("write more of the id")
}

func drawFinding(p *program, finding *fleet.Finding) error {
	fmt.Fprintf(p.stdout, "%s  %s\n\n", p.severity(finding.Severity), visible.Line(finding.Summary))
	facts := []fact{
		{"kind", string(finding.Kind), noColor},
		{"host", finding.HostName, noColor},
		{"hosts", strings.Join(finding.Hosts, ", "), noColor},
		{"found in", placeText(finding.Source, finding.Line), noColor},
		{"user", finding.User, noColor},
		{"command", finding.Command, noColor},
		{"owner", finding.Owner, noColor},
		{"job", findingJob(finding), noColor},
	}
	if !finding.Since.IsZero() {
		facts = append(facts, fact{"since", p.instant(finding.Since), noColor})
	}
	if finding.Ack != nil {
		facts = append(facts, fact{"acknowledged", ackText(p, finding.Ack) + ", on " + p.instant(finding.Ack.At), noColor})
	}
	p.facts(append(facts, fact{"id", finding.ID, noColor}))
	if finding.Explain != "" {
		fmt.Fprintf(p.stdout, "\n%s\n", visible.Text(finding.Explain))
	}
	if finding.Fix != "" {
		p.heading("to try next")
		p.say("  %s", finding.Fix)
	}
	return nil
}

type ackOptions struct {
	reason, until string
	lasts         durationFlag
}

func newAckCommand(p *program) *cobra.Command {
	var options ackOptions
	c := &cobra.Command{
		Use: "ack ID…", Args: arguments(1, -1),
		Short:             "Say that findings may stand, and why",
		Long:              "Say that findings may stand, and why. They are not listed any more until the\nacknowledgement expires or is taken back, or the finding itself goes.",
		Example:           "  fleetctl findings ack 1f0c --reason \"moves with the new host\" --for 30d\n  fleetctl findings ack 1f0c 77aa --reason \"meant to be\" --until 2027-01-01",
		ValidArgsFunction: p.findingArgument(""),
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runAck(ctx, p, client, args, options)
		}),
	}
	c.Flags().StringVar(&options.reason, "reason", "", "why it may stand, in your words")
	c.Flags().Var(&options.lasts, "for", "for this `duration`, such as 30d (default until it is taken back)")
	c.Flags().StringVar(&options.until, "until", "", "until this `instant`")
	return c
}

// expiry returns when the acknowledgement ends; zero: never.
func (o *ackOptions) expiry(p *program) (time.Time, error) {
	switch {
	case strings.TrimSpace(o.reason) == "":
		return time.Time{}, fleet.Errorf(fleet.Usage, "--reason is missing: why may it stand?").WithHint("--reason \"moves with the new host\" --for 30d")
	case o.lasts != 0 && o.until != "":
		return time.Time{}, fleet.Errorf(fleet.Usage, "--for and --until both say how long; give one of them")
	case o.lasts != 0:
		return p.now().Add(time.Duration(o.lasts)), nil
	case o.until == "":
		return time.Time{}, nil
	}
	at, err := p.parseInstant("until", o.until)
	if err == nil && !at.After(p.now()) {
		err = fleet.Errorf(fleet.Usage, "--until %q has passed", o.until)
	}
	return at, err
}

func runAck(ctx context.Context, p *program, client *api.Client, ids []string, options ackOptions) error {
	expires, err := options.expiry(p)
	if err != nil {
		return err
	}
	findings, err := findFindings(ctx, client, ids)
	if err != nil {
		return err
	}
	acks := make([]fleet.Ack, len(findings))
	for i, finding := range findings {
		if acks[i], err = client.Acknowledge(ctx, finding.ID, api.AckRequest{Reason: options.reason, Expires: expires}); err != nil {
			return err
		}
	}
	return p.show(acks, func() error {
		for i, finding := range findings {
			until := "until it is taken back"
			if !expires.IsZero() {
				until = "until " + p.instant(expires)
			}
			p.say("%s may stand %s: %s", acks[i].Finding, until, finding.Summary)
		}
		return nil
	})
}

// findFindings finds all of them before anything is changed.
func findFindings(ctx context.Context, client *api.Client, ids []string) ([]fleet.Finding, error) {
	findings := make([]fleet.Finding, len(ids))
	for i, id := range ids {
		var err error
		if findings[i], err = findFinding(ctx, client, id); err != nil {
			return nil, err
		}
	}
	return findings, nil
}

func newUnackCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "unack ID…", Args: arguments(1, -1),
		Short:             "Take acknowledgements back",
		ValidArgsFunction: p.findingArgument("only"),
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			findings, err := findFindings(ctx, client, args)
			if err != nil {
				return err
			}
			for i := range findings {
				if findings[i].Ack == nil {
					return fleet.Errorf(fleet.Conflict, "finding %s is not acknowledged", findings[i].ID).WithHint("fleetctl findings --acked")
				}
			}
			for i := range findings {
				if err := client.Unacknowledge(ctx, findings[i].ID); err != nil {
					return err
				}
				findings[i].Ack = nil
			}
			return p.show(findings, func() error {
				for _, finding := range findings {
					p.say("%s is open again: %s", finding.ID, finding.Summary)
				}
				return nil
			})
		}),
	}
}

// findingArgument proposes findings, open or acknowledged ones.
func (p *program) findingArgument(acked string) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
		return p.ask(c, func(ctx context.Context, client *api.Client) []string {
			list, err := client.Findings(ctx, api.FindingQuery{Page: api.Page{Limit: 100}, Acked: acked})
			if err != nil {
				return nil
			}
			var ids []string
			for _, finding := range list.Items {
				if strings.HasPrefix(finding.ID, typed) && !slices.Contains(given, finding.ID) {
					ids = append(ids, finding.ID+"\t"+visible.Line(finding.Summary))
				}
			}
			return ids
		})
	}
}
