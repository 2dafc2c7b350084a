package uplink

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

const (
	// proofEvery is at least between two deliveries of proofs, unless one has so
	// many lines, which are about 64 KiB.
	proofEvery = 10 * time.Second
	proofLines = 400
	// proofBytes keeps a delivery below api.MaxBody: JSON is about three times as
	// long as what is kept.
	proofBytes = 192 << 10
)

// sendProofs brings what this host signed, until it is kept.
func (u *Uplink) sendProofs(ctx context.Context) {
	if u.config.Proofs == nil {
		return
	}
	var after uint64
	bytes := proofBytes
	for ctx.Err() == nil {
		blocks, last, err := u.config.Proofs.Proofs(ctx, after, bytes)
		if err != nil {
			u.outboxAway(ctx, err)
			continue
		}
		if len(blocks) == 0 {
			continue
		}
		if len(blocks) > api.MaxBlocks {
			bytes = max(1, bytes/2)
			continue
		}
		fits := true
		if !u.persist(ctx, nil, func(ctx context.Context) error {
			registered := u.inventory.nextRegistration()
			fits, err = u.deliverProofs(ctx, api.ProofBatch{Blocks: blocks})
			if fleet.KindOf(err) == fleet.NotFound { // not registered yet, or an older collector
				u.wait(ctx, longestWait, nil, registered)
			}
			return err
		}) {
			continue
		}
		if !fits {
			bytes = max(1, bytes/2)
			continue
		}
		after = last
		if err := u.config.Proofs.Proven(ctx, last); err != nil && ctx.Err() == nil {
			u.log.Warn("proofs that were delivered are kept to be delivered again", "error", err)
		}
		if linesOf(blocks) < proofLines {
			u.wait(ctx, proofEvery, nil, nil)
		}
		bytes = min(proofBytes, 2*bytes)
	}
}

func linesOf(blocks []proof.Block) (lines int) {
	for i := range blocks {
		lines += len(blocks[i].Lines)
	}
	return lines
}

// deliverProofs brings one batch. One that is too large does not fit and is to be
// brought in halves; a single block that no collector accepts must not hold up
// the others: it is passed over, and stays on this host's disk for a while.
func (u *Uplink) deliverProofs(ctx context.Context, batch api.ProofBatch) (fits bool, err error) {
	receipt, err := u.config.Collectors.DeliverProofs(ctx, u.id, batch)
	first := &batch.Blocks[0]
	switch kind := fleet.KindOf(err); {
	case err == nil && receipt.Refused > 0:
		u.log.Error("a collector refused proofs of this host, passed over", "blocks", receipt.Refused, "why", receipt.Why)
		return true, nil
	case err == nil || kind != fleet.TooLarge && kind != fleet.Invalid:
		return true, err
	case len(batch.Blocks) > 1:
		return false, nil
	}
	u.log.Error("no collector accepts this proof, passed over", "chain", first.Chain, "first", first.First, "last", first.Last(), "error", err)
	return true, nil
}
