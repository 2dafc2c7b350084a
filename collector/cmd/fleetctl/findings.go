package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

type findingsOptions struct {
	paging
	host, label, user, kind, severity, owner, text, acked, failOn string
}

// severities are the severities, the least urgent first, each with the sign
// that says the same where there is no colour.
var severities = []struct {
	is   fleet.Severity
	sign string
	hue  color
}{
	{fleet.Notice, "·", noColor},
	{fleet.Warning, "▲", yellow},
	{fleet.Critical, "✖", red},
}

func severityWords() []string {
	var words []string
	for _, severity := range severities {
		words = append(words, string(severity.is))
	}
	return words
}

// severityText is a severity with its sign.
func severityText(is fleet.Severity) string {
	for _, severity := range severities {
		if severity.is == is {
			return severity.sign + " " + string(is)
		}
	}
	return string(is)
}

// paintSeverity colours what severityText writes.
func paintSeverity(text string) color {
	for _, severity := range severities {
		if text == severityText(severity.is) {
			return severity.hue
		}
	}
	return noColor
}

// severity is a severity as it stands within a line.
func (p *program) severity(is fleet.Severity) string {
	text := severityText(is)
	if p.settings.color {
		return paintSeverity(text).paint(text)
	}
	return text
}

// findingKinds are the kinds of findings, as --kind takes them.
func findingKinds() []string {
	var words []string
	for _, kind := range []fleet.FindingKind{
		fleet.FindIgnored, fleet.FindProblem, fleet.FindPercent, fleet.FindPath, fleet.FindWritable, fleet.FindExposed, fleet.FindSecret,
		fleet.FindOverdue, fleet.FindFailed, fleet.FindStale, fleet.FindUnexpected, fleet.FindNewcomer, fleet.FindTwice, fleet.FindEverywhere,
		fleet.FindOutlier, fleet.FindOrphan, fleet.FindNoOwner, fleet.FindCollision, fleet.FindDST, fleet.FindNoSignal, fleet.FindClockSkew,
		fleet.FindSilentHost, fleet.FindAdoption, fleet.FindRefused, fleet.FindProof,
	} {
		words = append(words, string(kind))
	}
	return words
}

func (o *findingsOptions) addFlags(p *program, c *cobra.Command) {
	o.paging.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.host, "host", "", "only about this `host`")
	f.StringVar(&o.label, "label", "", "only about hosts that this label `selector` matches")
	f.StringVar(&o.user, "user", "", "only about jobs that run as this `user`")
	f.StringVar(&o.kind, "kind", "", "only of this `kind`, such as ignored, overdue or writable")
	f.StringVar(&o.severity, "severity", "", "only of this `severity` or a more urgent one: notice, warning or critical")
	f.StringVar(&o.owner, "owner", "", "only about jobs of this `owner`; none: those that nobody owns")
	f.StringVar(&o.text, "text", "", "only those whose words or command hold this `text`")
	f.StringVar(&o.acked, "acked", "", "`which`: those that are acknowledged, instead of those that are open; =all: both")
	f.Lookup("acked").NoOptDefVal = "only"
	f.StringVar(&o.failOn, "fail-on", "", "exit with 1 when there is one of this `severity` or a more urgent one")
	p.completeHosts(c, "host")
	p.completeWords(c, "kind", findingKinds()...)
	p.completeWords(c, "severity", severityWords()...)
	p.completeWords(c, "fail-on", severityWords()...)
	p.completeWords(c, "acked", "only", "all")
}

const findingsHelp = `List what a person should look at: jobs that cron ignores, files that others can write,
secrets, runs that did not come, newcomers, doubles, outliers, and jobs that nobody
answers for. The most urgent come first. fleetctl findings show ID says why it matters
and what to do.

A finding that may stand is acknowledged with a reason, and is no longer listed until
that expires. --fail-on makes it a check for a pipeline.`

func newFindingsCommand(p *program) *cobra.Command {
	var options findingsOptions
	c := &cobra.Command{
		Use: "findings", GroupID: groupFound, Args: subcommandOnly,
		Short:   "List what a person should look at",
		Long:    findingsHelp,
		Example: "  fleetctl findings --severity warning\n  fleetctl findings --host db-1 -o wide\n  fleetctl findings --label env=prod --fail-on critical\n  fleetctl findings show 1f0c\n  fleetctl findings ack 1f0c --reason \"moves with the new host\" --for 30d",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runFindings(ctx, p, client, options)
		}),
	}
	options.addFlags(p, c)
	c.AddCommand(newFindingCommand(p), newAckCommand(p), newUnackCommand(p))
	return c
}

// subcommandOnly refuses an argument that is no subcommand, and names those
// that there are.
func subcommandOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if acked := c.Flags().Lookup("acked"); acked != nil && acked.Changed && (args[0] == "all" || args[0] == "only") {
		return fleet.Errorf(fleet.Usage, "--acked %s: the value follows a =", args[0]).WithHint("fleetctl findings --acked=%s", args[0])
	}
	names := make([]string, len(c.Commands()))
	for i, sub := range c.Commands() {
		names[i] = sub.Name()
	}
	return fleet.Errorf(fleet.Usage, "%s does not take %q; there are %s %s", c.Name(), args[0], c.Name(), strings.Join(names, ", ")).WithHint("%s --help", c.CommandPath())
}

