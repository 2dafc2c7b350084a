package agent

import (
	"strings"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// outbox is the journal's, as it may leave the host: what a failed run said
// last, and what is said about it, with the secrets masked. The journal itself
// keeps them as they were.
type outbox struct {
	*journal.Journal
	masker *mask.Masker
}

// Outbox returns records to be delivered.
func (o outbox) Outbox(after uint64, limit int) ([]api.RunRecord, error) {
	records, err := o.Journal.Outbox(after, limit)
	for i := range records {
		run := &records[i].Run
		run.Tail = o.mask(run.Tail, maxTail)
		run.Detail = o.mask(run.Detail, maxDetail)
	}
	return records, err
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
