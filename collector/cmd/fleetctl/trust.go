package main

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// newTrustCommands returns what is about who may do what.
func newTrustCommands(p *program) []*cobra.Command {
	commands := []*cobra.Command{
		newWhoAmICommand(p), newKeyCommand(p), newTokenCommand(p), newEnrollTokenCommand(p), newNodesCommand(p), newNodeCommand(p),
		newPoliciesCommand(p), newRequestsCommand(p), newApproveCommand(p), newRejectCommand(p), newRulesCommand(p), newAuditCommand(p), newProofsCommand(p),
		newGossipKeyCommand(p), newWebCommand(p),
	}
	for _, c := range commands {
		c.GroupID = groupTrust
	}
	return commands
}

// parent is a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fleet.Errorf(fleet.Usage, "%s does not know %q", c.CommandPath(), args[0]).WithHint("%s --help", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(children...)
	return c
}

func newWhoAmICommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Args: arguments(0, 0),
		Short: "Show who the collectors take you for, and what you may do",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			me, err := client.WhoAmI(ctx)
			if err != nil {
				return err
			}
			return p.show(me, func() error {
				p.say("%s", me.String())
				expires := "never"
				if !me.Expires.IsZero() {
					expires = p.instant(me.Expires)
				}
				p.facts([]fact{
					{"roles", joined(me.Roles), noColor}, {"namespaces", namespacesText(me.Scope), noColor},
					{"token", me.Token, noColor}, {"expires", expires, noColor}, {"key", p.keyText(), noColor},
				})
				return nil
			})
		}),
	}
}

// keyText says what signs for this person.
func (p *program) keyText() string {
	signer, err := p.access().Signer()
	if err != nil {
		return "none: " + err.Error()
	}
	return keyName(signer.Public())
}

func newGossipKeyCommand(p *program) *cobra.Command {
	return parent("gossip-key", "Replace the key that gossip is encrypted with", &cobra.Command{
		Use: "rotate", Args: arguments(0, 0),
		Short: "Draw another gossip key; members learn it by and by",
		Long:  "Draw another gossip key, as after a host was revoked that knew it. Every agent and collector\nlearns the new one over its own connection, and only then the old one is forgotten: nobody\ndrops out.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			if err := client.RotateGossipKey(ctx); err != nil {
				return err
			}
			done := struct {
				Rotated bool `json:"rotated"`
			}{true}
			return p.show(done, func() error {
				p.say("a new gossip key is on its way; the old one counts until every member has the new one")
				return nil
			})
		}),
	})
}

func newWebCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "web", Args: arguments(0, 0),
		Short: "Print a link that logs your browser in, once",
		Long:  "Print a link that logs your browser in, once and within a minute, to look at what your\ntoken may see. The page changes nothing.",
		RunE: p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			session, err := client.Session(ctx)
			if err != nil {
				return err
			}
			link := struct {
				Link    string `json:"link"`
				Expires string `json:"expires"`
			}{p.webAddress(session.Web, client.Addresses()[0]) + session.Path, session.Expires.Format("2006-01-02T15:04:05Z07:00")}
			return p.show(link, func() error {
				p.say("%s", link.Link)
				p.note("it counts once, until %s", p.instant(session.Expires))
				return nil
			})
		}),
	}
}

// webPort is where the web page is by default, beside the API.
const webPort = "7780"

// webAddress returns where the web page of a collector is. The one that was asked
// is meant: it alone knows the code.
func (p *program) webAddress(told, collector string) string {
	if address := orWord(p.settings.Web, told); address != "" {
		return strings.TrimSuffix(address, "/")
	}
	u, err := url.Parse(collector)
	if err != nil {
		return collector
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), webPort)
}

// printSecret hands a secret over, which is told this once: into a file of its
// owner's, or to standard output alone, so that it can be piped on.
func (p *program) printSecret(value any, secret, file, what string) error {
	if file != "" {
		if err := pki.WritePrivate(file, []byte(secret+"\n")); err != nil {
			return err
		}
		return p.show(value, func() error { p.say("%s is in %s", what, file); return nil })
	}
	return p.show(value, func() error {
		p.say("%s", secret)
		p.note("%s: it is shown this once; keep it in a file of mode 0600", what)
		return nil
	})
}

func namespacesText(names []string) string {
	if slices.Contains(names, fleet.Everywhere) {
		return "all"
	}
	return orWord(strings.Join(names, ","), "none")
}

// joined lists words.
func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ",")
}

// known refuses a word that is none of those there are.
func known[T ~string](flag string, words []string, there []T) ([]T, error) {
	known := make([]T, len(words))
	for i, word := range words {
		if known[i] = T(word); !slices.Contains(there, known[i]) {
			return nil, fleet.Errorf(fleet.Usage, "--%s %q: want %s", flag, word, strings.ReplaceAll(joined(there), ",", ", "))
		}
	}
	return known, nil
}
