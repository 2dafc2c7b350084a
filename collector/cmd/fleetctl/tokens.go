package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func newTokenCommand(p *program) *cobra.Command {
	return parent("token", "Make, list and revoke the tokens of people and pipelines", newTokenNew(p), newTokenList(p), newTokenRevoke(p))
}

type tokenOptions struct {
	roles, namespaces []string
	everywhere        bool
	life              durationFlag
	out               string
}

func newTokenNew(p *program) *cobra.Command {
	var o tokenOptions
	c := &cobra.Command{
		Use: "new NAME", Args: arguments(1, 1),
		Short:   "Make a token for a person or a pipeline",
		Long:    "Make a token for a person or a pipeline. It says who asks; what runs on hosts takes a key as\nwell. Roles: viewer reads; runner has tasks run, and cancels runs; operator submits all that is signed;\napprover adds a second signature; auditor reads the audit chain; admin does all of it, and tokens, enrolment and collectors.",
		Example: "  fleetctl token new anna --role operator --namespace data --out anna.token\n  fleetctl token new ci --role viewer --all-namespaces --life 90d",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runTokenNew(ctx, p, client, args[0], &o)
		}),
	}
	f := c.Flags()
	f.StringSliceVar(&o.roles, "role", nil, "a `role`: viewer, runner, operator, approver, auditor or admin; may be repeated")
	f.StringSliceVar(&o.namespaces, "namespace", nil, "a `namespace` that it is for; may be repeated")
	f.BoolVar(&o.everywhere, "all-namespaces", false, "it is for every namespace")
	f.Var(&o.life, "life", "it counts for this `duration`, at most 365d (default 30d)")
	f.StringVar(&o.out, "out", "", "write it to this `file`, mode 0600, and not to the terminal")
	p.completeWords(c, "role", strings.Split(joined(fleet.Roles), ",")...)
	return c
}

func runTokenNew(ctx context.Context, p *program, client *api.Client, name string, o *tokenOptions) error {
	roles, err := known("role", o.roles, fleet.Roles)
	switch {
	case err != nil:
		return err
	case len(roles) == 0:
		return fleet.Errorf(fleet.Usage, "--role is missing: what may %s do?", name).WithHint("--role viewer reads; fleetctl token new --help lists the others")
	case o.everywhere == (len(o.namespaces) > 0):
		return fleet.Errorf(fleet.Usage, "token new wants --namespace, or --all-namespaces").WithHint("fleetctl token new %s --role %s --namespace data", shellWord(name), o.roles[0])
	}
	namespaces := o.namespaces
	if o.everywhere {
		namespaces = []string{fleet.Everywhere}
	}
	made, err := client.MakeToken(ctx, api.NewToken{Name: name, Roles: roles, Namespaces: namespaces, Life: fleet.Duration(o.life)})
	if err != nil {
		return err
	}
	if o.out != "" {
		secret := made.Secret
		made.Secret = "" // it is in the file
		return p.printSecret(made, secret, o.out, "token "+made.ID+" of "+name)
	}
	return p.printSecret(made, made.Secret, "", "token "+made.ID+" of "+name+" counts until "+p.instant(made.Expires))
}

func newTokenList(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: arguments(0, 0),
		Short: "List the tokens, without their secrets",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.Tokens(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error {
				t := p.table(
					column{title: "TOKEN"}, column{title: "NAME", shrinks: true}, column{title: "ROLES"}, column{title: "NAMESPACES", shrinks: true},
					column{title: "STATE", paint: paintTrust}, column{title: "EXPIRES"}, column{title: "CREATED", wide: true}, column{title: "BY", wide: true},
				)
				for i := range list.Items {
					token := &list.Items[i]
					t.row(token.ID, token.Name, joined(token.Roles), namespacesText(token.Namespaces), p.tokenState(token), p.instant(token.Expires), p.instant(token.Created), token.By)
				}
				return t.write(p.stdout)
			})
		}),
	}
}

func (p *program) tokenState(token *fleet.Token) string {
	switch {
	case !token.Revoked.IsZero():
		return "revoked"
	case !p.now().Before(token.Expires):
		return "expired"
	case token.Bootstrap:
		return "bootstrap"
	}
	return "active"
}

// paintTrust colours whether something counts.
func paintTrust(text string) color {
	switch text {
	case "active", "on":
		return green
	case "revoked", "expired", "suspended", "off":
		return red
	case "pending", "bootstrap":
		return yellow
	}
	return noColor
}

func newTokenRevoke(p *program) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke TOKEN…", Args: arguments(1, -1),
		Short:   "End tokens at once, by their ids",
		Example: "  fleetctl token revoke k3v9x0ab --reason \"laptop stolen\"",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			for _, id := range args {
				if err := client.RevokeToken(ctx, id, reason); err != nil {
					return err
				}
			}
			return p.show(args, func() error { p.say("revoked: %s", strings.Join(args, ", ")); return nil })
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}

type enrollOptions struct {
	namespaces, labels []string
	network, collector string
	approve            string
	life               durationFlag
	out                string
}

