package ledger

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// jobRow is a found job on disk. Evidence is no part of it: sightings are.
type jobRow struct {
	Job       fleet.Job
	FirstSeen time.Time
	Changed   time.Time
}

// packedJob is a jobRow in few bytes, for most of the ledger is jobs. Instants
// are nanoseconds since 1970 where they are ours, microseconds where they are
// the host's, which may lie in any year. The numbers stay on disk for ever.
type packedJob struct {
	ID         uint64            `cbor:"1,keyasint,omitempty"` // 16 hex digits, if it is that
	OtherID    string            `cbor:"2,keyasint,omitempty"`
	Kind       fleet.JobKind     `cbor:"3,keyasint,omitempty"`
	Source     string            `cbor:"4,keyasint,omitempty"`
	Line       int               `cbor:"5,keyasint,omitempty"`
	User       string            `cbor:"6,keyasint,omitempty"`
	Schedule   string            `cbor:"7,keyasint,omitempty"`
	Timezone   string            `cbor:"8,keyasint,omitempty"`
	Command    string            `cbor:"9,keyasint,omitempty"`
	Env        map[string]string `cbor:"10,keyasint,omitempty"`
	Next       []int64           `cbor:"11,keyasint,omitempty"`
	Enabled    bool              `cbor:"12,keyasint,omitempty"`
	Runs       bool              `cbor:"13,keyasint,omitempty"`
	Code       fleet.VerdictCode `cbor:"14,keyasint,omitempty"`
	Why        string            `cbor:"15,keyasint,omitempty"`
	Risks      []packedRisk      `cbor:"16,keyasint,omitempty"`
	Container  string            `cbor:"17,keyasint,omitempty"`
	Stale      *int64            `cbor:"18,keyasint,omitempty"`
	Unseen     bool              `cbor:"19,keyasint,omitempty"`
	Package    string            `cbor:"20,keyasint,omitempty"`
	ManagedBy  string            `cbor:"21,keyasint,omitempty"`
	Print      uint64            `cbor:"22,keyasint,omitempty"` // the fingerprint: 16 hex digits, if it is that
	OtherPrint string            `cbor:"23,keyasint,omitempty"`
	FirstSeen  int64             `cbor:"24,keyasint,omitempty"`
	Changed    int64             `cbor:"25,keyasint,omitempty"` // 0: when it was first seen
	Unit       string            `cbor:"26,keyasint,omitempty"`
	Latin1     bool              `cbor:"27,keyasint,omitempty"`
}

type packedRisk struct {
	_    struct{} `cbor:",toarray"`
	Kind fleet.FindingKind
	Why  string
}

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (row jobRow) MarshalCBOR() ([]byte, error) {
	job := &row.Job
	packed := packedJob{
		Kind: job.Kind, Source: job.Source, Line: job.Line, User: job.User, Schedule: job.Schedule, Timezone: job.Timezone,
		Command: job.Command, Env: job.Env, Enabled: job.Enabled, Runs: job.Verdict.Runs, Code: job.Verdict.Code, Why: job.Verdict.Why,
		Container: job.Container, Unseen: job.Unseen, Unit: job.Unit, Latin1: job.Latin1, Package: job.Package, ManagedBy: job.ManagedBy, FirstSeen: row.FirstSeen.UnixNano(),
	}
	packed.ID, packed.OtherID = packDigits(string(job.ID))
	packed.Print, packed.OtherPrint = packDigits(job.Fingerprint)
	if !row.Changed.Equal(row.FirstSeen) {
		packed.Changed = row.Changed.UnixNano()
	}
	for _, at := range job.Next {
		packed.Next = append(packed.Next, at.UnixMicro())
	}
	for _, risk := range job.Risks {
		packed.Risks = append(packed.Risks, packedRisk{Kind: risk.Kind, Why: risk.Why})
	}
	if job.Stale != nil {
		micros := job.Stale.UnixMicro()
		packed.Stale = &micros
	}
	return encoding.Marshal(packed)
}

// UnmarshalCBOR reads a row.
func (row *jobRow) UnmarshalCBOR(data []byte) error {
	var packed packedJob
	if err := decoding.Unmarshal(data, &packed); err != nil {
		return err
	}
	*row = jobRow{FirstSeen: time.Unix(0, packed.FirstSeen).UTC(), Job: fleet.Job{
		ID: fleet.JobID(digits(packed.ID, packed.OtherID)), Fingerprint: digits(packed.Print, packed.OtherPrint),
		Kind: packed.Kind, Source: packed.Source, Line: packed.Line, User: packed.User, Schedule: packed.Schedule, Timezone: packed.Timezone,
		Command: packed.Command, Env: packed.Env, Enabled: packed.Enabled, Verdict: fleet.Verdict{Runs: packed.Runs, Code: packed.Code, Why: packed.Why},
		Container: packed.Container, Unseen: packed.Unseen, Unit: packed.Unit, Latin1: packed.Latin1, Package: packed.Package, ManagedBy: packed.ManagedBy,
	}}
	if row.Changed = row.FirstSeen; packed.Changed != 0 {
		row.Changed = time.Unix(0, packed.Changed).UTC()
	}
	for _, micros := range packed.Next {
		row.Job.Next = append(row.Job.Next, time.UnixMicro(micros).UTC())
	}
	for _, risk := range packed.Risks {
		row.Job.Risks = append(row.Job.Risks, fleet.Risk{Kind: risk.Kind, Why: risk.Why})
	}
	if packed.Stale != nil {
		since := time.UnixMicro(*packed.Stale).UTC()
		row.Job.Stale = &since
	}
	return nil
}

// packDigits returns 16 hex digits as a number, and any other text as it is.
func packDigits(text string) (number uint64, other string) {
	number, err := strconv.ParseUint(text, 16, 64)
	if err != nil || number == 0 || digits(number, "") != text {
		return 0, text
	}
	return number, ""
}

// digits returns what packDigits packed.
func digits(number uint64, other string) string {
	if number == 0 {
		return other
	}
	var text [16]byte
	return string(hex.AppendEncode(text[:0], bigEndian(number)))
}
