package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// namedNode is a machine with the name that its host reported.
type namedNode struct {
	Name string `json:"name,omitempty"`
	fleet.Node
}

func newNodesCommand(p *program) *cobra.Command {
	var state string
	c := &cobra.Command{
		Use: "nodes [NODE]", Args: arguments(0, 1), ValidArgsFunction: p.nodeArgument,
		Short:   "List the machines that were enrolled, or everything about one",
		Example: "  fleetctl nodes --state pending\n  fleetctl nodes db-1",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) == 1 {
				node, err := findNode(ctx, client, args[0])
				if err != nil {
					return err
				}
				return p.show(node, func() error { p.drawNode(&node); return nil })
			}
			return runNodes(ctx, p, client, state)
		}),
	}
	c.Flags().StringVar(&state, "state", "", "only those that are pending, active, suspended or revoked")
	p.completeWords(c, "state", "pending", "active", "suspended", "revoked")
	return c
}

func runNodes(ctx context.Context, p *program, client *api.Client, state string) error {
	if state != "" {
		if _, err := known("state", []string{state}, []fleet.NodeState{fleet.NodePending, fleet.NodeActive, fleet.NodeSuspended, fleet.NodeRevoked}); err != nil {
			return err
		}
	}
	nodes, err := allNodes(ctx, client)
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n namedNode) bool { return state != "" && string(n.State) != state })
	return p.show(nodes, func() error {
		t := p.table(
			column{title: "NODE"}, column{title: "NAME", shrinks: true}, column{title: "ROLE"}, column{title: "STATE", paint: paintTrust}, column{title: "NAMESPACES", shrinks: true},
			column{title: "CERTIFICATE UNTIL"}, column{title: "FINGERPRINT"}, column{title: "ENROLLED", wide: true}, column{title: "BY", wide: true}, column{title: "WHY", wide: true},
		)
		for i := range nodes {
			n := &nodes[i]
			until := "-"
			if !n.Expires.IsZero() {
				until = p.instant(n.Expires)
			}
			t.row(n.ID, orDash(n.Name), string(n.Role), string(n.State), namespacesText(n.Namespaces), until, n.Fingerprint[:min(16, len(n.Fingerprint))], p.instant(n.Enrolled), n.By, n.Why)
		}
		return t.write(p.stdout)
	})
}

func (p *program) drawNode(n *namedNode) {
	p.say("%s %s is %s", n.Role, n.ID, n.State)
	until := ""
	if !n.Expires.IsZero() {
		until = p.exact(n.Expires)
	}
	labels := make([]string, 0, len(n.Labels))
	for name, value := range n.Labels {
		labels = append(labels, name+"="+value)
	}
	slices.Sort(labels)
	p.facts([]fact{
		{"name", n.Name, noColor}, {"fingerprint", n.Fingerprint, noColor}, {"serial", n.Serial, noColor}, {"certificate until", until, noColor},
		{"namespaces", namespacesText(n.Namespaces), noColor}, {"labels", strings.Join(labels, ","), noColor},
		{"enrolled", p.exact(n.Enrolled), noColor}, {"changed", p.exact(n.Changed), noColor}, {"by", n.By, noColor}, {"why", n.Why, noColor},
	})
	if n.State == fleet.NodePending {
		p.note("compare the fingerprint with the one that the machine shows, then: fleetctl node approve %s --fingerprint …", n.ID)
	}
}

// allNodes lists every machine with its name.
func allNodes(ctx context.Context, client *api.Client) ([]namedNode, error) {
	list, err := collectAll(func(page api.Page) (api.List[fleet.Node], error) { return client.Nodes(ctx, page) })
	if err != nil {
		return nil, err
	}
	hosts, err := collectAll(func(page api.Page) (api.List[api.HostView], error) {
		return client.Hosts(ctx, api.HostQuery{Page: page})
	})
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(hosts))
	for i := range hosts {
		names[string(hosts[i].ID)] = hosts[i].Name
	}
	nodes := make([]namedNode, len(list))
	for i, node := range list {
		nodes[i] = namedNode{names[node.ID], node}
	}
	return nodes, nil
}

// findNode returns the machine that a person means: its id, the beginning of it,
// or the name of its host.
func findNode(ctx context.Context, client *api.Client, ref string) (namedNode, error) {
	nodes, err := allNodes(ctx, client)
	if err != nil {
		return namedNode{}, err
	}
	for i := range nodes {
		if nodes[i].ID == ref {
			return nodes[i], nil
		}
	}
	near := slices.DeleteFunc(nodes, func(n namedNode) bool { return n.Name != ref && (len(ref) < 4 || !strings.HasPrefix(n.ID, ref)) })
	switch len(near) {
	case 0:
		return namedNode{}, fleet.Errorf(fleet.NotFound, "there is no machine %q", ref).WithHint("fleetctl nodes")
	case 1:
		return near[0], nil
	}
	return namedNode{}, fleet.Errorf(fleet.Usage, "%q names %d machines: %s, %s", ref, len(near), near[0].ID, near[1].ID).WithHint("write the whole id")
}

func newNodeCommand(p *program) *cobra.Command {
	c := parent("node", "Approve, suspend, revoke or readmit a machine", newNodeApprove(p),
		newNodeChange(p, "suspend", "Close a machine's connections and let it in no more, until it is readmitted", fleet.NodeSuspended),
		newNodeChange(p, "revoke", "Take a machine's identity away for ever: it must enrol as another one", fleet.NodeRevoked),
		newNodeReadmit(p))
	c.Aliases = []string{"agent"}
	return c
}

