package api

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// List is one page of a list. Next, where set, is the cursor for ?after=.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
	Total int    `json:"total"` // of all pages; -1 where counting would cost more than the page
	Index uint64 `json:"index"` // of the ledger it was read at
}

// HostView is a host with what the collectors observe of it.
type HostView struct {
	fleet.Host
	Presence  fleet.Presence `json:"presence"`
	FirstSeen time.Time      `json:"first_seen"`
	Reported  time.Time      `json:"reported,omitzero"` // when its inventory last changed
	Jobs      int            `json:"jobs"`
	Problems  int            `json:"problems"`
	Tasks     int            `json:"tasks"` // assigned to it
}

// HostDetail is everything about one host: found and given.
type HostDetail struct {
	HostView
	Inventory   fleet.Report       `json:"inventory"`
	Assignments []fleet.Assignment `json:"assignments"`
	Applied     fleet.Applied      `json:"applied"`
}

// JobView is a job with the host it was found on.
type JobView struct {
	fleet.Job
	Host      fleet.HostID `json:"host"`
	HostName  string       `json:"host_name"`
	FirstSeen time.Time    `json:"first_seen"`
	Changed   time.Time    `json:"changed"` // when schedule, environment or verdict last changed
}

// JobGroup is one command wherever it stands.
type JobGroup struct {
	Fingerprint string   `json:"fingerprint"`
	Command     string   `json:"command"`
	Jobs        int      `json:"jobs"`
	Hosts       int      `json:"hosts"`
	HostNames   []string `json:"host_names"` // at most 20, sorted
	Schedules   []string `json:"schedules"`  // at most 5 distinct, sorted
	Users       []string `json:"users"`      // distinct, sorted, at most 5
}

// TaskView is a task with a summary of how it fares.
type TaskView struct {
	fleet.TaskRecord
	Hosts int        `json:"hosts"` // that it resolves to now
	Last  *fleet.Run `json:"last,omitempty"`
	Next  *time.Time `json:"next,omitempty"` // the earliest instant on any host
}

// Resolved is one host that a task resolves to.
type Resolved struct {
	Host     fleet.HostID   `json:"host"`
	Name     string         `json:"name"`
	Presence fleet.Presence `json:"presence"`
	Next     []time.Time    `json:"next"`    // the next three instants, UTC, spread included
	Applied  uint64         `json:"applied"` // the generation the host runs; zero: none yet
	Since    *time.Time     `json:"applied_at,omitempty"`
}

// Resolution answers POST /v1/resolve: what a task would do, without doing it.
type Resolution struct {
	Task    fleet.Task `json:"task"`
	Hosts   []Resolved `json:"hosts"`
	Current uint64     `json:"current"` // generation of the task of that name; zero: none
	Changes bool       `json:"changes"` // it differs from the current one
}

// TaskPatch is the body of PATCH on a task.
type TaskPatch struct {
	State fleet.TaskState `json:"state"` // enabled or paused
}

// RunRequest is the body of POST …/run.
type RunRequest struct {
	Hosts  []string       `json:"hosts,omitempty"` // names or ids; empty: every host of the task
	Expiry fleet.Duration `json:"expiry,omitempty"`
	Queue  bool           `json:"queue,omitempty"` // accept hosts that are silent now
	Reason string         `json:"reason,omitempty"`
}

// Ordered answers POST …/run: an order for each host, and the run that each
// will become.
type Ordered struct {
	Orders []fleet.Order `json:"orders"`
	Index  uint64        `json:"index"`
}

// Deleted answers DELETE of a task.
type Deleted struct {
	Orders []fleet.Order `json:"orders"` // cancel orders for its running runs; empty without ?stop=true
	Index  uint64        `json:"index"`
}

// Cancelled answers DELETE of a run. A run that had not begun is dropped; one
// that goes on is stopped by an order.
type Cancelled struct {
	Dropped bool         `json:"dropped"`
	Order   *fleet.Order `json:"order,omitempty"`
	Index   uint64       `json:"index"`
}