func (o *findingsOptions) query() (api.FindingQuery, error) {
	query := api.FindingQuery{
		Host: o.host, Label: o.label, Kind: fleet.FindingKind(o.kind), Severity: fleet.Severity(o.severity),
		Owner: o.owner, Text: o.text, Acked: o.acked,
	}
	for flag, text := range map[string]string{"severity": o.severity, "fail-on": o.failOn} {
		if text != "" && !slices.Contains(severityWords(), text) {
			return query, fleet.Errorf(fleet.Usage, "--%s %q: want notice, warning or critical", flag, text)
		}
	}
	if o.kind != "" && !slices.Contains(findingKinds(), o.kind) {
		return query, fleet.Errorf(fleet.Usage, "--kind %q: want %s", o.kind, strings.Join(findingKinds(), ", "))
	}
	if o.acked != "" && o.acked != "only" && o.acked != "all" {
		return query, fleet.Errorf(fleet.Usage, "--acked=%s: want only or all", o.acked)
	}
	return query, nil
}

func runFindings(ctx context.Context, p *program, client *api.Client, options findingsOptions) error {
	query, err := options.query()
	if err != nil {
		return err
	}
	if err := knownHost(ctx, client, options.host); err != nil {
		return err
	}
	var keep func(fleet.Finding) bool
	if options.user != "" {
		keep = func(finding fleet.Finding) bool { return finding.User == options.user }
	}
	var answer api.FindingList
	answer.List, err = collect(options.paging, func(page api.Page) (api.List[fleet.Finding], error) {
		query.Page = page
		list, err := client.Findings(ctx, query)
		answer.Counts, answer.Evaluated = list.Counts, list.Evaluated
		return list.List, err
	}, keep)
	if err != nil {
		return err
	}
	if keep != nil { // the collector counted those of other users too
		answer.Counts = countSeverities(answer.Items)
	}
	err = p.show(answer, func() error {
		if err := drawFindings(p, answer.Items); err != nil {
			return err
		}
		noteFindings(p, &answer)
		noteRest(p, options.paging, answer.List)
		return nil
	})
	if err == nil && options.failOn != "" && atLeast(answer.Counts, fleet.Severity(options.failOn)) > 0 {
		return exitStatus(1)
	}
	return err
}

func countSeverities(findings []fleet.Finding) map[fleet.Severity]int {
	counts := map[fleet.Severity]int{}
	for i := range findings {
		counts[findings[i].Severity]++
	}
	return counts
}

// atLeast counts what has the severity or a more urgent one.
func atLeast(counts map[fleet.Severity]int, least fleet.Severity) int {
	total, reached := 0, false
	for _, severity := range severities {
		reached = reached || severity.is == least
		if reached {
			total += counts[severity.is]
		}
	}
	return total
}

func drawFindings(p *program, findings []fleet.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	t := p.table(
		column{title: "SEVERITY", paint: paintSeverity}, column{title: "KIND"}, column{title: "HOST", shrinks: true}, column{title: "WHAT", shrinks: true}, column{title: "SINCE"}, column{title: "ID"},
		column{title: "JOB", wide: true}, column{title: "SOURCE", wide: true}, column{title: "USER", wide: true}, column{title: "OWNER", wide: true}, column{title: "ACKNOWLEDGED", wide: true}, column{title: "FIX", wide: true},
	)
	for i := range findings {
		finding := &findings[i]
		since, acked := "-", ""
		if !finding.Since.IsZero() {
			since = p.instant(finding.Since)
		}
		if finding.Ack != nil {
			acked = ackText(p, finding.Ack)
		}
		t.row(severityText(finding.Severity), string(finding.Kind), whereFound(finding), finding.Summary, since, finding.ID,
			findingJob(finding), placeText(finding.Source, finding.Line), finding.User, finding.Owner, acked, finding.Fix)
	}
	return t.write(p.stdout)
}

// whereFound names the host of a finding, or how many it concerns.
func whereFound(finding *fleet.Finding) string {
	switch {
	case finding.HostName != "":
		return finding.HostName
	case finding.Host != "":
		return string(finding.Host)
	case len(finding.Hosts) > 3:
		return strings.Join(finding.Hosts[:3], ",") + ",…"
	}
	return orDash(strings.Join(finding.Hosts, ","))
}

// findingJob names the job of a finding; nothing where it is of no single one.
func findingJob(finding *fleet.Finding) string {
	if finding.Job == "" {
		return ""
	}
	return jobRef(whereFound(finding), finding.Job)
}

func ackText(p *program, ack *fleet.Ack) string {
	text := "by " + ack.By + ": " + ack.Reason
	if !ack.Expires.IsZero() {
		text += " (until " + p.instant(ack.Expires) + ")"
	}
	return text
}

// noteFindings sums up beside the list.
func noteFindings(p *program, answer *api.FindingList) {
	if answer.Evaluated.IsZero() {
		p.note("the fleet has not been looked over yet; ask again in a moment")
		return
	}
	var parts []string
	for _, severity := range slices.Backward(severities) {
		switch n := answer.Counts[severity.is]; {
		case n > 0 && severity.is == fleet.Critical:
			parts = append(parts, fmt.Sprintf("%d critical", n))
		case n > 0:
			parts = append(parts, count(n, string(severity.is)))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing to look at"}
	}
	p.note("%s; the fleet was looked over at %s", strings.Join(parts, ", "), p.exact(answer.Evaluated))
}
