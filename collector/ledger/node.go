package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// nodeRow is a node on disk.
type nodeRow struct {
	fleet.Node
	Chain []byte   `json:"chain,omitempty"` // its first certificate, until it renews it
	Words [][]byte `json:"words,omitempty"` // the signed statements that revoke it, the newest last
}

// nodeMoves lists the states that each state of a node may move to. A pending
// one becomes active by ApproveNode alone.
var nodeMoves = map[fleet.NodeState][]fleet.NodeState{
	fleet.NodePending:   {fleet.NodeRevoked},
	fleet.NodeActive:    {fleet.NodeSuspended, fleet.NodeRevoked},
	fleet.NodeSuspended: {fleet.NodeActive, fleet.NodeRevoked},
}

// PutNode takes in a node that nobody enrolled: the first collector, and what a
// person issued by hand. It returns the fleet.Node. The same key again replaces
// what is known of its certificate; another one is a Conflict.
type PutNode struct {
	Node  fleet.Node `json:"node"` // its ID, Role, Fingerprint, Serial, Expires, Namespaces, Labels
	At    time.Time  `json:"at"`
	Actor string     `json:"actor,omitempty"`
}

func (cmd *PutNode) apply(c *change) any {
	node := cmd.Node
	switch {
	case !keyable(node.ID):
		return fleet.Invalidf("node", node.ID, "want 1–%d bytes", maxKeyPart)
	case node.Role != fleet.AgentKind && node.Role != fleet.CollectorKind:
		return fleet.Invalidf("role", string(node.Role), "want agent or collector")
	case node.Fingerprint == "" || node.Serial == "":
		return fleet.Invalidf("node", node.ID, "has no key or no certificate")
	}
	if node.Role == fleet.AgentKind {
		if refusal := checkNamespaces(node.Namespaces); refusal != nil {
			return refusal
		}
	}
	old, known := storedNode(c, node.ID)
	switch {
	case known && old.State == fleet.NodeRevoked:
		return revoked(node.ID)
	case known && (old.Fingerprint != node.Fingerprint || old.Role != node.Role):
		return fleet.Errorf(fleet.Conflict, "there is a node %s already, with another key", node.ID).WithCode("exists").WithHint("an id is never used again: name another")
	case known:
		node.Enrolled = old.Enrolled
	default:
		node.Enrolled = cmd.At
	}
	node.State, node.Before, node.Request, node.Why, node.Changed, node.By = fleet.NodeActive, "", nil, "", cmd.At, cmd.Actor
	putNode(c, nodeRow{Node: node})
	return node
}

