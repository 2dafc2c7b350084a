package uplink

import (
	"context"
	"fmt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// batchRecords keeps a batch below api.MaxBody: a record is at most about
	// 2 KiB, and 500 bytes as a rule.
	batchRecords = 1000
	batchBytes   = 768 << 10
)

// sendRuns empties the outbox, batch by batch, each until it is acknowledged.
func (u *Uplink) sendRuns(ctx context.Context) {
	var after uint64
	limit := batchRecords
	for ctx.Err() == nil {
		batch, err := u.config.Outbox.Outbox(ctx, after, limit)
		if err != nil {
			u.outboxAway(ctx, err)
			continue
		}
		if fit := within(batch.Records, batchBytes); len(fit) < len(batch.Records) {
			limit = len(fit) // asked again: cut here, it might lack what the rest of it says
			continue
		}
		if len(batch.Records) == 0 {
			continue
		}
		fits := true
		u.persist(ctx, nil, func(ctx context.Context) error {
			after, fits, err = u.deliver(ctx, batch)
			return err
		})
		if fits {
			limit = min(batchRecords, 2*limit)
		} else {
			limit = max(1, len(batch.Records)/2)
		}
	}
}

// outboxAway waits until it is worth asking again: long where the records cannot
// be read, and not where the part that has them is being replaced.
func (u *Uplink) outboxAway(ctx context.Context, err error) {
	wait := firstWait
	if ctx.Err() == nil && fleet.KindOf(err) != fleet.Unavailable {
		u.log.Error("outbox cannot be read", "error", err)
		wait = longestWait
	}
	u.wait(ctx, wait, nil, nil)
}

// within returns as many records as fit into the bytes, and at least one.
func within(records []api.RunRecord, bytes int) []api.RunRecord {
	for i := range records {
		r := &records[i].Run
		bytes -= 600 + 2*(len(r.Tail)+len(r.Detail)) // as JSON, escapes and all
		if bytes < 0 && i > 0 {
			return records[:i]
		}
	}
	return records
}

// deliver sends one batch and returns the sequence it is acknowledged to. A
// batch that is too large does not fit and is to be sent in halves. A single
// record that no collector accepts must not hold up all others: it is passed
// over, and the log keeps it.
func (u *Uplink) deliver(ctx context.Context, batch api.RunBatch) (after uint64, fits bool, err error) {
	records := batch.Records
	first, last := records[0].Sequence, records[len(records)-1].Sequence
	receipt, err := u.config.Collectors.Deliver(ctx, u.id, batch)
	switch kind := fleet.KindOf(err); {
	case err == nil && receipt.Acknowledged < first:
		return first - 1, true, fleet.Errorf(fleet.Unavailable, "collector acknowledged %d of a batch from %d to %d", receipt.Acknowledged, first, last)
	case err == nil:
		// A collector may have more than this batch from an earlier delivery;
		// only what was in it is certain.
		acknowledged := min(receipt.Acknowledged, last)
		u.acknowledge(ctx, acknowledged)
		return acknowledged, true, nil
	case kind != fleet.TooLarge && kind != fleet.Invalid:
		return first - 1, true, err
	case len(records) > 1:
		return first - 1, false, nil
	}
	u.log.Error("no collector accepts this record, passed over", "record", fmt.Sprintf("%+v", records[0]), "error", err)
	u.acknowledge(ctx, last)
	return last, true, nil
}

// acknowledge frees the outbox of what was delivered. Where that fails it is
// delivered again some day, and changes nothing then.
func (u *Uplink) acknowledge(ctx context.Context, sequence uint64) {
	if err := u.config.Outbox.Acknowledge(ctx, sequence); err != nil && ctx.Err() == nil {
		u.log.Warn("the outbox keeps what was delivered", "sequence", sequence, "error", err)
	}
}
