package fleet

import "time"

// Assignment is a task on a host, at one generation.
type Assignment struct {
	Task       Task      `json:"task"`
	State      TaskState `json:"state"`
	Generation uint64    `json:"generation"`
	Document   []byte    `json:"document"` // the task as its author sent it, verbatim
	MediaType  string    `json:"media_type"`
	// Unread says what of the task this agent does not know; empty: nothing. The
	// agent itself sets it, and begins no such task.
	Unread string `json:"unread,omitempty"`
	// Refused says why this host does not run it; nil: it does. The agent itself
	// sets it.
	Refused *Refusal  `json:"refused,omitempty"`
	Since   time.Time `json:"since"` // when this generation was accepted; earlier instants are not due under it
	// Envelope is the sealed statement that says all of this; a host believes
	// nothing that does not stand in it.
	Envelope []byte `json:"envelope,omitempty"`
}

// OrderKind says what a person asked for.
type OrderKind string

// The kinds of orders.
const (
	OrderRun    OrderKind = "run"
	OrderCancel OrderKind = "cancel"

	OrderStart   OrderKind = "start"   // of a supervised command: it is wanted again, whatever it was
	OrderStop    OrderKind = "stop"    // it is stopped, until somebody starts it
	OrderRestart OrderKind = "restart" // stopped and started anew, its count of restarts at zero
	OrderReset   OrderKind = "reset"   // the breaker is closed, its failures are forgotten
)

// Stands reports whether the order is about how a task stands, and not about
// one run.
func (k OrderKind) Stands() bool {
	return k == OrderStart || k == OrderStop || k == OrderRestart || k == OrderReset
}

// Order is a person's wish about a task on one host: to run it now, to cancel a
// run, or to start, stop, restart or reset it. It ends when the agent reports
// the run, or that it carried the order out, or when it expires.
type Order struct {
	ID      OrderID   `json:"id"`
	Kind    OrderKind `json:"kind"`
	Host    HostID    `json:"host"`
	Task    TaskID    `json:"task"`
	Run     RunID     `json:"run,omitempty"` // of a run: the id that it will have; of a cancel: the run to stop
	Due     time.Time `json:"due"`           // of a run: its nominal instant
	Expires time.Time `json:"expires"`       // not begun by then is missed
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Parent  RunID     `json:"parent,omitempty"`  // of a run: the run whose command gave the order
	Cause   string    `json:"cause,omitempty"`   // of a run that no person ordered: "event deployed", "webhook", "file"
	Payload string    `json:"payload,omitempty"` // what the cause brought along; at most MaxPayload bytes of text
	Params  Params    `json:"params,omitempty"`  // of a run: values of the task's parameters, beside its defaults
	// Refused says why this host does not carry it out; nil: it does. The agent
	// itself sets it.
	Refused *Refusal `json:"refused,omitempty"`
	// Envelope is the sealed statement that the order was derived from; empty of
	// what no person ordered, such as a webhook.
	Envelope []byte `json:"envelope,omitempty"`
}

// Lease is the right of one run to be one of the Limits.Fleet that go on at
// once. It ends with the run, or at Ends.
type Lease struct {
	Task  TaskID    `json:"task"`
	Run   RunID     `json:"run"`
	Host  HostID    `json:"host"`
	Fence uint64    `json:"fence"` // the ledger's index of the grant
	Ends  time.Time `json:"ends"`  // by the collectors' clock
}

// Plan is all that one host has to do. It is complete: what is not in it is
// no longer given.
type Plan struct {
	Host        HostID       `json:"host"`
	Index       uint64       `json:"index"` // of the ledger it was read at
	Assignments []Assignment `json:"assignments"`
	Orders      []Order      `json:"orders"`
	Adoptions   []Adoption   `json:"adoptions,omitempty"` // wanted, adopted, releasing and stuck ones of this host
	Calendars   []Calendar   `json:"calendars,omitempty"` // those that the assignments name, by name
	// Sealed holds the envelopes of Calendars in their order, and Tombstones those
	// of tasks and calendars that are no longer given and that a host may still know.
	Sealed     [][]byte `json:"sealed,omitempty"`
	Tombstones [][]byte `json:"tombstones,omitempty"`
	// Revoked holds the signed words that collectors are none any more.
	Revoked [][]byte `json:"revoked,omitempty"`
	// Kept is what a host goes on with beside the plan. The host itself sets it; a
	// collector says nothing here.
	Kept *Kept `json:"kept,omitempty"`
}

// Kept is what was given to a host and is no longer, while nobody that it trusts
// has signed that it ends.
type Kept struct {
	Assignments []Assignment `json:"assignments,omitempty"`
	Sealed      [][]byte     `json:"sealed,omitempty"` // of calendars that assignments name
}

// Applied tells the collectors which generation of each task a host runs.
type Applied struct {
	Host        HostID            `json:"host"`
	Generations map[TaskID]uint64 `json:"generations"`
	// Held are the tasks that it would run if its policy let it, and that it goes
	// on holding until it sees a signed end.
	Held []TaskID  `json:"held,omitempty"`
	At   time.Time `json:"at"`
	// Since is when each generation was taken over; the collectors keep it, an
	// agent need not say it.
	Since map[TaskID]time.Time `json:"since,omitempty"`
}
