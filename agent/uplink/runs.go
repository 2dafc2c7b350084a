package uplink

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// batchRecords keeps a batch below api.MaxBody: a record is at most about
	// 2 KiB, and 500 bytes as a rule.
	batchRecords = 1000
	batchBytes   = 768 << 10
	// linger lets the begin and the end of a short run travel as one.
	linger = 50 * time.Millisecond
)

// sendRuns empties the outbox, batch by batch, each until it is acknowledged.
func (u *Uplink) sendRuns(ctx context.Context) {
	var after uint64
	limit := batchRecords
	for ctx.Err() == nil {
		records, err := u.config.Outbox.Outbox(after, limit)
		if err != nil {
			u.log.Error("outbox cannot be read", "error", err)
			u.wait(ctx, longestWait, nil, nil)
			continue
		}
		if len(records) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-u.config.Outbox.Changed():
			}
			u.wait(ctx, linger, nil, nil)
			continue
		}
		if fit := within(records, batchBytes); len(fit) < len(records) {
			limit = len(fit) // asked again: cut here, it might lack what the rest of it says
			continue
		}
		fits := true
		u.persist(ctx, nil, func(ctx context.Context) error {
			after, fits, err = u.deliver(ctx, records)
			return err
		})
		if fits {
			limit = min(batchRecords, 2*limit)
		} else {
			limit = max(1, len(records)/2)
		}
	}
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
func (u *Uplink) deliver(ctx context.Context, records []api.RunRecord) (after uint64, fits bool, err error) {
	first, last := records[0].Sequence, records[len(records)-1].Sequence
	receipt, err := u.config.Collectors.Deliver(ctx, u.id, api.RunBatch{Journal: u.config.Outbox.ID(), Records: records})
	switch kind := fleet.KindOf(err); {
	case err == nil && receipt.Acknowledged < first:
		return first - 1, true, fleet.Errorf(fleet.Unavailable, "collector acknowledged %d of a batch from %d to %d", receipt.Acknowledged, first, last)
	case err == nil:
		// A collector may have more than this batch from an earlier delivery;
		// only what was in it is certain.
		acknowledged := min(receipt.Acknowledged, last)
		u.config.Outbox.Acknowledge(acknowledged)
		return acknowledged, true, nil
	case kind != fleet.TooLarge && kind != fleet.Invalid:
		return first - 1, true, err
	case len(records) > 1:
		return first - 1, false, nil
	}
	u.log.Error("no collector accepts this record, passed over", "record", fmt.Sprintf("%+v", records[0]), "error", err)
	u.config.Outbox.Acknowledge(last)
	return last, true, nil
}
