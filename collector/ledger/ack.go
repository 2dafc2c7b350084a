package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutAck records that a person knows of a finding. It returns the fleet.Ack.
// Whether the finding stands is not known here.
type PutAck struct {
	Ack fleet.Ack `json:"ack"`
}

func (cmd *PutAck) apply(c *change) any {
	if !keyable(cmd.Ack.Finding) {
		return fleet.Invalidf("finding", cmd.Ack.Finding, "want 1–%d bytes", maxKeyPart)
	}
	c.put(inAcks, key(cmd.Ack.Finding), encode(cmd.Ack))
	c.notify(Acks)
	return cmd.Ack
}

// DropAck takes an acknowledgement back.
type DropAck struct {
	Finding string `json:"finding"`
}

func (cmd *DropAck) apply(c *change) any {
	if c.get(inAcks, key(cmd.Finding)) == nil {
		return fleet.Errorf(fleet.NotFound, "finding %s is not acknowledged", cmd.Finding).WithHint("fleetctl findings --acked only")
	}
	c.delete(inAcks, key(cmd.Finding))
	c.notify(Acks)
	return nil
}

// Acks returns every acknowledgement, expired ones too, by finding. Which
// namespaces a finding is of is not known here: who does not see all of them gets
// none.
func (l *Ledger) Acks(scope fleet.Scope) (acks map[string]fleet.Ack, err error) {
	acks = map[string]fleet.Ack{}
	if !scope.All() {
		return acks, nil
	}
	err = l.view(func(r *reader) error {
		return eachRow(r, inAcks, nil, func(_ []byte, ack fleet.Ack) bool {
			acks[ack.Finding] = ack
			return true
		})
	})
	return acks, err
}

// dropAcks drops the acknowledgements that expired by then.
func dropAcks(c *change, at time.Time) (dropped int) {
	for _, k := range c.keys(inAcks, nil) {
		ack, found := stored[fleet.Ack](c, inAcks, k)
		if found && !ack.Expires.IsZero() && !ack.Expires.After(at) {
			c.delete(inAcks, k)
			dropped++
		}
	}
	if dropped > 0 {
		c.notify(Acks)
	}
	return dropped
}
