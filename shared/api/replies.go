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
	// Skew is how far the host's clock is ahead of the collector's, where it
	// was heard of lately. It is observed, never stored.
	Skew *fleet.Offset `json:"skew,omitempty"`
	// Namespaces is whose tasks it takes, of those that the caller sees;
	// fleet.Everywhere: all.
	Namespaces []string `json:"namespaces,omitempty"`
}

// HostDetail is everything about one host: found and given.
type HostDetail struct {
	HostView
	Inventory   fleet.Report       `json:"inventory"`
	Assignments []fleet.Assignment `json:"assignments"`
	Applied     fleet.Applied      `json:"applied"`
	Standings   []fleet.Standing   `json:"standings"` // by task
}

// JobView is a job with the host it was found on.
type JobView struct {
	fleet.Job
	Host      fleet.HostID `json:"host"`
	HostName  string       `json:"host_name"`
	FirstSeen time.Time    `json:"first_seen"`
	Changed   time.Time    `json:"changed"`           // when schedule, environment or verdict last changed
	Owner     string       `json:"owner,omitempty"`   // as annotated
	Note      string       `json:"note,omitempty"`    // as annotated
	Overdue   *time.Time   `json:"overdue,omitempty"` // the earliest instant at which it should have started and did not
	Dialect   string       `json:"dialect,omitempty"` // whose rules its schedule is read by: debian, cronie, busybox
	Adopted   fleet.TaskID `json:"adopted,omitempty"` // the task that runs instead of it
}

// ChangeView is a change with the name of its host.
type ChangeView struct {
	fleet.Change
	HostName string `json:"host_name"`
}

// FindingList is a page of findings with what there is of each severity, over
// all pages.
type FindingList struct {
	List[fleet.Finding]
	Counts map[fleet.Severity]int `json:"counts"`
	// Evaluated is when the fleet was last looked over.
	Evaluated time.Time `json:"evaluated"`
}

// AckRequest is the body of PUT …/ack.
type AckRequest struct {
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires,omitzero"`
}

// PinRequest is the body of PUT on a pin. Without Allow it allows what the
// hosts contain now.
type PinRequest struct {
	Labels string          `json:"labels"`
	Allow  []fleet.Allowed `json:"allow,omitempty"`
}

// PinView is a pin with what it finds now.
type PinView struct {
	fleet.Pin
	Hosts      int `json:"hosts"`
	Unexpected int `json:"unexpected"` // jobs on them that it does not allow
}

// AnnotationRequest is the body of PUT on an annotation; both empty take it
// back.
type AnnotationRequest struct {
	Owner string `json:"owner"`
	Note  string `json:"note"`
}

// Density counts the starts in each of the 168 hours from an instant, found
// and given together.
type Density struct {
	From  time.Time `json:"from"`
	Zone  string    `json:"zone"`
	Hours []int     `json:"hours"` // 168; hours of the wall clock, so that a change of it makes one longer
	Max   int       `json:"max"`
}

// Collision is one minute that many starts share.
type Collision struct {
	At     time.Time  `json:"at"`
	Starts int        `json:"starts"`
	Hosts  int        `json:"hosts"`
	Sample []Upcoming `json:"sample"` // at most 10
}

// Spread is advice: shifts that flatten the load, none of which is made.
type Spread struct {
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	Before int       `json:"before"` // starts in the fullest minute
	After  int       `json:"after"`  // … if all shifts were made
	Shifts []Shift   `json:"shifts"`
}

// Shift is one found job at another minute.
type Shift struct {
	Job      JobView      `json:"job"`
	Schedule string       `json:"schedule"` // the new one
	By       fleet.Offset `json:"by"`
	Fix      string       `json:"fix"` // the command that adopts it with that schedule
}

// Loss answers what would stop if a host were gone, and where it could go on.
type Loss struct {
	Host  HostView   `json:"host"`
	Jobs  []LossJob  `json:"jobs"`
	Tasks []LossTask `json:"tasks"`
}

// LossJob is a found job that would stop with its host.
type LossJob struct {
	Job       JobView  `json:"job"`
	Elsewhere []string `json:"elsewhere"` // hosts that run the same command; names, sorted, at most 20
	Move      []string `json:"move"`      // hosts most like it, the best first, at most 3; empty: it runs elsewhere
	Fix       string   `json:"fix,omitempty"`
}

// LossTask is a task that would lose a host.
type LossTask struct {
	Task  fleet.TaskID `json:"task"`
	Hosts int          `json:"hosts"` // that would remain
}

// AdoptRequest is the body of POST on adoptions.
type AdoptRequest struct {
	Host     string       `json:"host"` // name or id
	Job      fleet.JobID  `json:"job"`
	Task     fleet.TaskID `json:"task,omitempty"`     // empty: named after the command
	Schedule string       `json:"schedule,omitempty"` // another one than the line's
	Force    bool         `json:"force,omitempty"`
	DryRun   bool         `json:"dry_run,omitempty"`
	Reason   string       `json:"reason,omitempty"`
}

// AdoptAnswer says what an adoption or release does or would do.
type AdoptAnswer struct {
	Adoption fleet.Adoption `json:"adoption"`
	Document string         `json:"document"`       // the task as YAML
	Diff     string         `json:"diff,omitempty"` // of the file on the host, unified; with DryRun
	Index    uint64         `json:"index"`
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

	Phases    map[fleet.Phase]int `json:"phases,omitempty"`        // of a supervised command: hosts in each
	Unhealthy int                 `json:"unhealthy,omitempty"`     // hosts whose probes fail
	Breakers  int                 `json:"breakers_open,omitempty"` // hosts on which its breaker is open or half-open
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

// Ordered answers a hook: an order for each host, and the run that each
// will become.
type Ordered struct {
	Orders []fleet.Order `json:"orders"`
	Index  uint64        `json:"index"`
}

// Deleted is what became of a task that was retired.
type Deleted struct {
	Orders []fleet.Order `json:"orders"` // cancel orders for its running runs, where those were to stop too
	Index  uint64        `json:"index"`
}

// Cancelled is what became of a run that was cancelled: one that had not begun
// is dropped, one that goes on is stopped by an order.
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

	// Of its certificate, for one that the root signed by hand and nobody enrolled.
	Serial      string    `json:"serial,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
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

// Limits of requests, in bytes or items.
const (
	MaxBody       = 1 << 20
	MaxReportBody = fleet.MaxReportBody
	MaxBatch      = 2000 // records a RunBatch
	MaxPage       = fleet.MaxPage
	DefaultPage   = 100
	DefaultWait   = 30 * time.Second
	MaxWait       = 5 * time.Minute
	// ReaderPatience is how long whoever reads the output of a run may take for a
	// piece of it: after that it is broken off, because others wait.
	ReaderPatience = 5 * time.Minute
)

// StandingView is a standing with its host.
type StandingView struct {
	fleet.Standing
	Host     fleet.HostID   `json:"host"`
	HostName string         `json:"host_name"`
	Presence fleet.Presence `json:"presence"`
	Told     time.Time      `json:"told"` // when the host said so
	// Orders to start, stop, restart or reset that the host has not told to be
	// carried out. Where it told of nothing else, the rest is zero.
	Orders []fleet.Order `json:"orders,omitempty"`
}
