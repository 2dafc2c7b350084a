package httpd

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// joinTokenLife is how long a join token counts that names no life.
const joinTokenLife = 30 * time.Minute

// JoinTokens lists the join tokens, without their secrets.
func (s *Server) joinTokens(ctx context.Context, _ struct{}) (api.List[fleet.JoinToken], error) {
	tokens, err := s.Ledger.JoinTokens(scopeOf(ctx))
	return api.List[fleet.JoinToken]{Items: tokens, Total: len(tokens)}, err
}

// newJoinToken asks for a join token.
type newJoinToken struct {
	change
	api.NewJoinToken
	network netip.Prefix
}

func parseNewJoinToken() func(*request) (newJoinToken, error) {
	decoder := newDecoder[api.NewJoinToken]()
	return func(r *request) (in newJoinToken, err error) {
		if err := r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.change, err = r.plainChange(); err != nil {
			return in, err
		}
		if in.NewJoinToken, err = decoder.decode(r.body); err != nil {
			return in, err
		}
		if in.Network != "" {
			if in.network, err = netip.ParsePrefix(in.Network); err != nil || in.network != in.network.Masked() {
				return in, fleet.Invalidf("network", clip(in.Network), "want a network such as 10.0.0.0/8")
			}
		}
		if in.Collector != "" && in.Approve {
			return in, fleet.Invalidf("approve", "true", "is for agents; a collector is let in by whoever makes its token")
		}
		return in, nil
	}
}

// makeJoinToken draws a secret that lets one machine in, and tells it this once.
func (s *Server) makeJoinToken(ctx context.Context, in newJoinToken) (api.MadeJoinToken, error) {
	if s.Authority == nil {
		return api.MadeJoinToken{}, noAuthority()
	}
	secret := pki.NewJoinSecret(s.Authority.Pin())
	now := time.Now().UTC()
	token := fleet.JoinToken{
		ID: secret.ID, Hash: secret.Hash(), Collector: in.Collector, Node: in.Node, Namespaces: in.Namespaces, Labels: in.Labels,
		Network: in.network, Approve: in.Approve, Created: now, Expires: now.Add(cmp.Or(time.Duration(in.Life), joinTokenLife)), By: callerOf(ctx).String(),
	}
	if len(token.Namespaces) == 0 && token.Collector == "" && token.Node == "" {
		token.Namespaces = []string{fleet.Everywhere}
	}
	wears := fleet.Host{ID: "00000000000000000000000000000000", Name: "new", Labels: token.Labels}
	if err := wears.Validate(); err != nil {
		return api.MadeJoinToken{}, err
	}
	result, err := s.propose(ctx, in.change, act{"join_token.put", "join token " + token.ID, ""}, &ledger.PutJoinToken{Token: token})
	if err != nil {
		return api.MadeJoinToken{}, err
	}
	made, is := result.(fleet.JoinToken)
	if !is {
		return api.MadeJoinToken{}, fmt.Errorf("make join token: the ledger answered %T", result)
	}
	if made.ID != token.ID {
		return api.MadeJoinToken{}, toldAlready("join token", made.ID)
	}
	return api.MadeJoinToken{JoinToken: made, Secret: secret.Text(), Index: s.ledgerIndex()}, nil
}

// named is a change of what a path parameter names.
type named struct {
	change
	id string
}

func parseDropJoinToken(r *request) (in named, err error) {
	if in.id, err = r.path("token", idParameter); err != nil {
		return in, err
	}
	if err = r.query(&struct{}{}); err != nil {
		return in, err
	}
	in.change, err = r.plainChange()
	return in, err
}

// dropJoinToken withdraws a join token.
func (s *Server) dropJoinToken(ctx context.Context, in named) (receipt, error) {
	now := time.Now().UTC()
	_, err := s.propose(ctx, in.change, act{"join_token.drop", "join token " + in.id, ""}, &ledger.DropJoinToken{ID: in.id, At: now})
	return receipt{s.ledgerIndex()}, err
}

// nodes lists the machines that were enrolled.
func (s *Server) nodes(ctx context.Context, page api.Page) (api.List[fleet.Node], error) {
	index, err := s.newer(ctx, wait(page), ledger.Nodes)
	if err != nil {
		return api.List[fleet.Node]{}, err
	}
	list, err := paged(s.Ledger.Nodes(scopeOf(ctx)), page, func(node fleet.Node) string { return node.ID })
	for i := range list.Items {
		list.Items[i].Request = nil
	}
	list.Index = index
	return list, err
}

