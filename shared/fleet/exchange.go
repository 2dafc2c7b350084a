package fleet

import "time"

// What an agent and the collectors exchange beside reports and plans is said
// here, so that what runs commands can speak of it without speaking HTTP.

// MaxPage is how many of one kind are listed at once.
const MaxPage = 1000

// MaxReportBody is how many bytes a report may have as it is sent.
const MaxReportBody = 8 << 20

// CodeNoPlace is the code of a Conflict that waiting may solve: all places of
// the task in the fleet are taken.
const CodeNoPlace = "no_place"

// LeaseRequest is the body of POST on leases: a run asks for one of the places
// that its task has in the
type LeaseRequest struct {
	Task TaskID   `json:"task"`
	Run  RunID    `json:"run"`
	Wait Duration `json:"wait,omitempty"` // for a place to come free; at most MaxWait
}

// RunBatch is the body of POST …/runs by an agent: records of one journal in
// the order of their sequence. What was applied before is ignored, so a batch
// may be sent again.
type RunBatch struct {
	Journal JournalID   `json:"journal"`
	Records []RunRecord `json:"records"`
}

// RunRecord is one change of one run with its place in the journal, or word of
// what is due from then on.
type RunRecord struct {
	Sequence uint64 `json:"sequence"` // from 1
	Run      Run    `json:"run,omitzero"`
	Stint    *Stint `json:"stint,omitempty"` // set: there is no run
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
	ID     string `json:"id"`
	Run    RunID  `json:"run"`
	Stream string `json:"stream"` // stdout, stderr or both
	Follow bool   `json:"follow,omitempty"`
	Times  bool   `json:"times,omitempty"` // each line with its time
	Tail   int    `json:"tail,omitempty"`  // bytes of each stream at most; zero: all
	// Adopt asks what that adoption would change, and not for output; the
	// answer is a JobDiff.
	Adopt *Adoption `json:"adopt,omitempty"`
	// Live asks what goes on there at this moment; the answer is a Live.
	Live bool `json:"live,omitempty"`
}

// JobDiff is what silencing a job would change on its host: a unified diff with
// secrets masked, or why the host would refuse.
type JobDiff struct {
	Diff string `json:"diff,omitempty"`
	Why  string `json:"why,omitempty"`
}

// Stands is the body of PUT …/standings by an agent: every standing that its
// host has, and the orders that it carried out. What is not in it is gone.
type Stands struct {
	Standings []Standing `json:"standings"`
	Done      []OrderID  `json:"done,omitempty"` // of start, stop, restart and reset
}

// Live is what goes on on a host, told by its agent when it was asked.
type Live struct {
	At      time.Time     `json:"at"`    // by the host's clock
	Runs    []LiveRun     `json:"runs"`  // the oldest first, at most MaxPage
	Total   int           `json:"total"` // how many there are
	Waiting []LiveWaiting `json:"waiting"`
	Slots   int           `json:"slots"` // that runs may take at once; daemons take none
	Taken   int           `json:"taken"`
}

// LiveRun is a run that goes on.
type LiveRun struct {
	Run          RunID       `json:"run"`
	Task         TaskID      `json:"task"`
	PID          int         `json:"pid"`
	Started      time.Time   `json:"started"`
	Attempt      int         `json:"attempt,omitempty"`
	Processes    int         `json:"processes"`          // it and all that it started
	Sample       *Sample     `json:"sample,omitempty"`   // nil: none yet
	Samples      []Sample    `json:"samples,omitempty"`  // of the last minutes, oldest first; left out where many runs go on
	Beat         *time.Time  `json:"beat,omitempty"`     // the last heartbeat or progress
	Progress     *float64    `json:"progress,omitempty"` // 0–100
	Message      string      `json:"message,omitempty"`  // what the command says that it does
	Ready        bool        `json:"ready,omitempty"`    // it said so
	Health       HealthState `json:"health,omitempty"`
	HealthDetail string      `json:"health_detail,omitempty"` // the last bad answer, until there is a good one
	// Unread counts the notes of the command that nobody can read, and what is
	// wrong with the last of them.
	Unread        int    `json:"unread_notes,omitempty"`
	UnreadBecause string `json:"unread_because,omitempty"`
}

// Sample is what a run and all that it started used at an instant.
type Sample struct {
	At     time.Time `json:"at"`
	CPU    float64   `json:"cpu"`    // processors, since the sample before
	Memory Bytes     `json:"memory"` // resident
	Files  int       `json:"files"`  // open descriptors
}

// LiveWaiting is a run that is due and has not begun.
type LiveWaiting struct {
	Run  RunID     `json:"run"`
	Task TaskID    `json:"task"`
	Due  time.Time `json:"due"`
	Why  string    `json:"why"` // a sentence for people
}
