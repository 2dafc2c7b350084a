package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// RecordProofs keeps what a host signed of its runs. Who proposes it has checked
// every signature. A block that is kept already changes nothing; one that does not
// go on where the one before ended is kept all the same, and marked.
type RecordProofs struct {
	Host   fleet.HostID `json:"host"`
	Blocks [][]byte     `json:"blocks"` // as proof.Block.Encode writes them
	At     time.Time    `json:"at"`
}

// Bounds of what one host makes the collectors remember beside its blocks.
const (
	maxProofKeys   = 32
	maxProofChains = 16
)

// proofRow is what is known of a host's proofs. The numbers stay for ever.
type proofRow struct {
	Keys     []proofKeyRow   `cbor:"1,keyasint,omitempty"` // the first is the one that was known first
	Chains   []proofChainRow `cbor:"2,keyasint,omitempty"` // the last is the one that goes on
	Next     uint64          `cbor:"3,keyasint"`           // number of the next block
	Blocks   uint64          `cbor:"4,keyasint,omitempty"`
	Bytes    int64           `cbor:"5,keyasint,omitempty"`
	Dropped  uint64          `cbor:"6,keyasint,omitempty"` // blocks that were too old, or too many
	Signed   time.Time       `cbor:"7,keyasint"`
	Received time.Time       `cbor:"8,keyasint"`
}

type proofKeyRow struct {
	Key   []byte    `cbor:"1,keyasint"`
	Since time.Time `cbor:"2,keyasint"`
	How   string    `cbor:"3,keyasint"`
}

// proofChainRow is how far a chain is.
type proofChainRow struct {
	Chain  string     `cbor:"1,keyasint"`
	Last   uint64     `cbor:"2,keyasint"`           // number of its last line
	Head   proof.Hash `cbor:"3,keyasint"`           // after it
	Oldest uint64     `cbor:"4,keyasint,omitempty"` // its first line that is kept
}

// blockRow is a block on disk.
type blockRow struct {
	At    time.Time    `cbor:"1,keyasint"`
	Marks []proof.Mark `cbor:"2,keyasint,omitempty"`
	Body  []byte       `cbor:"3,keyasint"`
	Chain string       `cbor:"4,keyasint"`
	First uint64       `cbor:"5,keyasint"`
	Last  uint64       `cbor:"6,keyasint"`
	After proof.Hash   `cbor:"7,keyasint"`
}

func proofKey(host fleet.HostID, number uint64) []byte {
	return append(prefix(string(host)), bigEndian(number)...)
}

// placeKey is where it stands which block begins with a line.
func placeKey(host fleet.HostID, chain string, first uint64) []byte {
	return append(prefix(string(host), chain), bigEndian(first)...)
}

func (cmd *RecordProofs) apply(c *change) any {
	if !cmd.Host.Valid() || c.get(inHosts, key(string(cmd.Host))) == nil {
		return unknownHost(cmd.Host)
	}
	blocks := make([]*proof.Block, len(cmd.Blocks))
	for i, body := range cmd.Blocks {
		b, err := proof.Decode(body)
		if err != nil || b.Host != cmd.Host || !keyable(b.Chain) || len(b.Lines) == 0 {
			return fleet.Invalidf("blocks", "", "block %d is not one of this host", i+1)
		}
		blocks[i] = b
	}
	state, known := stored[proofRow](c, inProofHosts, key(string(cmd.Host)))
	if !known {
		state.Next = 1
	}
	before := state.Next
	for i, b := range blocks {
		if refusal := cmd.keep(c, &state, b, cmd.Blocks[i]); refusal != nil && state.Next == before {
			return refusal
		}
	}
	if state.Next == before {
		return nil
	}
	c.put(inProofHosts, key(string(cmd.Host)), encode(state))
	c.notify(Proofs)
	return nil
}

