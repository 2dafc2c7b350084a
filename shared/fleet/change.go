package fleet

import "time"

// ChangeKind names what changed about a found job.
type ChangeKind string

// Every kind of change.
const (
	ChangeAppeared    ChangeKind = "appeared"
	ChangeVanished    ChangeKind = "vanished"
	ChangeMoved       ChangeKind = "moved" // the same command of the same user, in another file
	ChangeSchedule    ChangeKind = "schedule"
	ChangeTimezone    ChangeKind = "timezone"
	ChangeCommand     ChangeKind = "command"
	ChangeUser        ChangeKind = "user"
	ChangeEnvironment ChangeKind = "environment"
	ChangeEnabled     ChangeKind = "enabled"
	ChangeVerdict     ChangeKind = "verdict"
)

// Change is one change of one found job, as the collectors learned of it. A
// command that was edited in place is one change, though the job has another
// id afterwards.
type Change struct {
	Host   HostID       `json:"host"`
	Job    JobID        `json:"job"`              // its id afterwards; of what vanished, before
	Seen   time.Time    `json:"seen"`             // when the scan that found it was recorded
	What   []ChangeKind `json:"what"`             // in the order of the table above
	Before *Job         `json:"before,omitempty"` // nil: it appeared
	After  *Job         `json:"after,omitempty"`  // nil: it vanished
}
