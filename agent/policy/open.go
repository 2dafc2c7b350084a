package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"maps"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// opened is an envelope that was read, whoever signed it.
type opened struct {
	broken     error // why it is none; nothing else is set then
	envelope   *seal.Envelope
	signed     []ed25519.PublicKey // of the policy's keys
	digest     string
	statement  *seal.Statement // nil: it is none, or not of this version
	problem    error           // why statement is nil
	wrong      error           // what no task may say, and this one does
	definition string          // SHA-256 of what the task says
	unread     string          // what of it this version does not know; statement is then read as far as it goes
}

// open reads an envelope, and finds which of the policy's keys signed it. What
// was read for the plan before is not read again.
func (g *Gate) open(text []byte) (*opened, error) {
	sum := sha256.Sum256(text)
	if g.used != nil {
		g.used[sum] = true
	}
	o := g.cache[sum]
	if o == nil {
		o = openWith(g.policy, text)
		g.cache[sum] = o
	}
	return o, o.broken
}

// openWith reads an envelope by the keys of a policy; nil: there are none.
func openWith(p *Policy, text []byte) *opened {
	envelope, err := seal.Parse(text)
	if err != nil {
		return &opened{broken: err}
	}
	o := &opened{envelope: envelope, digest: envelope.Digest()}
	if p != nil {
		keys := make([]ed25519.PublicKey, len(p.Keys))
		for i := range p.Keys {
			keys[i] = p.Keys[i].Public
		}
		o.signed = envelope.Signers(keys)
	}
	o.readStatement()
	return o
}

// prepare reads the envelopes of a plan ahead: whoever holds the collectors can
// give many with many signatures, and what is due meanwhile must not wait.
func (g *Gate) prepare(plan *fleet.Plan) {
	fresh := map[[sha256.Size]byte][]byte{}
	g.mu.Lock()
	p := g.policy
	for text := range envelopes(plan) {
		if sum := sha256.Sum256(text); len(text) > 0 && g.cache[sum] == nil {
			fresh[sum] = text
		}
	}
	g.mu.Unlock()
	read := make(map[[sha256.Size]byte]*opened, len(fresh))
	for sum, text := range fresh {
		read[sum] = openWith(p, text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.policy == p {
		maps.Copy(g.cache, read)
	}
}

// envelopes are all of a plan.
func envelopes(plan *fleet.Plan) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, list := range [][][]byte{plan.Tombstones, plan.Revoked, plan.Sealed} {
			for _, text := range list {
				if !yield(text) {
					return
				}
			}
		}
		for i := range plan.Adoptions {
			if !yield(plan.Adoptions[i].Envelope) {
				return
			}
		}
		for i := range plan.Assignments {
			if !yield(plan.Assignments[i].Envelope) {
				return
			}
		}
		for i := range plan.Orders {
			if !yield(plan.Orders[i].Envelope) {
				return
			}
		}
	}
}

// readStatement reads what is said. A task that says what this version does not
// know is read as far as it goes, to be shown: it is not begun.
func (o *opened) readStatement() {
	o.statement, o.problem = o.envelope.Statement()
	if o.statement != nil && o.statement.Task != nil && o.statement.Task.Definition != nil {
		o.wrong = o.statement.Task.Definition.Validate()
		text, _ := json.Marshal(o.statement.Task.Definition) // it came from JSON
		sum := sha256.Sum256(text)
		o.definition = hex.EncodeToString(sum[:])
	}
	e, ok := errors.AsType[*fleet.Error](o.problem)
	if !ok || e.Code != "unknown_field" {
		return
	}
	var s seal.Statement
	if json.NewDecoder(bytes.NewReader(o.envelope.Payload)).Decode(&s) != nil || s.Validate() != nil || s.Task == nil || s.Task.Definition == nil {
		return
	}
	o.statement, o.unread = &s, e.Error()
}
