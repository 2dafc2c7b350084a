package api

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Page asks for one page of a list. Limit zero is DefaultPage. With an Index,
// the answer waits until the list may have changed since that index, but no
// longer than Wait (zero: DefaultWait, at most MaxWait).
type Page struct {
	After string         `query:"after"`
	Limit int            `query:"limit"`
	Index uint64         `query:"index"`
	Wait  fleet.Duration `query:"wait"`
}

// HostQuery filters hosts; zero fields do not filter.
type HostQuery struct {
	Page
	Text     string         `query:"q"`     // substring of name, address or OS
	Label    string         `query:"label"` // a selector
	Presence fleet.Presence `query:"presence"`
}

// JobQuery filters found jobs; zero fields do not filter.
type JobQuery struct {
	Page
	Text        string        `query:"q"`    // substring of the command, and user: host: schedule: source: kind: terms
	Host        string        `query:"host"` // name or id
	User        string        `query:"user"`
	Source      string        `query:"source"` // substring
	Kind        fleet.JobKind `query:"kind"`
	Label       string        `query:"label"` // of the host
	Fingerprint string        `query:"fingerprint"`
	Verdict     string        `query:"verdict"` // runs or broken
}

// TaskQuery filters tasks; zero fields do not filter.
type TaskQuery struct {
	Page
	Text      string          `query:"q"`
	Namespace string          `query:"namespace"`
	Host      string          `query:"host"` // that it is assigned to
	State     fleet.TaskState `query:"state"`
}

// RunQuery filters runs, newest first; zero fields do not filter.
type RunQuery struct {
	Page
	Task   fleet.TaskID   `query:"task"`
	Host   string         `query:"host"`
	State  fleet.RunState `query:"state"`
	Failed bool           `query:"failed"`
	Order  fleet.OrderID  `query:"order"`
	Since  time.Time      `query:"since"`
	Until  time.Time      `query:"until"`
}

// UpcomingQuery asks for what runs between two instants, at most 24 hours
// apart. Zero From is now, zero Until one hour later.
type UpcomingQuery struct {
	Page
	From  time.Time    `query:"from"`
	Until time.Time    `query:"until"`
	Host  string       `query:"host"`
	Task  fleet.TaskID `query:"task"`
}
