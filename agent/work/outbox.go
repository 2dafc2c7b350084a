package work

import (
	"context"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// outbox is the journal's, as it may leave the host: what a failed run said
// last, and what is said about it, with the secrets masked. The journal itself
// keeps them as they were.
type outbox struct {
	*journal.Journal
	masker *mask.Masker
}

// linger lets the begin and the end of a short run travel as one.
const linger = 50 * time.Millisecond

// Outbox waits for records to be delivered, and returns at most limit of those
// after a sequence.
func (o outbox) Outbox(ctx context.Context, after uint64, limit int) (fleet.RunBatch, error) {
	for waited := false; ; waited = true {
		records, err := o.Journal.Outbox(after, limit)
		if err == nil && len(records) > 0 && waited {
			select {
			case <-time.After(linger):
				records, err = o.Journal.Outbox(after, limit)
			case <-ctx.Done():
			}
		}
		if err != nil || len(records) > 0 {
			return fleet.RunBatch{Journal: o.ID(), Records: o.masked(records)}, err
		}
		select {
		case <-o.Changed():
		case <-ctx.Done():
			return fleet.RunBatch{}, ctx.Err()
		}
	}
}

func (o outbox) masked(records []fleet.RunRecord) []fleet.RunRecord {
	for i := range records {
		run := &records[i].Run
		run.Tail = o.mask(run.Tail, maxTail)
		run.Detail = o.mask(run.Detail, maxDetail)
	}
	return records
}

// What a record of a run may hold.
const (
	maxTail   = fleet.MaxTail
	maxDetail = 1024
)

// mask masks a text that may be cut on its left and keeps its end, which is
// where errors are told.
func (o outbox) mask(text string, most int) string {
	masked, any := o.masker.Text(text)
	if any && len(masked) > most {
		masked = strings.ToValidUTF8(masked[len(masked)-most:], "")
	}
	return masked
}