func newEnrollTokenCommand(p *program) *cobra.Command {
	var o enrollOptions
	c := &cobra.Command{
		Use: "enroll-token", Args: arguments(0, 0),
		Short:   "Make a token with which one machine joins the fleet, once",
		Long:    "Make a token with which one machine joins the fleet, once. It holds the fingerprint of the\nfleet's root, so that the machine knows the fleet before it says anything. Hand it over in a\nfile: fleetcron-agent enroll --token-file FILE --address https://…",
		Example: "  fleetctl enroll-token --namespace data --label role=db --out db-1.join\n  fleetctl enroll-token --approve manual --network 10.0.0.0/8\n  fleetctl enroll-token --collector c2",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runEnrollToken(ctx, p, client, &o)
		}),
	}
	f := c.Flags()
	f.StringSliceVar(&o.namespaces, "namespace", nil, "a `namespace` whose tasks the host takes (default: all); may be repeated")
	f.StringSliceVar(&o.labels, "label", nil, "a label `NAME=VALUE` that the host gets; may be repeated")
	f.StringVar(&o.network, "network", "", "the machine must ask from this `range`, such as 10.0.0.0/8")
	f.StringVar(&o.approve, "approve", "auto", "manual: a person must approve the machine's fingerprint; or auto")
	f.StringVar(&o.collector, "collector", "", "for a collector with this `id`, not for a host")
	f.Var(&o.life, "life", "it counts for this `duration`, at most 24h (default 30m)")
	f.StringVar(&o.out, "out", "", "write it to this `file`, mode 0600, and not to the terminal")
	p.completeWords(c, "approve", "auto", "manual")
	c.AddCommand(newEnrollTokenList(p), newEnrollTokenDrop(p))
	return c
}

func runEnrollToken(ctx context.Context, p *program, client *api.Client, o *enrollOptions) error {
	if o.approve != "auto" && o.approve != "manual" {
		return fleet.Errorf(fleet.Usage, "--approve %q: want auto or manual", o.approve)
	}
	labels := map[string]string{}
	for _, label := range o.labels {
		name, value, found := strings.Cut(label, "=")
		if !found {
			return fleet.Errorf(fleet.Usage, "--label %q: want NAME=VALUE", label)
		}
		labels[name] = value
	}
	made, err := client.MakeJoinToken(ctx, api.NewJoinToken{
		Collector: fleet.CollectorID(o.collector), Namespaces: o.namespaces, Labels: labels, Network: o.network, Approve: o.approve == "manual", Life: fleet.Duration(o.life),
	})
	if err != nil {
		return err
	}
	return p.printJoinToken(&made, o.out)
}

func (p *program) printJoinToken(made *api.MadeJoinToken, out string) error {
	program, whose := "fleetcron-agent", "for one host"
	switch {
	case made.Collector != "":
		program, whose = "fleetcron-collector", "for collector "+string(made.Collector)
	case made.Node != "":
		whose = "for host " + string(made.Node)
	}
	secret, what := made.Secret, "join token "+made.ID+" "+whose+" counts once, until "+p.instant(made.Expires)
	if out != "" {
		made.Secret = ""
	}
	if err := p.printSecret(made, secret, out, what); err != nil {
		return err
	}
	if p.settings.Output.people() {
		p.note("there: %s enroll --token-file FILE --address %s", program, p.settings.Addresses[0])
	}
	return nil
}

func newEnrollTokenList(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: arguments(0, 0), Short: "List the join tokens, without their secrets",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.JoinTokens(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func() error {
				t := p.table(column{title: "TOKEN"}, column{title: "FOR"}, column{title: "NAMESPACES", shrinks: true}, column{title: "NETWORK"}, column{title: "APPROVE"}, column{title: "STATE"}, column{title: "EXPIRES"}, column{title: "BY", wide: true})
				for _, token := range list.Items {
					t.row(token.ID, joins(&token), namespacesText(token.Namespaces), networkText(&token), approveText(token.Approve), p.joinState(&token), p.instant(token.Expires), token.By)
				}
				return t.write(p.stdout)
			})
		}),
	}
}

func joins(token *fleet.JoinToken) string {
	switch {
	case token.Collector != "":
		return "collector " + string(token.Collector)
	case token.Node != "":
		return "host " + string(token.Node)
	}
	return "a host"
}

func networkText(token *fleet.JoinToken) string {
	if !token.Network.IsValid() {
		return "anywhere"
	}
	return token.Network.String()
}

func approveText(manual bool) string {
	if manual {
		return "manual"
	}
	return "auto"
}

func (p *program) joinState(token *fleet.JoinToken) string {
	switch {
	case !token.Used.IsZero():
		return "used by " + token.UsedBy
	case !p.now().Before(token.Expires):
		return "expired"
	}
	return "open"
}

func newEnrollTokenDrop(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "drop TOKEN", Args: arguments(1, 1), Short: "Withdraw a join token, by its id",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if err := client.DropJoinToken(ctx, args[0]); err != nil {
				return err
			}
			return p.show(args, func() error { p.say("join token %s is withdrawn", args[0]); return nil })
		}),
	}
}