// RunView is a run with the name of its host.
type RunView struct {
	fleet.Run
	HostName string `json:"host_name"`
}

// Upcoming is one instant at which something runs, found or given.
type Upcoming struct {
	At       time.Time    `json:"at"`
	Host     fleet.HostID `json:"host"`
	HostName string       `json:"host_name"`
	Task     fleet.TaskID `json:"task,omitempty"` // given …
	Job      fleet.JobID  `json:"job,omitempty"`  // … or found
	Command  string       `json:"command"`
	User     string       `json:"user"`
}

// Collector is one member of the raft group.
type Collector struct {
	ID          fleet.CollectorID `json:"id"`
	Raft        string            `json:"raft"` // host:port
	API         string            `json:"api"`  // URL; empty while unknown
	Voter       bool              `json:"voter"`
	Leader      bool              `json:"leader"`
	Reachable   bool              `json:"reachable"`
	LastContact *fleet.Duration   `json:"last_contact,omitempty"`
	Applied     uint64            `json:"applied,omitempty"`
	Term        uint64            `json:"term,omitempty"`
	Version     string            `json:"version,omitempty"`
}

// Cluster is the raft group as one collector sees it.
type Cluster struct {
	ID         string            `json:"cluster"`
	Answered   fleet.CollectorID `json:"answered_by"`
	Leader     fleet.CollectorID `json:"leader,omitempty"`
	Term       uint64            `json:"term"`
	Applied    uint64            `json:"applied"`
	Committed  uint64            `json:"committed"`
	Collectors []Collector       `json:"collectors"`
}

// Join is the body of POST /v1/collectors: a collector asks to become a member.
type Join struct {
	Cluster string            `json:"cluster"` // empty: it has none yet
	ID      fleet.CollectorID `json:"id"`
	Raft    string            `json:"raft"`
	API     string            `json:"api"`
	Version string            `json:"version,omitempty"` // of its program
}

// Overview sums up the fleet.
type Overview struct {
	Hosts    int `json:"hosts"`
	Alive    int `json:"alive"`
	Silent   int `json:"silent"`
	Jobs     int `json:"jobs"`
	Broken   int `json:"broken"` // found jobs whose verdict says they will not run
	Problems int `json:"problems"`
	Tasks    int `json:"tasks"`
	Paused   int `json:"paused"`
	Failed   int `json:"failed"`  // runs that failed in the last 24 hours
	Runs     int `json:"runs"`    // runs of the last 24 hours
	Running  int `json:"running"` // now
}

// RunBatch is the body of POST …/runs by an agent: records of one journal in
// the order of their sequence. What was applied before is ignored, so a batch
// may be sent again.
type RunBatch struct {
	Journal fleet.JournalID `json:"journal"`
	Records []RunRecord     `json:"records"`
}

// RunRecord is one change of one run with its place in the journal.
type RunRecord struct {
	Sequence uint64    `json:"sequence"` // from 1
	Run      fleet.Run `json:"run"`
}

// RunReceipt answers a RunBatch: everything up to Acknowledged is committed
// and may be forgotten by the agent.
type RunReceipt struct {
	Acknowledged uint64 `json:"acknowledged"`
}

// ReportReceipt answers a report.
type ReportReceipt struct {
	Changed bool   `json:"changed"` // false: the content was known already
	Hash    string `json:"hash"`
}

// Ask is something a person waits for that only the agent has: the output of
// a run. It lives in one collector's memory until it is answered.
type Ask struct {
	ID     string      `json:"id"`
	Run    fleet.RunID `json:"run"`
	Stream string      `json:"stream"` // stdout, stderr or both
	Follow bool        `json:"follow,omitempty"`
}

// Limits of requests, in bytes or items.
const (
	MaxBody       = 1 << 20
	MaxReportBody = 8 << 20
	MaxBatch      = 2000 // records a RunBatch
	MaxPage       = 1000
	DefaultPage   = 100
	DefaultWait   = 30 * time.Second
	MaxWait       = 5 * time.Minute
)
