package ledger

import (
	"fmt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hostBatch is a HostBatch in an entry.
type hostBatch struct {
	Host    fleet.HostID    `cbor:"1,keyasint"`
	Journal fleet.JournalID `cbor:"2,keyasint"`
	Records []runRecord     `cbor:"3,keyasint"`
}

type runRecord struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	Run      compact.Run
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (b HostBatch) MarshalCBOR() ([]byte, error) {
	batch := hostBatch{b.Host, b.Journal, make([]runRecord, len(b.Records))}
	for i := range b.Records {
		batch.Records[i] = runRecord{Sequence: b.Records[i].Sequence, Run: compact.Of(&b.Records[i].Run)}
	}
	return encoding.Marshal(batch)
}

// UnmarshalCBOR reads a batch of an entry.
func (b *HostBatch) UnmarshalCBOR(data []byte) error {
	var batch hostBatch
	if err := decoding.Unmarshal(data, &batch); err != nil {
		return fmt.Errorf("batch of runs: %w", err)
	}
	*b = HostBatch{Host: batch.Host, Journal: batch.Journal, Records: make([]api.RunRecord, len(batch.Records))}
	for i := range batch.Records {
		b.Records[i] = api.RunRecord{Sequence: batch.Records[i].Sequence, Run: batch.Records[i].Run.Whole()}
	}
	return nil
}
