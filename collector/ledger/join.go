package ledger

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutJoinToken takes in a new join token. It returns the fleet.JoinToken
// without its hash. One that readmits a host and names no namespaces or no
// labels has those that the host has.
type PutJoinToken struct {
	Token fleet.JoinToken `json:"token"`
}

func (cmd *PutJoinToken) apply(c *change) any {
	token := cmd.Token
	switch {
	case !keyable(token.ID):
		return fleet.Invalidf("id", token.ID, "want 1–%d bytes", maxKeyPart)
	case len(token.Hash) != sha256.Size:
		return fleet.Invalidf("hash", "", "want a SHA-256")
	case !token.Expires.After(token.Created) || token.Expires.Sub(token.Created) > MaxJoinTokenLife:
		return fleet.Invalidf("life", token.Expires.Sub(token.Created).String(), "want more than nothing and at most %s", fleet.Duration(MaxJoinTokenLife))
	case token.Collector != "" && (token.Node != "" || !fleet.ValidName(string(token.Collector))):
		return fleet.Invalidf("collector", string(token.Collector), "want a collector's name, or a host")
	case c.get(inJoinTokens, key(token.ID)) != nil:
		return fleet.Errorf(fleet.Conflict, "there is a join token %s", token.ID).WithCode("exists")
	}
	if token.Node != "" {
		node, found := storedNode(c, string(token.Node))
		switch {
		case !found || node.Role != fleet.AgentKind:
			return noNode(string(token.Node))
		case node.State == fleet.NodeRevoked:
			return revoked(node.ID)
		}
		if len(token.Namespaces) == 0 {
			token.Namespaces = node.Namespaces
		}
		if token.Labels == nil {
			token.Labels = node.Labels
		}
	}
	if token.Collector == "" {
		if refusal := checkNamespaces(token.Namespaces); refusal != nil {
			return refusal
		}
	}
	c.put(inJoinTokens, key(token.ID), encode(token))
	c.notify(Tokens)
	return shownJoin(token)
}

func shownJoin(token fleet.JoinToken) fleet.JoinToken {
	token.Hash = nil
	return token
}

// DropJoinToken withdraws a join token.
type DropJoinToken struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

func (cmd *DropJoinToken) apply(c *change) any {
	if !keyable(cmd.ID) || c.get(inJoinTokens, key(cmd.ID)) == nil {
		return noJoinToken(cmd.ID)
	}
	c.delete(inJoinTokens, key(cmd.ID))
	c.notify(Tokens)
	return nil
}

func noJoinToken(id string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no join token %s", id).WithHint("fleetctl enroll-token list")
}

// UseJoinToken makes a node of whoever brings a join token, and uses it up: of
// all who bring it, one. It returns the fleet.Node. Its state, namespaces and
// labels are those of the token.
type UseJoinToken struct {
	ID   string     `json:"id"`
	Hash []byte     `json:"hash"` // of the secret that was brought
	From netip.Addr `json:"from,omitzero"`
	// Node has ID, Role, Fingerprint, Enrolled, and Serial and Expires of its
	// certificate, or Request where a person must approve first.
	Node  fleet.Node `json:"node"`
	Chain []byte     `json:"chain,omitempty"` // its certificate and what vouches for it, PEM
	At    time.Time  `json:"at"`
}

func (cmd *UseJoinToken) apply(c *change) any {
	var token *fleet.JoinToken
	if keyable(cmd.ID) {
		if found, there := stored[fleet.JoinToken](c, inJoinTokens, key(cmd.ID)); there {
			token = &found
		}
	}
	if refusal := joins(token, cmd.Hash, cmd.From, cmd.Node.Role, cmd.At); refusal != nil {
		return refusal
	}
	old, known := storedNode(c, cmd.Node.ID)
	if refusal := enrols(token, &cmd.Node, &old, known); refusal != nil {
		return refusal
	}
	next := nodeRow{Node: cmd.Node, Chain: cmd.Chain}
	next.State, next.Namespaces, next.Labels = fleet.NodeActive, token.Namespaces, token.Labels
	next.Before, next.Why, next.Changed, next.By = "", "", cmd.At, token.By
	if token.Approve {
		next.State, next.Serial, next.Expires, next.Chain = fleet.NodePending, "", time.Time{}, nil
	} else {
		next.Request = nil
	}
	if known {
		next.Enrolled = old.Enrolled
	}
	putNode(c, next)
	token.Used, token.UsedBy = cmd.At, next.ID
	c.put(inJoinTokens, key(token.ID), encode(token))
	c.notify(Tokens)
	return next.Node
}

