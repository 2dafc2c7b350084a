package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newPoliciesCommand(p *program) *cobra.Command {
	var refused bool
	c := &cobra.Command{
		Use: "policies [HOST]", Args: arguments(0, 1),
		Short:             "List what hosts say of their own policies, and what they refuse",
		Long:              "List what hosts say of their own policies: whether they run anything, whose keys they obey,\nand what they refuse, with the line of /etc/fleetcron/policy.yaml that says so. Only root on a\nhost can change its policy.",
		Example:           "  fleetctl policies --refused\n  fleetctl policies db-1",
		ValidArgsFunction: p.hostArgument,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			list, err := client.Policies(ctx)
			if err != nil {
				return err
			}
			hosts := list.Items
			if len(args) == 1 {
				at := slices.IndexFunc(hosts, func(h api.HostChain) bool { return h.Name == args[0] || string(h.Host) == args[0] })
				if at < 0 {
					return fleet.Errorf(fleet.NotFound, "host %q has told of no policy", args[0]).WithHint("fleetctl policies")
				}
				return p.show(hosts[at], func() error { return p.drawPolicy(&hosts[at]) })
			}
			if refused {
				hosts = slices.DeleteFunc(hosts, func(h api.HostChain) bool { return len(h.Refused) == 0 })
			}
			return p.show(hosts, func() error { return p.drawPolicies(hosts) })
		}),
	}
	c.Flags().BoolVar(&refused, "refused", false, "only hosts that refuse something")
	return c
}

func (p *program) drawPolicies(hosts []api.HostChain) error {
	t := p.table(
		column{title: "HOST"}, column{title: "RUNS", paint: paintTrust}, column{title: "KEYS", shrinks: true}, column{title: "TWO PEOPLE FOR", shrinks: true},
		column{title: "REFUSES", right: true, paint: redUnless("0")}, column{title: "PROBLEM", shrinks: true}, column{title: "TOLD", wide: true},
	)
	for i := range hosts {
		h := &hosts[i]
		t.row(h.Name, onOff(h.Execute), orDash(strings.Join(h.Keys, ",")), orDash(joined(h.TwoPerson)), strconv.Itoa(len(h.Refused)), orDash(h.Problem), p.instant(h.At))
	}
	return t.write(p.stdout)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (p *program) drawPolicy(h *api.HostChain) error {
	if h.Execute {
		p.say("%s runs what its policy allows", h.Name)
	} else {
		p.say("%s runs nothing: it only reports", h.Name)
	}
	p.facts([]fact{
		{"problem", h.Problem, red}, {"keys", strings.Join(h.Keys, ", "), noColor}, {"two people for", joined(h.TwoPerson), noColor},
		{"policy", h.Digest, noColor}, {"audit chain", strconv.FormatUint(h.AuditSeq, 10) + " entries", noColor}, {"told", p.exact(h.At), noColor},
	})
	if len(h.Refused) == 0 {
		return nil
	}
	t := p.table(column{title: "REFUSED"}, column{title: "CODE"}, column{title: "LINE", right: true}, column{title: "WHY", shrinks: true})
	for _, r := range h.Refused {
		line := "-"
		if r.Line > 0 {
			line = strconv.Itoa(r.Line)
		}
		t.row(r.Object, r.Code, line, r.Why)
	}
	return t.write(p.stdout)
}
