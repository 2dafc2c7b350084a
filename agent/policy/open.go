package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// opened is an envelope that was read, whoever signed it.
type opened struct {
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
	if o := g.cache[sum]; o != nil {
		return o, nil
	}
	envelope, err := seal.Parse(text)
	if err != nil {
		return nil, err
	}
	o := &opened{envelope: envelope, digest: envelope.Digest()}
	if g.policy != nil {
		keys := make([]ed25519.PublicKey, len(g.policy.Keys))
		for i := range g.policy.Keys {
			keys[i] = g.policy.Keys[i].Public
		}
		o.signed = envelope.Signers(keys)
	}
	o.readStatement()
	g.cache[sum] = o
	return o, nil
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
