package ledger

import (
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxKeyPart bounds what may be part of a key, in bytes.
const maxKeyPart = 200

// keyable reports whether s may be part of a key.
func keyable(s string) bool {
	return s != "" && len(s) <= maxKeyPart && strings.IndexByte(s, 0) < 0
}

// RecordRuns records what became of runs, of many agents at once. It returns
// []Receipt, one for each batch in its order.
type RecordRuns struct {
	Batches []HostBatch `json:"batches"`
	At      time.Time   `json:"at"`
}

// HostBatch is what one agent delivers: records of one journal in the order of
// their sequence, which may have gaps.
type HostBatch struct {
	Host    fleet.HostID
	Journal fleet.JournalID
	Records []api.RunRecord
}

// Receipt answers a HostBatch.
type Receipt struct {
	Host         fleet.HostID    `json:"host"`
	Journal      fleet.JournalID `json:"journal"`
	Acknowledged uint64          `json:"acknowledged"`      // everything up to it is recorded, or refused for ever
	Recorded     int             `json:"recorded"`          // records that changed a run
	Refused      int             `json:"refused,omitempty"` // records that could not be true: an illegal move, another host's run
	Refusal      *fleet.Error    `json:"-"`                 // of the whole batch: nothing of it was recorded
	Why          string          `json:"why,omitempty"`     // of the first record refused
}

func (cmd *RecordRuns) apply(c *change) any {
	receipts := make([]Receipt, len(cmd.Batches))
	tally := newTally()
	for i := range cmd.Batches {
		receipts[i] = cmd.Batches[i].record(c, tally)
	}
	tally.write(c)
	return receipts
}

// record applies what is new of the batch.
func (b *HostBatch) record(c *change, tally *tally) Receipt {
	receipt := Receipt{Host: b.Host, Journal: b.Journal}
	if receipt.Refusal = b.check(c); receipt.Refusal != nil {
		return receipt
	}
	journal := key(string(b.Host), string(b.Journal))
	last := number(c.get(inJournals, journal))
	serves := c.serves(b.Host)
	receipt.Acknowledged = last
	for i := range b.Records {
		if b.Records[i].Sequence <= last {
			continue
		}
		receipt.Acknowledged = b.Records[i].Sequence
		changed, why := b.Records[i].Stint != nil, ""
		if changed {
			why = recordStint(c, b.Host, b.Records[i].Stint, serves, tally)
		} else {
			changed, why = recordRun(c, b.Host, &b.Records[i].Run, serves, tally)
		}
		switch {
		case why != "":
			receipt.Refused++
			if receipt.Why == "" {
				receipt.Why = why
			}
		case changed:
			receipt.Recorded++
		}
	}
	if receipt.Acknowledged > last {
		c.put(inJournals, journal, bigEndian(receipt.Acknowledged))
	}
	return receipt
}

func (b *HostBatch) check(c *change) *fleet.Error {
	if c.get(inHosts, key(string(b.Host))) == nil {
		return unknownHost(b.Host)
	}
	if !b.Journal.Valid() {
		return fleet.Invalidf("journal", string(b.Journal), "want 32 lower-case hex digits")
	}
	for i := 1; i < len(b.Records); i++ {
		if b.Records[i].Sequence <= b.Records[i-1].Sequence {
			return fleet.Invalidf("records.sequence", "", "records must be in the order of their sequence")
		}
	}
	return nil
}

// recordRun takes one record in. It says why it cannot be true, if so.
func recordRun(c *change, host fleet.HostID, run *fleet.Run, serves func(fleet.TaskID) bool, tally *tally) (changed bool, why string) {
	if why := untrue(host, run); why != "" {
		return false, why
	}
	old, found := storedRun(c, run.ID)
	if found && (old.Host != host || old.Task != run.Task) {
		if !owns(c, run) || owns(c, &old) || !serves(run.Task) {
			return false, "the run belongs to another host or task"
		}
		tally.forget(&old) // it was never theirs
		removeRun(c, &old)
		old, found = fleet.Run{}, false
	}
	next := *run
	presumed := found && c.get(inPresumed, key(string(run.ID))) != nil
	if found {
		switch {
		case presumed: // its host knows better
			c.delete(inPresumed, key(string(run.ID)))
		case old.State == run.State && old.State.Terminal():
			return false, "" // said again
		case old.State != run.State && !old.State.MayMoveTo(run.State):
			return false, "a run that is " + string(old.State) + " cannot become " + string(run.State)
		}
		keepKnown(&next, &old)
	} else if !serves(run.Task) {
		return false, notServed(run.Task)
	}
	writeRun(c, &old, &next, found, tally)
	settleOrders(c, &next)
	settleLease(c, &next)
	return true, ""
}

// owns reports whether the run's id can be told to be that of its own host and
// task: it follows from the instant, or from an order that the host was given.
// Whoever knows another host can work out its ids, and record runs under them
// before it does.
func owns(c *change, run *fleet.Run) bool {
	first := fleet.Run{ID: fleet.Occurrence{Task: run.Task, Scope: run.Host, Nominal: run.Due}.Run(), Task: run.Task, Host: run.Host, Attempt: 1}
	if run.Order == "" {
		return first.ID == run.ID || first.LeadsTo(run)
	}
	order, _ := stored[fleet.Order](c, inOrders, key(string(run.Host), string(run.Order)))
	if order.Task == run.Task && order.Run == run.ID {
		return true
	}
	for _, k := range c.keys(inRunsByOrder, prefix(string(run.Order))) {
		before, _ := storedRun(c, fleet.RunID(k[len(prefix(string(run.Order))):]))
		if before.LeadsTo(run) {
			return true
		}
	}
	return false
}

// notServed says why a host cannot speak of a task.
func notServed(task fleet.TaskID) string {
	return "the host takes no tasks of namespace " + task.Namespace()
}

// untrue says why a record cannot be kept, or nothing.
func untrue(host fleet.HostID, run *fleet.Run) string {
	_, known := fleet.RunMoves[run.State]
	switch {
	case !keyable(string(run.ID)) || len(run.ID) > 36:
		return "a run needs an id of 1–36 bytes"
	case run.Host != host:
		return "the run belongs to another host"
	case !keyable(string(run.Task)):
		return "a run needs its task"
	case len(run.Order) > 36 || strings.IndexByte(string(run.Order), 0) >= 0:
		return "an order's id has at most 36 bytes"
	case !known:
		return "there is no run state " + string(run.State)
	}
	for _, at := range []*time.Time{&run.Due, run.Until, run.Started, run.Ended} {
		if at != nil && !compact.Plausible(at) {
			return "the instant " + at.UTC().Format(time.RFC3339) + " is out of range"
		}
	}
	return ""
}

// keepKnown carries over what an earlier record said and this one leaves out.
func keepKnown(run, old *fleet.Run) {
	if run.Started == nil {
		run.Started = old.Started
	}
	if run.PID == 0 {
		run.PID = old.PID
	}
	if run.Order == "" {
		run.Order = old.Order
	}
}
