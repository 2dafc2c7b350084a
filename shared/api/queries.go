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
	Problems bool           `query:"problems"` // only those whose last scan met problems
}

// JobQuery filters found jobs; zero fields do not filter.
type JobQuery struct {
	Page
	Text        string        `query:"q"`    // substring of the command, and user: host: schedule: source: kind: owner: terms
	Host        string        `query:"host"` // name or id
	User        string        `query:"user"`
	Source      string        `query:"source"` // substring
	Kind        fleet.JobKind `query:"kind"`
	Label       string        `query:"label"` // of the host
	Fingerprint string        `query:"fingerprint"`
	Verdict     string        `query:"verdict"` // runs or broken
	Owner       string        `query:"owner"`   // as annotated; "none": nobody is
	Overdue     bool          `query:"overdue"`
	// At asks for the jobs as they were at that instant, Changed for those that
	// changed since. Neither can be asked together with Overdue.
	At      time.Time `query:"at"`
	Changed time.Time `query:"changed_since"`
}

// ChangeQuery filters changes of found jobs, the newest first; zero fields do
// not filter.
type ChangeQuery struct {
	Page
	Host  string           `query:"host"` // name or id
	Job   fleet.JobID      `query:"job"`  // with Host; follows the job through changes of its id
	Label string           `query:"label"`
	What  fleet.ChangeKind `query:"what"`
	Text  string           `query:"q"` // substring of the command, before or after
	Since time.Time        `query:"since"`
	Until time.Time        `query:"until"`
}

// FindingQuery filters findings, the most severe first; zero fields do not
// filter.
type FindingQuery struct {
	Page
	Host     string            `query:"host"`
	Job      fleet.JobID       `query:"job"` // with host: those that it is among, alone or with others
	Label    string            `query:"label"`
	Kind     fleet.FindingKind `query:"kind"`
	Severity fleet.Severity    `query:"severity"` // this one and the more severe
	Owner    string            `query:"owner"`
	Text     string            `query:"q"`
	Acked    string            `query:"acked"` // "": open ones only; "only": acknowledged ones; "all"
}

// DensityQuery asks how many starts fall into each hour of a week.
type DensityQuery struct {
	Host  string    `query:"host"`
	Label string    `query:"label"`
	From  time.Time `query:"from"` // the hour it begins with; zero: this one
	Zone  string    `query:"zone"` // whose hours and days; empty: UTC
}

// CollisionQuery asks which instants many jobs share.
type CollisionQuery struct {
	Page
	Host  string    `query:"host"` // on one host; empty: of the fleet
	Label string    `query:"label"`
	From  time.Time `query:"from"`  // zero: now
	Until time.Time `query:"until"` // zero: 24 hours later, which is the most
	Least int       `query:"least"` // starts in one minute; zero: 10
}

// SpreadQuery asks for shifts of found jobs that flatten the load of a window.
type SpreadQuery struct {
	Label string         `query:"label"`
	Host  string         `query:"host"`
	From  time.Time      `query:"from"`  // zero: now
	Until time.Time      `query:"until"` // zero: 24 hours later, which is the most
	Most  fleet.Duration `query:"most"`  // the furthest shift; zero: 15 minutes
}

// TaskQuery filters tasks; zero fields do not filter.
type TaskQuery struct {
	Page
	Text      string          `query:"q"`
	Namespace string          `query:"namespace"`
	Host      string          `query:"host"`  // that it is assigned to
	Label     string          `query:"label"` // of a host that it is assigned to
	User      string          `query:"user"`  // that it runs as
	State     fleet.TaskState `query:"state"`
}

// OutputQuery says what of a run's output is read, and how.
type OutputQuery struct {
	Stream string `query:"stream"` // stdout, stderr or both; empty: both, in the order in which they were written
	Follow bool   `query:"follow"` // until the run has ended
	// Times begins each line with its time, in UTC to the millisecond, and of
	// both streams with the name of its own.
	Times bool `query:"times"`
	Tail  int  `query:"tail"` // bytes of each stream at most, from a line's beginning; zero: all
}

// RunQuery filters runs, newest first; zero fields do not filter.
type RunQuery struct {
	Page
	Task      fleet.TaskID   `query:"task"`
	Namespace string         `query:"namespace"`
	Host      string         `query:"host"`
	Label     string         `query:"label"` // of the host
	User      string         `query:"user"`  // that its task runs as now
	State     fleet.RunState `query:"state"`
	Failed    bool           `query:"failed"`
	Order     fleet.OrderID  `query:"order"`
	Since     time.Time      `query:"since"`
	Until     time.Time      `query:"until"`
	// Occurrence names a run: every attempt of its occurrence. It stands alone.
	Occurrence fleet.RunID `query:"occurrence"`
}

// UpcomingQuery asks for what runs between two instants, at most 24 hours
// apart. Zero From is now, zero Until one hour later.
type UpcomingQuery struct {
	Page
	From  time.Time    `query:"from"`
	Until time.Time    `query:"until"`
	Host  string       `query:"host"`
	Label string       `query:"label"` // of the host
	Text  string       `query:"q"`     // substring of the command or the task's name
	Task  fleet.TaskID `query:"task"`
}

// StandingQuery filters how tasks stand on hosts, by task and host; zero fields
// do not filter.
type StandingQuery struct {
	Page
	Task      fleet.TaskID       `query:"task"`
	Namespace string             `query:"namespace"`
	Host      string             `query:"host"`  // name or id
	Label     string             `query:"label"` // of the host
	Phase     fleet.Phase        `query:"phase"`
	Breaker   fleet.BreakerState `query:"breaker"`
	Health    fleet.HealthState  `query:"health"`
	Bad       bool               `query:"bad"` // only those that want a person: crash_loop, unhealthy, an open breaker
}
