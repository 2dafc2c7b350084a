package seal

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Kind says what a statement is about. Each kind has one part of the statement
// that must be there, and no other may be.
type Kind string

// The kinds of statements.
const (
	KindTask     Kind = "task"     // a task as it shall be from now on; retired: its tombstone
	KindOrder    Kind = "order"    // do this now, on these hosts
	KindEvent    Kind = "event"    // something happened: tasks that wait for it are due
	KindCalendar Kind = "calendar" // a calendar as it shall be; dropped: its tombstone
	KindAdopt    Kind = "adopt"    // take a found job over, as the task within
	KindRelease  Kind = "release"  // give an adopted job back, and retire the task
	KindNode     Kind = "node"     // a collector is none any more, for ever
)

// Statement is what is signed. Times are UTC.
type Statement struct {
	Version int    `json:"v"`       // 1
	Cluster string `json:"cluster"` // 32 hex digits: the cluster it is for
	Kind    Kind   `json:"kind"`
	// Namespace and Name say what it is about: a task, or a calendar, event or
	// collector (whose namespace is empty). An order is about its task.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Serial orders the statements about one thing: milliseconds since 1970 as it
	// was made, and always more than that of the statement before. A host takes
	// none that is not above the highest it took, but the very same again.
	Serial uint64    `json:"serial"`
	Issued time.Time `json:"issued"`
	// Expires ends it; zero: never. Orders and events have at most MaxOrderLife.
	// A task that expired is no longer begun.
	Expires time.Time `json:"expires,omitzero"`

	Task     *Task          `json:"task,omitempty"`     // of KindTask, KindAdopt and KindRelease
	Order    *Order         `json:"order,omitempty"`    // of KindOrder
	Event    *Event         `json:"event,omitempty"`    // of KindEvent
	Calendar *Calendar      `json:"calendar,omitempty"` // of KindCalendar
	Adopt    *Adoption      `json:"adopt,omitempty"`    // of KindAdopt
	Node     *Node          `json:"node,omitempty"`     // of KindNode
	Hosts    []fleet.HostID `json:"hosts,omitempty"`    // of KindOrder, KindAdopt and KindRelease: who is meant; 1 to MaxHosts
}

// MaxOrderLife is the longest life of an order, an event, an adoption and a
// release, by the clock of who made it.
const MaxOrderLife = 24 * time.Hour

// MaxAhead is how far a serial may be ahead of the clock: of statements that
// were made in one millisecond, or by somebody whose clock is ahead.
const MaxAhead = 24 * time.Hour

// MaxHosts is how many hosts one statement names.
const MaxHosts = 1000

// Task is a task in a statement.
type Task struct {
	State fleet.TaskState `json:"state"` // enabled, paused or retired
	// Document is the task as its author wrote it, for people; Definition is what
	// it says, for hosts, which read nothing else. Both are empty of a retired one.
	Document   string      `json:"document,omitempty"`
	MediaType  string      `json:"media_type,omitempty"`
	Definition *fleet.Task `json:"definition,omitempty"`
}

// Order is a person's wish about the task, on every host that the statement names.
type Order struct {
	Kind fleet.OrderKind `json:"kind"`
	// ID is a UUID made by the author; the order on a host has the id that
	// OrderID derives from it. A host carries it out once.
	ID      string      `json:"id"`
	Run     fleet.RunID `json:"run,omitempty"` // of a cancel: the run to stop
	Due     time.Time   `json:"due"`
	Reason  string      `json:"reason,omitempty"`
	Payload string      `json:"payload,omitempty"`
	Parent  fleet.RunID `json:"parent,omitempty"` // of a run: the run whose command asks
	// Params are values of the task's parameters, of a run; what is left out has
	// its default.
	Params fleet.Params `json:"params,omitempty"`
}

// Event is something that happened, with what it brings along.
type Event struct {
	ID      string    `json:"id"` // as of an order
	Due     time.Time `json:"due"`
	Payload string    `json:"payload,omitempty"`
}

// Calendar is a calendar in a statement; Calendar nil: it is dropped.
type Calendar struct {
	Document   string          `json:"document,omitempty"`
	MediaType  string          `json:"media_type,omitempty"`
	Definition *fleet.Calendar `json:"definition,omitempty"`
}

// Adoption says which found job is taken over. The host takes over only the
// line that has this fingerprint.
type Adoption struct {
	Job         fleet.JobID `json:"job"`
	Source      string      `json:"source"` // of the job, as the person saw it
	Line        int         `json:"line"`
	Fingerprint string      `json:"fingerprint"`
	Force       bool        `json:"force,omitempty"`
}

// Node says what becomes of a machine.
type Node struct {
	Role  fleet.PrincipalKind `json:"role"`  // collector
	State fleet.NodeState     `json:"state"` // revoked
}

// Object names what a statement is about, for people and for replay: statements
// about the same object are ordered by their serials.
func (s *Statement) Object() string {
	switch s.Kind {
	case KindEvent:
		return "event " + s.Name
	case KindCalendar:
		return "calendar " + s.Name
	case KindNode:
		return "collector " + s.Name
	case KindOrder:
		if s.Order != nil {
			return "order " + s.Order.ID
		}
		return "order"
	default:
		return "task " + s.Namespace + "/" + s.Name
	}
}