// keep takes one block in.
func (cmd *RecordProofs) keep(c *change, state *proofRow, b *proof.Block, body []byte) *fleet.Error {
	chain := state.chain(b.Chain)
	var marks []proof.Mark
	switch {
	case chain == nil:
		if state.Next > 1 {
			marks = append(marks, proof.MarkChain)
		}
		if b.First > 1 {
			marks = append(marks, proof.MarkGap)
		}
	case b.First <= chain.Last:
		if b.Last() < chain.Oldest || cmd.kept(c, b) {
			return nil
		}
		marks = append(marks, proof.MarkFork)
	case b.First > chain.Last+1:
		marks = append(marks, proof.MarkGap)
	case b.Before != chain.Head:
		marks = append(marks, proof.MarkFork)
	}
	if chain != nil && state.Chains[len(state.Chains)-1].Chain != b.Chain {
		marks = append(marks, proof.MarkChain)
	}
	if !state.knows(b.Key) {
		first := len(state.Keys) == 0
		if refusal := cmd.meet(c, state, b); refusal != nil {
			return refusal
		}
		if !first || len(state.Keys) > 1 {
			marks = append(marks, proof.MarkKey)
		}
	}
	row := encode(blockRow{At: cmd.At, Marks: marks, Body: body, Chain: b.Chain, First: b.First, Last: b.Last(), After: b.After})
	c.put(inProofs, proofKey(cmd.Host, state.Next), row)
	c.put(inProofPlaces, placeKey(cmd.Host, b.Chain, b.First), bigEndian(state.Next))
	state.goOn(b)
	state.Next++
	state.Blocks++
	state.Bytes += int64(len(row))
	state.Signed, state.Received = b.At, cmd.At
	return nil
}

// kept reports whether this very block is kept already.
func (cmd *RecordProofs) kept(c *change, b *proof.Block) bool {
	at := c.get(inProofPlaces, placeKey(cmd.Host, b.Chain, b.First))
	if at == nil {
		return false
	}
	row, found := stored[blockRow](c, inProofs, proofKey(cmd.Host, number(at)))
	return found && row.Last == b.Last() && row.After == b.After
}

// meet takes note of a key that the host was not known by. The first one is
// believed, where the host said none when it enrolled.
func (cmd *RecordProofs) meet(c *change, state *proofRow, b *proof.Block) *fleet.Error {
	if len(state.Keys) >= maxProofKeys {
		return fleet.Errorf(fleet.Refused, "host %s has signed with %d keys already, and now with another one", cmd.Host, len(state.Keys)).WithCode("proof_keys").
			WithHint("find out what happens on that host: fleetctl proofs hosts")
	}
	node, _ := storedNode(c, string(cmd.Host))
	enrolled := proof.PublicKey(node.ProofKey)
	first := len(state.Keys) == 0
	if first && len(enrolled) > 0 && !bytes.Equal(enrolled, b.Key) {
		state.Keys = append(state.Keys, proofKeyRow{enrolled, node.Enrolled, proof.Enrolled})
		first = false
	}
	next := proofKeyRow{b.Key, cmd.At, proof.Told}
	if bytes.Equal(enrolled, b.Key) {
		next.How = proof.Enrolled
	}
	state.Keys = append(state.Keys, next)
	if first {
		return nil
	}
	why := "the host signs its proofs with another key than before, " + b.Key.Fingerprint()
	if next.How == proof.Enrolled {
		why += ", which it brought when it was enrolled anew"
	}
	c.link(fleet.AuditEntry{
		At: cmd.At, By: fleet.Principal{Kind: fleet.AgentKind, Name: string(cmd.Host), Via: "agent"}, Action: "proof.key", Object: "host " + string(cmd.Host),
		Namespace: namespaceOfNode(c, string(cmd.Host)), Decision: AuditDone, Code: "proof_key_changed",
		Why: fmt.Sprintf("%s; from line %d of chain %s on", why, b.First, b.Chain),
	})
	return nil
}

func (state *proofRow) knows(key proof.PublicKey) bool {
	return slices.ContainsFunc(state.Keys, func(k proofKeyRow) bool { return bytes.Equal(k.Key, key) })
}

func (state *proofRow) chain(id string) *proofChainRow {
	for i := range state.Chains {
		if state.Chains[i].Chain == id {
			return &state.Chains[i]
		}
	}
	return nil
}

// goOn makes the chain of a block the one that goes on.
func (state *proofRow) goOn(b *proof.Block) {
	next := proofChainRow{Chain: b.Chain, Oldest: b.First}
	if old := state.chain(b.Chain); old != nil {
		next = *old
		state.Chains = slices.DeleteFunc(state.Chains, func(row proofChainRow) bool { return row.Chain == b.Chain })
	}
	next.Last, next.Head = b.Last(), b.After
	if state.Chains = append(state.Chains, next); len(state.Chains) > maxProofChains {
		state.Chains = slices.Delete(state.Chains, 0, 1)
	}
}