// node returns one machine.
func (s *Server) node(ctx context.Context, id string) (fleet.Node, error) {
	node, err := s.Ledger.Node(scopeOf(ctx), id)
	node.Request = nil
	return node, err
}

// nodeChange approves, suspends, revokes or lifts a suspension.
type nodeChange struct {
	named
	api.NodeChange
}

func parseNodeChange() func(*request) (nodeChange, error) {
	decoder := newDecoder[api.NodeChange]()
	return func(r *request) (in nodeChange, err error) {
		if in.id, err = parseNode(r); err != nil {
			return in, err
		}
		if in.change, err = r.plainChange(); err != nil {
			return in, err
		}
		if in.NodeChange, err = decoder.decode(r.body); err != nil {
			return in, err
		}
		in.change.Reason = cmp.Or(in.change.Reason, in.NodeChange.Reason)
		switch in.State {
		case fleet.NodeActive, fleet.NodeSuspended, fleet.NodeRevoked:
			return in, nil
		}
		return in, fleet.Invalidf("state", clip(string(in.State)), "want active, suspended or revoked")
	}
}

// changeNode lets a machine in that waits, or changes whether one counts.
func (s *Server) changeNode(ctx context.Context, in nodeChange) (fleet.Node, error) {
	node, err := s.Ledger.Node(scopeOf(ctx), in.id)
	if err != nil {
		return fleet.Node{}, err
	}
	now, actor := time.Now().UTC(), callerOf(ctx).String()
	action := "node." + string(in.State)
	var command ledger.Command = &ledger.SetNodeState{ID: in.id, State: in.State, At: now, Actor: actor, Reason: in.change.Reason}
	if node.State == fleet.NodePending && in.State == fleet.NodeActive {
		if command, err = s.approval(&node, in, now, actor); err != nil {
			return fleet.Node{}, err
		}
		action = "node.approve"
	}
	result, err := s.propose(ctx, in.change, act{action, string(node.Role) + " " + in.id, ""}, command)
	if err != nil {
		return fleet.Node{}, err
	}
	changed, is := result.(fleet.Node)
	if !is {
		return fleet.Node{}, fmt.Errorf("change node: the ledger answered %T", result)
	}
	changed.Request = nil
	if changed.Role == fleet.CollectorKind && changed.State == fleet.NodeRevoked {
		return changed, s.takeOut(ctx, fleet.CollectorID(changed.ID))
	}
	return changed, nil
}

// takeOut takes a revoked collector out of the raft group, or says that this is
// still to be done: it votes no longer, and counts as one that does not answer.
func (s *Server) takeOut(ctx context.Context, id fleet.CollectorID) error {
	_, err := s.leave(ctx, id)
	if err == nil || fleet.KindOf(err) == fleet.NotFound {
		return nil
	}
	return &fleet.Error{
		Kind: fleet.Conflict, Code: "revoked_still_member", Err: err,
		Message: "collector " + string(id) + " is revoked and is let in nowhere, but is still a member of the raft group",
		Hint:    "when a majority of the others answers (fleetctl collectors) do it again: fleetctl node revoke " + string(id),
	}
}

// approval makes the certificate of a machine whose fingerprint a person compared.
func (s *Server) approval(node *fleet.Node, in nodeChange, now time.Time, actor string) (ledger.Command, error) {
	if in.Fingerprint == "" {
		return nil, fleet.Invalidf("fingerprint", "", "is missing: compare %s with what the machine itself shows", node.Fingerprint)
	}
	if s.Authority == nil {
		return nil, noAuthority()
	}
	request, err := identity.ReadRequest(node.Request)
	if err != nil {
		return nil, err
	}
	issued, err := s.Authority.IssueAgent(request, fleet.HostID(node.ID), now)
	return &ledger.ApproveNode{
		ID: node.ID, Fingerprint: in.Fingerprint, Serial: issued.Serial, Expires: issued.Expires, Chain: issued.Chain,
		At: now, Actor: actor, Reason: in.change.Reason,
	}, err
}
