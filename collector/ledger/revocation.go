package ledger

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutRevocation keeps the signed word that a collector is none any more, which
// hosts believe where they believe no list. The collector is revoked here
// already. The same word again changes nothing, and the first one stands.
type PutRevocation struct {
	ID       string    `json:"id"`
	Envelope []byte    `json:"envelope"`
	At       time.Time `json:"at"`
	Actor    string    `json:"actor,omitempty"`
}

// revocation is such a word in memory.
type revocation struct {
	id       string
	envelope []byte
}

func (cmd *PutRevocation) apply(c *change) any {
	node, found := storedNode(c, cmd.ID)
	switch {
	case !found || node.Role != fleet.CollectorKind:
		return fleet.Errorf(fleet.NotFound, "no collector %s", cmd.ID).WithHint("fleetctl nodes")
	case node.State != fleet.NodeRevoked:
		return fleet.Errorf(fleet.Conflict, "collector %s is %s, and not revoked", cmd.ID, node.State).WithCode("illegal_move").WithHint("fleetctl node revoke %s", cmd.ID)
	case len(cmd.Envelope) == 0:
		return fleet.Invalidf("envelope", "", "is missing")
	case len(node.Word) > 0:
		return nil
	}
	node.Word = bytes.Clone(cmd.Envelope)
	putNode(c, node)
	index := c.index
	c.after(func(l *Ledger) {
		l.memory.putRevocation(revocation{node.ID, node.Word})
		for id := range l.memory.hosts {
			l.notify(PlanOf(id), index)
		}
	})
	return nil
}

func (m *memory) putRevocation(word revocation) {
	next := append(slices.Clone(m.revocations), word)
	slices.SortFunc(next, func(a, b revocation) int { return cmp.Compare(a.id, b.id) })
	m.revocations = next
}

// revoked returns the words for a plan.
func (m *memory) revoked() (words [][]byte) {
	for _, word := range m.revocations {
		words = append(words, word.envelope)
	}
	return words
}

func (cmd *PutRevocation) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignNode(c, scope, cmd.ID)
}
