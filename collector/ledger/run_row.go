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
	Stints  []stintRecord   `cbor:"4,keyasint,omitempty"`
}

// stintRecord is a fleet.Stint in an entry; instants are nanoseconds since 1970.
type stintRecord struct {
	_          struct{} `cbor:",toarray"`
	Sequence   uint64
	Task       fleet.TaskID
	Generation uint64
	After      int64
	Last       int64 // zero: none
}

type runRecord struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	Run      compact.Run
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (b HostBatch) MarshalCBOR() ([]byte, error) {
	batch := hostBatch{Host: b.Host, Journal: b.Journal, Records: make([]runRecord, 0, len(b.Records))}
	for i := range b.Records {
		record := &b.Records[i]
		if s := record.Stint; s != nil {
			batch.Stints = append(batch.Stints, stintRecord{Sequence: record.Sequence, Task: s.Task, Generation: s.Generation, After: compact.Nanos(s.After), Last: compact.Nanos(s.Last)})
			continue
		}
		batch.Records = append(batch.Records, runRecord{Sequence: record.Sequence, Run: compact.Of(&record.Run)})
	}
	return encoding.Marshal(batch)
}

// UnmarshalCBOR reads a batch of an entry.
func (b *HostBatch) UnmarshalCBOR(data []byte) error {
	var batch hostBatch
	if err := decoding.Unmarshal(data, &batch); err != nil {
		return fmt.Errorf("batch of runs: %w", err)
	}
	*b = HostBatch{Host: batch.Host, Journal: batch.Journal, Records: make([]api.RunRecord, 0, len(batch.Records)+len(batch.Stints))}
	stints := batch.Stints
	for i := range batch.Records {
		for len(stints) > 0 && stints[0].Sequence < batch.Records[i].Sequence {
			b.Records, stints = append(b.Records, stints[0].whole()), stints[1:]
		}
		b.Records = append(b.Records, api.RunRecord{Sequence: batch.Records[i].Sequence, Run: batch.Records[i].Run.Whole()})
	}
	for i := range stints {
		b.Records = append(b.Records, stints[i].whole())
	}
	return nil
}

func (s *stintRecord) whole() api.RunRecord {
	return api.RunRecord{Sequence: s.Sequence, Stint: &fleet.Stint{
		Task: s.Task, Generation: s.Generation, After: instantOf(s.After), Last: instantOf(s.Last),
	}}
}
