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
// already. The same word again changes nothing. Those of several people are kept
// beside each other, the newest maxWords: which of them a host trusts it alone
// knows.
type PutRevocation struct {
	ID       string    `json:"id"`
	Envelope []byte    `json:"envelope"`
	At       time.Time `json:"at"`
	Actor    string    `json:"actor,omitempty"`
}

// maxWords is how many words about one collector are kept.
const maxWords = 8

// revocation is such words about one collector in memory.
type revocation struct {
	id    string
	words [][]byte
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
	case slices.ContainsFunc(node.Words, func(word []byte) bool { return bytes.Equal(word, cmd.Envelope) }):
		return nil
	}
	node.Words = append(node.Words, bytes.Clone(cmd.Envelope))
	node.Words = node.Words[max(0, len(node.Words)-maxWords):]
	putNode(c, node)
	index := c.index
	c.after(func(l *Ledger) {
		l.memory.putRevocation(revocation{node.ID, node.Words})
		for id := range l.memory.hosts {
			l.notify(PlanOf(id), index)
		}
	})
	return nil
}

func (m *memory) putRevocation(about revocation) {
	next := slices.DeleteFunc(slices.Clone(m.revocations), func(old revocation) bool { return old.id == about.id })
	next = append(next, about)
	slices.SortFunc(next, func(a, b revocation) int { return cmp.Compare(a.id, b.id) })
	m.revocations = next
}

// revoked returns the words for a plan.
func (m *memory) revoked() (words [][]byte) {
	for _, about := range m.revocations {
		words = append(words, about.words...)
	}
	return words
}

func (cmd *PutRevocation) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignNode(c, scope, cmd.ID)
}
