package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newRulesCommand(p *program) *cobra.Command {
	c := &cobra.Command{
		Use: "rules", Args: arguments(0, 0),
		Short: "List, set and drop what needs a second person, by namespace",
		Long:  "What needs a second person, by namespace: what runs as root, through a shell, everywhere, at\nonce, or takes a found job over. A change that is so waits until enough people approved it. The\nrules of * hold for every namespace, beside its own: what asks for more counts. Hosts have rules\nof their own, in their policy.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.Rules(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error {
				t := p.table(column{title: "NAMESPACE"}, column{title: "TWO PEOPLE FOR", shrinks: true}, column{title: "APPROVALS", right: true}, column{title: "WITHIN"}, column{title: "CHANGED"}, column{title: "BY"})
				for i := range list.Items {
					r := &list.Items[i]
					t.row(r.Namespace, orDash(joined(r.TwoPerson)), strconv.Itoa(max(1, r.Approvals)), r.Within.String(), p.instant(r.Changed), r.By)
				}
				return t.write(p.stdout)
			})
		}),
	}
	c.AddCommand(newRulesSet(p), newRulesDrop(p))
	return c
}

func newRulesSet(p *program) *cobra.Command {
	var dangers []string
	var approvals int
	var within durationFlag
	var reason string
	c := &cobra.Command{
		Use: "set NAMESPACE", Args: arguments(1, 1),
		Short:   "Say what needs a second person in a namespace",
		Example: "  fleetctl rules set data --two-person root,shell,everywhere\n  fleetctl rules set \"*\" --two-person root --approvals 2 --within 8h",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			words, err := known("two-person", dangers, fleet.Dangers)
			switch {
			case err != nil:
				return err
			case len(words) == 0:
				return fleet.Errorf(fleet.Usage, "--two-person is missing: what needs a second person?").WithHint("--two-person root,shell; fleetctl rules drop %s takes the rules away", shellWord(args[0]))
			case approvals != 1 && approvals != 2:
				return fleet.Errorf(fleet.Usage, "--approvals %d: want 1 or 2", approvals)
			}
			rules, err := client.PutRules(ctx, fleet.Rules{Namespace: args[0], TwoPerson: words, Approvals: approvals, Within: fleet.Duration(within)}, nil, reason)
			if err != nil {
				return err
			}
			return p.show(rules, func() error {
				p.say("in %s a change waits for %s where it is about: %s", namespaceText(rules.Namespace), people(rules.Approvals), strings.ReplaceAll(joined(rules.TwoPerson), ",", ", "))
				return nil
			})
		}),
	}
	f := c.Flags()
	f.StringSliceVar(&dangers, "two-person", nil, "a `danger`: root, shell, everywhere, oneshot or adoption; may be repeated")
	f.IntVar(&approvals, "approvals", 1, "how `many` people beside the one who asks: 1 or 2")
	f.Var(&within, "within", "a request expires after this `duration` (default "+fleet.Duration(24*time.Hour).String()+")")
	f.StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	p.completeWords(c, "two-person", strings.Split(joined(fleet.Dangers), ",")...)
	return c
}

func namespaceText(name string) string {
	if name == fleet.Everywhere {
		return "every namespace"
	}
	return "namespace " + name
}

func newRulesDrop(p *program) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "drop NAMESPACE", Args: arguments(1, 1), Short: "Take the rules of a namespace away",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if err := client.DropRules(ctx, args[0], nil, reason); err != nil {
				return err
			}
			return p.show(args, func() error { p.say("%s has no rules of its own any more", namespaceText(args[0])); return nil })
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}