// joins refuses who brings no join token that counts. Of its secret nothing is
// told: unknown, used and expired are one refusal.
func joins(token *fleet.JoinToken, hash []byte, from netip.Addr, role fleet.PrincipalKind, now time.Time) *fleet.Error {
	against := make([]byte, sha256.Size)
	if token != nil {
		against = token.Hash
	}
	same := subtle.ConstantTimeCompare(hash, against) == 1
	switch {
	case token == nil || !same || !token.Used.IsZero() || !token.Expires.After(now):
		return fleet.Errorf(fleet.Unauthenticated, "the join token does not count: it is unknown, used or expired").WithCode("join_token_invalid").
			WithHint("fleetctl enroll-token makes another")
	case token.Network.IsValid() && !token.Network.Contains(from.Unmap()):
		return fleet.Errorf(fleet.Refused, "the join token is for machines of %s", token.Network).WithCode("join_token_scope").
			WithHint("fleetctl enroll-token --network makes one for another network")
	case (role == fleet.CollectorKind) != (token.Collector != "") || role != fleet.AgentKind && role != fleet.CollectorKind:
		return fleet.Errorf(fleet.Refused, "the join token is not for a %s", role).WithCode("role_not_allowed").
			WithHint("fleetctl enroll-token is for agents, fleetctl enroll-token --collector NAME for a collector")
	}
	return nil
}

// enrols refuses a node that the token is not for.
func enrols(token *fleet.JoinToken, node *fleet.Node, old *nodeRow, known bool) *fleet.Error {
	switch {
	case !keyable(node.ID):
		return fleet.Invalidf("node", node.ID, "want 1–%d bytes", maxKeyPart)
	case node.Fingerprint == "":
		return fleet.Invalidf("fingerprint", "", "is missing")
	case token.Collector != "" && node.ID != string(token.Collector),
		token.Node != "" && node.ID != string(token.Node):
		return fleet.Errorf(fleet.Refused, "the join token is for another machine").WithCode("role_not_allowed")
	case known && old.State == fleet.NodeRevoked:
		return revoked(node.ID)
	case known && token.Node == "":
		return fleet.Errorf(fleet.Conflict, "there is a node %s already", node.ID).WithCode("exists").WithHint("an id is never used again: name another")
	}
	return nil
}

// CheckJoinToken returns the join token of who brings this id and secret, and
// refuses what UseJoinToken would refuse now, so that no certificate is made in
// vain. Only UseJoinToken decides.
func (l *Ledger) CheckJoinToken(id string, hash []byte, from netip.Addr, role fleet.PrincipalKind, now time.Time) (fleet.JoinToken, error) {
	var token *fleet.JoinToken
	err := l.view(func(r *reader) error {
		if !keyable(id) {
			return nil
		}
		found, there, err := row[fleet.JoinToken](r, inJoinTokens, key(id))
		if there {
			token = &found
		}
		return err
	})
	if err != nil {
		return fleet.JoinToken{}, err
	}
	if refusal := joins(token, hash, from, role, now); refusal != nil {
		return fleet.JoinToken{}, refusal
	}
	return shownJoin(*token), nil
}

// JoinTokens returns the join tokens whose namespaces all lie within the scope,
// by id, without their hashes. Those of collectors are for who sees everything.
func (l *Ledger) JoinTokens(scope fleet.Scope) ([]fleet.JoinToken, error) {
	tokens := []fleet.JoinToken{}
	err := l.view(func(r *reader) error {
		return eachRow(r, inJoinTokens, nil, func(_ []byte, token fleet.JoinToken) bool {
			if joinWithin(scope, &token) {
				tokens = append(tokens, shownJoin(token))
			}
			return true
		})
	})
	return tokens, err
}

func joinWithin(scope fleet.Scope, token *fleet.JoinToken) bool {
	return scope.All() || token.Collector == "" && within(scope, token.Namespaces)
}

// JoinToken returns one join token, without its hash.
func (l *Ledger) JoinToken(scope fleet.Scope, id string) (token fleet.JoinToken, err error) {
	err = l.view(func(r *reader) error {
		found := false
		if keyable(id) {
			token, found, err = row[fleet.JoinToken](r, inJoinTokens, key(id))
		}
		if err == nil && (!found || !joinWithin(scope, &token)) {
			return noJoinToken(id)
		}
		return err
	})
	if err != nil {
		return fleet.JoinToken{}, err
	}
	return shownJoin(token), nil
}

// forgetJoinTokens removes what was used or expired before TrustBefore.
func (cmd *Prune) forgetJoinTokens(c *change) {
	for _, k := range c.keys(inJoinTokens, nil) {
		token, _ := stored[fleet.JoinToken](c, inJoinTokens, k)
		if token.Expires.Before(cmd.TrustBefore) && token.Used.Before(cmd.TrustBefore) {
			c.delete(inJoinTokens, k)
			c.notify(Tokens)
		}
	}
}