// minFingerprint is how much of a fingerprint a person must have compared.
const minFingerprint = 16

func newNodeApprove(p *program) *cobra.Command {
	var fingerprint, reason string
	c := &cobra.Command{
		Use: "approve NODE", Args: arguments(1, 1), ValidArgsFunction: p.nodeArgument,
		Short:   "Let a machine in whose fingerprint you compared",
		Long:    "Let a machine in that waits: the join token asked for a person. Compare the fingerprint that\nthe machine shows with the one here first; --fingerprint takes at least its first 16 digits.",
		Example: "  fleetctl nodes --state pending\n  fleetctl node approve 3f9a --fingerprint 91b4c07d22e05a31",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			node, err := findNode(ctx, client, args[0])
			if err != nil {
				return err
			}
			given := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(fingerprint))
			switch {
			case len(given) < minFingerprint:
				return fleet.Errorf(fleet.Usage, "--fingerprint wants at least %d digits of what the machine shows", minFingerprint).WithHint("the one that is here: fleetctl nodes %s", node.ID)
			case !strings.HasPrefix(node.Fingerprint, given):
				return fleet.Errorf(fleet.Refused, "the fingerprints differ: here it is %s, and you say %s", node.Fingerprint, given).
					WithCode("fingerprint_mismatch").WithHint("another machine used the token: fleetctl node revoke %s, and enrol again with a new one", node.ID)
			}
			return p.changeNode(ctx, client, node, api.NodeChange{State: fleet.NodeActive, Fingerprint: node.Fingerprint, Reason: reason})
		}),
	}
	c.Flags().StringVar(&fingerprint, "fingerprint", "", "the `fingerprint` that the machine shows")
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}

func newNodeChange(p *program, verb, short string, state fleet.NodeState) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " NODE", Args: arguments(1, 1), Short: short, ValidArgsFunction: p.nodeArgument,
		Example: "  fleetctl node " + verb + " db-1 --reason \"disk was sold\"",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			node, err := findNode(ctx, client, args[0])
			if err != nil {
				return err
			}
			err = p.changeNode(ctx, client, node, api.NodeChange{State: state, Reason: reason})
			stays, _ := errors.AsType[*fleet.Error](err)
			if state != fleet.NodeRevoked || node.Role != fleet.CollectorKind || err != nil && (stays == nil || stays.Code != "revoked_still_member") {
				return err
			}
			return errors.Join(p.tellHosts(ctx, client, node, reason), err)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your words; kept in the audit chain")
	return c
}

// tellHosts signs that a collector is none any more. Without a key they are not
// told, and that is no error: it may be all that is left of whoever asks.
func (p *program) tellHosts(ctx context.Context, client *api.Client, node namedNode, reason string) error {
	by, err := p.access().Author(client)
	if err != nil {
		p.note("hosts are not told, and still answer to it: %v; the same again with a key that they trust for all namespaces", err)
		return nil
	}
	if err := by.RevokeCollector(ctx, node.ID, author.Options{Reason: reason}); err != nil {
		return err
	}
	p.note("hosts that trust your key for all namespaces speak with it no longer")
	return nil
}

func (p *program) changeNode(ctx context.Context, client *api.Client, node namedNode, to api.NodeChange) error {
	changed, err := client.ChangeNode(ctx, node.ID, to)
	if err != nil {
		return err
	}
	return p.show(changed, func() error {
		p.say("%s %s is %s", changed.Role, orWord(node.Name, changed.ID), changed.State)
		if changed.State == fleet.NodeRevoked {
			p.note("it may know the gossip key: fleetctl gossip-key rotate")
		}
		return nil
	})
}

func newNodeReadmit(p *program) *cobra.Command {
	var life durationFlag
	var out string
	c := &cobra.Command{
		Use: "readmit NODE", Args: arguments(1, 1), ValidArgsFunction: p.nodeArgument,
		Short:   "Make a token with which a host comes back as the same one",
		Long:    "Make a token with which a host comes back as the same one: its certificate has expired, or it\nis suspended. On the host: fleetcron-agent enroll --readmit --token-file FILE.",
		Example: "  fleetctl node readmit db-1 --out db-1.join",
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			node, err := findNode(ctx, client, args[0])
			switch {
			case err != nil:
				return err
			case node.Role != fleet.AgentKind:
				return fleet.Errorf(fleet.Usage, "%s is a collector", node.ID).WithHint("fleetctl enroll-token --collector %s", node.ID)
			case node.State == fleet.NodeRevoked:
				return fleet.Errorf(fleet.Conflict, "host %s is revoked, and that is for ever", orWord(node.Name, node.ID)).WithHint("fleetctl enroll-token makes a token for a new identity")
			}
			made, err := client.MakeJoinToken(ctx, api.NewJoinToken{Node: fleet.HostID(node.ID), Namespaces: node.Namespaces, Life: fleet.Duration(life)})
			if err != nil {
				return err
			}
			return p.printJoinToken(&made, out)
		}),
	}
	c.Flags().Var(&life, "life", "it counts for this `duration`, at most 24h (default 30m)")
	c.Flags().StringVar(&out, "out", "", "write it to this `file`, mode 0600, and not to the terminal")
	return c
}
