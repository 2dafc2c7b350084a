package api

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Paths of the account.
const (
	PathAccount = "/v1/account"
	PathProof   = "/v1/account/proof"
)

// AccountQuery asks what became of everything that was due; zero fields do not
// filter.
type AccountQuery struct {
	Page
	Task      fleet.TaskID `query:"task"`
	Host      string       `query:"host"` // name or id
	Namespace string       `query:"namespace"`
	Label     string       `query:"label"` // of the host
	Hosts     bool         `query:"hosts"` // a line for each host of a task, and not for each task
	// Since and Until bound the instants that were due (Until excluded). With
	// neither, everything counts since the task came to the host, also what the
	// collectors keep no record of any more.
	Since time.Time `query:"since"`
	Until time.Time `query:"until"`
}

// AccountLine is the account of a task, or of a task on one host. At all times
// Due is Ran + Skipped + Missed + Unknown + Pending; Difference is what is left
// of Due, and zero.
type AccountLine struct {
	Task       fleet.TaskID `json:"task"`
	Host       fleet.HostID `json:"host,omitempty"`
	HostName   string       `json:"host_name,omitempty"`
	Due        int          `json:"due"` // by schedules and orders, whatever records say
	Ran        int          `json:"ran"`
	OK         int          `json:"ok"`     // of Ran: ended with exit code 0
	Failed     int          `json:"failed"` // of Ran: everything else
	Skipped    int          `json:"skipped"`
	Missed     int          `json:"missed"`
	Unknown    int          `json:"unknown"`
	Pending    int          `json:"pending"` // no outcome yet, or the host has not told of it yet
	Difference int          `json:"difference"`
	// Retried counts attempts that were followed by another one: only the last
	// attempt of an occurrence is in the numbers above.
	Retried int `json:"retried"`
	// Since is from when on the line counts, where records of what was asked for
	// are not kept any more.
	Since time.Time `json:"since,omitzero"`
}

// FaultKind says in which way an account is wrong.
type FaultKind string

// The kinds of faults.
const (
	FaultMissing  FaultKind = "missing"  // an instant was due and no record tells of it
	FaultDoubled  FaultKind = "doubled"  // two records tell of the same instant
	FaultNotDue   FaultKind = "not_due"  // a record tells of an instant that was not due
	FaultMiscount FaultKind = "miscount" // a range counts another number of instants than were due in it
	FaultSum      FaultKind = "sum"      // the totals are not those of the records
)

// AccountFault is one thing that is wrong with an account.
type AccountFault struct {
	Kind     FaultKind    `json:"kind"`
	Task     fleet.TaskID `json:"task"`
	Host     fleet.HostID `json:"host"`
	HostName string       `json:"host_name,omitempty"`
	Instant  time.Time    `json:"instant,omitzero"`
	Run      fleet.RunID  `json:"run,omitempty"`
	Text     string       `json:"text"` // a sentence for people
}

// Proof is what came out when the account was derived anew, instant by instant:
// what was due from the schedules, what became of it from the records.
type Proof struct {
	Accounts   int            `json:"accounts"` // a task on a host each
	Due        int            `json:"due"`      // instants of schedules compared
	Records    int            `json:"records"`
	Pending    int            `json:"pending"`
	Difference int            `json:"difference"`
	Faults     []AccountFault `json:"faults"` // the first of them
	More       int            `json:"more"`   // faults that are left out
	Index      uint64         `json:"index"`
}

// Account lists what became of everything that was due.
func (c *Client) Account(ctx context.Context, q AccountQuery) (List[AccountLine], error) {
	return list[AccountLine](ctx, c, PathAccount, q, q.Page)
}

// Proof derives the account anew. Page and Hosts of the query mean nothing.
func (c *Client) Proof(ctx context.Context, q AccountQuery) (Proof, error) {
	return get[Proof](ctx, c, PathProof, Values(q))
}