// ApproveNode lets a pending node in, with the certificate that was made of its
// request. It returns the fleet.Node. The fingerprint is the one that a person
// compared.
type ApproveNode struct {
	ID          string    `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	Serial      string    `json:"serial"`
	Expires     time.Time `json:"expires"`
	Chain       []byte    `json:"chain,omitempty"` // as in UseJoinToken
	At          time.Time `json:"at"`
	Actor       string    `json:"actor,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

func (cmd *ApproveNode) apply(c *change) any {
	node, found := storedNode(c, cmd.ID)
	switch {
	case !found:
		return noNode(cmd.ID)
	case node.State != fleet.NodePending:
		return fleet.Errorf(fleet.Conflict, "node %s is %s and waits for no approval", cmd.ID, node.State).WithCode("illegal_move")
	case node.Fingerprint != cmd.Fingerprint:
		return fleet.Errorf(fleet.Conflict, "the key of node %s has another fingerprint than the one that was compared", cmd.ID).WithCode("fingerprint_mismatch").
			WithHint("compare it with what the machine itself shows; if it differs, revoke the node")
	case cmd.Serial == "":
		return fleet.Invalidf("serial", "", "is missing")
	}
	node.State, node.Serial, node.Expires, node.Chain, node.Request = fleet.NodeActive, cmd.Serial, cmd.Expires, cmd.Chain, nil
	node.Why, node.By, node.Changed = cmd.Reason, cmd.Actor, cmd.At
	putNode(c, node)
	return node.Node
}

// SetNodeState suspends a node, lifts that, or revokes it for ever. It returns
// the fleet.Node. The state it has already changes nothing.
type SetNodeState struct {
	ID     string          `json:"id"`
	State  fleet.NodeState `json:"state"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

func (cmd *SetNodeState) apply(c *change) any {
	node, found := storedNode(c, cmd.ID)
	switch {
	case !found:
		return noNode(cmd.ID)
	case node.State == cmd.State:
		return node.Node
	case node.State == fleet.NodeRevoked:
		return revoked(cmd.ID)
	case !slices.Contains(nodeMoves[node.State], cmd.State):
		return fleet.Errorf(fleet.Conflict, "node %s is %s and cannot become %q", cmd.ID, node.State, cmd.State).WithCode("illegal_move")
	}
	node.State, node.Why, node.By, node.Changed = cmd.State, cmd.Reason, cmd.Actor, cmd.At
	if node.State == fleet.NodeRevoked {
		node.Request, node.Chain = nil, nil
	}
	putNode(c, node)
	return node.Node
}

// RenewNode records the next certificate of a node. It returns the fleet.Node.
// Before must be the serial in force. One that was renewed already, with another
// key, means that two use one identity: that is refused, and the node suspended
// all the same. With the same key it is the same renewal, whose answer was lost.
type RenewNode struct {
	ID          string    `json:"id"`
	Before      string    `json:"before"` // of the certificate that it asks with
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"` // of the new key
	Expires     time.Time `json:"expires"`
	At          time.Time `json:"at"`
}

func (cmd *RenewNode) apply(c *change) any {
	node, found := storedNode(c, cmd.ID)
	switch {
	case !found:
		return noNode(cmd.ID)
	case node.State != fleet.NodeActive:
		return notActive(&node.Node)
	case cmd.Serial == "" || cmd.Fingerprint == "" || cmd.Before == "":
		return fleet.Invalidf("serial", cmd.Serial, "a renewal names both certificates and the new key")
	}
	switch {
	case cmd.Before == node.Serial:
		node.Before = node.Serial
	case cmd.Before == node.Before && cmd.Fingerprint == node.Fingerprint:
	default:
		node.State, node.Changed, node.By = fleet.NodeSuspended, cmd.At, ""
		node.Why = "its certificate was renewed twice with different keys: two machines may use one identity"
		putNode(c, node)
		return fleet.Errorf(fleet.Conflict, "the certificate was renewed already, with another key; the node is suspended").WithCode("renewal_replay").
			WithHint("find out which machine holds a copy, then: fleetctl node readmit %s", cmd.ID)
	}
	node.Serial, node.Fingerprint, node.Expires, node.Chain, node.Changed = cmd.Serial, cmd.Fingerprint, cmd.Expires, nil, cmd.At
	putNode(c, node)
	return node.Node
}

func storedNode(c *change, id string) (nodeRow, bool) {
	if !keyable(id) {
		return nodeRow{}, false
	}
	return stored[nodeRow](c, inNodes, key(id))
}

func noNode(id string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no node %s", id).WithHint("fleetctl nodes")
}

func revoked(id string) *fleet.Error {
	return fleet.Errorf(fleet.Refused, "node %s was revoked, for ever", id).WithCode("node_revoked").WithHint("enrol the machine anew: it gets another id")
}

// notActive refuses a node whose certificate does not count.
func notActive(node *fleet.Node) *fleet.Error {
	switch node.State {
	case fleet.NodeRevoked:
		return revoked(node.ID)
	case fleet.NodePending:
		return fleet.Errorf(fleet.Refused, "node %s waits for a person to approve it", node.ID).WithCode("node_pending").WithHint("fleetctl nodes --state pending")
	}
	return fleet.Errorf(fleet.Refused, "node %s is suspended: %s", node.ID, node.Why).WithCode("node_suspended").WithHint("fleetctl node readmit %s", node.ID)
}

// putNode writes the row. Its host is another now where other tasks are for it,
// and others see it; with a new certificate alone it is not.
func putNode(c *change, row nodeRow) {
	old, known := storedNode(c, row.ID)
	c.put(inNodes, key(row.ID), encode(row))
	c.notify(Nodes)
	node, index := row.Node, c.index
	moved := !known || !slices.Equal(old.Namespaces, row.Namespaces) || (old.State == fleet.NodeRevoked) != (row.State == fleet.NodeRevoked)
	c.after(func(l *Ledger) { l.nodeChanged(&node, moved, index) })
	if host := fleet.HostID(row.ID); moved && row.Role == fleet.AgentKind && c.get(inHosts, key(row.ID)) != nil {
		c.hosts = append(c.hosts, host)
		c.notify(Hosts)
	}
}

// nodeChanged takes a node into memory. It needs mu.
func (l *Ledger) nodeChanged(node *fleet.Node, moved bool, index uint64) {
	l.memory.nodes[node.ID] = node
	id := fleet.HostID(node.ID)
	old := l.memory.hosts[id]
	if old == nil || node.Role != fleet.AgentKind || !moved {
		return
	}
	host := *old
	host.enrolled(node)
	l.memory.putHost(&host)
	delete(l.memory.assigned, id)
	l.memory.moved(old, &host)
	l.notify(PlanOf(id), index)
}

// enrolled takes over what the host's node says.
func (h *Host) enrolled(node *fleet.Node) {
	if node == nil {
		return
	}
	h.Enrolled, h.Namespaces = true, node.Namespaces
	if node.State == fleet.NodeRevoked {
		h.Revoked = true
	}
}

// Serves reports whether the host takes tasks of the namespace.
func (h *Host) Serves(namespace string) bool {
	return !h.Revoked && (!h.Enrolled || slices.Contains(h.Namespaces, fleet.Everywhere) || slices.Contains(h.Namespaces, namespace))
}

// serving is what of a node decides whose tasks its host takes; nothing else of
// the row is read.
type serving struct {
	State      fleet.NodeState `json:"state"`
	Namespaces []string        `json:"namespaces"`
}

// serves returns what says whether a host takes tasks of a namespace, so that no
// host speaks about tasks of those that it is not for.
func (c *change) serves(host fleet.HostID) func(fleet.TaskID) bool {
	data := c.get(inNodes, key(string(host)))
	if data == nil {
		return func(fleet.TaskID) bool { return true }
	}
	var node serving
	if err := glancing.Unmarshal(data, &node); err != nil {
		panic(unwritten{fmt.Errorf("read %s: %w", bucketNames[inNodes], err)})
	}
	all := slices.Contains(node.Namespaces, fleet.Everywhere)
	return func(task fleet.TaskID) bool { return all || slices.Contains(node.Namespaces, task.Namespace()) }
}

// AdmitNode says whether a machine with a certificate of this role, id and
// serial is welcome. It is asked at every connection, and reads memory alone.
func (l *Ledger) AdmitNode(role fleet.PrincipalKind, id, serial string) error {
	l.mu.RLock()
	node := l.memory.nodes[id]
	l.mu.RUnlock()
	switch {
	case node == nil || node.Role != role:
		return fleet.Errorf(fleet.Refused, "no %s %s was enrolled here", role, id).WithCode("node_unknown")
	case node.State != fleet.NodeActive:
		return notActive(node)
	case serial == "" || serial != node.Serial && serial != node.Before:
		return fleet.Errorf(fleet.Refused, "the certificate of %s %s was replaced", role, id).WithCode("node_serial").WithHint("fleetctl node readmit %s", id)
	}
	return nil
}

// sees reports whether a node may be shown.
func sees(scope fleet.Scope, node *fleet.Node) bool {
	return scope.All() || node.Role == fleet.AgentKind && scope.Meets(node.Namespaces)
}

// Nodes returns the nodes that the scope sees, by id.
func (l *Ledger) Nodes(scope fleet.Scope) []fleet.Node {
	l.mu.RLock()
	defer l.mu.RUnlock()
	nodes := []fleet.Node{}
	for _, node := range sorted(l.memory.nodes) {
		if sees(scope, node) {
			nodes = append(nodes, shownNode(scope, node))
		}
	}
	return nodes
}

// Node returns one node.
func (l *Ledger) Node(scope fleet.Scope, id string) (fleet.Node, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	node := l.memory.nodes[id]
	if node == nil || !sees(scope, node) {
		return fleet.Node{}, noNode(id)
	}
	return shownNode(scope, node), nil
}

// shownNode returns the node without namespaces that the scope does not see.
func shownNode(scope fleet.Scope, node *fleet.Node) fleet.Node {
	shown := *node
	shown.Namespaces = namesWithin(scope, node.Namespaces)
	return shown
}

// Enrolled returns a node and, until it renews it, its first certificate, for
// the machine that waits for a person to approve it.
func (l *Ledger) Enrolled(id string) (node fleet.Node, chain []byte, found bool, err error) {
	if !keyable(id) {
		return node, nil, false, nil
	}
	err = l.view(func(r *reader) error {
		var known nodeRow
		known, found, err = row[nodeRow](r, inNodes, key(id))
		node, chain = known.Node, known.Chain
		return err
	})
	return node, chain, found, err
}
